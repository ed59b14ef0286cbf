"""Neighbors on the grid of a level, also across tiles, and never of another level."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from regionfocus_toys import ToyEncoder

from geofovea.regionfocus.token_neighbors import largest_around, neighbors_of
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid


def slow_neighbors(tokens):
    """Boxes of one level that touch, edges and corners counted."""
    boxes, levels = tokens.boxes_scene, tokens.levels
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    touch = (low <= high + 1e-6).all(-1) & (levels[:, None] == levels)
    touch.fill_diagonal_(False)
    return [set(row.nonzero()[:, 0].tolist()) for row in touch]


@given(
    st.integers(33, 150), st.integers(33, 150), st.integers(0, 10**6), st.sampled_from([0.4, 1.0])
)
@settings(max_examples=25, deadline=None)
def test_neighbors_are_the_tokens_of_the_level_whose_boxes_touch(width, height, seed, share):
    pyramid = Pyramid(width, height, 32)
    encode = ToyEncoder(pyramid)
    levels = [encode(list(pyramid.tiles(level))) for level in (0, 1)]
    tokens = TokenSet.concat(levels)
    keep = torch.rand(len(tokens), generator=torch.Generator().manual_seed(seed)) < share
    tokens = tokens.select(keep)
    fast = [{i for i in row if i >= 0} for row in neighbors_of(tokens).tolist()]
    assert fast == slow_neighbors(tokens)


@pytest.mark.parametrize(
    ("rank", "expected"),
    [
        (1, [[3, 5, 3, 5], [7, 0, 0, 0]]),
        # a single neighbor counts for all ranks; a token without one has its own
        (2, [[2, 5, 3, 3], [0, 0, 0, 0]]),
        (3, [[1, 5, 3, 1], [0, 0, 0, 0]]),
        (4, [[1, 5, 3, 1], [0, 0, 0, 0]]),
    ],
)
def test_the_largest_around_each_token_are_these(rank, expected):
    neighbors = torch.tensor([[1, 2, 3], [0, -1, -1], [-1, -1, -1], [2, 0, 1]])
    values = torch.tensor([[5.0, 1.0, 3.0, 2.0], [0.0, 0.0, 0.0, 7.0]])
    assert largest_around(values, neighbors, rank).tolist() == expected


@pytest.mark.parametrize("count", [0, 1])
def test_no_token_and_a_single_one_have_no_neighbors(count):
    pyramid = Pyramid(64, 64, 32)
    tokens = ToyEncoder(pyramid)(list(pyramid.tiles(0)))
    neighbors = neighbors_of(tokens.select(torch.arange(count)))
    assert neighbors.tolist() == [[-1] * 8] * count
