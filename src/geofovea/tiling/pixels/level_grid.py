"""Pixels of a level, averaged from a finer image, the same through any window.

The grid of a level belongs to the scene. Column ``j`` of level ``l`` covers the native pixels from
``j * 2**l`` to ``(j + 1) * 2**l``, clipped to the scene, and rows do the same; in an image of
another size these edges lie at the same shares of its sides. So no pixel depends on a tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geofovea.errors import GeometryError
from geofovea.tiling.marks import Number
from geofovea.tiling.pixels.halving import Known, Pixels, halved, kept_apart, stored_means

__all__ = ["GridAxis", "read_on_grid"]

PIECE_PIXELS = 4 * 2**20
"""Most source pixels of a band that are held at once, unless one pixel of the level has more."""

Edges = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GridAxis:
    """Some columns or rows of a level, in pixels of the image that they are made from.

    Attributes:
        first: Index of the first in the level.
        count: How many.
        step: Image pixels per level pixel, as a fraction ``(numerator, denominator)``.
        extent: Size of the image along the axis.

    Raises:
        GeometryError: If there are none, or they lie outside the image.
    """

    first: int
    count: int
    step: tuple[int, int]
    extent: int

    def __post_init__(self) -> None:
        is_inside = (self.first + self.count - 1) * self.step[0] < self.extent * self.step[1]
        if min(self.first, self.count - 1, *self.step) < 0 or not is_inside:
            raise GeometryError(f"a part of a level lies outside its image: {self}")

    @property
    def halvings(self) -> int | None:
        """How often the image is halved on the way to the level; None for other steps."""
        numerator, denominator = self.step
        whole, rest = divmod(numerator, denominator)
        return None if rest or whole & (whole - 1) else whole.bit_length() - 1

    @property
    def start(self) -> int:
        """The first pixel of the image that is touched."""
        return self.first * self.step[0] // self.step[1]

    @property
    def stop(self) -> int:
        """The pixel of the image behind the last that is touched."""
        return min(self.extent, -(-(self.first + self.count) * self.step[0] // self.step[1]))

    def edges(self) -> Edges:
        """Where the level pixels begin, and the last one ends, in pixels of the image."""
        numerator, denominator = self.step
        places = np.arange(self.first, self.first + self.count + 1) * numerator / denominator
        return np.minimum(places, self.extent)

    def parts(self, most: int) -> Iterator[GridAxis]:
        """The axis in parts of at most so many level pixels."""
        for offset in range(0, self.count, most):
            count = min(most, self.count - offset)
            yield GridAxis(self.first + offset, count, self.step, self.extent)


def read_on_grid(
    rows: GridAxis,
    cols: GridAxis,
    read: Callable[[Window], Known],
    nodata: tuple[Number | None, ...] = (),
    *,
    needs_half: bool,
) -> Known:
    """Average the pixels of an image over pixels of a level, in bounded memory.

    Args:
        rows: Of the level.
        cols: Of the level.
        read: Gives the stored pixels of a window of whole pixels of the image.
        nodata: What missing pixels hold in each band; see ``halve``.
        needs_half: See ``halve``.

    Returns:
        ``(bands, rows.count, cols.count)``.
    """
    step_x, step_y = (max(1, math.ceil(axis.step[0] / axis.step[1])) for axis in (cols, rows))
    most_cols = max(1, PIECE_PIXELS // (step_x * step_y))
    most_rows = max(1, most_cols // cols.count)
    lines = [
        _joined(
            [
                _averaged(part_rows, part_cols, read, nodata, needs_half)
                for part_cols in cols.parts(most_cols)
            ],
            axis=2,
        )
        for part_rows in rows.parts(most_rows)
    ]
    return _joined(lines, axis=1)


def _averaged(
    rows: GridAxis,
    cols: GridAxis,
    read: Callable[[Window], Known],
    nodata: tuple[Number | None, ...],
    needs_half: bool,
) -> Known:
    patch = read(Window.from_slices((rows.start, rows.stop), (cols.start, cols.stop)))
    times = rows.halvings
    if times is not None and times == cols.halvings:
        return halved(patch, times, nodata, needs_half=needs_half)
    return _by_area(patch, rows, cols, nodata, needs_half)


def _by_area(
    patch: Known,
    rows: GridAxis,
    cols: GridAxis,
    nodata: tuple[Number | None, ...],
    needs_half: bool,
) -> Known:
    """Means weighted by the area that a level pixel shares with each pixel below it."""
    dtype, valid = patch.values.dtype, patch.valid
    known = np.ones((1, *patch.values.shape[1:]), bool) if valid is None else valid
    filled = np.where(known, patch.values, dtype.type(0)).astype(np.float64)
    sums, areas = (
        _along(_along(plane, 1, rows), 2, cols) for plane in (filled, known.astype(np.float64))
    )
    is_known = areas > 0
    if needs_half:
        whole = np.diff(rows.edges())[:, None] * np.diff(cols.edges())
        # sums of shares are rounded: half of a pixel is known in spite of its last bit
        is_known = areas >= whole * (0.5 - 1e-9)
    means = stored_means(sums, np.where(areas > 0, areas, 1.0), dtype)
    if valid is None:
        return Known(kept_apart(means, None, nodata), None)
    return Known(kept_apart(means, is_known, nodata), is_known)


def _along(plane: Pixels, axis: int, grid: GridAxis) -> Pixels:
    """Sums along rows or columns, each pixel weighted by its share; always in the same order."""
    edges = grid.edges()
    first = np.floor(edges[:-1]).astype(np.intp)
    total: Pixels | None = None
    for tap in range(int((np.ceil(edges[1:]).astype(np.intp) - first).max())):
        place = first + tap
        weights = np.minimum(edges[1:], place + 1) - np.maximum(edges[:-1], place)
        weights = np.maximum(weights, 0.0)
        index = np.minimum(place - grid.start, plane.shape[axis] - 1)
        term = plane.take(index, axis) * weights.reshape((-1, 1) if axis == 1 else -1)
        total = term if total is None else total + term
    assert total is not None  # noqa: S101  (an axis has at least one pixel, which has an area)
    return total


def _joined(parts: list[Known], axis: int) -> Known:
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([part.values for part in parts], axis=axis)
    if all(part.valid is None for part in parts):
        return Known(values, None)
    masks = [
        np.ones((1, *part.values.shape[1:]), bool) if part.valid is None else part.valid
        for part in parts
    ]
    planes = max(map(len, masks))
    planes_of_masks = [np.broadcast_to(mask, (planes, *mask.shape[1:])) for mask in masks]
    return Known(values, np.concatenate(planes_of_masks, axis=axis))
