"""Images that stand inside rows, as files that are read lazily."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from geofovea.datasets.records.rows import Row
from geofovea.errors import DataError, OutputError
from geofovea.tiling.machine.system_errors import why_unwritten

__all__ = ["IMAGE_FOLDER", "image_names"]

IMAGE_FOLDER = "geofovea-images"
"""Below a benchmark's root: images that its rows hold, as files, so that they are read lazily."""

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"II*\x00": ".tif",
    b"MM\x00*": ".tif",
    b"II+\x00": ".tif",
}


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
            f"{row.place}, column {column!r}: the image is not a PNG, JPEG or TIFF: convert it"
        )
    return _written(cell, suffix, root)


def _written(image: bytes, suffix: str, root: Path) -> str:
    """Write an image under the name of its contents, unless it is there."""
    name = f"{IMAGE_FOLDER}/{hashlib.sha256(image).hexdigest()[:24]}{suffix}"
    target = root / name
    if not target.exists():
        # made new, with the permissions that the umask leaves
        aside = target.with_name(f".geofovea-{uuid.uuid4().hex}{suffix}")
        try:
            target.parent.mkdir(exist_ok=True)
            with aside.open("xb") as file:
                file.write(image)
            aside.replace(target)
        except OSError as error:
            with suppress(OSError):
                aside.unlink()
            raise OutputError(f"{target} could not be written: {why_unwritten(error)}") from error
    return name
