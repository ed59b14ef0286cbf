"""The settings of GDAL that safe, bounded reads need, held while a thread reads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rasterio._env import del_gdal_config
from rasterio.env import get_gdal_config, set_gdal_config

from geofovea.tiling.machine.forks import in_every_child

__all__ = ["GDAL_CACHE_BYTES", "LONGEST_WAIT", "gdal_settings"]

GDAL_CACHE_BYTES = 128 * 2**20
"""GDAL's block cache. Rasterio takes bytes, where GDAL itself takes small numbers as megabytes."""

_OPTIONS = {
    # an .aux.xml beside the scene can replace its overviews by another file
    "GDAL_PAM_ENABLED": "NO",
    # probe for .ovr and .msk by name and never list the folder, which may hold 100,000 files
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    # GDAL's own network client has no use here: far-away files come through file objects
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "/nothing",
    # a warning of a worker thread would never reach the read that caused it
    "GDAL_NUM_THREADS": "1",
    # a retired code of a CRS is what it always was, and not its successor somewhere else
    "OSR_USE_NON_DEPRECATED": "NO",
}


LONGEST_WAIT = 5.0
"""For how long a fork waits for reads of other threads, in seconds."""


class _Thread(threading.local):
    """How deep one thread is in ``gdal_settings()``, and what was set before."""

    def __init__(self) -> None:
        self.depth = 0
        self.options_before: dict[str, str | None] = {}

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


class _Readers:
    """How many threads read. While any does, GDAL's one block cache has our size.

    A fork waits for the reads of other threads, and reads wait for a fork. GDAL has locks of its
    own. One that another thread holds at the moment of a fork stays locked in the child forever,
    and nothing can make it anew.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._forks = 0
        self._cache_before = 0

    def enter(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._forks, LONGEST_WAIT)
            if self._count == 0:
                self._cache_before = get_gdal_config("GDAL_CACHEMAX")
            self._count += 1
            # again for each thread: a program may have set its own while another one reads
            set_gdal_config("GDAL_CACHEMAX", GDAL_CACHE_BYTES)

    def leave(self) -> None:
        with self._changed:
            self._count -= 1
            if self._count == 0:
                set_gdal_config("GDAL_CACHEMAX", self._cache_before)
            self._changed.notify_all()

    def close(self, own: int) -> None:
        """Wait until nobody else reads, and keep others from beginning.

        Args:
            own: Reads of the thread that forks.
        """
        self._changed.acquire()
        self._forks += 1
        # a read of another thread may wait for the one that forks: nothing waits forever
        self._changed.wait_for(lambda: self._count <= own, LONGEST_WAIT)

    def open(self) -> None:
        """Let others read again."""
        self._forks -= 1
        self._changed.notify_all()
        self._changed.release()


_thread = _Thread()
_readers = _Readers()


def _before_fork() -> None:
    _readers.close(int(_thread.depth > 0))


def _after_fork() -> None:
    _readers.open()


def _begin_anew() -> None:
    # another thread of the parent may have held the lock
    global _thread, _readers
    _readers.open()
    _thread, _readers = _Thread(), _Readers()


in_every_child(_begin_anew)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)


@contextmanager
def gdal_settings() -> Iterator[None]:
    """Hold the settings that safe, bounded reads need on this thread; re-entrant.

    Entering costs microseconds, so every read does, and the settings of a program that uses GDAL
    for other things too are as before as soon as no read is under way.
    """
    thread, readers = _thread, _readers
    if thread.depth == 0:
        readers.enter()
    thread.enter()
    try:
        yield
    finally:
        thread.leave()
        if thread.depth == 0:
            readers.leave()
