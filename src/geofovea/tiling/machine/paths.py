"""Whether names are those of files and folders, where a name may be anything."""

from __future__ import annotations

import os

__all__ = ["is_file", "is_folder"]


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a file; one that is too long or out of reach is that of none."""
    # before Python 3.13, Path.is_file raises for such a name
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a folder; one that is too long or out of reach is that of none."""
    return os.path.isdir(path)  # noqa: PTH112
