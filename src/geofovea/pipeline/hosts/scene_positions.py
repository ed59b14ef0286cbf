"""Where the vision tokens of a tile are in the scene, and the map by which a model adds that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.tokens import TokenSet, cells_in_tiles
from geofovea.tiling.machine.system_errors import reason_of
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["SCENE_POSITION_FILE", "read_scene_position", "shown_alone", "token_places"]

SCENE_POSITION_FILE = "scene_position.safetensors"


def token_places(pyramid: Pyramid, tile: Tile, grid: int) -> NDArray[np.float32]:
    """Where the tokens of a tile are in the scene, row-major, float32 (grid², 3).

    The columns are x and y of the token's center scaled to [-1, 1] over the scene (beyond it for
    padding), and the level divided by 8.
    """
    side_scene = (pyramid.tile_size << tile.level) / grid
    centers = (np.arange(grid) + 0.5) * side_scene
    x = (tile.col * (pyramid.tile_size << tile.level) + centers) / pyramid.width * 2 - 1
    y = (tile.row * (pyramid.tile_size << tile.level) + centers) / pyramid.height * 2 - 1
    places = np.empty((grid, grid, 3), np.float32)
    places[..., 0], places[..., 1], places[..., 2] = x, y[:, None], tile.level / 8
    return places.reshape(-1, 3)


def shown_alone(
    tokens: TokenSet, pyramid: Pyramid, grid: int, weight: Tensor | None
) -> list[Tensor]:
    """Vision tokens as if each tile were a scene of its own, (n, d) float32 for each tile.

    The place of a token in its scene is a sum, so it is taken off without encoding anything again.

    Args:
        tokens: Of tiles of one scene.
        pyramid: Of that scene.
        grid: Tokens along a side of a tile.
        weight: The map (d, 3) of a token's place; None where places were never added.
    """
    features = tokens.features.float()
    if weight is not None:
        alone = Pyramid(pyramid.tile_size, pyramid.tile_size, pyramid.tile_size)
        there = torch.from_numpy(token_places(alone, alone.overview, grid))
        here = np.stack([token_places(pyramid, tile, grid) for tile in tokens.tiles])
        cells = cells_in_tiles(tokens, (grid, grid), pyramid)
        moved = there[cells] - torch.from_numpy(here)[tokens.tile_index, cells]
        features = features + moved.to(features.device) @ weight.T
    return [features[tokens.tile_index == index] for index in range(len(tokens.tiles))]


def read_scene_position(path: Path | None, device: torch.device) -> Tensor | None:
    """The map (d, 3) of a token's place in a file, float32; None where there is no file.

    Raises:
        ModelError: If the file holds no such map.
    """
    if path is None:
        return None
    try:
        weight: Tensor = load_file(path)["weight"]
    except (OSError, KeyError, SafetensorError) as error:
        raise ModelError(f"{path} does not hold scene positions: {reason_of(error)}") from error
    return weight.float().to(device)
