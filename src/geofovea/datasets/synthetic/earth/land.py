"""What the land of a world is made of, as a description: coast, towns, rivers, sensor, mosaic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geofovea.datasets.synthetic.earth.noise import Axis, Field, fractal
from geofovea.datasets.synthetic.vocabulary import URBAN
from geofovea.datasets.synthetic.world import World

__all__ = [
    "GROUND_UNIT_M",
    "WATER",
    "Drive",
    "EarthWorld",
    "Land",
    "River",
    "Seam",
    "spread",
    "turned",
]

GROUND_UNIT_M = 0.5
"""Land is described in units of half a meter on the ground, whatever the sensor resolves."""

WATER = "water"
"""Terrain of a cell that lies in the sea; no site stands there."""

_TOWN_NOISE = 0.45
_TOWN_WAVE = 1400
_TOWN_BIAS = 0.05


@dataclass(frozen=True, slots=True)
class River:
    """A river from one border of the scene to the other, or to the sea.

    Attributes:
        vertical: Whether it runs along y rather than along x.
        course: Its place across that direction in each cell, in scene pixels: between the sites.
        half_width: In scene pixels.
        swing: How far it may meander off its course, in scene pixels.
        seed: Of its meanders.
    """

    vertical: bool
    course: tuple[float, ...]
    half_width: float
    swing: float
    seed: int


@dataclass(frozen=True, slots=True)
class Drive:
    """The road from a site to the nearest road of the grid, in coordinates of the grid.

    Attributes:
        vertical: Whether it runs along v rather than along u.
        across: Its place across that direction.
        start: Where it begins along that direction.
        end: Where it ends, beyond ``start``.
    """

    vertical: bool
    across: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Seam:
    """A line where one picture of a mosaic ends and the next begins.

    Attributes:
        x: Where it crosses the upper border, in scene pixels.
        slope: Pixels that it moves to the right on each row.
        gains: Factors of the four bands to the right of it.
    """

    x: float
    slope: float
    gains: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Land:
    """All that is drawn beneath the sites, except for what the noise of the seed decides.

    Attributes:
        seed: Of all noise.
        turn: Angle of the grid of roads and fields, in degrees.
        wetness: Climate in [-1, 1]: woods and meadows, or scrub and bare soil.
        haze: Most that haze adds, in gray values.
        gains: Factors of the four bands left of the first seam.
        rivers: See `River`.
        drives: See `Drive`.
        seams: From left to right.
    """

    seed: int
    turn: float
    wetness: float
    haze: float
    gains: tuple[float, float, float, float]
    rivers: tuple[River, ...]
    drives: tuple[Drive, ...]
    seams: tuple[Seam, ...]


@dataclass(frozen=True, slots=True)
class EarthWorld(World):
    """A world of version 2.

    Attributes:
        land: What lies beneath the sites. `World.terrain` says which cells belong to towns and
            to the sea; the borders between them are drawn soft.
    """

    land: Land = Land(0, 0.0, 0.0, 0.0, (1.0, 1.0, 1.0, 1.0), (), (), ())

    @property
    def version(self) -> int:
        """See `World.version`."""
        return 2

    @property
    def bands(self) -> int:
        """See `World.bands`."""
        return 4

    @property
    def scale(self) -> int:
        """Ground units in a pixel."""
        return round(self.gsd_m / GROUND_UNIT_M)

    def is_dry(self, row: int, col: int) -> bool:
        """See `World.is_dry`."""
        return self.terrain[row][col] != WATER

    def setting_at(self, x_scene: float, y_scene: float) -> str:
        """``"urban"`` or ``"rural"`` at a point of the scene, as the town is drawn there."""
        return self.settings_over([x_scene], [y_scene])[0][0]

    def settings_over(self, x_scene: Sequence[float], y_scene: Sequence[float]) -> list[list[str]]:
        """See `World.settings_over`; both rise."""
        x, y = (np.array(axis) * self.scale for axis in (x_scene, y_scene))
        town = self.town(x, y)
        if town is None:
            return [["rural"] * len(x) for _ in y]
        settings: list[list[str]] = np.where(town > 0, "urban", "rural").tolist()
        return settings

    def town(self, x: Axis, y: Axis) -> Field | None:
        """How far inside a town (above 0) or outside of one a place lies; ground units.

        None if no place is near a town.
        """
        cells = [[1.0 if name == URBAN else -1.0 for name in row] for row in self.terrain]
        inside = spread(self, cells, x, y)
        if inside.max() == -1:
            # all cells around are country, and noise alone makes no town
            return None
        noise = fractal(x, y, self.land.seed + 11, _TOWN_WAVE, 3)
        return inside + np.float32(_TOWN_NOISE) * noise + np.float32(_TOWN_BIAS)


def spread(world: EarthWorld, cells: list[list[float]], x: Axis, y: Axis) -> Field:
    """Values of cells, interpolated between the centers of the cells; ground units."""
    values = np.array(cells, np.float32)
    side = world.cell_side * world.scale

    def place(axis: Axis, count: int) -> tuple[np.ndarray, np.ndarray, Field]:
        scaled = np.clip(axis / side - 0.5, 0, count - 1)
        low = np.minimum(scaled.astype(np.int64), max(count - 2, 0))
        return low, np.minimum(low + 1, count - 1), (scaled - low).astype(np.float32)

    row0, row1, along_y = place(y, len(values))
    col0, col1, along_x = place(x, values.shape[1])
    lines = values[:, col0] + (values[:, col1] - values[:, col0]) * along_x
    field: Field = lines[row0] + (lines[row1] - lines[row0]) * along_y[:, None]
    return field


def turned(land: Land) -> tuple[float, float]:
    """Cosine and sine of the grid's angle."""
    angle = math.radians(land.turn)
    return math.cos(angle), math.sin(angle)
