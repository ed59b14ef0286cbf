"""The land of a window at any level, as pixels: the sheets of its covers.

From the second level on, a pixel is the mean of 2 x 2 samples of a finer level.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.earth.covers import atlas, halved_atlas, mean_of_four
from geofovea.datasets.synthetic.earth.land import EarthWorld
from geofovea.datasets.synthetic.earth.noise import Field
from geofovea.datasets.synthetic.earth.samples import Samples, whole_steps
from geofovea.datasets.synthetic.earth.terrain import FIRST_TOWN, grid_coordinates, labels_of

__all__ = ["draw_land"]

_SAMPLES_AT_ONCE = 2**18
"""Memory that drawing needs beside its result is that of so many samples, or of 16 rows."""

_MOST_MIXED = 0.4
"""Share of pixels of several covers up to which these are drawn apart from the others."""


def draw_land(
    world: EarthWorld, level: int, x0_level: int, y0_level: int, width: int, height: int
) -> NDArray[np.uint8]:
    """The land without sites, uint8 (height, width, 4): red, green, blue, near infrared."""
    step = world.scale << level
    pixels = np.empty((height, width, 4), np.uint8)
    strip = max(_SAMPLES_AT_ONCE // (4 * width if level else width), 16)
    for top in range(0, height, strip):
        rows = min(strip, height - top)
        part = pixels[top : top + rows]
        if level == 0:
            part[:] = _drawn(world, Samples(x0_level, y0_level + top, width, rows, step))
        else:
            fine = Samples(2 * x0_level, 2 * (y0_level + top), 2 * width, 2 * rows, step // 2)
            part[:] = _drawn_halved(world, fine)
    return pixels


def _drawn(world: EarthWorld, samples: Samples) -> NDArray[np.uint8]:
    """Pixels of covers; the blocks of towns follow the grid, all else lies as the picture does."""
    labels, grid = labels_of(world, samples)
    if grid is None and (labels >= FIRST_TOWN).any():
        grid = grid_coordinates(world, samples)
    return _pictured(samples, labels, grid)


def _pictured(
    samples: Samples, labels: NDArray[np.uint8], grid: tuple[Field, Field] | None
) -> NDArray[np.uint8]:
    """Pixels of the covers of samples; the grid is needed where there is a town."""
    sheets = atlas(samples.step.bit_length() - 1)
    side = sheets.shape[1]
    at_x = np.arange(samples.col, samples.col + samples.width) % side
    at_y = np.arange(samples.row, samples.row + samples.height) % side
    place = (at_y * side).astype(np.int32)[:, None] + at_x.astype(np.int32)
    if grid is not None:
        urban = labels >= FIRST_TOWN
        np.copyto(place, _in_block(*grid, samples.step, side), where=urban)
    index = labels.astype(np.int32)
    index *= side * side
    index += place
    packed = sheets.ravel().take(index)
    return packed.view(np.uint8).reshape(*labels.shape, 4)


def _in_block(u: Field, v: Field, step: int, side: int) -> NDArray[np.int32]:
    """Place in the sheet of a block of a town, at coordinates of the grid."""
    place = whole_steps(v, step) & (side - 1)
    place *= side
    place += whole_steps(u, step) & (side - 1)
    return place


def _drawn_halved(world: EarthWorld, fine: Samples) -> NDArray[np.uint8]:
    """Means of 2 x 2 of what `_drawn` gives, to the bit.

    Where one cover fills all four samples, their mean stands in a sheet of means. The others are
    drawn one by one, unless they are so many that it is faster to draw all.
    """
    labels, grid = labels_of(world, fine)
    first = labels[0::2, 0::2]
    mixed = first != labels[0::2, 1::2]
    mixed |= first != labels[1::2, 0::2]
    mixed |= first != labels[1::2, 1::2]
    urban = first >= FIRST_TOWN
    mixed |= urban
    if grid is None and urban.any():
        grid = grid_coordinates(world, fine)
    where = np.flatnonzero(mixed)
    if len(where) > _MOST_MIXED * mixed.size:
        return mean_of_four(_pictured(fine, labels, grid))
    sheets = halved_atlas(fine.step.bit_length() - 1)
    side = sheets.shape[1]
    at_x = (fine.col // 2 + np.arange(mixed.shape[1], dtype=np.int32)) % side
    at_y = (fine.row // 2 + np.arange(mixed.shape[0], dtype=np.int32)) % side
    index = first.astype(np.int32)
    index *= side * side
    index += at_x
    index += at_y[:, None] * side
    packed = sheets.ravel().take(index)
    if len(where):
        packed.ravel()[where] = _mixed(fine, labels, grid, where)
    return packed.view(np.uint8).reshape(*mixed.shape, 4)


def _mixed(
    fine: Samples,
    labels: NDArray[np.uint8],
    grid: tuple[Field, Field] | None,
    where: NDArray[np.intp],
) -> NDArray[np.uint32]:
    """Means of 2 x 2 samples at some places alone, given by their number in the halved window."""
    sheets = atlas(fine.step.bit_length() - 1)
    side = sheets.shape[1]
    row, col = np.divmod(where, fine.width // 2)
    row, col = 2 * row + np.array([[0], [0], [1], [1]]), 2 * col + np.array([[0], [1], [0], [1]])
    at = row * fine.width + col
    covers = labels.ravel().take(at)
    place = (fine.row + row) % side * side + (fine.col + col) % side
    if grid is not None:
        u, v = (axis.ravel().take(at) for axis in grid)
        np.copyto(place, _in_block(u, v, fine.step, side), where=covers >= FIRST_TOWN)
    place += covers.astype(np.int64) * (side * side)
    bands = sheets.ravel().take(place).view(np.uint8).reshape(2, 2, -1, 4)
    mean = bands.sum((0, 1), np.uint16)
    mean += 2
    mean >>= 2
    packed: NDArray[np.uint32] = mean.astype(np.uint8).view(np.uint32)[:, 0]
    return packed
