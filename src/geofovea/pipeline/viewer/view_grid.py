"""Which tiles a page asks for, and the pixels of one: those that the model sees, never others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geofovea.errors import GeometryError
from geofovea.pipeline.engine.watching import build_progress
from geofovea.tiling.overviews.cache import are_prepared
from geofovea.tiling.overviews.level_files import access_mode, level_files_of
from geofovea.tiling.pixels.radiometry import FILL
from geofovea.tiling.plan import plan_tile
from geofovea.tiling.pyramid import Pyramid, Tile
from geofovea.tiling.reader import TileReader
from geofovea.tiling.scene import Scene

__all__ = ["ViewGrid"]

_VIEW_SIDE = 512

RGB = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class ViewGrid:
    """The grid of view tiles over one scene. Threads may share it.

    A view tile is ``k × k`` tiles of a reader. Where each level is an image of exactly its size,
    the reader has tiles of 512 pixels and k is 1: that costs the least. Elsewhere the pixels of a
    level depend on the size of the tiles, so the view is pasted from the tiles of the model.
    """

    def __init__(self, reader: TileReader, tiles_a_side: int = 1) -> None:
        """Take what reads.

        Args:
            reader: Of the scene.
            tiles_a_side: Its tiles along a side of a view tile.
        """
        self._reader = reader
        self._count = tiles_a_side

    @classmethod
    def of(cls, reader: TileReader) -> ViewGrid:
        """The grid over a scene that a model sees through a reader."""
        pyramid = reader.scene.pyramid(_VIEW_SIDE)
        if _is_exact(reader.scene, pyramid):
            return cls(
                TileReader(reader.scene, pyramid, reader.radiometry, progress=build_progress)
            )
        return cls(reader, max(1, round(_VIEW_SIDE / reader.pyramid.tile_size)))

    @property
    def side(self) -> int:
        """Pixels along a side of a view tile."""
        return self._reader.pyramid.tile_size * self._count

    @property
    def levels(self) -> int:
        """How many levels there are; level 0 is native."""
        return self._reader.pyramid.top_level + 1

    def contains(self, tile: Tile) -> bool:
        """Whether a view tile lies on the scene."""
        if tile.level >= self.levels:
            return False
        rows, cols = self._reader.pyramid.grid_shape(tile.level)
        return tile.row * self._count < rows and tile.col * self._count < cols

    def to_json(self) -> dict[str, int]:
        """What a page needs to know of it."""
        pyramid = self._reader.pyramid
        return {
            "side": self.side,
            "levels": self.levels,
            "width": pyramid.width,
            "height": pyramid.height,
        }

    def read(self, tile: Tile) -> tuple[RGB, Mask]:
        """The pixels of a view tile.

        Args:
            tile: Level, row and column on the grid of view tiles.

        Returns:
            RGB ``(side, side, 3)`` and validity ``(side, side)``; padding is gray and not valid.

        Raises:
            GeometryError: If the tile does not lie on the scene.
            SceneReadError: If the file is damaged.
            LevelBuildError: If level files are needed and would cost more than allowed.
            OutputError: If they cannot be written.
        """
        if not self.contains(tile):
            raise GeometryError(f"{tile} is not on the grid of {self.levels} levels")
        if self._count == 1:
            pixels = self._reader.read(tile)
            return pixels.rgb, pixels.valid
        return self._pasted(tile)

    def _pasted(self, tile: Tile) -> tuple[RGB, Mask]:
        part, side = self._reader.pyramid.tile_size, self.side
        rgb, valid = np.full((side, side, 3), FILL, np.uint8), np.zeros((side, side), bool)
        rows, cols = self._reader.pyramid.grid_shape(tile.level)
        top, left = tile.row * self._count, tile.col * self._count
        for row in range(top, min(top + self._count, rows)):
            for col in range(left, min(left + self._count, cols)):
                pixels = self._reader.read(Tile(tile.level, row, col))
                y, x = (row - top) * part, (col - left) * part
                rgb[y : y + part, x : x + part] = pixels.rgb
                valid[y : y + part, x : x + part] = pixels.valid
        return rgb, valid

    @property
    def is_prepared(self) -> bool:
        """Whether a first tile comes as fast as any: nothing has to be built or decoded once."""
        if access_mode(self._reader.scene) == "decode_once":
            return False
        files = self._level_tile()
        return files is None or are_prepared(self._reader.scene)

    def prepare(self) -> None:
        """Build and decode what the first tile needs, on the calling thread.

        Raises:
            GeoFoveaError: As `read` does.
        """
        tile = self._level_tile()
        if tile is not None:
            self._reader.prepare(tile)
        self.read(Tile(self.levels - 1, 0, 0))

    def _level_tile(self) -> Tile | None:
        """A tile that is read from level files; None where no level needs any."""
        scene, pyramid = self._reader.scene, self._reader.pyramid
        if level_files_of(scene) is None:
            return None
        tiles = (Tile(level, 0, 0) for level in range(self.levels))
        wanting = (t for t in tiles if plan_tile(scene, pyramid, t).level_file is not None)
        return next(wanting, None)


def _is_exact(scene: Scene, pyramid: Pyramid) -> bool:
    """Whether each level is an image of exactly its size, read pixel by pixel."""
    levels = range(pyramid.top_level + 1)
    return all(
        plan_tile(scene, pyramid, Tile(level, 0, 0)).resampling == "nearest" for level in levels
    )
