"""Courses of rivers: how far a place lies from the water."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geofovea.datasets.synthetic.earth.land import EarthWorld, River
from geofovea.datasets.synthetic.earth.noise import Axis, Field, fractal

__all__ = ["RiverDistance", "course_at", "river_distance"]

_MEANDER_CELLS = 0.7
_BEND = 0.3
"""Share of a cell in which the course changes from the gap of one cell to that of the next."""

_BANK = 40.0


@dataclass(frozen=True, slots=True)
class RiverDistance:
    """Ground units from the edge of the water, below 0 on it.

    Attributes:
        values: For the rows of ``span``, float32 (rows, columns).
        span: First and last row, the last one not included, that the river comes near.
    """

    values: Field
    span: tuple[int, int]


def river_distance(world: EarthWorld, river: River, x: Axis, y: Axis) -> RiverDistance | None:
    """Distance from a river; None if it comes near none of these places.

    Args:
        world: Whose river it is.
        river: See `River`.
        x: Rising ground coordinates of the columns.
        y: Rising ground coordinates of the rows.
    """
    along, across = (y, x) if river.vertical else (x, y)
    half = river.half_width * world.scale
    middle = course_at(world, river, along)
    reach = 2 * half + _BANK + (along[1] - along[0] if len(along) > 1 else 0)
    if middle.max() + reach < across[0] or middle.min() - reach > across[-1]:
        return None
    # a river that runs aslant is as wide as one that runs straight
    ahead = course_at(world, river, along + 8) - course_at(world, river, along - 8)
    narrowing = 1 / np.hypot(1, ahead / 16)
    if river.vertical:
        values = np.abs(across[None] - middle[:, None]) * narrowing[:, None] - half
        return RiverDistance(values.astype(np.float32), (0, len(y)))
    first, last = np.searchsorted(y, (middle.min() - reach, middle.max() + reach))
    values = np.abs(y[first:last, None] - middle[None]) * narrowing[None] - half
    return RiverDistance(values.astype(np.float32), (int(first), int(last)))


def course_at(world: EarthWorld, river: River, along: Axis) -> Axis:
    """Middle of a river across its direction, for places along it; all in ground units."""
    side = world.cell_side * world.scale
    course = np.array(river.course) * world.scale
    scaled = np.clip(along / side - 0.5, 0, len(course) - 1)
    low = np.minimum(scaled.astype(np.int64), max(len(course) - 2, 0))
    t = np.clip((scaled - low - 0.5) / _BEND + 0.5, 0, 1)
    knots = course[low] + (course[np.minimum(low + 1, len(course) - 1)] - course[low]) * (
        t * t * (3 - 2 * t)
    )
    zero = np.zeros(1)
    meander = fractal(along, zero, river.seed, _MEANDER_CELLS * side, 4)[0] / 1.9
    middle: Axis = knots + river.swing * world.scale * meander
    return middle
