"""Files that people asked for: complete or not there at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from geofovea.errors import OutputError

__all__ = ["check_writable", "make_folder", "write_file", "write_text"]


def check_writable(
    path: str | os.PathLike[str], *, keep: str | os.PathLike[str] | None = None
) -> None:
    """Fail before the work, not after it, where a file could not or must not be written.

    Args:
        path: Where something will be written.
        keep: A file that must not be written over, such as the scene.

    Raises:
        OutputError: If the folder is missing or read-only, or the path is a folder, no path at
            all, or the file to keep.
    """
    target = Path(path)
    try:
        is_folder = stat.S_ISDIR(target.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_folder = False
    except (OSError, ValueError) as error:
        raise OutputError(f"{str(target)!r} cannot be written: {error}") from error
    if is_folder:
        raise OutputError(f"{target} is a folder: name a file in it")
    if not target.parent.is_dir():
        raise OutputError(f"{target} cannot be written: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"{target} cannot be written: the folder {target.parent} is read-only")
    if keep is not None and os.path.realpath(target) == os.path.realpath(keep):
        raise OutputError(f"{target} is the input itself: name another file to write")


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder with its parents, if it is not there.

    Raises:
        OutputError: If that is not possible.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}") from error
    return folder


def write_file(path: str | os.PathLike[str], write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file aside, in the same folder, then move it into place.

    Raises:
        OutputError: If the file cannot be written; an older file of that name then stays.
    """
    check_writable(path)
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(
            prefix=".geofovea-", suffix=target.suffix, dir=target.parent
        )
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}") from error
    os.close(handle)
    aside = Path(name)
    try:
        write(aside)
        aside.chmod(0o644)
        aside.replace(target)
    except OSError as error:
        raise OutputError(f"{target} could not be written: {error}") from error
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8 with a final newline.

    Raises:
        OutputError: If the file cannot be written.
    """
    write_file(path, lambda aside: aside.write_text(text.rstrip("\n") + "\n", encoding="utf-8"))
