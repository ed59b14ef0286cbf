"""Roads and farm fields: a bent grid over the whole land, whose districts are cut into parcels.

In the coordinates ``(u, v)`` of the grid roads lie on the multiples of `DISTRICT`. All of them
cross and none ends, so that every place is linked with every other. What a district is cut into
stands in a few tables that are made once.
"""

from __future__ import annotations

import random
from functools import cache

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.earth.land import Land, turned
from geofovea.datasets.synthetic.earth.noise import Axis, Field, smooth_noise

__all__ = ["BORDERS", "DISTRICT", "HEDGE", "PARCELS", "TRACK", "VERGE", "grid_at", "layouts"]

DISTRICT = 2048
"""Side of a district in ground units, one kilometer."""

CELL = 8
"""Ground units of an entry of a layout: the width of a track, half of that of a road."""

ENTRIES = DISTRICT // CELL
LEFT, RIGHT, UPPER, LOWER, VERGE, TRACK, HEDGE, PARCELS = range(8)
BORDERS = (LEFT, RIGHT, UPPER, LOWER)
"""Codes of a layout: its four roads, then what lies between parcels, then the parcels."""

CODES = 64
LAYOUTS = 24
_SMALLEST, _LARGEST = 22, 96
_WARPS = ((5200, 620), (1700, 110))


def grid_at(land: Land, x: Axis, y: Axis) -> tuple[Field, Field]:
    """Coordinates of the grid, float32 (len(y), len(x)) each; ground units."""
    cos, sin = turned(land)
    u = cos * x[None] + sin * y[:, None]
    v = cos * y[:, None] - sin * x[None]
    for number, (wave, reach) in enumerate(_WARPS):
        u = u + reach * smooth_noise(x, y, land.seed + 31 + number, wave)
        v = v + reach * smooth_noise(x, y, land.seed + 41 + number, wave)
    return u.astype(np.float32), v.astype(np.float32)


@cache
def layouts() -> NDArray[np.uint8]:
    """`LAYOUTS` ways to cut a district, (LAYOUTS, ENTRIES, ENTRIES)."""
    tables = np.full((LAYOUTS, ENTRIES, ENTRIES), VERGE, np.uint8)
    for number, table in enumerate(tables):
        rng = random.Random(f"geofovea-parcels-{number}")
        _cut(rng, table, (2, 2, ENTRIES - 2, ENTRIES - 2), rng.uniform(0.4, 1), [PARCELS])
        table[:, 0], table[:, -1], table[0], table[-1] = BORDERS
    return tables


def _cut(
    rng: random.Random,
    table: NDArray[np.uint8],
    box: tuple[int, int, int, int],
    size: float,
    free: list[int],
) -> None:
    """Split a box in two until it is small enough for one parcel."""
    x0, y0, x1, y1 = box
    longer = max(x1 - x0, y1 - y0)
    if longer < 2 * _SMALLEST or (longer < size * _LARGEST and rng.random() < 0.6):
        table[y0:y1, x0:x1] = min(free[0], CODES - 1)
        free[0] += 1
        return
    line = TRACK if longer > 110 else rng.choice((HEDGE, TRACK, None, None, None))
    width = 0 if line is None else 1
    share = rng.uniform(0.33, 0.67)
    if x1 - x0 > y1 - y0:
        at = round(x0 + (x1 - x0) * share)
        parts = (x0, y0, at, y1), (at + width, y0, x1, y1)
        gap = (slice(y0, y1), slice(at, at + width))
    else:
        at = round(y0 + (y1 - y0) * share)
        parts = (x0, y0, x1, at), (x0, at + width, x1, y1)
        gap = (slice(at, at + width), slice(x0, x1))
    for part in parts:
        _cut(rng, table, part, size, free)
    if line is not None:
        table[gap] = line
