"""The land of a window at any level: which cover lies at each sample.

Covers follow from smooth fields (sea, town, moisture), from the grid of roads and parcels and from
the rivers. Fields are computed on nodes of a lattice that is the same for all windows, then
interpolated. So the cost follows the size of the window, and equal places get equal covers.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.earth.covers import number_of
from geofovea.datasets.synthetic.earth.land import WATER, EarthWorld, spread
from geofovea.datasets.synthetic.earth.noise import Field, fractal, hashed
from geofovea.datasets.synthetic.earth.parcels import (
    BORDERS,
    CELL,
    CODES,
    ENTRIES,
    HEDGE,
    LAYOUTS,
    TRACK,
    VERGE,
    grid_at,
    layouts,
)
from geofovea.datasets.synthetic.earth.rivers import river_distance
from geofovea.datasets.synthetic.earth.samples import Samples, whole_steps
from geofovea.datasets.synthetic.textures import SIDE, means_of, periodic_noise

__all__ = ["FIRST_TOWN", "grid_coordinates", "labels_at", "labels_of"]

_DISTRICT_BITS, _CODE_BITS = (number.bit_length() - 1 for number in (ENTRIES, CODES))

_COARSEST_WITH_ROADS = 24
"""Beyond this distance of samples a road would be drawn as dots."""

_SEA_NOISE, _SEA_WAVE, _SEA_BIAS = 0.45, 1700, 0.35
_SHALLOW, _SEA, _BEACH = -0.07, -0.3, 0.035
_TOWN_FRINGE, _TOWN_CORE = 0.035, 0.55
_WOODS, _MEADOW, _DRY, _BARE = 0.34, 0.24, -0.62, -0.87
_NATURE = (
    ("meadow", _MEADOW, True),
    ("woods", _WOODS, True),
    ("scrub", _DRY, False),
    ("bare", _BARE, False),
)
"""Covers with the moisture above or below which they lie, later over earlier."""

_ROUGH_REACH = 0.2
"""How far roughness moves the edge of a wood, in moisture."""

_BANK = 14
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
_ALL_CODES = np.arange(CODES)[None]
_FIELD_NUMBERS = np.array([number_of(name) for name in _FIELDS], np.uint8)
_BLOCK_NUMBERS = np.array(
    [[number_of(name) for name in names] for names in (_OUTSKIRTS, _CORES)], np.uint8
)
FIRST_TOWN = min(number_of(name) for name in (*_CORES, *_OUTSKIRTS))
"""From this number on covers are blocks of towns, which follow the grid."""


def labels_of(
    world: EarthWorld, samples: Samples
) -> tuple[NDArray[np.uint8], tuple[Field, Field] | None]:
    """Covers of samples; of native ones they are decided for 2 x 2 at once, a meter wide.

    And coordinates of the grid at the samples, where they were needed on the way.
    """
    if samples.step > 1:
        grid = grid_coordinates(world, samples)
        return labels_at(world, samples, grid), grid
    col, row = samples.col // 2, samples.row // 2
    cols = (samples.col + samples.width + 1) // 2 - col
    rows = (samples.row + samples.height + 1) // 2 - row
    half = Samples(col, row, cols, rows, 2)
    labels = labels_at(world, half, grid_coordinates(world, half)).repeat(2, 1).repeat(2, 0)
    left, top = samples.col % 2, samples.row % 2
    return labels[top : top + samples.height, left : left + samples.width], None


def grid_coordinates(world: EarthWorld, samples: Samples) -> tuple[Field, Field]:
    """Coordinates of the grid at every sample."""
    u, v = grid_at(world.land, *samples.nodes)
    return samples.drawn_out(u), samples.drawn_out(v)


def labels_at(world: EarthWorld, samples: Samples, grid: tuple[Field, Field]) -> NDArray[np.uint8]:
    """Number of the cover at every sample, uint8 (height, width).

    Args:
        world: Whose land it is.
        samples: Where.
        grid: Coordinates of the grid there, see `grid_coordinates`.
    """
    rough = _roughness(samples)
    labels, codes = _parcels(world, *grid)
    open_land = codes >= HEDGE if samples.step < _COARSEST_WITH_ROADS else codes >= 0
    _lay_nature(world, samples, labels, open_land, rough)
    _lay_towns(world, samples, labels, open_land, grid)
    if samples.step < _COARSEST_WITH_ROADS:
        _lay_drives(world, labels, grid)
    _lay_rivers(world, samples, labels, rough)
    _lay_sea(world, samples, labels, rough)
    return labels


@cache
def _rough_sheets() -> list[Field]:
    """Noise that makes edges of nature ragged, averaged for every level."""
    return means_of(1.6 * periodic_noise(np.random.default_rng(5), 8, 64))


def _roughness(samples: Samples) -> Field:
    """About in [-1, 1], float32 (height, width)."""
    sheet = _rough_sheets()[min(samples.step.bit_length() - 1, 9)]
    at_x = np.arange(samples.col, samples.col + samples.width) % len(sheet)
    at_y = np.arange(samples.row, samples.row + samples.height) % len(sheet)
    return sheet[at_y].take(at_x, 1)


def _parcels(world: EarthWorld, u: Field, v: Field) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cover of roads and fields at grid coordinates, and the codes of the layouts there."""
    seed = world.land.seed + 61
    column, row = whole_steps(u, CELL), whole_steps(v, CELL)
    district, row_of_district = column >> _DISTRICT_BITS, row >> _DISTRICT_BITS
    first_x, first_y = int(district.min()), int(row_of_district.min())
    columns = np.arange(first_x, int(district.max()) + 1, dtype=np.int64)
    rows = np.arange(first_y, int(row_of_district.max()) + 1, dtype=np.int64)
    numbers = hashed(columns[None], rows[:, None], seed)
    row_of_district -= first_y
    row_of_district *= len(columns)
    district -= first_x
    district += row_of_district
    row &= ENTRIES - 1
    row <<= _DISTRICT_BITS
    column &= ENTRIES - 1
    row |= column
    if numbers.size == 1:
        row += int(numbers[0, 0] % LAYOUTS) * ENTRIES**2
    else:
        row += ((numbers % LAYOUTS).astype(np.int32).ravel() * ENTRIES**2).take(district)
    codes = layouts().ravel().take(row)
    district <<= _CODE_BITS
    district |= codes
    return _cover_table(numbers, columns, rows, seed).take(district), codes


