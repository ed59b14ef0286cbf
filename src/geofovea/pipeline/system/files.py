"""Writes the files that people asked for: complete, or not at all; says what a name is.

A link is followed to what it names, and stays. Into what is not a file (a pipe, a terminal,
``/dev/null``) a finished result is written; it is never replaced by a file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from geofovea.errors import GeoFoveaError, OutputError
from geofovea.tiling.machine.system_errors import NO_ROOM, reason_of, why_unwritten

__all__ = [
    "check_writable",
    "file_digest",
    "make_folder",
    "sole_user",
    "write_file",
    "write_text",
]

_OWN_DESCRIPTOR = re.compile(r"/proc/(?:self|(\d+))(?:/task/\d+)?/fd/(\d+)")
_MOST_LINKS = 40
# where and by which process a file is filled that will take the place of another
_ASIDE = re.compile(r"\.geofovea-([0-9a-f]{6})_(\d+)_[0-9a-f]{12}(\.\w*)?")
_ABANDONED_SECONDS = 24 * 3600


def check_writable(
    path: str | os.PathLike[str], *, keep: str | os.PathLike[str] | None = None
) -> None:
    """Fail before the work, not after it, where a file could not or must not be written.

    Args:
        path: Where something will be written.
        keep: A file that must not be written over, such as the scene.

    Raises:
        OutputError: If the folder is missing or read-only, or the path is a folder, a disk, no path
            at all, or the file to keep.
    """
    if _is_special(Path(path)):
        if not os.access(path, os.W_OK):
            raise OutputError(f"{path} cannot be written: check its permissions")
        return
    target = _behind_links(Path(path))
    if not target.parent.is_dir():
        raise OutputError(f"{path} cannot be written: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"{path} cannot be written: the folder {target.parent} is read-only")
    if keep is not None and os.path.realpath(target) == os.path.realpath(keep):
        raise OutputError(f"{path} is the input itself: name another file to write")


def _is_special(path: Path) -> bool:
    """Whether a path names something to write into: a pipe, a device, an open descriptor.

    Raises:
        OutputError: If it names what nothing can be written into.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise OutputError(f"{str(path)!r} cannot be written: {reason_of(error)}") from error
    if stat.S_ISDIR(mode):
        raise OutputError(f"{path} is a folder: name a file in it")
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        what = "a disk" if stat.S_ISBLK(mode) else "a socket"
        raise OutputError(f"{path} is {what}: name a file, a pipe or a terminal")
    return not stat.S_ISREG(mode) or _descriptor_of(path) is not None


def _descriptor_of(path: Path) -> int | None:
    """The open descriptor of this process that a path such as ``/dev/stdout`` stands for."""
    for _ in range(_MOST_LINKS):
        folder = os.path.realpath(path.parent)
        match = _OWN_DESCRIPTOR.fullmatch(f"{folder}/{path.name}")
        if match:
            is_own = match[1] in (None, str(os.getpid()))
            return int(match[2]) if is_own else None
        if not path.is_symlink():
            return None
        path = Path(folder) / path.readlink()
    return None


def _behind_links(path: Path) -> Path:
    """The file that a path names, where it is one link or more.

    Raises:
        OutputError: If the links go in a circle.
    """
    for _ in range(_MOST_LINKS):
        if not path.is_symlink():
            return path
        path = path.parent / path.readlink()
    raise OutputError(f"{path} cannot be written: its links go in a circle")


@contextmanager
def sole_user(lock: Path, busy: str, unwritable: Callable[[Exception], str]) -> Iterator[None]:
    """Hold a lock file, so that no other process does the same work.

    Args:
        lock: The file, which is made.
        busy: What is said where another process holds it.
        unwritable: What is said of the error where the file cannot be made.

    Raises:
        OutputError: With one of them.
    """
    from filelock import FileLock, Timeout

    held = FileLock(lock, timeout=0)
    try:
        held.acquire()
    except Timeout as error:
        raise OutputError(busy) from error
    except (OSError, NotImplementedError) as error:
        raise OutputError(unwritable(error)) from error
    try:
        yield
    finally:
        held.release()


def make_folder(path: str | os.PathLike[str], *, private: bool = False) -> Path:
    """Make a folder with its parents, if it is not there.

    What a process that was killed left half written in it is removed.

    Args:
        path: The folder.
        private: Whether nobody else may look into a folder that is made here.

    Raises:
        OutputError: If that is not possible.
    """
    folder = Path(path)
    try:
        if private:
            folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700 if private else 0o777, parents=not private, exist_ok=True)
    except (OSError, ValueError) as error:
        is_file = isinstance(error, (FileExistsError, NotADirectoryError))
        reason = "a file is in its place" if is_file else why_unwritten(error)
        advice = "" if getattr(error, "errno", None) in NO_ROOM else "; name another folder"
        raise OutputError(f"the folder {str(folder)!r} cannot be made: {reason}{advice}") from error
    with suppress(OSError):
        for path in folder.glob(".geofovea-*"):
            if _is_abandoned(path):
                path.unlink(missing_ok=True)
    return folder


