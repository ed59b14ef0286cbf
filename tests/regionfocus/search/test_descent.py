"""The descent finds what its focus sees, and never spends more than it was given."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from regionfocus_toys import ToyEncoder, point_focus, pyramids, random_focus

from geofovea.errors import BudgetError, GeometryError, ModelError
from geofovea.regionfocus.focus import AttentionFocus, OracleFocus
from geofovea.regionfocus.search.baselines import look_full, look_overview, look_uniform
from geofovea.regionfocus.search.descent import descend
from geofovea.regionfocus.search.looks import Descent
from geofovea.regionfocus.search.stopping import FlatStop, NeverStop
from geofovea.regionfocus.search.tile_budget import AllToFinestSplit, GeometricSplit, start_tiles
from geofovea.tiling.pyramid import Box, Pyramid, Tile

BIG = Pyramid(32768, 32768, 192)
splits = st.one_of(
    st.just(AllToFinestSplit()), st.builds(GeometricSplit, st.integers(1, 9), st.floats(0.1, 10))
)


def enough_for_four_a_level(pyramid):
    start = start_tiles(pyramid, 10**6)
    return len(start) + 4 * start[-1].level


def test_a_bright_point_is_followed_level_by_level():
    # 800² with tiles of 100: overview at level 3, base at level 2 with 2 × 2 tiles
    pyramid = Pyramid(800, 800, 100)
    encode = ToyEncoder(pyramid)
    descent = descend(pyramid, 7, encode, point_focus(730, 210))
    assert encode.calls == [
        [Tile(3, 0, 0), *pyramid.tiles(2)],
        [Tile(1, 1, 3)],
        [Tile(0, 2, 7)],
    ]
    assert descent.stopped == "native"
    assert descent.tiles_by_level == {3: 1, 2: 4, 1: 1, 0: 1}
    assert (descent.tiles_encoded, descent.finest_level) == (7, 0)
    assert descent.looks[1].tile_scores == (0, 1, 0, 0)
    assert descent.looks[0].is_flat
    assert sum(descent.looks[0].tile_scores) == pytest.approx(1)


@given(pyramids, st.integers(2, 6), st.floats(0, 0.999), st.floats(0, 0.999), st.integers(0, 9))
def test_the_native_tile_of_a_bright_point_is_always_found(pyramid, side, right, down, more):
    x, y = right * pyramid.width, down * pyramid.height
    encode = ToyEncoder(pyramid, (side, side))
    budget = enough_for_four_a_level(pyramid) + more
    descent = descend(pyramid, budget, encode, point_focus(x, y))
    (target,) = pyramid.tiles_over(0, Box(int(x), int(y), int(x) + 1, int(y) + 1))
    assert target in descent.looks[-1].tiles
    assert (descent.finest_level, descent.stopped) == (0, "native")


@given(pyramids, st.integers(1, 200), splits, st.integers(0, 99), st.integers(1, 4))
def test_no_score_makes_a_descent_exceed_its_budget_or_repeat_a_tile(
    pyramid, budget, split, seed, side
):
    encode = ToyEncoder(pyramid, (side, side))
    descent = descend(pyramid, budget, encode, random_focus(seed), split=split)
    assert len(encode.tiles) == descent.tiles_encoded <= budget
    assert len(set(encode.tiles)) == len(encode.tiles)
    assert all(pyramid.contains(tile) for tile in encode.tiles)
    assert all(call == sorted(call) for call in encode.calls[1:])
    for before, after in zip(descent.looks[1:], descent.looks[2:], strict=False):
        parents = [pyramid.box_scene(tile) for tile in before.tiles]
        for tile in after.tiles:
            assert any(pyramid.box_scene(tile).intersection(parent) for parent in parents)


@given(pyramids, st.integers(1, 100), st.integers(0, 99))
def test_the_same_scores_give_the_same_descent(pyramid, budget, seed):
    one, two = ToyEncoder(pyramid), ToyEncoder(pyramid)
    descend(pyramid, budget, one, random_focus(seed))
    descend(pyramid, budget, two, random_focus(seed))
    assert one.calls == two.calls


class Spendthrift:
    def tiles_per_level(self, pyramid, budget_tiles):
        return dict.fromkeys(range(pyramid.top_level + 1), 10**6)


def test_a_split_that_overspends_is_held_to_the_budget():
    encode = ToyEncoder(BIG)
    descent = descend(BIG, 40, encode, point_focus(5, 5, 0.1), split=Spendthrift())
    assert len(encode.tiles) == descent.tiles_encoded == 40
    assert descent.stopped == "tiles"


def test_tiles_that_a_level_cannot_use_are_left_to_the_next():
    # the whole level 5 lies under the base tiles; nodata leaves 4 of its tiles
    encode = ToyEncoder(BIG, (8, 8), nodata_from_x=1000)
    descent = descend(BIG, 400, encode, point_focus(0, 0, 0.1))
    assert descent.tiles_encoded == 400
    assert descent.tiles_by_level[5] < GeometricSplit().tiles_per_level(BIG, 400)[5]


@pytest.mark.parametrize(("budget", "levels"), [(1, {8: 1}), (2, {8: 1, 0: 1}), (10, {8: 1, 6: 9})])
def test_a_tiny_budget_still_looks(budget, levels):
    descent = descend(BIG, budget, ToyEncoder(BIG), point_focus(20000, 9000))
    assert descent.tiles_by_level == levels
    assert descent.stopped == ("native" if 0 in levels else "tiles")


def test_a_scene_smaller_than_a_tile_is_one_look_that_is_scored():
    pyramid = Pyramid(70, 30, 192)
    descent = descend(pyramid, 64, ToyEncoder(pyramid, (12, 12)), point_focus(60, 20))
    assert descent.tiles_by_level == {0: 1}
    assert descent.stopped == "native"
    assert descent.looks[0].scores.sum() == 1


def test_flat_scores_spread_the_tiles_instead_of_filling_a_corner():
    pyramid = Pyramid(1600, 1600, 100, base_side=200)
    descent = descend(pyramid, 5 + 4 + 4 + 4, ToyEncoder(pyramid), AttentionFocus(nothing))
    corners = {(tile.row // 2, tile.col // 2) for tile in descent.looks[2].tiles}
    assert corners == {(0, 0), (0, 1), (1, 0), (1, 1)}


def nothing(tokens):
    return torch.full((len(tokens),), torch.nan)


def test_a_deadline_ends_the_descent_after_the_level_it_falls_in():
    times = iter([0.0, 1.0, 2.0, 3.0])
    descent = descend(
        BIG, 64, ToyEncoder(BIG), point_focus(9, 9), deadline=2.0, clock=lambda: next(times)
    )
    assert (descent.finest_level, descent.stopped) == (4, "time")


def test_flat_stop_ends_where_nothing_stands_out():
    flat = descend(BIG, 64, ToyEncoder(BIG), AttentionFocus(nothing), stop=FlatStop(0.5))
    assert (flat.finest_level, flat.stopped) == (6, "flat")
    bright = descend(BIG, 64, ToyEncoder(BIG), point_focus(9, 9), stop=FlatStop(0.5))
    assert bright.finest_level < 6
    with pytest.raises(BudgetError, match="threshold"):
        FlatStop(-1)
    assert NeverStop().reason(torch.ones(3)) is None


def test_a_scene_without_data_ends_after_the_start():
    descent = descend(BIG, 64, ToyEncoder(BIG, nodata_from_x=-1), point_focus(9, 9))
    assert (descent.finest_level, descent.stopped) == (6, "nodata")
    assert descent.looks[1].tile_scores == (0,) * 9


def test_no_tile_is_spent_on_nodata_that_is_seen_from_above():
    encode = ToyEncoder(BIG, (8, 8), nodata_from_x=8192)
    descend(BIG, 128, encode, AttentionFocus(nothing))
    finer = [tile for call in encode.calls[1:] for tile in call]
    assert max(BIG.box_scene(tile).x0 for tile in finer) < 8192


def test_an_encoder_or_a_focus_that_answers_something_else_is_refused():
    encode = ToyEncoder(BIG)
    with pytest.raises(ModelError, match="also answered with Tile"):
        descend(BIG, 64, lambda tiles: encode([*tiles, Tile(0, 0, 0)]), point_focus(9, 9))
    with pytest.raises(ModelError, match="one score per token"):
        descend(BIG, 64, encode, AttentionFocus(lambda tokens: torch.ones(3)))
    with pytest.raises(GeometryError, match="coarse to fine"):
        Descent((), "native")


def test_the_oracle_descends_to_all_its_boxes():
    boxes = [Box(5000, 5000, 5040, 5040), Box(30000, 20000, 30050, 20050)]
    descent = descend(BIG, 64, ToyEncoder(BIG, (6, 6)), OracleFocus(boxes))
    for box in boxes:
        assert set(BIG.tiles_over(0, box)) <= set(descent.looks[-1].tiles)


def test_looking_at_the_overview_is_looking_at_the_start():
    encode = ToyEncoder(BIG)
    assert look_overview(BIG, 64, encode).tiles_by_level == {8: 1, 6: 9}
    assert encode.calls == [start_tiles(BIG, 64)]


@pytest.mark.parametrize(
    ("budget", "levels"),
    [(1, {8: 1}), (4, {8: 1, 7: 3}), (5, {8: 1, 7: 4}), (64, {8: 1, 5: 36, 4: 27})],
)
def test_looking_uniformly_takes_the_finest_whole_level_and_spreads_the_rest(budget, levels):
    descent = look_uniform(BIG, budget, ToyEncoder(BIG))
    assert descent.tiles_by_level == levels
    assert all(look.is_flat for look in descent.looks)


@given(pyramids, st.integers(1, 300))
def test_baselines_keep_the_budget(pyramid, budget):
    for look in (look_overview, look_uniform):
        encode = ToyEncoder(pyramid, (1, 1))
        assert look(pyramid, budget, encode).tiles_encoded == len(set(encode.tiles)) <= budget


def test_a_full_look_takes_every_native_tile_or_names_their_number():
    pyramid = Pyramid(1000, 500, 192)
    assert look_full(pyramid, 19, ToyEncoder(pyramid)).tiles_by_level == {3: 1, 0: 18}
    with pytest.raises(BudgetError, match="needs 19 tiles, got a budget of 18"):
        look_full(pyramid, 18, ToyEncoder(pyramid))
    small = Pyramid(100, 50, 192)
    assert look_full(small, 1, ToyEncoder(small)).tiles_by_level == {0: 1}


def test_a_uniform_look_without_a_tile_is_refused():
    with pytest.raises(BudgetError, match="at least 1 tile"):
        look_uniform(BIG, 0, ToyEncoder(BIG))
