"""One measure tells in every benchmark whether an annotated object was seen."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geofovea.pipeline.evaluation.metrics import (
    covered_share,
    hit_rate,
    is_hit,
    tile_share,
    token_share,
)
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Box, Tile

TARGET = Box(0, 0, 10, 10)


def looked_at(*looks):
    """An answer of which only the looks count."""
    looks = [SimpleNamespace(level=level, tiles=tiles) for level, tiles in looks]
    return SimpleNamespace(looks=looks)


def tokens_at(level, boxes):
    """Tokens of one level that stand at some boxes."""
    of_tile = torch.zeros(len(boxes), dtype=torch.int64)
    places = torch.tensor(boxes, dtype=torch.float64)
    return TokenSet(torch.zeros(len(boxes), 2), (Tile(level, 0, 0),), of_tile, places)


SEEN = [
    (0, [(0, 0, 10, 10)], 1.0),
    (0, [(0, 0, 5, 10)], 0.5),
    (0, [(0, 0, 4, 10)], 0.4),
    (0, [(0, 0, 4, 10), (8, 0, 12, 10)], 0.6),  # together, though neither alone
    (0, [(-5, -5, 5, 5), (5, 5, 15, 15)], 0.5),
    (0, [(10, 0, 20, 10)], 0.0),
    (0, [(20, 20, 30, 30), (20, 0, 30, 10)], 0.0),
    (0, [], 0.0),
    (1, [(0, 0, 10, 10)], 0.0),  # seen, but not at native resolution
]


@pytest.mark.parametrize(("level", "boxes", "share"), SEEN)
def test_tiles_and_tokens_at_the_same_places_see_the_same_share(level, boxes, share):
    tiles = [Box(*corners) for corners in boxes]
    assert tile_share(looked_at((level, tiles)), [TARGET]) == pytest.approx(share)
    if boxes:
        assert token_share(tokens_at(level, boxes), [TARGET]) == pytest.approx(share)
    assert is_hit(share) is (share >= 0.5)


def test_a_tile_that_two_looks_show_counts_once():
    half = [Box(0, 0, 4, 10)]
    assert tile_share(looked_at((0, half), (1, [TARGET]), (0, half)), [TARGET]) == 0.4


def test_native_tiles_of_every_look_count_together():
    answer = looked_at((0, [Box(0, 0, 3, 10)]), (0, [Box(3, 0, 6, 10)]))
    assert tile_share(answer, [TARGET]) == pytest.approx(0.6)


def test_of_several_boxes_the_one_that_was_seen_best_counts():
    assert covered_share([Box(0, 0, 5, 5)], [TARGET, Box(0, 0, 5, 10), Box(9, 9, 10, 10)]) == 0.5


@pytest.mark.parametrize(
    ("shares", "rate"),
    [([], None), ([None, None], None), ([True, False, None], 0.5), ([0.5, 0.49, 1.0, None], 2 / 3)],
)
def test_the_rate_is_of_annotated_questions_alone(shares, rate):
    assert hit_rate(shares) == rate


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), unique=True),
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 40), st.integers(1, 40)),
)
def test_the_share_is_that_of_pixels_counted_one_by_one(cells, target):
    x, y, width, height = target
    seen = torch.zeros(80, 80, dtype=torch.bool)
    for row, col in cells:
        seen[row * 10 : row * 10 + 10, col * 10 : col * 10 + 10] = True
    boxes = [Box(col * 10, row * 10, col * 10 + 10, row * 10 + 10) for row, col in cells]
    counted = float(seen[y : y + height, x : x + width].double().mean())
    assert covered_share(boxes, [Box(x, y, x + width, y + height)]) == pytest.approx(counted)