def _is_abandoned(path: Path) -> bool:
    """Whether nobody will finish a file aside: its process is gone, or is elsewhere and silent."""
    match = _ASIDE.fullmatch(path.name)
    if match is None:
        return False
    if match[1] == _machine() and os.name == "posix":
        try:
            os.kill(int(match[2]), 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            pass
    return time.time() - path.stat().st_mtime > _ABANDONED_SECONDS


@cache
def _machine() -> str:
    """Where numbers of processes mean the same as here, as six digits."""
    namespace = Path("/proc/self/ns/pid")
    inside = str(namespace.readlink()) if namespace.is_symlink() else ""
    return hashlib.sha256(f"{platform.node()}|{inside}".encode()).hexdigest()[:6]


def write_file(
    path: str | os.PathLike[str], write: Callable[[Path], object], *, private: bool = False
) -> None:
    """Let ``write`` fill a file aside, in the same folder, then move it into place.

    The file has the permissions that the umask leaves, and none that an older file of that name
    did not have.

    Args:
        path: The file; a link to it; or a pipe, a terminal, a device to write into.
        write: Fills the file at the path that it is given.
        private: Whether nobody else may read it, whatever the umask is.

    Raises:
        OutputError: If the file cannot be written; an older file of that name then stays.
    """
    check_writable(path)
    if _is_special(Path(path)):
        _write_into(Path(path), write)
        return
    target = _behind_links(Path(path))
    number = f"{_machine()}_{os.getpid()}_{uuid.uuid4().hex[:12]}"
    aside = target.with_name(f".geofovea-{number}{target.suffix}")
    try:
        aside_mode = _new_file(aside, 0o600 if private else 0o666)
        write(aside)
        aside.chmod(_mode_of(target, aside_mode))
        aside.replace(target)
    except GeoFoveaError:
        # some of ours are OSErrors, and say what is wrong already
        raise
    except OSError as error:
        raise OutputError(f"{path} could not be written: {why_unwritten(error)}") from error
    finally:
        aside.unlink(missing_ok=True)


def _new_file(path: Path, mode: int) -> int:
    """Make an empty file, which the system gives the permissions of the umask; returns these."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        return stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)


def _mode_of(target: Path, mode: int) -> int:
    """Permissions of a file that is written over: what its owner took away stays away."""
    try:
        older = stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return mode
    return mode & (older | stat.S_IRUSR | stat.S_IWUSR)


def _write_into(path: Path, write: Callable[[Path], object]) -> None:
    """Make a result elsewhere and pass it on, once it is whole."""
    try:
        with tempfile.TemporaryDirectory(prefix="geofovea-") as folder:
            aside = Path(folder) / f"result{path.suffix}"
            _make_in(Path(folder), path, lambda: write(aside))
            with aside.open("rb") as whole, open(_open_descriptor(path), "wb") as out:
                shutil.copyfileobj(whole, out)
    except GeoFoveaError:
        raise
    except OSError as error:
        reason = "nobody reads from it" if error.errno == errno.ENXIO else why_unwritten(error)
        raise OutputError(f"{path} could not be written: {reason}") from error


def _make_in(folder: Path, path: Path, make: Callable[[], object]) -> None:
    """Make a result in a temporary folder, which may be on another disk than its place."""
    try:
        make()
    except GeoFoveaError:
        raise
    except OSError as error:
        raise OutputError(
            f"{path} could not be written by way of {folder.parent}: {why_unwritten(error)}"
        ) from error


def _open_descriptor(path: Path) -> int:
    """A descriptor of a pipe or device; without a reader it fails instead of waiting for one."""
    own = _descriptor_of(path)
    if own is not None:
        # the same place in a file that standard output goes to
        sys.stdout.flush()
        return os.dup(own)
    handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    os.set_blocking(handle, True)
    return handle


def write_text(path: str | os.PathLike[str], text: str, *, private: bool = False) -> None:
    """Write a text file in UTF-8 with a final newline.

    Args:
        path: See ``write_file``.
        text: Its lines.
        private: See ``write_file``.

    Raises:
        OutputError: If the file cannot be written.
    """
    content = (text.rstrip("\n") + "\n").encode(errors="backslashreplace")
    write_file(path, lambda aside: aside.write_bytes(content), private=private)


def file_digest(path: Path) -> str:
    """SHA-256 of a whole file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
