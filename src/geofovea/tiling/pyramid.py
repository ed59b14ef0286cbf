"""The pyramid of a scene as pure geometry: levels, tiles, boxes. No pixels are touched here.

Two coordinate frames meet in this module, and every name carries its frame:

* ``scene``: pixel space of the native raster, x right, y down, origin at the top-left corner of
  the top-left pixel.
* ``level``: the same plane measured in pixels of level ``l``; one level pixel is ``2**l`` scene
  pixels, so ``x_scene = x_level * 2**l``. Level 0 is native.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import index

from geofovea._arguments import is_whole, shown
from geofovea.errors import GeometryError

__all__ = ["Box", "Pyramid", "Tile", "level_size"]


def level_size(size: tuple[int, int], level: int) -> tuple[int, int]:
    """``(width, height)`` of a level in its own pixels, from that of the native image.

    The last column and row of a level may reach beyond the scene.
    """
    width, height = size
    step = 1 << level
    return -(-width // step), -(-height // step)


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """An axis-aligned rectangle ``[x0, x1) × [y0, y1)`` in scene pixels.

    Raises:
        GeometryError: If the rectangle has no area or a corner is not finite.

    Examples:
        >>> box = geofovea.Box(0, 0, 400, 300)
        >>> box.center
        (200.0, 150.0)
        >>> box.intersection(geofovea.Box(300, 100, 500, 500))
        Box(x0=300, y0=100, x1=400, y1=300)
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        corners = (self.x0, self.y0, self.x1, self.y1)
        try:
            is_box = all(map(math.isfinite, corners)) and self.x0 < self.x1 and self.y0 < self.y1
        except (TypeError, OverflowError):
            is_box = False
        if not is_box:
            raise GeometryError(
                "a box needs finite numbers as corners, with x0 < x1 and y0 < y1, got "
                f"({', '.join(map(shown, corners))})"
            )

    @property
    def width(self) -> float:
        """Extent along x in scene pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Extent along y in scene pixels."""
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        """Area in square scene pixels."""
        return self.width * self.height

    @property
    def center(self) -> tuple[float, float]:
        """Center as ``(x_scene, y_scene)``."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def as_tuple(self) -> tuple[float, float, float, float]:
        """Corners as ``(x0, y0, x1, y1)``."""
        return self.x0, self.y0, self.x1, self.y1

    def moved(self, dx: float, dy: float) -> Box:
        """The same rectangle, further right and further down by so many pixels."""
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def intersection(self, other: Box) -> Box | None:
        """The common part of two boxes, or None where they share no area."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        x1, y1 = min(self.x1, other.x1), min(self.y1, other.y1)
        return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def share_inside(self, other: Box) -> float:
        """The share of this box's area that lies inside ``other``, in [0, 1]."""
        common = self.intersection(other)
        return common.area / self.area if common else 0.0


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """The address of a square of ``tile_size`` level pixels on the grid of one level.

    Attributes:
        level: The level; 0 is native.
        row: Counted from 0, from top to bottom.
        col: Counted from 0, from left to right.

    Raises:
        GeometryError: If an index is negative.

    Examples:
        >>> pyramid = geofovea.Pyramid(30_000, 20_000, tile_size=336)
        >>> pyramid.box_scene(geofovea.Tile(level=5, row=0, col=1))
        Box(x0=10752, y0=0, x1=21504, y1=10752)
    """

    level: int
    row: int
    col: int

    def __post_init__(self) -> None:
        # in one step, for tiles are made by the thousand: a union of bits keeps a minus sign
        try:
            is_tile = index(self.level) | index(self.row) | index(self.col) >= 0
        except TypeError:
            is_tile = False
        if not is_tile:
            raise GeometryError(
                "a tile needs level, row and col as whole numbers of at least 0, got "
                f"({', '.join(map(shown, (self.level, self.row, self.col)))})"
            )