def _cover_table(
    numbers: NDArray[np.uint32],
    columns: NDArray[np.int64],
    rows: NDArray[np.int64],
    seed: int,
) -> NDArray[np.uint8]:
    """Covers by district and code, flat."""
    drawn = hashed(_ALL_CODES, numbers.ravel()[:, None], seed) % len(_FIELDS)
    table = _FIELD_NUMBERS.take(drawn)
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


def _lay_nature(
    world: EarthWorld,
    samples: Samples,
    labels: NDArray[np.uint8],
    open_land: NDArray[np.bool_],
    rough: Field,
) -> None:
    """Woods and meadows where it is moist, scrub and bare soil where it is dry."""
    land = world.land
    at_nodes = fractal(*samples.nodes, land.seed + 7, _MOISTURE_WAVE, 5, samples.finest)
    at_nodes += np.float32(land.wetness * 0.5)
    low, high = at_nodes.min() - _ROUGH_REACH, at_nodes.max() + _ROUGH_REACH
    if low > _DRY and high < _MEADOW:
        return
    moisture = samples.drawn_out(at_nodes)
    moisture += np.float32(_ROUGH_REACH / 2) * rough
    for name, limit, is_above in _NATURE:
        if high < limit if is_above else low > limit:
            continue
        there = moisture > limit if is_above else moisture < limit
        there &= open_land
        np.copyto(labels, np.uint8(number_of(name)), where=there)


