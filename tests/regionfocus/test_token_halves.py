"""The halves of a look share no tile, and what they get comes together token by token."""

import pytest
import torch
from regionfocus_toys import ToyEncoder

from geofovea.regionfocus.token_halves import halvings_of, joined_halves, split_half
from geofovea.tiling.pyramid import Pyramid

PYRAMID = Pyramid(128, 96, 32)
TILES = list(PYRAMID.tiles(0))


@pytest.mark.parametrize("count", [2, 3, 7, 12])
def test_a_tile_is_in_one_half_and_the_halves_have_as_many_tiles_but_for_one(count):
    tokens = ToyEncoder(PYRAMID)(TILES[:count])
    for way in halvings_of(tokens):
        assert sorted(torch.cat(way).tolist()) == list(range(len(tokens)))
        tiles = [tokens.select(half).tiles for half in way]
        assert sorted(map(TILES.index, (*tiles[0], *tiles[1]))) == list(range(count))
        assert len(tiles[0]) - len(tiles[1]) in (0, 1)


def test_the_first_tiles_stand_together_and_then_every_second_one():
    tokens = ToyEncoder(PYRAMID)(TILES[:5])
    firsts = [[TILES.index(t) for t in tokens.select(way[0]).tiles] for way in halvings_of(tokens)]
    assert firsts == [[0, 1, 2], [0, 2, 4]]
    assert [len(halvings_of(tokens, count)) for count in (0, 1, 2)] == [0, 1, 2]


def test_a_tile_alone_has_no_halves():
    assert halvings_of(ToyEncoder(PYRAMID)(TILES[:1])) == []


def test_shares_of_both_halves_are_shares_of_all_and_come_apart_as_they_were():
    tokens = ToyEncoder(PYRAMID)(TILES[:5])
    for way in halvings_of(tokens):
        rows = [torch.rand(2, 3, len(half)).softmax(-1) for half in way]
        joined = joined_halves(rows, way)
        torch.testing.assert_close(joined.sum(-1), torch.ones(2, 3))
        for row, half in zip(rows, way, strict=True):
            torch.testing.assert_close(split_half(joined, half), row)
