"""The tiles that a page shows, with the same pixels that the model sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geofovea.errors import GeometryError
from geofovea.pipeline.engine.watching import build_progress
from geofovea.tiling.overviews.cache import are_prepared
from geofovea.tiling.overviews.level_files import access_mode, level_files_of
from geofovea.tiling.plan import plan_tile
from geofovea.tiling.pyramid import Tile
from geofovea.tiling.reader import TileReader

__all__ = ["ViewGrid"]

_VIEW_SIDE = 512

RGB = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class ViewGrid:
    """The grid of view tiles over one scene. Threads may share it.

    A level has one grid of pixels, whatever tile reads it. So view tiles have the side that costs
    the least, that of a usual block of a file, and show what the model sees all the same.
    """

    def __init__(self, reader: TileReader) -> None:
        """Show a scene as it is seen through a reader.

        Args:
            reader: Of the model; its bands and their stretch are taken.
        """
        scene = reader.scene
        self._pyramid = scene.pyramid(_VIEW_SIDE)
        self._reader = TileReader(scene, self._pyramid, reader.radiometry, progress=build_progress)

    @property
    def side(self) -> int:
        """Pixels along a side of a view tile."""
        return _VIEW_SIDE

    @property
    def levels(self) -> int:
        """How many levels there are; level 0 is native."""
        return self._pyramid.top_level + 1

    def contains(self, tile: Tile) -> bool:
        """Whether a view tile lies on the scene."""
        # a shift by a level that is out of all bounds would fill the memory
        return tile.level < self.levels and self._pyramid.contains(tile)

    def to_json(self) -> dict[str, int]:
        """What a page needs to know of it."""
        return {
            "side": self.side,
            "levels": self.levels,
            "width": self._pyramid.width,
            "height": self._pyramid.height,
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
        pixels = self._reader.read(tile)
        return pixels.rgb, pixels.valid

    @property
    def is_prepared(self) -> bool:
        """Whether a first tile comes as fast as any: nothing has to be built or decoded once."""
        if access_mode(self._reader.scene) == "decode_once":
            return False
        return self._level_tile() is None or are_prepared(self._reader.scene)

    def prepare(self) -> None:
        """Build and decode what the first tile needs, on the calling thread.

        Raises:
            GeoFoveaError: As `read` does.
        """
        tile = self._level_tile()
        if tile is not None:
            self._reader.prepare(tile)
        self.read(self._pyramid.overview)

    def _level_tile(self) -> Tile | None:
        """A tile that is read from level files; None where no level needs any."""
        scene = self._reader.scene
        if level_files_of(scene) is None:
            return None
        tiles = (Tile(level, 0, 0) for level in range(self.levels))
        wanting = (t for t in tiles if plan_tile(scene, self._pyramid, t).level_file is not None)
        return next(wanting, None)
