"""What is kept of all scenes: listed, cleared, and held under a size.

Whatever is removed here is built again when it is needed. Nothing is removed that a process is
building; a reader whose files vanish builds them again once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from geofovea.tiling.cache_folder import (
    ASIDE,
    bytes_in,
    last_use,
    levels_folder,
    read_record,
    record_path,
    remove_folder,
)

__all__ = ["CacheEntry", "clear_cache", "list_cache", "make_room"]


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


def clear_cache() -> tuple[int, int]:
    """Remove all level files that no process is building.

    Returns:
        How many scenes and how many bytes were removed.

    Raises:
        OutputError: If something cannot be removed.
    """
    scenes, size = 0, 0
    for lock_path in sorted(levels_folder().glob("*.lock")):
        folder = lock_path.with_suffix("")
        with _if_unlocked(folder) as is_ours:
            if is_ours:
                size += bytes_in(folder)
                scenes += folder.is_dir()
                for path in (folder, *levels_folder().glob(f"{ASIDE}{folder.name}-*")):
                    remove_folder(path)
    return scenes, size


def make_room(limit_bytes: int, keep: Path) -> list[Path]:
    """Remove what was not wanted for the longest time, until the rest is within a limit.

    Args:
        limit_bytes: How large all that is kept may be.
        keep: The folder of the scene at hand; it stays, even where it alone is too large.

    Returns:
        The folders that were removed.

    Raises:
        OutputError: If one cannot be removed.
    """
    sizes = {folder: bytes_in(folder) for folder in _folders()}
    total, removed = sum(sizes.values()), []
    for folder in sorted(sizes, key=last_use):
        if total <= limit_bytes:
            break
        if folder == keep:
            continue
        with _if_unlocked(folder) as is_ours:
            if is_ours:
                remove_folder(folder)
                removed.append(folder)
                total -= sizes[folder]
    return removed


def _folders() -> list[Path]:
    return sorted(record.parent for record in levels_folder().glob(f"*/{record_path(Path()).name}"))


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
