"""Whether a name is that of a file or a folder, for names that may be any text."""

from __future__ import annotations

import os

__all__ = ["is_file", "is_folder"]


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a file; False if it is too long or cannot be reached."""
    # before Python 3.13, Path.is_file raises for such a name
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a folder; False if it is too long or cannot be reached."""
    return os.path.isdir(path)  # noqa: PTH112
