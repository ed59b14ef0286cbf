"""The halves of a look share no tile, and what they get comes together token by token."""

import pytest
import torch
from regionfocus_toys import ToyEncoder

from geofovea.regionfocus.token_halves import halves_of, joined_halves, split_half
from geofovea.tiling.pyramid import Pyramid

PYRAMID = Pyramid(128, 96, 32)
TILES = list(PYRAMID.tiles(0))


@pytest.mark.parametrize("count", [2, 3, 7, 12])
def test_a_tile_is_in_one_half_and_the_halves_have_as_many_tiles_but_for_one(count):
    tokens = ToyEncoder(PYRAMID)(TILES[:count])
    first, second = halves_of(tokens)
    assert sorted(torch.cat([first, second]).tolist()) == list(range(len(tokens)))
    tiles = [tokens.select(half).tiles for half in (first, second)]
    assert tiles[0] + tiles[1] == tokens.tiles
    assert len(tiles[0]) - len(tiles[1]) in (0, 1)


def test_a_tile_alone_has_no_halves():
    assert halves_of(ToyEncoder(PYRAMID)(TILES[:1])) == []


def test_shares_of_both_halves_are_shares_of_all_and_come_apart_as_they_were():
    tokens = ToyEncoder(PYRAMID)(TILES[:5])
    halves = halves_of(tokens)
    rows = [torch.rand(2, 3, len(half)).softmax(-1) for half in halves]
    joined = joined_halves(rows, halves)
    torch.testing.assert_close(joined.sum(-1), torch.ones(2, 3))
    for row, half in zip(rows, halves, strict=True):
        torch.testing.assert_close(split_half(joined, half), row)
