"""Arrays in the place of a file: a source whose handles read xarray instead of GDAL.

A handle has the few methods of a rasterio dataset that reading needs, with the same meaning, so
plans, radiometry and tiles are made by the same code as for files.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window

from geofovea.tiling.arrays.bands import Pixels
from geofovea.tiling.arrays.levels import ArrayLevels, Patch
from geofovea.tiling.files.source import Source
from geofovea.tiling.pixels.resampling import padded, resample_known

__all__ = ["ARRAY_DRIVER", "ArrayHandle", "ArraySource"]

ARRAY_DRIVER = "xarray"
"""Stands where the name of a GDAL driver stands for files."""

_NEAREST_SIDE = 2048

_thread = threading.local()


@dataclass(frozen=True, slots=True)
class ArraySource(Source):
    """Arrays that can be read as a scene.

    Attributes:
        levels: Their pixels.
        overview_levels: The level of each overview that the scene reports.
        palette: Colors of the indexes of a palette image.
        names: Names of the bands; empty if unknown.
        packings: ``(scale, offset)`` of each band; empty where all are ``(1, 0)``.
    """

    has_exact_masks: ClassVar[bool] = True
    nodata_name: ClassVar[str] = "attrs['_FillValue']"

    levels: ArrayLevels = field(kw_only=True, compare=False, repr=False)
    overview_levels: tuple[int, ...] = field(kw_only=True, default=())
    palette: tuple[tuple[int, ...], ...] = field(kw_only=True, default=())
    names: tuple[str, ...] = field(kw_only=True, default=())
    packings: tuple[tuple[float, float], ...] = field(kw_only=True, default=())

    def handle(self, overview_level: int | None = None) -> ArrayHandle:
        """What reads the native image, or an overview by its index."""
        level = 0 if overview_level is None else self.overview_levels[overview_level]
        return ArrayHandle(self, level)


class ArrayHandle:
    """One level of an array, with the reading methods of a rasterio dataset."""

    def __init__(self, source: ArraySource, level: int) -> None:
        """Look at one level of a source."""
        self._source, self._levels, self._level = source, source.levels, level
        self.width, self.height = self._levels.size(level)
        self.count = self._levels.native.count
        self.dtypes = (self._levels.native.dtype.name,) * self.count
        self.nodata = next((n for n in self._levels.missing.nodata if n is not None), None)
        self.descriptions = source.names or (None,) * self.count
        packings = source.packings or ((1.0, 0.0),) * self.count
        self.scales = tuple(scale for scale, _ in packings)
        self.offsets = tuple(offset for _, offset in packings)

    # what a file says beyond its pixels, an array says in other ways or not at all
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open that could be closed."""

    @property
    def name(self) -> str:
        """The name of its source."""
        return self._source.path

    @property
    def mask_flag_enums(self) -> tuple[list[str], ...]:
        """GDAL's flags of the masks of each band: none, for the masks of every level hold."""
        return ([],) * self.count

    def tags(self, *_: object, **__: object) -> dict[str, str]:
        """No metadata in GDAL's domains."""
        return {}

    def colormap(self, index: int) -> dict[int, tuple[int, ...]]:  # noqa: ARG002 one for all bands
        """RGBA of each index of a palette image."""
        return dict(enumerate(self._source.palette))

    def read(
        self,
        indexes: list[int],
        *,
        window: Window | None = None,
        out_shape: tuple[int, ...] | None = None,
        resampling: Resampling = Resampling.nearest,
    ) -> Pixels:
        """Values ``(bands, rows, cols)`` of a window, as ``rasterio.DatasetReader.read``."""
        return self._read(tuple(indexes), window, out_shape, resampling).values

    def read_masks(
        self,
        indexes: list[int],
        *,
        window: Window | None = None,
        out_shape: tuple[int, ...] | None = None,
        resampling: Resampling = Resampling.nearest,
    ) -> NDArray[np.uint8]:
        """255 where the pixels of a window are valid, else 0, as rasterio's ``read_masks``."""
        valid = self._read(tuple(indexes), window, out_shape, resampling).valid
        shape = (len(indexes), *valid.shape[1:])
        return np.broadcast_to(valid, shape).astype(np.uint8) * np.uint8(255)

    def _read(
        self,
        indexes: tuple[int, ...],
        window: Window | None,
        out_shape: tuple[int, ...] | None,
        resampling: Resampling,
    ) -> Patch:
        window = window or Window(0, 0, self.width, self.height)
        off_x, off_y, width, height = window.flatten()
        shape = (round(height), round(width))
        if out_shape is not None:
            shape = (out_shape[-2], out_shape[-1])
        key = (self._level, off_x, off_y, width, height, shape, resampling)
        if (same := self._read_last(key, indexes)) is not None:
            return same
        is_whole = all(float(v).is_integer() for v in (off_x, off_y, width, height))
        if is_whole and shape == (height, width):
            rows = slice(int(off_y), int(off_y + height))
            cols = slice(int(off_x), int(off_x + width))
            patch = self._levels.read(indexes, self._level, rows, cols)
        elif resampling is Resampling.nearest:
            patch = self._picked(
                indexes,
                _nearest(off_y, height, shape[0], self.height),
                _nearest(off_x, width, shape[1], self.width),
            )
        else:
            patch = self._resampled(indexes, (off_x, off_y, width, height), shape, resampling)
        # a weak reference: what a thread read last must not keep a user's arrays alive
        _thread.last = (weakref.ref(self._levels), key, indexes, patch)
        return patch

    def _read_last(self, key: tuple[Any, ...], indexes: tuple[int, ...]) -> Patch | None:
        """What this thread read last, if it was this window with these bands among others.

        The mask of a window is asked for right after its values. Reading it anew would compute the
        graph of a dask array twice.
        """
        last = getattr(_thread, "last", None)
        if last is None or last[0]() is not self._levels or last[1] != key:
            return None
        place = [last[2].index(i) for i in indexes if i in last[2]]
        if len(place) != len(indexes):
            return None
        values, valid = last[3]
        return Patch(values[place], valid[place] if len(valid) > 1 else valid)

    def _picked(
        self, indexes: tuple[int, ...], rows: NDArray[np.intp], cols: NDArray[np.intp]
    ) -> Patch:
        """Stored pixels at rows and columns that rise, read in bounded pieces."""
        parts_values, parts_valid = [], []
        for some_rows in _runs(rows):
            values, valid = [], []
            for some_cols in _runs(cols):
                patch = self._levels.read(
                    indexes,
                    self._level,
                    slice(int(some_rows[0]), int(some_rows[-1]) + 1),
                    slice(int(some_cols[0]), int(some_cols[-1]) + 1),
                )
                pick = np.ix_(some_rows - some_rows[0], some_cols - some_cols[0])
                values.append(patch.values[(slice(None), *pick)])
                valid.append(patch.valid[(slice(None), *pick)])
            parts_values.append(np.concatenate(values, axis=2))
            parts_valid.append(np.concatenate(valid, axis=2))
        return Patch(np.concatenate(parts_values, axis=1), np.concatenate(parts_valid, axis=1))

    def _resampled(
        self,
        indexes: tuple[int, ...],
        window: tuple[float, float, float, float],
        shape: tuple[int, int],
        resampling: Resampling,
    ) -> Patch:
        """Let GDAL resample a part in memory, so that arrays look as files do."""
        off_x, off_y, width, height = window
        rows = padded(off_y, height, shape[0], self.height)
        cols = padded(off_x, width, shape[1], self.width)
        values, valid = self._levels.read(indexes, self._level, rows, cols)
        inside = Window(off_x - cols.start, off_y - rows.start, width, height)
        nodata = self._levels.missing.nodata_of(indexes)[0]
        return Patch(*resample_known(values, valid, inside, shape, resampling, nodata))


def _nearest(offset: float, length: float, count: int, extent: int) -> NDArray[np.intp]:
    """The source pixel under the center of each output pixel."""
    centers = offset + (np.arange(count) + 0.5) * (length / count)
    places: NDArray[np.intp] = np.floor(centers + 1e-9).astype(np.intp)
    return np.clip(places, 0, extent - 1)


def _runs(places: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Cut rising places into runs that each span a bounded part of the source."""
    return np.split(places, np.flatnonzero(np.diff(places // _NEAREST_SIDE)) + 1)
