"""Choices as benchmarks write them, and images that stand inside their rows."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geofovea.datasets.records.rows import Row
from geofovea.datasets.records.sample import LETTERS
from geofovea.errors import DataError, OutputError

__all__ = ["IMAGE_FOLDER", "image_names", "labelled", "letters_of", "unlabelled"]

IMAGE_FOLDER = "geofovea-images"
"""Below a benchmark's root: images that its rows hold, as files, so that they are read lazily."""

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"II*\x00": ".tif",
    b"MM\x00*": ".tif",
    b"II+\x00": ".tif",
}


def labelled(choices: Sequence[str]) -> str:
    """``(A) ...`` and so on, one a line."""
    return "\n".join(f"({letter}) {text}" for letter, text in zip(LETTERS, choices, strict=False))


def unlabelled(row: Row, column: str) -> tuple[str, ...]:
    """Choices without their letters; a list of texts or an object from letters to texts.

    Raises:
        DataError: If the cell is neither, or its letters are not A, B, C ... in order.
    """
    value = row.values.get(column)
    if isinstance(value, dict):
        keys = sorted(value)
        if "".join(keys) != LETTERS[: len(keys)] or not keys:
            raise row.wrong(column, "choices under the letters A, B, C ...")
        return tuple(str(value[key]) for key in keys)
    found = []
    for letter, text in zip(LETTERS, row.texts(column), strict=False):
        label = re.match(r"\s*\(?([A-Z])[).:]\s*", text)
        if label and label[1] != letter:
            raise row.wrong(column, f"choice {letter} in its place")
        found.append(text[label.end() :] if label else text)
    return tuple(found)


def letters_of(row: Row, column: str, count: int) -> tuple[str, ...]:
    """The letters of the right choices, from ``"B"``, ``"AC"``, ``"A, C"`` or ``["A", "C"]``.

    Raises:
        DataError: If there is none, or one that no choice has.
    """
    value = row.values.get(column)
    text = " ".join(map(str, value)) if isinstance(value, list) else row.text(column)
    letters = tuple(sorted(set(re.sub(r"[\s,;()]", "", text))))
    if not letters or any(letter not in LETTERS[:count] for letter in letters):
        raise row.wrong(column, f"letters of A to {LETTERS[count - 1]}")
    return letters


def image_names(row: Row, column: str, root: Path) -> tuple[str, ...]:
    """Names of a row's images below ``root``; images inside the row become files there first.

    A cell holds a path, bytes, base64 text, an object ``{"bytes", "path"}``, or a list of those.

    Raises:
        DataError: If it holds none of these.
        OutputError: If an image cannot be written.
    """
    value = row.values.get(column)
    cells = value if isinstance(value, list) else [value]
    names = tuple(_image_name(row, column, cell, root) for cell in cells)
    if not names:
        raise row.wrong(column, "an image")
    return names


def _image_name(row: Row, column: str, cell: Any, root: Path) -> str:
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, str) and len(cell) < 1024 and re.search(r"\.\w{2,5}$", cell):
        return cell
    if isinstance(cell, str) and cell:
        try:
            cell = base64.b64decode(cell, validate=True)
        except (binascii.Error, ValueError) as error:
            raise row.wrong(column, "a path or an image in base64") from error
    if not isinstance(cell, bytes) or not cell:
        raise row.wrong(column, "an image")
    suffix = next((end for magic, end in _SIGNATURES.items() if cell.startswith(magic)), None)
    if suffix is None:
        raise DataError(
            f"{row.place}, column {column!r}: the image is no PNG, JPEG or TIFF: convert it first"
        )
    return _kept(cell, suffix, root)


def _kept(image: bytes, suffix: str, root: Path) -> str:
    """Write an image under the name of its contents, unless it is there."""
    name = f"{IMAGE_FOLDER}/{hashlib.sha256(image).hexdigest()[:24]}{suffix}"
    target = root / name
    if not target.exists():
        try:
            target.parent.mkdir(exist_ok=True)
            # made new, with the permissions that the umask leaves
            aside = target.with_name(f".geofovea-{uuid.uuid4().hex}{suffix}")
            with aside.open("xb") as file:
                file.write(image)
            aside.replace(target)
        except OSError as error:
            raise OutputError(f"{target} could not be written: {error}") from error
    return name
