"""Native tiles on a grid that is shifted against that of a scene: what one cuts, another holds.

A shifted tile is put together from the native tiles under it, so every pixel, every missing pixel
and every further band is the one that the scene's own reader gives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geofovea.errors import GeometryError
from geofovea.tiling.pixels.radiometry import FILL
from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.reader import TilePixels
from geofovea.tiling.scene import Scene
from geofovea.tiling.tile_source import TileSource

__all__ = ["ShiftedReader"]


class ShiftedReader:
    """Reads native tiles of a grid whose origin lies inside the scene; threads may share it.

    Attributes:
        shift: Where its origin lies in the scene, x and y in pixels.
        pyramid: Of what lies right of the origin and below it, in pixels from there.
    """

    def __init__(self, reader: TileSource, shift: tuple[int, int]) -> None:
        """Shift the grid of a reader.

        Args:
            reader: Of the scene.
            shift: The new origin, x and y in pixels; at least 0, less than a tile.

        Raises:
            GeometryError: If the origin lies outside the first tile or outside the scene.
        """
        pyramid = reader.pyramid
        dx, dy = shift
        limits = min(pyramid.tile_size, pyramid.width), min(pyramid.tile_size, pyramid.height)
        if not (0 <= dx < limits[0] and 0 <= dy < limits[1]):
            raise GeometryError(f"a grid is shifted by less than {limits} pixels, got {shift}")
        self.shift = shift
        self.pyramid = Pyramid(pyramid.width - dx, pyramid.height - dy, pyramid.tile_size)
        self._reader = reader

    @property
    def scene(self) -> Scene:
        """The scene whose pixels are read."""
        return self._reader.scene

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened on the way that a reader of any answer should know."""
        return self._reader.notes

    def prepare(self, tile: Tile) -> None:
        """Build what a tile needs; see ``TileReader.prepare``."""
        self._reader.prepare(self._under(tile)[0])

    def read(self, tile: Tile) -> TilePixels:
        """Read one native tile of the shifted grid.

        Raises:
            GeometryError: If the tile is not native, or not on the grid.
            GeoFoveaError: As ``TileReader.read`` does.
        """
        parts = [self._reader.read(each) for each in self._under(tile)]
        side = self.pyramid.tile_size
        bands = parts[0].all_bands.shape[2]
        pixels, valid = np.full((side, side, bands), FILL, np.uint8), np.zeros((side, side), bool)
        for part in parts:
            # where the tile under it begins, seen from the corner of the shifted one
            x = (part.tile.col - tile.col) * side - self.shift[0]
            y = (part.tile.row - tile.row) * side - self.shift[1]
            to, source = _overlap(y, x, side)
            pixels[to], valid[to] = part.all_bands[source], part.valid[source]
        extra = pixels[..., 3:] if bands > 3 else None
        size = self.pyramid.valid_size(tile)
        return TilePixels(tile, pixels[..., :3], valid, size, extra)

    def read_box(
        self, box: Box, out_shape: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read a box in pixels of the shifted grid; see ``TileReader.read_box``."""
        return self._reader.read_box(box.moved(*self.shift), out_shape)

    def _under(self, tile: Tile) -> list[Tile]:
        """The native tiles of the scene under a tile, in reading order."""
        if tile.level:
            raise GeometryError(f"a shifted grid has native tiles alone, got {tile}")
        box = self.pyramid.box_scene(tile).moved(*self.shift)
        return self._reader.pyramid.tiles_over(0, box)


def _overlap(y: int, x: int, side: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns that a square at ``(y, x)`` covers of one at the origin, seen from each."""
    to = tuple(slice(max(0, start), min(side, start + side)) for start in (y, x))
    source = tuple(slice(max(0, -start), min(side, side - start)) for start in (y, x))
    return (to[0], to[1]), (source[0], source[1])
