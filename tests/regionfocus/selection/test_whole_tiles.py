"""Tiles survive whole, never beyond the budget, the best ones of each level."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from regionfocus_toys import ToyEncoder

from geofovea.errors import BudgetError
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.selection.whole_tiles import keep_tiles
from geofovea.tiling.pyramid import Pyramid, Tile

PYRAMID = Pyramid(512, 512, 64)
ENCODE = ToyEncoder(PYRAMID, (2, 2))
COST = 4


def descent(scores):
    """The overview, and the native tiles of the first row with a score each."""
    overview, native = [PYRAMID.overview], [Tile(0, 0, col) for col in range(len(scores))]
    looks = []
    for tiles, weights in ((overview, [1.0]), (native, scores)):
        tokens = ENCODE(tiles)
        of_tokens = torch.tensor(weights).repeat_interleave(COST)
        looks.append(LevelLook(tiles[0].level, tuple(tiles), tokens, of_tokens))
    return Descent(tuple(looks), "native")


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=8), st.integers(4, 50))
def test_whole_tiles_fill_the_budget_and_never_exceed_it(scores, budget):
    kept = keep_tiles(descent(scores), budget, COST)
    assert len(kept) == COST * min(1 + len(scores), budget // COST)
    assert kept.tile_index.bincount().tolist() == [COST] * len(kept.tiles)
    assert kept.tiles[0] == PYRAMID.overview


@pytest.mark.parametrize(
    ("scores", "budget", "cols"),
    [
        ([1.0, 3.0, 2.0, 0.0], 11, [1]),
        ([1.0, 3.0, 2.0, 0.0], 12, [1, 2]),
        ([2.0, 1.0, 2.0, 2.0], 12, [0, 2]),
        # no tile is better than another: they are spread
        ([1.0] * 8, 12, [2, 6]),
        ([1.0, 2.0], 7, []),
    ],
)
def test_the_best_tiles_survive_and_equal_ones_are_spread(scores, budget, cols):
    kept = keep_tiles(descent(scores), budget, COST)
    assert kept.tiles == (PYRAMID.overview, *(Tile(0, 0, col) for col in cols))


def test_a_budget_below_one_picture_is_refused():
    with pytest.raises(BudgetError, match="one picture costs 4 vision tokens, the budget is 3"):
        keep_tiles(descent([1.0]), 3, COST)
