"""Where the vision tokens of a tile are in the scene, as numbers that a model can add to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["token_places"]


def token_places(pyramid: Pyramid, tile: Tile, grid: int) -> NDArray[np.float32]:
    """Where the tokens of a tile are in the scene, row-major, float32 (grid², 3).

    The columns are x and y of the token's centre scaled to [-1, 1] over the scene (beyond it for
    padding), and the level divided by 8.
    """
    side_scene = (pyramid.tile_size << tile.level) / grid
    centers = (np.arange(grid) + 0.5) * side_scene
    x = (tile.col * (pyramid.tile_size << tile.level) + centers) / pyramid.width * 2 - 1
    y = (tile.row * (pyramid.tile_size << tile.level) + centers) / pyramid.height * 2 - 1
    places = np.empty((grid, grid, 3), np.float32)
    places[..., 0], places[..., 1], places[..., 2] = x, y[:, None], tile.level / 8
    return places.reshape(-1, 3)
