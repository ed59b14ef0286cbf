"""The land of a window at any level: which cover lies at each sample, and how it looks.

Covers follow from smooth fields (sea, town, moisture), from the grid of roads and parcels and from
the rivers. Fields are computed on nodes of a lattice that is the same for all windows and drawn
out between them; so a window costs what it holds, and equal places get equal pixels.

From the second level on a pixel is the mean of 2 x 2 samples of a finer level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.earth.covers import atlas, number_of
from geofovea.datasets.synthetic.earth.land import WATER, EarthWorld, spread
from geofovea.datasets.synthetic.earth.noise import Axis, Field, fractal, hashed, smooth_noise
from geofovea.datasets.synthetic.earth.parcels import (
    BORDERS,
    CELL,
    CODES,
    ENTRIES,
    HEDGE,
    LAYOUTS,
    TRACK,
    VERGE,
    district_numbers,
    grid_at,
    layouts,
)
from geofovea.datasets.synthetic.earth.rivers import river_distance
from geofovea.datasets.synthetic.textures import SIDE

__all__ = ["draw_land", "labels_at"]

_NODE = 32
"""Ground units between nodes of the fields."""

_STRIP = 256
"""Rows drawn at once, so that what is computed stays in the processor's cache."""

_COARSEST_WITH_ROADS = 24
"""Beyond this distance of samples a road would be drawn as dots."""

_SEA_NOISE, _SEA_WAVE, _SEA_BIAS = 0.45, 1700, 0.35
_SHALLOW, _SEA, _BEACH = -0.07, -0.3, 0.035
_TOWN_CORE = 0.55
_WOODS, _MEADOW, _DRY = 0.34, 0.24, -0.62
_MOISTURE_WAVE = 2600

_CROPS = ("wheat", "wheat", "stubble", "barley", "beet", "maize", "soil", "soil", "rape", "clover")
_FIELDS = (
    *(f"{crop} {way}" for crop in _CROPS for way in "xy"),
    *("pasture", "pasture", "meadow", "meadow", "orchard"),
)
_CORES = ("center a", "center b", "center a", "center b", "estate", "center b", "park", "center a")
_OUTSKIRTS = (
    "suburb a", "suburb b", "suburb c", "suburb a", "suburb b", "estate", "industry", "park",
)  # fmt: skip
_FIRST_TOWN = min(number_of(name) for name in (*_CORES, *_OUTSKIRTS))


@dataclass(frozen=True, slots=True)
class Samples:
    """A lattice of samples: whole numbers of its first one, and ground units between two.

    Attributes:
        col: Column of the first.
        row: Row of the first.
        width: Columns.
        height: Rows.
        step: Ground units from one to the next.
    """

    col: int
    row: int
    width: int
    height: int
    step: int

    @property
    def x(self) -> Axis:
        """Middles of the columns."""
        return (np.arange(self.col, self.col + self.width) + 0.5) * self.step

    @property
    def y(self) -> Axis:
        """Middles of the rows."""
        return (np.arange(self.row, self.row + self.height) + 0.5) * self.step

    def field(self, function: Callable[[Axis, Axis], Field]) -> Field:
        """A function of the place at every sample, by way of nodes where that is enough."""
        if self.step >= _NODE:
            return function(self.x, self.y)
        return self.drawn_out(function(*self.nodes))

    @property
    def nodes(self) -> tuple[Axis, Axis]:
        """Coordinates of the nodes around these samples."""
        x0, x1 = self.x[[0, -1]] // _NODE
        y0, y1 = self.y[[0, -1]] // _NODE
        return np.arange(x0, x1 + 2) * _NODE, np.arange(y0, y1 + 2) * _NODE

    def drawn_out(self, values: Field) -> Field:
        """Values of the nodes, linear between them."""
        col, along_x = _between(self.x)
        row, along_y = _between(self.y)
        upper = values[row]
        lines = values[row + 1] - upper
        lines *= along_y[:, None]
        lines += upper
        left = lines[:, col]
        field: Field = lines[:, col + 1] - left
        field *= along_x
        field += left
        return field


def _between(axis: Axis) -> tuple[NDArray[np.int64], Field]:
    scaled = axis / _NODE
    cell = np.floor(scaled)
    return (cell - cell[0]).astype(np.int64), (scaled - cell).astype(np.float32)


