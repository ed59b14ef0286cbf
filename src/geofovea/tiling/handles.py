"""Open rasterio datasets: one per process, thread, source and overview level.

A GDAL dataset shared between threads returns wrong pixels without an error, and one inherited over
a fork shares its file offset with the parent. So nobody passes datasets around: whoever reads asks
for the handle of the thread it runs on, inside ``gdal_settings()``.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import rasterio
from rasterio._env import del_gdal_config
from rasterio._err import CPLE_BaseError
from rasterio.env import get_gdal_config, set_gdal_config
from rasterio.errors import RasterioError

from geofovea.errors import SceneReadError
from geofovea.tiling.array_source import ArraySource
from geofovea.tiling.source import Source

__all__ = ["GDAL_CACHE_BYTES", "gdal_settings", "open_dataset", "open_handle", "read_errors"]

GDAL_CACHE_BYTES = 128 * 2**20
"""GDAL's block cache. Rasterio takes bytes, where GDAL itself takes small numbers as megabytes."""

MAX_HANDLES_PER_THREAD = 16

_OPTIONS = {
    # an .aux.xml beside the scene can replace its overviews by another file
    "GDAL_PAM_ENABLED": "NO",
    # probe for .ovr and .msk by name and never list the folder, which may hold 100,000 files
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
}


class _CacheLimit:
    """GDAL's one block cache, held at our size while any thread reads, then as it was."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._before = 0

    def acquire(self) -> None:
        with self._lock:
            if self._holders == 0:
                self._before = get_gdal_config("GDAL_CACHEMAX")
            self._holders += 1
            set_gdal_config("GDAL_CACHEMAX", GDAL_CACHE_BYTES)

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                set_gdal_config("GDAL_CACHEMAX", self._before)


class _Thread(threading.local):
    """What belongs to one thread: how deep it is in ``gdal_settings()``, and its datasets."""

    def __init__(self) -> None:
        self.depth = 0
        self.options_before: dict[str, str | None] = {}
        # least recently used first
        self.handles: OrderedDict[tuple[Source, int | None], Any] = OrderedDict()

    def enter(self) -> None:
        self.depth += 1
        if self.depth > 1:
            return
        is_main = threading.current_thread() is threading.main_thread()
        for key, ours in _OPTIONS.items():
            before = get_gdal_config(key, normalize=False)
            # Rasterio sets options for all threads from the main thread and for one from others.
            # Another thread that already sees ours sees a read of the main thread, which will end.
            self.options_before[key] = None if before == ours and not is_main else before
            set_gdal_config(key, ours)

    def leave(self) -> None:
        self.depth -= 1
        if self.depth > 0:
            return
        for key, before in self.options_before.items():
            if before is None:
                del_gdal_config(key)
            else:
                set_gdal_config(key, before)


_cache_limit = _CacheLimit()
_thread = _Thread()
_inherited: list[object] = []


def _forget_after_fork() -> None:
    # Closing the parent's datasets could wait for a lock that no thread of the child will release,
    # so they are kept, unused, until the child ends.
    global _cache_limit, _thread
    _inherited.append(_thread.handles)
    _cache_limit, _thread = _CacheLimit(), _Thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


@contextmanager
def gdal_settings() -> Iterator[None]:
    """Hold the settings that safe, bounded reads need on this thread; re-entrant.

    Entering costs microseconds, so every read does, and the settings of a program that uses GDAL
    for other things too are as before as soon as no read is under way.
    """
    cache_limit, thread = _cache_limit, _thread
    cache_limit.acquire()
    thread.enter()
    try:
        yield
    finally:
        thread.leave()
        cache_limit.release()


@contextmanager
def read_errors(source: Source) -> Iterator[None]:
    """Turn every failure of rasterio and GDAL inside the block into a ``SceneReadError``."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError, MemoryError) as error:
        reason = str(error.__cause__ or error) or type(error).__name__
        raise SceneReadError(
            f"{source.path!r} could not be read: {reason}; check the file with gdalinfo -checksum "
            "and copy or download it again if it is damaged"
        ) from error


def open_dataset(source: Source, **options: object) -> Any:
    """Open a source by its one driver; the caller closes it. Needs ``gdal_settings()`` around it.

    Raises:
        SceneReadError: If GDAL cannot open it, or the file changed since it was found.
    """
    if not source.is_current:
        raise SceneReadError(
            f"{source.path!r} changed or vanished while it was in use; open the scene again"
        )
    with read_errors(source):
        return rasterio.open(source.path, driver=source.driver, **options)


def open_handle(source: Source, overview_level: int | None = None) -> Any:
    """The calling thread's dataset of one image of a source.

    Args:
        source: What to open.
        overview_level: Index of the overview, or None for the native image. The dataset shows that
            image alone: GDAL has no other overview to pick from, so a read is what was planned.

    Returns:
        A ``rasterio.DatasetReader`` that stays open for later reads on this thread. Do not close
        it, keep it or hand it to another thread.

    Raises:
        SceneReadError: If GDAL cannot open it.
    """
    if isinstance(source, ArraySource):
        return source.handle(overview_level)
    handles, key = _thread.handles, (source, overview_level)
    handle = handles.get(key)
    if handle is None:
        level = "NONE" if overview_level is None else f"{overview_level}only"
        handle = handles[key] = open_dataset(source, OVERVIEW_LEVEL=level)
        while len(handles) > MAX_HANDLES_PER_THREAD:
            _, oldest = handles.popitem(last=False)
            with suppress(RasterioError):
                oldest.close()
    handles.move_to_end(key)
    return handle
