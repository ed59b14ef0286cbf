"""Toy encoders and foci: tokens that carry no pixels, only their place."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from geofovea.regionfocus.focus import AttentionFocus
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid

pyramids = st.builds(
    Pyramid, st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([16, 56, 224, 336])
)


class ToyEncoder:
    """Encodes tiles to zeros, remembers which, and may see nodata right of a line."""

    def __init__(self, pyramid, grid=(4, 4), nodata_from_x=None):
        self.pyramid, self.grid, self.nodata_from_x = pyramid, grid, nodata_from_x
        self.calls = []

    def __call__(self, tiles):
        self.calls.append(list(tiles))
        features = torch.zeros(len(tiles), self.grid[0] * self.grid[1], 2)
        tokens = tokens_of_tiles(features, self.grid, tiles, self.pyramid)
        if self.nodata_from_x is not None:
            tokens = tokens.select(tokens.boxes_scene[:, 0] < self.nodata_from_x)
        return tokens

    @property
    def tiles(self):
        return [tile for call in self.calls for tile in call]


def point_focus(x, y, background=0.0):
    """All mass on the tokens that contain a point."""

    def score(tokens):
        x0, y0, x1, y1 = tokens.boxes_scene.T
        inside = (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
        return inside.float() + background

    return AttentionFocus(score)


def random_focus(seed):
    """Scores without any sense, now and then without any number."""
    generator = torch.Generator().manual_seed(seed)

    def score(tokens):
        scores = torch.randn(len(tokens), generator=generator)
        broken = torch.rand(len(tokens), generator=generator) < 0.1
        return torch.where(broken, torch.nan, scores)

    return AttentionFocus(score)
