"""Hashes of a model's files, which tell it from another model of the same name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import BinaryIO

from geofovea.pipeline.hosts.learned.card import SETTINGS_FILE

__all__ = ["checkpoint_digest", "folder_digest"]

_SAMPLE_BYTES = 2**20
_MODEL_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".jinja")


def checkpoint_digest(files: Iterable[Path]) -> str:
    """SHA-256 of the files of a checkpoint, hexadecimal, whatever their names.

    Large files enter by their size, beginning and end, which differ between any two trainings.

    Args:
        files: Its safetensors files, in any order.
    """
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda each: each.name):
        with path.open("rb") as file:
            digest.update(_sample_of(file))
    return digest.hexdigest()


def folder_digest(folder: Path) -> str:
    """The first 16 hexadecimal digits of a hash of all files of a model, with their names.

    Large files enter as in `checkpoint_digest`. What the settings say of a part enters, because
    answers depend on it, but for the hash of the part's file: that file enters by itself.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in _MODEL_SUFFIXES:
            with _opened(path) as file:
                digest.update(f"{path.name}|".encode() + _sample_of(file))
    return digest.hexdigest()[:16]


def _opened(path: Path) -> BinaryIO:
    """A file of a model; of settings, what they are without the hashes of parts."""
    settings = _without_hashes(path) if path.name == SETTINGS_FILE else None
    return path.open("rb") if settings is None else BytesIO(settings)


def _without_hashes(path: Path) -> bytes | None:
    """Settings as they would be written without the hashes of parts; None where they hold none."""
    try:
        settings = json.loads(path.read_bytes())
        hashes = [card.pop("sha256", None) for card in settings.get("parts", {}).values()]
    except (ValueError, TypeError, AttributeError, RecursionError):
        # what is wrong with them is told where the model is loaded
        return None
    has_none = all(each is None for each in hashes)
    return None if has_none else json.dumps(settings, indent=1).encode()


def _sample_of(file: BinaryIO) -> bytes:
    """The size of a file, its first MiB and its last; both are the whole where it is smaller."""
    size = file.seek(0, SEEK_END)
    file.seek(0)
    beginning = file.read(_SAMPLE_BYTES)
    file.seek(max(0, size - _SAMPLE_BYTES))
    return f"{size}|".encode() + beginning + file.read(_SAMPLE_BYTES)
