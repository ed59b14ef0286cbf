"""Levels of an image in memory or behind dask, made from native pixels in bounded memory.

Level ``l`` averages squares of ``2**l`` native pixels, one halving after the other, each rounded to
the pixel type: what GDAL's AVERAGE overviews hold, without a file.

What a coarse read costs: a window of up to ``READ_AT_ONCE`` native pixels is read for each tile
anew. The first larger one (the overview, that is) passes over all native pixels once, in pieces of
``PIECE_BYTES``, and keeps the finest level of at most ``KEPT_BYTES``; everything coarser is made
from that copy. A chunk of a dask array is computed once in that pass if its sides are powers of
two; pieces may cut other chunks, which are then computed for each of their parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geofovea.tiling.arrays.bands import ArrayBands, Pixels
from geofovea.tiling.machine.forks import ForkSafeLock
from geofovea.tiling.machine.lru import LruCache
from geofovea.tiling.marks import (
    Number,
    ValidRange,
    are_finite,
    are_opaque,
    equals_nodata,
    opaque_number,
)
from geofovea.tiling.pixels.halving import Known, halved
from geofovea.tiling.pixels.sample import sample_windows
from geofovea.tiling.pyramid import level_size

__all__ = ["ArrayLevels", "ArrayMask", "Patch"]

READ_AT_ONCE = 8 * 2**20
KEPT_BYTES = 64 * 2**20
PIECE_BYTES = 32 * 2**20
# of all choices of bands together: that of a question, and of some before it
_MOST_KEPT_BYTES = 4 * KEPT_BYTES

Mask = NDArray[np.bool_]


class Patch(NamedTuple):
    """Pixels of a window: values ``(bands, h, w)`` and validity ``(bands or 1, h, w)``."""

    values: Pixels
    valid: Mask


@dataclass(frozen=True, eq=False)
class ArrayMask:
    """What marks the missing pixels of an array; all of it counts together.

    Attributes:
        numbers: The values of each band that mark missing pixels; empty where no band has one. What
            is not a finite number is missing in every float array.
        alpha: Index of the alpha band, counted from 1; 0 for none.
        planes: A plane beside the bands, or one for each band, for each level that has its own
            pixels; 0 where nothing is known.
        own_numbers: ``numbers`` of coarser levels that have their own pixels and other values.
        ranges: The range of known numbers of each band, for each level that has its own pixels;
            None where a band has none, and no entry where no band has one.
    """

    numbers: tuple[tuple[Number, ...], ...] = ()
    alpha: int = 0
    planes: Mapping[int, ArrayBands] | None = None
    own_numbers: Mapping[int, tuple[tuple[Number, ...], ...]] = field(default_factory=dict)
    ranges: Mapping[int, tuple[ValidRange | None, ...]] = field(default_factory=dict)

    @property
    def nodata(self) -> tuple[Number | None, ...]:
        """The first value of each band, None where it has none; empty where no band has one."""
        return tuple(values[0] if values else None for values in self.numbers)

    def numbers_of(
        self, indexes: tuple[int, ...], level: int = 0
    ) -> tuple[tuple[Number, ...], ...]:
        """The values of some bands, counted from 1, in the pixels of a level."""
        numbers = self.own_numbers.get(level, self.numbers)
        return tuple(numbers[i - 1] for i in indexes) if numbers else ((),) * len(indexes)

    def nodata_of(self, indexes: tuple[int, ...], level: int = 0) -> tuple[Number | None, ...]:
        """The first of them for each band, which marks what is missing in levels made of these."""
        return tuple(next(iter(values), None) for values in self.numbers_of(indexes, level))

    def ranges_of(self, indexes: tuple[int, ...], level: int = 0) -> tuple[ValidRange | None, ...]:
        """The ranges of known numbers of some bands, counted from 1, in the pixels of a level."""
        ranges = self.ranges.get(level, ())
        return tuple(ranges[i - 1] for i in indexes) if ranges else (None,) * len(indexes)

    def is_by_band(self, dtype: np.dtype[Any]) -> bool:
        """Whether one band of a pixel may be missing where another is not."""
        planes = list((self.planes or {}).values())
        return (
            bool(self.numbers or self.own_numbers or self.ranges)
            or dtype.kind == "f"
            or any(p.count > 1 for p in planes)
        )


class ArrayLevels:
    """All levels of an image: those that somebody made, and the others made when needed.

    Safe to share between threads, and to pickle if the arrays are.
    """

    def __init__(self, own: Mapping[int, ArrayBands], missing: ArrayMask) -> None:
        """Join the images of the levels that have one; level 0 must be among them."""
        self.own = dict(sorted(own.items()))
        self.missing = missing
        self._start()

    def _start(self) -> None:
        self._lock = ForkSafeLock()
        self._patches = LruCache[tuple[tuple[int, ...], int], Patch](_MOST_KEPT_BYTES, _bytes_of)
        self._opaque: float | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"own": self.own, "missing": self.missing}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    @property
    def native(self) -> ArrayBands:
        """The image of level 0."""
        return self.own[0]

    def size(self, level: int) -> tuple[int, int]:
        """``(width, height)`` of a level."""
        return level_size((self.native.width, self.native.height), level)

    def read(self, indexes: tuple[int, ...], level: int, rows: slice, cols: slice) -> Patch:
        """Pixels of a window of a level.

        Args:
            indexes: Bands, counted from 1.
            level: The level.
            rows: Of the window, inside the level.
            cols: Of the window, inside the level.

        Raises:
            SceneReadError: If what is behind the array fails.
        """
        start = max(n for n in self.own if n <= level)
        if start == level:
            return self._read_own(indexes, level, rows, cols)
        pixels = (rows.stop - rows.start) * (cols.stop - cols.start) << 2 * (level - start)
        level_kept = self._kept_level(indexes, start)
        if pixels <= READ_AT_ONCE or level < level_kept:
            return self._average(indexes, start, level, rows, cols)
        copy = self._copy(indexes, start, level_kept)
        step = 1 << (level - level_kept)
        fine_rows, fine_cols = (slice(p.start * step, p.stop * step) for p in (rows, cols))
        inside = Patch(*(plane[:, fine_rows, fine_cols] for plane in copy))
        return self._halved(inside, indexes, start, level - level_kept)

    def _halved(self, patch: Patch, indexes: tuple[int, ...], start: int, times: int) -> Patch:
        """Halve pixels of a level, or ones that were made from them."""
        nodata = self.missing.nodata_of(indexes, start)
        is_by_number = any(value is not None for value in nodata) and not self.missing.ranges
        is_by_number |= self.native.dtype.kind == "f"
        values, valid = halved(Known(*patch), times, nodata, needs_half=not is_by_number)
        assert valid is not None  # noqa: S101  (halving keeps the masks that it is given)
        return Patch(values, valid)

    def _read_own(self, indexes: tuple[int, ...], level: int, rows: slice, cols: slice) -> Patch:
        bands, missing = self.own[level], self.missing
        values = bands.read(indexes, rows, cols)
        valid = np.ones((1, *values.shape[1:]), bool)
        if missing.is_by_band(values.dtype):
            valid = are_finite(values)
            numbers, ranges = missing.numbers_of(indexes, level), missing.ranges_of(indexes, level)
            for plane, known, of_band, valid_range in zip(
                values, valid, numbers, ranges, strict=True
            ):
                for number in of_band:
                    known &= ~equals_nodata(plane, number)
                if valid_range is not None:
                    known &= valid_range.holds(plane)
        if missing.alpha:
            alpha = bands.read((missing.alpha,), rows, cols)
            valid = valid & are_opaque(alpha, self._opaque_alpha())
        if missing.planes is not None:
            plane = missing.planes[level]
            mask_indexes = indexes if plane.count > 1 else (1,)
            valid = valid & (plane.read(mask_indexes, rows, cols) != 0)
        return Patch(values, valid)

    def _opaque_alpha(self) -> float:
        """The number that means opaque in the alpha band, found once in a bounded sample of it."""
        if self._opaque is None:
            native, largest = self.native, 0.0
            for window in sample_windows(native.width, native.height, native.block_shape):
                rows, cols = window.toslices()
                alpha = native.read((self.missing.alpha,), rows, cols)
                alpha = alpha[np.isfinite(alpha)]
                largest = max(largest, float(alpha.max()) if alpha.size else 0.0)
            self._opaque = opaque_number(native.dtype, largest)
        return self._opaque

    def _average(
        self, indexes: tuple[int, ...], start: int, level: int, rows: slice, cols: slice
    ) -> Patch:
        """Halve the pixels of a finer level that has its own, piece by piece."""
        image, times = self.own[start], level - start
        pixel_bytes = len(indexes) * max(2, image.dtype.itemsize)
        side = max(1, _power_of_two_below((PIECE_BYTES / pixel_bytes) ** 0.5) >> times)
        shape = rows.stop - rows.start, cols.stop - cols.start
        values = np.empty((len(indexes), *shape), image.dtype)
        planes = len(indexes) if self.missing.is_by_band(image.dtype) else 1
        valid = np.empty((planes, *shape), bool)
        # pieces lie on a grid of the level, so that they meet chunks whose sides are powers of two
        for piece_rows in _pieces(rows, side):
            for piece_cols in _pieces(cols, side):
                finer_rows = _refined(piece_rows, times, image.height)
                finer_cols = _refined(piece_cols, times, image.width)
                finer = self._read_own(indexes, start, finer_rows, finer_cols)
                patch = self._halved(finer, indexes, start, times)
                place = (..., _shifted(piece_rows, rows.start), _shifted(piece_cols, cols.start))
                values[place], valid[place] = patch
        return Patch(values, valid)

    def _kept_level(self, indexes: tuple[int, ...], start: int) -> int:
        level, pixel_bytes = start + 1, len(indexes) * (self.native.dtype.itemsize + 1)
        while np.prod(self.size(level)) * pixel_bytes > KEPT_BYTES:
            level += 1
        return level

    def _copy(self, indexes: tuple[int, ...], start: int, level: int) -> Patch:
        # one thread passes over the pixels, the others wait for what it keeps
        with self._lock:
            patch = self._patches.get((indexes, level))
            if patch is not None:
                return patch
            width, height = self.size(level)
            whole = slice(0, height), slice(0, width)
            return self._patches.put((indexes, level), self._average(indexes, start, level, *whole))


def _bytes_of(patch: Patch) -> int:
    return patch.values.nbytes + patch.valid.nbytes


def _pieces(part: slice, side: int) -> list[slice]:
    edges = [part.start, *range(side * (part.start // side + 1), part.stop, side), part.stop]
    return [slice(a, b) for a, b in pairwise(edges)]


def _refined(part: slice, times: int, extent: int) -> slice:
    return slice(part.start << times, min(part.stop << times, extent))


def _shifted(part: slice, origin: int) -> slice:
    return slice(part.start - origin, part.stop - origin)


def _power_of_two_below(value: float) -> int:
    return 1 << max(0, int(value).bit_length() - 1)
