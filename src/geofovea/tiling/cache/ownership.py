"""What in a cache folder is ours, as proven by a mark, by our own names, and by the file's owner.

The folder may hold other things, and other users may write to it. So a folder is ours only if it
carries the mark that is written when it is made; in it, only files with names of our own form are
ever removed; no symbolic link is followed; and what another user owns is neither removed nor read.
"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from geofovea.errors import OutputError
from geofovea.tiling.machine.system_errors import reason_of

__all__ = [
    "MARK",
    "Maker",
    "is_believed",
    "is_ours",
    "left_in",
    "maker_of",
    "mark_folder",
    "our_files",
    "real_folders",
    "remove_ours",
    "this_user",
]

MARK = ".geofovea-cache"
"""The file that says that a folder was made here, and by which process."""

_KEY = "geofovea_cache"
_MOST_MARK_BYTES = 4096
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MACHINE = Path("/etc/machine-id")
_SUPERUSER = 0
# another machine may build for an hour; nobody writes nothing for a day and goes on
_SILENT_SECONDS = 24 * 3600.0


def this_user() -> int | None:
    """The number of the user, None on systems that have none."""
    return os.geteuid() if hasattr(os, "geteuid") else None


def is_believed(path: Path) -> bool:
    """Whether a file or folder is a real one that this user or the superuser owns."""
    try:
        status = path.lstat()
    except (OSError, ValueError):
        return False
    is_real = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    user = this_user()
    return is_real and (user is None or status.st_uid in (user, _SUPERUSER))


@dataclass(frozen=True, slots=True)
class Maker:
    """The process that made a folder, so that it can be told whether it is still there.

    Attributes:
        machine: Name and number of the machine.
        boot: Changes with each start of the system; empty where that is not known.
        space: In which set of process numbers the number below counts; containers have their own.
        pid: Number of the process.
        started: When the process was started, as the system counts; the numbers of processes are
            used again.
    """

    machine: str
    boot: str
    space: str
    pid: int
    started: str

    @classmethod
    def this(cls) -> Maker:
        """This process."""
        return cls(_machine(), _text(_BOOT), _space(), os.getpid(), _start_of(os.getpid()))

    def is_gone(self, last_change: float) -> bool:
        """Whether the process is no longer at work; to be asked while its lock is held.

        Args:
            last_change: When something of its work changed last, in seconds since 1970.
        """
        here = Maker.this()
        is_same_system = self.boot == here.boot and (self.boot or self.machine == here.machine)
        if is_same_system:
            # the numbers of another container mean nothing here, but its lock does
            return self.space != here.space or not _runs(self.pid, self.started)
        if self.machine == here.machine and here.boot and last_change < _booted():
            return True
        return time.time() - last_change > _SILENT_SECONDS


def mark_folder(folder: Path, kind: str) -> None:
    """Write the mark of a folder that was just made.

    Raises:
        OSError: If that is not possible.
    """
    text = json.dumps({_KEY: kind, **asdict(Maker.this())})
    (folder / MARK).write_text(text + "\n", encoding="utf-8")


def is_ours(folder: Path, kind: str) -> bool:
    """Whether a folder is a real one with our mark, and this user's."""
    return _is_own(folder) and _mark(folder).get(_KEY) == kind


def maker_of(folder: Path) -> Maker | None:
    """Which process made a folder, None where its mark does not say."""
    mark = _mark(folder)
    try:
        machine, boot, space, started = (
            str(mark[name]) for name in ("machine", "boot", "space", "started")
        )
        return Maker(machine, boot, space, int(mark["pid"]), started)
    except (KeyError, ValueError, TypeError):
        return None


def real_folders(place: Path) -> list[Path]:
    """The folders in a place, without symbolic links; none where the place itself is a link."""
    if os.path.islink(place):  # noqa: PTH114  (says no where the folder above is closed)
        return []
    try:
        return sorted(Path(e.path) for e in os.scandir(place) if e.is_dir(follow_symlinks=False))
    except OSError:
        return []


def our_files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Regular files of this user in a folder; none where it is a symbolic link or not there."""
    user = this_user()
    if os.path.islink(folder):  # noqa: PTH114  (as above)
        return
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            with suppress(OSError):  # another process may be clearing it
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and user in (None, status.st_uid):
                    yield Path(entry.path), status


def remove_ours(folder: Path, names: re.Pattern[str]) -> int:
    """Remove the files of a folder whose names are ours, and the folder if nothing is left in it.

    Args:
        folder: A folder that was found to be ours.
        names: What our files in it are called.

    Returns:
        The bytes that were removed.

    Raises:
        OutputError: If something cannot be removed.
    """
    removed = 0
    try:
        for path, status in our_files(folder):
            if names.fullmatch(path.name):
                path.unlink(missing_ok=True)
                removed += status.st_size
        if not any(name != MARK for name in os.listdir(folder)):  # noqa: PTH208  (names alone)
            (folder / MARK).unlink(missing_ok=True)
            folder.rmdir()
    except FileNotFoundError:
        return removed
    except OSError as error:
        raise OutputError(f"{folder} cannot be removed: {reason_of(error)}") from error
    return removed


def left_in(folder: Path) -> list[str]:
    """What a folder still holds, names of folders with a slash."""
    try:
        return sorted(
            entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in os.scandir(folder)
        )
    except OSError:
        return []


def _is_own(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except (OSError, ValueError):
        return False
    return stat.S_ISDIR(status.st_mode) and this_user() in (None, status.st_uid)


def _mark(folder: Path) -> dict[str, Any]:
    path = folder / MARK
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_MARK_BYTES:
            return {}
        mark = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return mark if isinstance(mark, dict) else {}


@cache
def _machine() -> str:
    return f"{socket.gethostname()} {_text(_MACHINE)}".strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError):
        return ""


def _space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115  (no file, but a name)
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """When a process was started, in ticks since the system was; empty where nobody says."""
    # the name in the second field may hold spaces and brackets
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    # one that has ended and that nobody has asked about is a zombie
    return fields[19] if len(fields) > 19 and fields[0] != "Z" else ""


def _runs(pid: int, started: str) -> bool:
    if pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it runs, for another user
        pass
    return _start_of(pid) == started


def _booted() -> float:
    """When the system was started, in seconds since 1970; 0 where nobody says."""
    fields = _text(Path("/proc/uptime")).split()
    return time.time() - float(fields[0]) if fields else 0.0