def draw_land(
    world: EarthWorld, level: int, x0_level: int, y0_level: int, width: int, height: int
) -> NDArray[np.uint8]:
    """The land without sites, uint8 (height, width, 4): red, green, blue, near infrared."""
    step = world.scale << level
    pixels = np.empty((height, width, 4), np.uint8)
    for top in range(0, height, _STRIP):
        rows = min(_STRIP, height - top)
        part = pixels[top : top + rows]
        if step == 1:
            # a meter decides on the cover, half of one shows it
            shown = Samples(x0_level, y0_level + top, width, rows, 1)
            part[:] = _drawn(world, shown, _doubled(world, shown))
        else:
            fine = Samples(2 * x0_level, 2 * (y0_level + top), 2 * width, 2 * rows, step // 2)
            part[:] = _halved(_drawn(world, fine, labels_at(world, fine)))
    return pixels


def _halved(fine: NDArray[np.uint8]) -> NDArray[np.uint16]:
    rows = fine[0::2].astype(np.uint16) + fine[1::2]
    mean: NDArray[np.uint16] = (rows[:, 0::2] + rows[:, 1::2] + 2) >> 2
    return mean


def _doubled(world: EarthWorld, shown: Samples) -> NDArray[np.uint8]:
    """Covers of native samples, decided for 2 x 2 of them at once."""
    col, row = shown.col // 2, shown.row // 2
    cols = (shown.col + shown.width + 1) // 2 - col
    rows = (shown.row + shown.height + 1) // 2 - row
    labels = labels_at(world, Samples(col, row, cols, rows, 2))
    labels = labels.repeat(2, 0).repeat(2, 1)
    left, top = shown.col % 2, shown.row % 2
    return labels[top : top + shown.height, left : left + shown.width]


def _drawn(world: EarthWorld, samples: Samples, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels of covers; the blocks of towns follow the grid, all else lies as the picture does."""
    sheets = atlas(samples.step.bit_length() - 1)
    side = sheets.shape[1]
    at_x = np.arange(samples.col, samples.col + samples.width, dtype=np.int64) % side
    at_y = np.arange(samples.row, samples.row + samples.height, dtype=np.int64) % side
    index = labels.astype(np.int32)
    index *= side * side
    index += (at_y * side).astype(np.int32)[:, None]
    index += at_x.astype(np.int32)
    urban = labels >= _FIRST_TOWN
    if urban.any():
        grid = _grid(world, samples)
        u, v = (np.floor(axis[urban] / samples.step).astype(np.int32) % side for axis in grid)
        index[urban] = labels[urban].astype(np.int32) * (side * side) + v * side + u
    packed = sheets.ravel().take(index)
    return packed.view(np.uint8).reshape(*labels.shape, 4)


def _grid(world: EarthWorld, samples: Samples) -> tuple[Field, Field]:
    """Coordinates of the grid at every sample."""
    if samples.step >= _NODE:
        u, v = grid_at(world.land, samples.x, samples.y)
        return u, v
    u, v = grid_at(world.land, *samples.nodes)
    return samples.drawn_out(u), samples.drawn_out(v)


def labels_at(world: EarthWorld, samples: Samples) -> NDArray[np.uint8]:
    """Number of the cover at every sample, uint8 (height, width)."""
    land, step = world.land, samples.step
    rough = _roughness(world, samples)
    u, v = _grid(world, samples)
    labels, codes = _parcels(world, u, v)
    open_land = (codes >= HEDGE) if step < _COARSEST_WITH_ROADS else np.ones_like(codes, bool)
    moisture = samples.field(
        lambda x, y: (
            fractal(x, y, land.seed + 7, _MOISTURE_WAVE, 5, step / 2)
            + np.float32(land.wetness * 0.5)
        )
    )
    moisture += np.float32(0.1) * rough
    labels[open_land & (moisture > _MEADOW)] = number_of("meadow")
    labels[open_land & (moisture > _WOODS)] = number_of("woods")
    dry = open_land & (moisture < _DRY)
    labels[dry] = number_of("scrub")
    labels[dry & (moisture < _DRY - 0.25)] = number_of("bare")
    _lay_towns(world, samples, labels, open_land, (u, v))
    _lay_rivers(world, samples, labels, rough)
    _lay_sea(world, samples, labels, rough)
    return labels


def _roughness(world: EarthWorld, samples: Samples) -> Field:
    """What makes edges of nature ragged, about in [-1, 1]; nothing where it could not be seen."""
    if samples.step > 16:
        return np.zeros((1, 1), np.float32)
    x, y, seed = samples.x, samples.y, world.land.seed
    return smooth_noise(x, y, seed + 3, 44) + np.float32(0.6) * smooth_noise(x, y, seed + 4, 14)


def _parcels(world: EarthWorld, u: Field, v: Field) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cover of roads and fields at grid coordinates, and the codes of the layouts there."""
    seed = world.land.seed + 61
    column, row = np.floor(u / CELL).astype(np.int32), np.floor(v / CELL).astype(np.int32)
    district_x, district_y = column // ENTRIES, row // ENTRIES
    first_x, first_y = int(district_x.min()), int(district_y.min())
    columns = np.arange(first_x, int(district_x.max()) + 1, dtype=np.int64)
    rows = np.arange(first_y, int(district_y.max()) + 1, dtype=np.int64)
    numbers = district_numbers(columns, rows, seed)
    district_x -= first_x
    district_y -= first_y
    district = district_y * len(columns) + district_x
    place = (row % ENTRIES) * ENTRIES + column % ENTRIES
    place += (numbers % LAYOUTS).astype(np.int32).ravel()[district] * ENTRIES**2
    codes = layouts().ravel().take(place)
    district *= CODES
    district += codes
    return _cover_table(numbers, columns, rows, seed).take(district), codes


def _cover_table(
    numbers: NDArray[np.uint32],
    columns: NDArray[np.int64],
    rows: NDArray[np.int64],
    seed: int,
) -> NDArray[np.uint8]:
    """Covers by district and code, flat."""
    fields = np.array([number_of(name) for name in _FIELDS], np.uint8)
    codes = np.arange(CODES)
    table = fields[hashed(codes[None], numbers.ravel()[:, None], seed) % len(fields)]
    table[:, VERGE] = number_of("verge")
    table[:, TRACK], table[:, HEDGE] = number_of("track"), number_of("hedge")
    shape = (len(rows), len(columns))
    lines = (columns, columns + 1, rows, rows + 1)
    for code, line in zip(BORDERS, lines, strict=True):
        is_road = hashed(line, np.full_like(line, code // 2), seed + 5) % 3 > 0
        cover = np.where(is_road, number_of("road"), number_of("track")).astype(np.uint8)
        along = cover[None] if code < 2 else cover[:, None]
        table[:, code] = np.broadcast_to(along, shape).ravel()
    return table.ravel()


def _lay_towns(
    world: EarthWorld,
    samples: Samples,
    labels: NDArray[np.uint8],
    open_land: NDArray[np.bool_],
    grid: tuple[Field, Field],
) -> None:
    town = samples.field(world.town)
    urban = town > 0
    if not urban.any():
        return
    u, v = (np.floor(axis[urban] / SIDE).astype(np.int32) for axis in grid)
    numbers = hashed(u, v, world.land.seed + 71) % 8
    names = [[number_of(n) for n in _OUTSKIRTS], [number_of(n) for n in _CORES]]
    table = np.array(names, np.uint8)
    blocks = table[(town[urban] > _TOWN_CORE).astype(np.int8), numbers]
    # a main road goes on through a town
    labels[urban] = np.where(open_land[urban], blocks, number_of("road"))


def _lay_rivers(
    world: EarthWorld, samples: Samples, labels: NDArray[np.uint8], rough: Field
) -> None:
    for river in world.land.rivers:
        distance = river_distance(world, river, samples.x, samples.y)
        if distance is None:
            continue
        inner = slice(*distance.span)
        part = distance.values + 2 * (rough[inner] if river_is_wide(rough) else rough)
        view = labels[inner]
        view[(part < 14) & (view != number_of("road"))] = number_of("bank")
        view[part < 0] = number_of("river")


def river_is_wide(rough: Field) -> bool:
    """Whether roughness was computed."""
    return rough.size > 1


def _lay_sea(world: EarthWorld, samples: Samples, labels: NDArray[np.uint8], rough: Field) -> None:
    if not any(name == WATER for row in world.terrain for name in row):
        return
    seed = world.land.seed
    cells = [[-1.0 if name == WATER else 1.0 for name in row] for row in world.terrain]

    def height(x: Axis, y: Axis) -> Field:
        noise = fractal(x, y, seed + 17, _SEA_WAVE, 5, samples.step / 2)
        return spread(world, cells, x, y) + np.float32(_SEA_NOISE) * noise + np.float32(_SEA_BIAS)

    above = samples.field(height)
    if above.min() > 2 * _BEACH:
        return
    above += np.float32(0.008) * rough
    labels[above < _BEACH] = number_of("beach")
    for below, name in ((0.0, "shallow"), (_SHALLOW, "sea"), (_SEA, "deep sea")):
        labels[above < below] = number_of(name)
