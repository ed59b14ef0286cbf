"""Opening rasters that stand nowhere on the ground, without rasterio's warning about it.

A scene without georeference is a supported input, and each answer about one says so in its own
warnings. rasterio warns each time such a file is opened, of the file and of every copy of it.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rasterio.errors import NotGeoreferencedWarning

from geofovea.tiling.machine.forks import in_every_child

__all__ = ["without_georeference_warning"]


_ANY_MODULE = "(?:)"


class _Filter:
    """One entry in the process's list of filters, while any thread opens a file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._entry: object = None

    def acquire(self) -> None:
        with self._lock:
            self._holders += 1
            # other code may have put its own list in place meanwhile
            if self._entry is None or self._entry not in warnings.filters:
                # an entry that nobody else has: an equal one would be removed with ours
                warnings.filterwarnings(
                    "ignore", category=NotGeoreferencedWarning, module=_ANY_MODULE
                )
                self._entry = warnings.filters[0]

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                # catch_warnings would put back a whole list, and with it undo other threads
                with suppress(ValueError):
                    warnings.filters.remove(self._entry)  # type: ignore[attr-defined]
                self._entry = None


_filter = _Filter()


def _forget_after_fork() -> None:
    global _filter
    _filter = _Filter()


in_every_child(_forget_after_fork)


@contextmanager
def without_georeference_warning() -> Iterator[None]:
    """Open files inside the block without ``NotGeoreferencedWarning``; re-entrant, any thread."""
    mine = _filter
    mine.acquire()
    try:
        yield
    finally:
        mine.release()
