"""The world of version 2 from its seed: where the sea, the towns, the sites and the rivers are."""

from __future__ import annotations

import dataclasses
import random

import numpy as np

from geofovea.datasets.synthetic.earth.land import WATER, Drive, EarthWorld, Land, River, Seam
from geofovea.datasets.synthetic.earth.parcels import DISTRICT, grid_at
from geofovea.datasets.synthetic.plants import with_lawn
from geofovea.datasets.synthetic.vocabulary import TERRAINS, URBAN
from geofovea.datasets.synthetic.world import (
    CELL_SIDE,
    Site,
    World,
    check_size,
    draw_sites,
    make_crowd,
    make_pad,
)

__all__ = ["make_earth", "make_earth_crowd", "make_earth_pad"]

SENSORS_GSD_M = (0.5, 0.5, 1.0)
"""Sensors that see a world, the usual one twice."""

_SEA_SHARE = 0.18
_FEWEST_CELLS_WITH_SEA = 16
_TOWN_GROUPS, _LONE_TOWNS = 0.3, 0.15
_RIVER_HALF_WIDTH = (16, 34)
_SEAM_PITCH = (4500, 11000)
_NO_GAIN = (1.0, 1.0, 1.0, 1.0)


def make_earth(seed: int, width: int, height: int) -> EarthWorld:
    """Make the world of version 2 of a seed: equal arguments give equal worlds.

    Args:
        seed: Any whole number.
        width: Width in pixels, at least ``MIN_SIDE``.
        height: Height in pixels, at least ``MIN_SIDE``.

    Raises:
        DataError: If the scene is too small for a site.
    """
    check_size(width, height)
    rng = random.Random(f"geofovea-earth-{seed}-{width}-{height}")
    cell_side = min(CELL_SIDE, width, height)
    rows, cols = -(-height // cell_side), -(-width // cell_side)
    terrain = _terrain(rng, rows, cols)
    whole = [(r, c) for r in range(height // cell_side) for c in range(width // cell_side)]
    cells = [(r, c) for r, c in whole if terrain[r][c] != WATER]
    sites = tuple(with_lawn(rng, site) for site in draw_sites(rng, cells, cell_side, terrain))
    rivers = _rivers(rng, sites, (rows, cols), cell_side)
    world = EarthWorld(
        seed, width, height, cell_side, terrain, sites,
        gsd_m=rng.choice(SENSORS_GSD_M),
        land=_land(rng, width, height, rivers),
    )  # fmt: skip
    drives = tuple(_drive(world, site) for site in sites)
    return dataclasses.replace(world, land=dataclasses.replace(world.land, drives=drives))


def make_earth_crowd(rng: random.Random, slots: int) -> EarthWorld:
    """`make_crowd`, drawn as in version 2."""
    return _seen_as_earth(rng, make_crowd(rng, slots))


def make_earth_pad(rng: random.Random, side: int) -> EarthWorld:
    """`make_pad`, drawn as in version 2."""
    return _seen_as_earth(rng, make_pad(rng, side))


def _seen_as_earth(rng: random.Random, world: World) -> EarthWorld:
    """A world of one pad, under a haze and with the gains of some mosaic."""
    values = {f.name: getattr(world, f.name) for f in dataclasses.fields(world)}
    return EarthWorld(**values, land=_land(rng, world.width, world.height, ()))


def _land(rng: random.Random, width: int, height: int, rivers: tuple[River, ...]) -> Land:
    seams, x = [], rng.uniform(0, _SEAM_PITCH[1])
    slope = rng.uniform(-0.15, 0.15)
    while x < width + abs(slope) * height:
        seams.append(Seam(x - max(slope, 0) * height, slope, _gains(rng)))
        x += rng.uniform(*_SEAM_PITCH)
    return Land(
        seed=rng.getrandbits(31),
        turn=rng.uniform(-40, 40),
        wetness=rng.uniform(-0.6, 0.5),
        haze=rng.uniform(0, 22),
        gains=_gains(rng),
        rivers=rivers,
        drives=(),
        seams=tuple(seams),
    )


def _drive(world: EarthWorld, site: Site) -> Drive:
    """From the middle of a site along the grid to the road that is nearest."""
    x, y = (np.array([middle * world.scale]) for middle in site.box.center)
    place = [float(axis[0, 0]) for axis in grid_at(world.land, x, y)]
    roads = [round(along / DISTRICT) * float(DISTRICT) for along in place]
    vertical = abs(place[1] - roads[1]) < abs(place[0] - roads[0])
    start, end = sorted((place[vertical], roads[vertical]))
    return Drive(vertical, place[not vertical], start, end)


def _gains(rng: random.Random) -> tuple[float, float, float, float]:
    """One brightness for all bands, and a little color."""
    gain = rng.uniform(0.94, 1.06)
    red, green, blue, near = (gain * rng.uniform(0.98, 1.02) for _ in range(4))
    return red, green, blue, near


def _terrain(rng: random.Random, rows: int, cols: int) -> tuple[tuple[str, ...], ...]:
    """Sea on one side of a large world, towns of one cell or several, the rest country."""
    groups = {(r, c): rng.random() for r in range(-(-rows // 2)) for c in range(-(-cols // 2))}
    names = [
        [
            URBAN
            if groups[r // 2, c // 2] < _TOWN_GROUPS or rng.random() < _LONE_TOWNS
            else rng.choice(TERRAINS[:-1])
            for c in range(cols)
        ]
        for r in range(rows)
    ]
    for r, c in _sea(rng, rows, cols):
        names[r][c] = WATER
    return tuple(tuple(row) for row in names)


def _sea(rng: random.Random, rows: int, cols: int) -> list[tuple[int, int]]:
    """The cells that lie farthest in some direction, its shore ragged."""
    to_right, down = rng.uniform(-1, 1), rng.uniform(-1, 1)
    ranks = {
        (r, c): to_right * (c + 0.5) + down * (r + 0.5) + rng.uniform(-0.5, 0.5)
        for r in range(rows)
        for c in range(cols)
    }
    count = round(_SEA_SHARE * rows * cols) if rows * cols >= _FEWEST_CELLS_WITH_SEA else 0
    return sorted(ranks, key=lambda cell: ranks[cell], reverse=True)[:count]


def _rivers(
    rng: random.Random, sites: tuple[Site, ...], shape: tuple[int, int], cell_side: int
) -> tuple[River, ...]:
    """About one river in eight cells, each on a border between cells and clear of all sites."""
    rows, cols = shape
    rivers = []
    vertical = rng.random() < 0.5
    lines, steps = (cols, rows) if vertical else (rows, cols)
    for line in rng.sample(range(1, lines), min(lines - 1, -(-lines // 8))):
        gaps = [_gap(sites, vertical, line, step, cell_side) for step in range(steps)]
        half_width = rng.uniform(*_RIVER_HALF_WIDTH)
        room = min(high - low for low, high in gaps) / 2 - half_width
        rivers.append(
            River(
                vertical,
                tuple((low + high) / 2 for low, high in gaps),
                half_width,
                max(0.0, min(0.9 * room, cell_side / 8)),
                rng.getrandbits(31),
            )
        )
    return tuple(rivers)


def _gap(
    sites: tuple[Site, ...], vertical: bool, line: int, step: int, cell_side: int
) -> tuple[float, float]:
    """Free room across a border between two cells, in scene pixels: at most half of each."""
    border = line * cell_side
    low, high = border - cell_side / 2, border + cell_side / 2
    for site in sites:
        box = site.box
        across = (box.x0, box.x1) if vertical else (box.y0, box.y1)
        along = box.center[1] if vertical else box.center[0]
        if along // cell_side != step:
            continue
        if across[1] <= border:
            low = max(low, across[1])
        elif across[0] >= border:
            high = min(high, across[0])
    return low, high