@dataclass(frozen=True)
class Pyramid:
    """The dyadic pyramid over a scene of ``width × height`` native pixels.

    Level ``l`` measures ``ceil(width / 2**l) × ceil(height / 2**l)``. The *top* level is the first
    that fits into one tile: its only tile is the overview. The *base* level is the finest whose
    long side is at most ``base_side``; the descent starts there.

    Attributes:
        width: Native width in pixels.
        height: Native height in pixels.
        tile_size: Side of a tile in level pixels.
        base_side: Longest side in level pixels that the base level may have. The default of three
            tiles is the 1008 pixels of the published method at its tile size of 336.

    Raises:
        GeometryError: If a size is not positive or ``base_side`` is smaller than one tile.

    Examples:
        >>> pyramid = geofovea.Pyramid(30_000, 20_000, tile_size=336)
        >>> pyramid.top_level, pyramid.base_level
        (7, 5)
        >>> pyramid.grid_shape(0)
        (60, 90)
        >>> pyramid.tiles_over(0, geofovea.Box(300, 0, 400, 300))
        [Tile(level=0, row=0, col=0), Tile(level=0, row=0, col=1)]
    """

    width: int
    height: int
    tile_size: int
    base_side: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "height", "tile_size"):
            if not is_whole(size := getattr(self, name), 1):
                raise GeometryError(
                    f"a pyramid needs {name} as a whole number of at least 1 pixel, got "
                    f"{shown(size)}"
                )
        if not is_whole(self.base_side):
            raise GeometryError(
                f"base_side={shown(self.base_side)} is not a whole number of pixels"
            )
        if self.base_side == 0:
            object.__setattr__(self, "base_side", 3 * self.tile_size)
        if self.base_side < self.tile_size:
            raise GeometryError(
                f"base_side={self.base_side} must be at least tile_size={self.tile_size}"
            )

    @cached_property
    def top_level(self) -> int:
        """The first level whose long side fits into one tile."""
        return self._first_level_within(self.tile_size)

    @cached_property
    def base_level(self) -> int:
        """The finest level whose long side is at most ``base_side``."""
        return self._first_level_within(self.base_side)

    @property
    def overview(self) -> Tile:
        """The one tile that shows the whole scene."""
        return Tile(self.top_level, 0, 0)

    def _first_level_within(self, side: int) -> int:
        level = 0
        while max(self.level_size(level)) > side:
            level += 1
        return level

    def level_size(self, level: int) -> tuple[int, int]:
        """``(width, height)`` of a level in level pixels."""
        return level_size((self.width, self.height), level)

    def grid_shape(self, level: int) -> tuple[int, int]:
        """``(rows, cols)`` of the tile grid of a level."""
        width_level, height_level = self.level_size(level)
        return -(-height_level // self.tile_size), -(-width_level // self.tile_size)

    def tiles(self, level: int) -> Iterator[Tile]:
        """All tiles of a level in reading order."""
        rows, cols = self.grid_shape(level)
        return (Tile(level, row, col) for row in range(rows) for col in range(cols))

    def contains(self, tile: Tile) -> bool:
        """Whether a tile lies on the grid of this pyramid."""
        rows, cols = self.grid_shape(tile.level)
        return tile.level <= self.top_level and tile.row < rows and tile.col < cols

    def valid_size(self, tile: Tile) -> tuple[int, int]:
        """``(width, height)`` in level pixels of the part of a tile that lies on the scene.

        Raises:
            GeometryError: If the tile is not on this pyramid's grid.
        """
        if not self.contains(tile):
            rows, cols = self.grid_shape(tile.level)
            raise GeometryError(
                f"{tile} is outside level {tile.level}, which has {rows} rows and {cols} columns "
                f"(levels 0 to {self.top_level})"
            )
        width_level, height_level = self.level_size(tile.level)
        return (
            min(self.tile_size, width_level - tile.col * self.tile_size),
            min(self.tile_size, height_level - tile.row * self.tile_size),
        )

    def box_scene(self, tile: Tile) -> Box:
        """The part of the scene that a tile shows, clipped to the scene, in scene pixels.

        Raises:
            GeometryError: If the tile is not on this pyramid's grid.
        """
        width_valid, height_valid = self.valid_size(tile)
        step = 1 << tile.level
        x0_level, y0_level = tile.col * self.tile_size, tile.row * self.tile_size
        return Box(
            x0_level * step,
            y0_level * step,
            min((x0_level + width_valid) * step, self.width),
            min((y0_level + height_valid) * step, self.height),
        )

    def tiles_over(self, level: int, box: Box) -> list[Tile]:
        """The tiles of a level that share area with a box in scene pixels, in reading order."""
        rows, cols = self.grid_shape(level)
        side_scene = self.tile_size << level
        row0, row1 = max(0, int(box.y0 // side_scene)), math.ceil(box.y1 / side_scene)
        col0, col1 = max(0, int(box.x0 // side_scene)), math.ceil(box.x1 / side_scene)
        return [
            Tile(level, row, col)
            for row in range(row0, min(rows, row1))
            for col in range(col0, min(cols, col1))
        ]

    def children(self, tile: Tile) -> list[Tile]:
        """The tiles one level finer that a tile covers, in reading order; none at level 0."""
        if tile.level == 0:
            return []
        return self.tiles_over(tile.level - 1, self.box_scene(tile))
