"""Tiles as the model sees them: pixels, boxes of tokens, dense labels."""

from __future__ import annotations

import io
import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geofovea.datasets.synthetic.rendering import render_window
from geofovea.datasets.synthetic.versions import crowd_of
from geofovea.datasets.synthetic.world import World
from geofovea.pipeline.training.embedded_model import ModelShape
from geofovea.pipeline.training.lessons.dense_labels import (
    DENSE_LABELS,
    IGNORED,
    TokenBoxes,
    dense_labels,
)
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["View", "forget_place", "show_crowd", "show_tile", "tile_pixels"]

_SHARE_OF_COARSE_CROWDS = 0.15

View = tuple[NDArray[np.uint8], TokenBoxes, NDArray[np.int64]]
"""Pixels, token boxes and dense labels of one tile."""


def forget_place(view: View) -> View:
    """Ignore site and setting: a pad of no scene does not look like the site whose name it has."""
    for name in ("site", "setting"):
        view[2][list(DENSE_LABELS).index(name)] = IGNORED
    return view


def show_crowd(rng: random.Random, shape: ModelShape, version: int) -> View:
    """A tile full of things, with the labels of things alone; some are seen from twice as far.

    Args:
        rng: Decides everything.
        shape: Of the model.
        version: Of the synthetic world.
    """
    level = int(rng.random() < _SHARE_OF_COARSE_CROWDS)
    crowd = crowd_of(version, rng, (shape.tile_size << level) // 64)
    pyramid = Pyramid(crowd.width, crowd.height, shape.tile_size)
    return forget_place(show_tile(rng, crowd, pyramid, Tile(level, 0, 0), shape))


def show_tile(
    rng: random.Random, world: World, pyramid: Pyramid, tile: Tile, shape: ModelShape
) -> View:
    """One tile of a world."""
    pixels = tile_pixels(rng, world, tile, shape.tile_size)
    boxes = TokenBoxes(pyramid, tile, shape.grid)
    return pixels, boxes, dense_labels(world, boxes)


def tile_pixels(rng: random.Random, world: World, tile: Tile, side: int) -> NDArray[np.uint8]:
    """What one tile of a world looks like, ``(side, side, 3)``."""
    pixels = render_window(world, tile.level, tile.col * side, tile.row * side, side, side)
    return _compressed(rng, pixels)


def _compressed(rng: random.Random, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Half of the tiles pass through JPEG, as the tiles of most real rasters have."""
    if rng.random() < 0.5:
        return rgb
    packed = io.BytesIO()
    Image.fromarray(rgb).save(packed, "JPEG", quality=rng.randint(75, 95))
    return np.asarray(Image.open(packed))
