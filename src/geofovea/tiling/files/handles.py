"""Open rasterio datasets: one per process, thread, source and overview level.

A GDAL dataset shared between threads returns wrong pixels without an error, and one inherited over
a fork shares its file offset with the parent. So nobody passes datasets around: whoever reads asks
for the handle of the thread it runs on, inside ``gdal_settings()``.
"""

from __future__ import annotations

import atexit
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import rasterio
from rasterio.errors import RasterioError

from geofovea.errors import GeoFoveaError, SceneChangedError, SceneReadError
from geofovea.tiling.files.faults import collect_faults
from geofovea.tiling.files.png import damage_in_png
from geofovea.tiling.files.source import Source
from geofovea.tiling.files.stamp import side_names, stamp_of
from geofovea.tiling.gdal_errors import GDAL_ERRORS
from geofovea.tiling.machine.forks import in_every_child
from geofovea.tiling.machine.rasterio_warnings import without_georeference_warning
from geofovea.tiling.machine.system_errors import advice_on_process

__all__ = [
    "ALL_OVERVIEWS",
    "check_checksums",
    "check_current",
    "close_handles",
    "note_whole",
    "open_bytes",
    "open_dataset",
    "open_handle",
    "read_errors",
]

ALL_OVERVIEWS = -1
"""In place of an overview's index: leave the choice to GDAL."""

MAX_HANDLES_PER_THREAD = 16


class _Thread(threading.local):
    """The datasets of one thread."""

    def __init__(self) -> None:
        # least recently used first
        self.handles: OrderedDict[tuple[Source, int | None], Any] = OrderedDict()


_thread = _Thread()
_inherited: list[object] = []


def _forget_after_fork() -> None:
    # Closing the parent's datasets could wait for a lock that no thread of the child will release,
    # so they are kept, unused, until the child ends.
    global _thread
    _inherited.append(_thread.handles)
    _thread = _Thread()


in_every_child(_forget_after_fork)


@contextmanager
def read_errors(source: Source) -> Iterator[None]:
    """Turn every failure inside the block into a ``SceneReadError``, the silent ones too.

    Those are warnings of a decoder that means damaged pixels, and a file that is another one at
    the end of the block. After a failure this thread reads nothing from handles that may have kept
    some of it.

    Raises:
        SceneReadError: With the reason.
        GeoFoveaError: What a far-away file failed with.
    """
    try:
        with collect_faults() as faults:
            try:
                yield
            except GeoFoveaError:
                # some of ours are of the kinds below, too
                raise
            except (OSError, MemoryError, *GDAL_ERRORS) as error:
                if faults.error is not None:
                    raise faults.error from error
                check_current(source)  # what was torn under our hands is not damaged
                raise _read_error(source, _reason(error)) from error
        if faults.error is not None:
            raise faults.error
        if faults.damage:
            raise _read_error(source, faults.damage[0])
        check_current(source)
    except GeoFoveaError:
        close_handles(source)
        raise


def check_current(source: Source) -> None:
    """Refuse a file that changed since it was found.

    Raises:
        SceneChangedError: If it changed or vanished.
    """
    if not source.is_current:
        raise SceneChangedError(
            f"{source.path!r}{_and_shown(source)} changed or vanished while it was in use; open "
            "the scene again"
        )


def _and_shown(source: Source) -> str:
    return "" if source.shown is None else ", or a file that it shows,"


# what libtiff and GDAL say of a compression that they were built without
_LACKS_CODEC = re.compile(
    r"missing codec|not (?:configured|supported|available)[^.]*compression|"
    r"compression[^.]*not (?:configured|supported|implemented|available)|"
    r"unsupported compression",
    re.IGNORECASE,
)


def _reason(error: BaseException) -> str:
    return str(error.__cause__ or error) or type(error).__name__


