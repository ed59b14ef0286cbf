"""Rasterio at work without its warnings about what GeoFovea handles.

A scene without georeference is a supported input, and each answer about one says so in its own
warnings. rasterio warns each time such a file is opened, of the file and of every copy of it. It
also warns when RPCs lead some points nowhere; these are NaN here. And it warns that its mask of a
file with nodata leaves alpha out; both count here.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from rasterio.errors import NodataShadowWarning, NotGeoreferencedWarning, TransformWarning

from geofovea.tiling.machine.forks import in_every_child

__all__ = [
    "without_georeference_warning",
    "without_shadow_warning",
    "without_transform_warning",
]


_ANY_MODULE = "(?:)"


class _Filter:
    """One entry in the process's list of filters, while any thread needs it."""

    def __init__(self, category: type[Warning]) -> None:
        self._category = category
        self._lock = threading.Lock()
        self._holders = 0
        self._entry: object = None

    def acquire(self) -> None:
        with self._lock:
            self._holders += 1
            # other code may have put its own list in place meanwhile
            if self._entry is None or self._entry not in warnings.filters:
                # an entry that nobody else has: an equal one would be removed with ours
                warnings.filterwarnings("ignore", category=self._category, module=_ANY_MODULE)
                self._entry = warnings.filters[0]

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                # catch_warnings would put back a whole list, and with it undo other threads
                with suppress(ValueError):
                    warnings.filters.remove(self._entry)  # type: ignore[attr-defined]
                self._entry = None


_CATEGORIES = (NodataShadowWarning, NotGeoreferencedWarning, TransformWarning)
_filters: dict[type[Warning], _Filter] = {}


def _begin() -> None:
    global _filters
    _filters = {category: _Filter(category) for category in _CATEGORIES}


_begin()
# of the parent's filters, some thread that is not in the child may be a holder
in_every_child(_begin)


@contextmanager
def _without(category: type[Warning]) -> Iterator[None]:
    mine = _filters[category]
    mine.acquire()
    try:
        yield
    finally:
        mine.release()


def without_georeference_warning() -> AbstractContextManager[None]:
    """Open files inside the block without ``NotGeoreferencedWarning``; re-entrant, any thread."""
    return _without(NotGeoreferencedWarning)


def without_shadow_warning() -> AbstractContextManager[None]:
    """Read masks inside the block without ``NodataShadowWarning``; re-entrant, any thread."""
    return _without(NodataShadowWarning)


def without_transform_warning() -> AbstractContextManager[None]:
    """Move points inside the block without ``TransformWarning``; re-entrant, any thread."""
    return _without(TransformWarning)