def _lay_towns(
    world: EarthWorld,
    samples: Samples,
    labels: NDArray[np.uint8],
    open_land: NDArray[np.bool_],
    grid: tuple[Field, Field],
) -> None:
    """Where there is a town: street blocks, gardens at its edge, and the main roads."""
    at_nodes = world.town(*samples.nodes)
    if at_nodes is None or at_nodes.max() <= 0:
        return
    town = samples.drawn_out(at_nodes)
    column, row = (whole_steps(axis, SIDE) for axis in grid)
    first_x, first_y = int(column.min()), int(row.min())
    columns = np.arange(first_x, int(column.max()) + 1)
    rows = np.arange(first_y, int(row.max()) + 1)
    drawn = hashed(columns[None], rows[:, None], world.land.seed + 71) % 8
    table = _BLOCK_NUMBERS[:, drawn].ravel()
    row -= first_y
    row *= len(columns)
    row += column
    row -= first_x
    row += (town > _TOWN_CORE).astype(np.int32) * np.int32(drawn.size)
    urban = town > 0
    fringe = town < _TOWN_FRINGE
    blocks = table.take(row)
    # gardens and trees at the edge, where blocks would be cut through; main roads go on
    np.copyto(blocks, np.uint8(number_of("fringe")), where=fringe)
    np.copyto(blocks, np.uint8(number_of("road")), where=~open_land)
    np.copyto(labels, blocks, where=urban)


def _lay_drives(world: EarthWorld, labels: NDArray[np.uint8], grid: tuple[Field, Field]) -> None:
    """The roads from sites to the roads of the grid, in the part of the window where they run."""
    bounds = [(axis.min(), axis.max()) for axis in grid]
    for drive in world.land.drives:
        along, across = grid[drive.vertical], grid[not drive.vertical]
        first, last = bounds[not drive.vertical]
        if not (first - CELL < drive.across < last + CELL):
            continue
        first, last = bounds[drive.vertical]
        if last < drive.start or first > drive.end:
            continue
        there = np.abs(across - np.float32(drive.across)) < np.float32(0.75 * CELL)
        there &= (along > drive.start) & (along < drive.end)
        labels[there] = number_of("road")


def _lay_rivers(
    world: EarthWorld, samples: Samples, labels: NDArray[np.uint8], rough: Field
) -> None:
    for river in world.land.rivers:
        distance = river_distance(world, river, samples.x, samples.y)
        if distance is None:
            continue
        rows = slice(*distance.span)
        part = distance.values + 2 * rough[rows]
        view = labels[rows]
        view[(part < _BANK) & (view != number_of("road"))] = number_of("bank")
        view[part < 0] = number_of("river")


def _lay_sea(world: EarthWorld, samples: Samples, labels: NDArray[np.uint8], rough: Field) -> None:
    if not any(name == WATER for row in world.terrain for name in row):
        return
    x, y = samples.nodes
    cells = [[-1.0 if name == WATER else 1.0 for name in row] for row in world.terrain]
    at_nodes = spread(world, cells, x, y)
    if at_nodes.min() == 1:
        # far from all water, where noise alone makes none
        return
    at_nodes += np.float32(_SEA_BIAS)
    noise = fractal(x, y, world.land.seed + 17, _SEA_WAVE, 5, samples.finest)
    at_nodes += np.float32(_SEA_NOISE) * noise
    if at_nodes.min() > 2 * _BEACH:
        return
    above = samples.drawn_out(at_nodes)
    above += np.float32(0.008) * rough
    lowest = above.min()
    for below, name in ((_BEACH, "beach"), (0.0, "shallow"), (_SHALLOW, "sea"), (_SEA, "deep sea")):
        if lowest >= below:
            break
        np.copyto(labels, np.uint8(number_of(name)), where=above < below)