def _read_error(source: Source, reason: str) -> SceneReadError:
    if _LACKS_CODEC.search(reason):
        return SceneReadError(
            f"{source.path!r} could not be read: {reason}; the GDAL in rasterio lacks the codec of "
            "its blocks: rewrite it with a GDAL that has it, for example with gdal_translate -co "
            "COMPRESS=DEFLATE on another machine"
        )
    if advice := advice_on_process(reason):
        return SceneReadError(f"{source.path!r} could not be read: {reason}; {advice}")
    # GDAL names no file where a block fails, and it may be one beside the scene
    names = [name for name in side_names(source.path) if stamp_of(name) is not None]
    beside = f" and {', '.join(map(repr, names))} beside it" if names else ""
    return SceneReadError(
        f"{source.path!r} could not be read: {reason}; check the file{beside} with gdalinfo "
        "-checksum and copy or download it again if it is damaged"
    )


def open_dataset(source: Source, **options: object) -> Any:
    """Open a source by its one driver; the caller closes it. Needs ``gdal_settings()`` around it.

    Raises:
        SceneReadError: If GDAL cannot open it, or the file changed since it was found.
    """
    own = source.handle()
    if own is not None:
        return own
    check_current(source)
    with read_errors(source), without_georeference_warning():
        if source.remote is not None:
            from geofovea.tiling.files.range_file import NAME, RangeFiles

            files = RangeFiles(source.remote, source.sides)
            return rasterio.open(NAME, driver=source.driver, opener=files, **options)
        return rasterio.open(source.gdal_name, driver=source.driver, **options)


def open_bytes(source: Source) -> Any:
    """Open a file as bytes, near or far; the caller closes it."""
    if source.remote is None:
        return open(source.path, "rb")  # noqa: PTH123  (a path as text, and the caller's)
    from geofovea.tiling.files.range_file import NAME, RangeFiles

    return RangeFiles(source.remote).open(NAME)


# which files were found whole; a set of short texts, so it may grow
_whole: set[str] = set()


def check_checksums(source: Source) -> None:
    """Read a PNG through once in this process, before any pixel of it is used.

    Raises:
        SceneReadError: If one of its checksums is wrong.
    """
    if source.driver != "PNG" or source.identity in _whole:
        return
    with read_errors(source), open_bytes(source) as file:
        damage = damage_in_png(file)
    if damage:
        raise _read_error(source, damage)
    _whole.add(source.identity)


def note_whole(source: Source) -> None:
    """Take a PNG for whole in this process, because something else has checked it."""
    _whole.add(source.identity)


def close_handles(source: Source) -> None:
    """Close the calling thread's datasets of a source."""
    for key in [key for key in _thread.handles if key[0] == source]:
        _close(_thread.handles.pop(key))


@atexit.register
def _close_before_exit() -> None:
    # a far-away file calls Python when it is closed, which a dying interpreter cannot answer
    for handle in _thread.handles.values():
        _close(handle)
    _thread.handles.clear()


def _close(handle: Any) -> None:
    with suppress(RasterioError):
        handle.close()


def open_handle(
    source: Source, overview_level: int | None = None, *, for_pixels: bool = True
) -> Any:
    """The calling thread's dataset of one image of a source.

    Args:
        source: What to open.
        overview_level: Index of the overview, or None for the native image. The dataset shows that
            image alone: GDAL has no other overview to pick from, so a read is what was planned.
            ``ALL_OVERVIEWS`` shows the whole file.
        for_pixels: Whether more is wanted than metadata. A PNG is read through once for that.

    Returns:
        A ``rasterio.DatasetReader`` that stays open for later reads on this thread. Do not close
        it, keep it or hand it to another thread.

    Raises:
        SceneReadError: If GDAL cannot open it, or the file changed since it was found.
    """
    own = source.handle(overview_level)
    if own is not None:
        return own
    handles, key = _thread.handles, (source, overview_level)
    handle = handles.get(key)
    if handle is not None and not source.is_current:
        close_handles(source)
        check_current(source)
    if for_pixels:
        check_checksums(source)
    if handle is None:
        level = "NONE" if overview_level is None else f"{overview_level}only"
        options = {} if overview_level == ALL_OVERVIEWS else {"OVERVIEW_LEVEL": level}
        handle = handles[key] = open_dataset(source, **options)
        while len(handles) > MAX_HANDLES_PER_THREAD:
            _close(handles.popitem(last=False)[1])
    handles.move_to_end(key)
    return handle
