"""What tells the model in a folder from another one of the same name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from geofovea.pipeline.hosts.load import EMBEDDED, embedded_model_path

__all__ = ["model_digest"]

_SAMPLE_BYTES = 2**20
_MODEL_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".jinja")


def model_digest(name: str | None) -> str:
    """The first 16 hexadecimal digits of a hash of a folder's model; empty for a hub id or None.

    Large files enter by their size, beginning and end, which differ between any two trainings.
    """
    if name is None:
        return ""
    folder = embedded_model_path() if name == EMBEDDED else Path(name)
    if not folder.is_dir():
        return ""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in _MODEL_SUFFIXES:
            size = path.stat().st_size
            with path.open("rb") as file:
                digest.update(f"{path.name}|{size}|".encode() + file.read(_SAMPLE_BYTES))
                file.seek(max(0, size - _SAMPLE_BYTES))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:16]
