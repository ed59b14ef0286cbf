"""Some tiles of a tiny pyramid, their pictures, and what a host makes of them."""

import numpy as np

from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid

PYRAMID = Pyramid(64, 96, 32)


TILES = list(PYRAMID.tiles(0))


def pictures(count):
    return np.random.default_rng(5).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def tokens_of(host, count=1):
    features = host.encode(pictures(count), TILES[:count], PYRAMID)
    return tokens_of_tiles(features, host.grid, TILES[:count], PYRAMID)
