"""Hashes of a model's files, which tell it from another model of the same name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

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
        digest.update(_sample_of(path))
    return digest.hexdigest()


def folder_digest(folder: Path) -> str:
    """The first 16 hexadecimal digits of a hash of all files of a model, with their names.

    Large files enter as in `checkpoint_digest`.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in _MODEL_SUFFIXES:
            digest.update(f"{path.name}|".encode() + _sample_of(path))
    return digest.hexdigest()[:16]


def _sample_of(path: Path) -> bytes:
    """The size of a file, its first MiB and its last; both are the whole where it is smaller."""
    size = path.stat().st_size
    with path.open("rb") as file:
        beginning = file.read(_SAMPLE_BYTES)
        file.seek(max(0, size - _SAMPLE_BYTES))
        return f"{size}|".encode() + beginning + file.read(_SAMPLE_BYTES)
