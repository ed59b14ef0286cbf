"""What gives the pixels of a pyramid's tiles: the reader of a scene, or of one aligned with it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.reader import TilePixels
from geofovea.tiling.scene import Scene

__all__ = ["TileSource"]


class TileSource(Protocol):
    """Reads tiles; threads may share it."""

    @property
    def scene(self) -> Scene:
        """Whose pixels are read."""
        ...

    @property
    def pyramid(self) -> Pyramid:
        """On whose grid."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened on the way that a reader of any answer should know."""
        ...

    def read(self, tile: Tile) -> TilePixels:
        """Read one tile; see ``TileReader.read``."""
        ...

    def prepare(self, tile: Tile) -> None:
        """Build what a tile needs, if it is not there; see ``TileReader.prepare``."""
        ...

    def read_box(
        self, box: Box, out_shape: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read a box of the grid's pixels; see ``TileReader.read_box``."""
        ...
