"""Lists and clears the caches of all scenes, and holds them under a size.

Whatever is removed here is built again when it is needed. Nothing is removed that a process is
building, and nothing that was not made here; a reader whose files vanish builds them again once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from geofovea.errors import OutputError
from geofovea.tiling.cache.folder import (
    ASIDE,
    bytes_in,
    last_use,
    levels_folder,
    read_record,
)
from geofovea.tiling.cache.ownership import (
    MARK,
    is_ours,
    left_in,
    maker_of,
    our_files,
    real_folders,
    remove_ours,
)
from geofovea.tiling.machine.system_errors import reason_of

__all__ = [
    "LEVELS",
    "CacheEntry",
    "clear_cache",
    "is_level_folder",
    "is_replaceable",
    "leftover_bytes",
    "list_cache",
    "make_room",
    "remove_leftovers",
    "remove_level_folder",
    "strangers_among_levels",
]

LEVELS = "levels"
"""What the mark of a folder of level files says."""

_KEY = r"[0-9a-f]{32}(-\d)?"
_NAME = re.compile(_KEY)
_NAME_ASIDE = re.compile(rf"{ASIDE}({_KEY})-\w{{8}}")
_FILES = re.compile(r"level_\d+\.(tif|tif\.msk|tif\.ovr|npy)|record\.json|vips-[\w.-]+")


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """What is kept of one scene.

    Attributes:
        scene: Absolute path of the scene's file.
        folder: Where the level files lie.
        levels: Which levels there are.
        bytes: Size of all files.
        builder: What made them.
        built: When, in seconds since 1970.
        used: When a reader last wanted them, in seconds since 1970.
        state: ``current``; ``stale``, for another state of the scene's file; or ``damaged``.
    """

    scene: str
    folder: str
    levels: tuple[int, ...]
    bytes: int
    builder: str
    built: float
    used: float
    state: str


def list_cache() -> list[CacheEntry]:
    """All that is kept, largest first."""
    entries = [_entry(folder) for folder in _folders()]
    return sorted((e for e in entries if e is not None), key=lambda entry: -entry.bytes)


def leftover_bytes() -> int:
    """Size of what builds under way or given up have written, and of what has lost its record."""
    without_record = [folder for folder in _folders() if read_record(folder) is None]
    return sum(bytes_in(folder) for folder in (*_asides(), *without_record))


def clear_cache(scene: str | None = None, before: float | None = None) -> tuple[int, int]:
    """Remove level files that no process is building, and what builds have left.

    Args:
        scene: Absolute path of the scene whose files are meant; None for those of all.
        before: Only those that were last wanted before this, in seconds since 1970.

    Returns:
        How many scenes and how many bytes were removed.

    Raises:
        OutputError: If something cannot be removed.
    """
    scenes, size = 0, 0
    for folder in _folders():
        record = read_record(folder)
        is_meant = scene is None or (record is not None and record["scene"] == scene)
        if is_meant and (before is None or last_use(folder) < before):
            with _if_unlocked(folder) as is_free:
                if is_free:
                    size += remove_level_folder(folder)
                    scenes += 1
    if scene is None:
        size += remove_leftovers(before)
    return scenes, size


def make_room(limit_bytes: int, keep: Path) -> list[Path]:
    """Remove what was not wanted for the longest time, until the rest is within a limit.

    What builds have left counts, and goes first.

    Args:
        limit_bytes: How large all that is kept may be.
        keep: The folder of the scene at hand; it stays, even where it alone is too large.

    Returns:
        The folders that were removed.

    Raises:
        OutputError: If one cannot be removed.
    """
    remove_leftovers()
    sizes = {folder: bytes_in(folder) for folder in _folders()}
    total = sum(sizes.values()) + sum(bytes_in(folder) for folder in _asides())
    removed = []
    for folder in sorted(sizes, key=last_use):
        if total <= limit_bytes:
            break
        if folder == keep:
            continue
        with _if_unlocked(folder) as is_free:
            if is_free:
                remove_level_folder(folder)
                removed.append(folder)
                total -= sizes[folder]
    return removed


def remove_leftovers(before: float | None = None) -> int:
    """Remove what was left by builds whose process is gone.

    Args:
        before: Only what changed last before this, in seconds since 1970.

    Returns:
        The bytes that were removed.

    Raises:
        OutputError: If something cannot be removed.
    """
    removed = 0
    for aside in _asides():
        with _if_unlocked(_folder_of_aside(aside)) as is_free:
            last = _last_change(aside)
            maker = maker_of(aside)
            is_left = maker is None or maker.is_gone(last)
            if is_free and is_left and (before is None or last < before):
                removed += remove_level_folder(aside)
    return removed


def remove_level_folder(folder: Path) -> int:
    """Remove the files of a folder that are ours, and the folder if no other is in it.

    Returns:
        The bytes that were removed.

    Raises:
        OutputError: If something cannot be removed.
    """
    return remove_ours(folder, _FILES)


def is_level_folder(folder: Path) -> bool:
    """Whether a folder is one of a scene's level files, and this user's."""
    if is_ours(folder, LEVELS):
        return True
    # version 0.1.0 wrote no mark, but no record of another kind looks like its records
    record = read_record(folder) if _NAME.fullmatch(folder.name) else None
    return record is not None and {"scene", "places", "levels", "builder"} <= record.keys()


def is_replaceable(folder: Path) -> bool:
    """Whether all in a folder of level files is ours, so that it can be removed."""
    names = {path.name for path, _ in our_files(folder) if _FILES.fullmatch(path.name)}
    return set(left_in(folder)) <= names | {MARK}


def strangers_among_levels() -> list[str]:
    """Names of what lies among the folders of level files and was not made here."""
    place = levels_folder()
    ours = {f"{folder.name}/" for folder in (*_folders(), *_asides())}
    is_lock = re.compile(rf"{_KEY}\.lock").fullmatch
    return [name for name in left_in(place) if name not in ours and not is_lock(name)]


def _folders() -> list[Path]:
    is_named = _NAME.fullmatch
    return [f for f in real_folders(levels_folder()) if is_named(f.name) and is_level_folder(f)]


def _asides() -> list[Path]:
    """Folders in which builds are or were under way."""
    asides = []
    for folder in real_folders(levels_folder()):
        name = _NAME_ASIDE.fullmatch(folder.name)
        if name and (is_ours(folder, LEVELS) or _is_of_old(folder)):
            asides.append(folder)
    return asides


def _is_of_old(folder: Path) -> bool:
    """Whether a build of version 0.1.0, which left no mark but a lock, wrote all in a folder."""
    has_lock = os.path.isfile(_folder_of_aside(folder).with_suffix(".lock"))  # noqa: PTH113
    names = {path.name for path, _ in our_files(folder) if _FILES.fullmatch(path.name)}
    return has_lock and set(left_in(folder)) == names


def _folder_of_aside(aside: Path) -> Path:
    return aside.with_name(aside.name.removeprefix(ASIDE).rpartition("-")[0])


def _last_change(folder: Path) -> float:
    times = [status.st_mtime for _, status in our_files(folder)]
    with suppress(OSError):
        times.append(folder.stat().st_mtime)
    return max(times, default=0.0)


@contextmanager
def _if_unlocked(folder: Path) -> Iterator[bool]:
    """Whether nobody builds in a folder; nobody begins to inside the block then."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder.with_suffix(".lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as error:
        raise OutputError(
            f"{folder.parent} cannot be written: {reason_of(error)}; only who may write "
            "there can remove what is in it"
        ) from error
    try:
        yield True
    finally:
        lock.release()


def _entry(folder: Path) -> CacheEntry | None:
    record = read_record(folder)
    if record is None:
        return None
    state = "current"
    files = record["files"].items()
    if not all(_is_as_recorded(folder / name, f["bytes"], f["mtime_ns"]) for name, f in files):
        state = "damaged"
    elif not _is_as_recorded(
        Path(record["scene"]), record["scene_bytes"], record["scene_mtime_ns"]
    ):
        state = "stale"
    return CacheEntry(
        scene=record["scene"],
        folder=str(folder),
        levels=tuple(record["levels"]),
        bytes=bytes_in(folder),
        builder=record["builder"],
        built=record["built"],
        used=last_use(folder),
        state=state,
    )


def _is_as_recorded(path: Path, size: int, mtime_ns: int) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (size, mtime_ns)
