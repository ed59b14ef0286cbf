"""Tiles are paid out exactly: never too many, and native is always reached."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from regionfocus_toys import pyramids

from geofovea.errors import BudgetError
from geofovea.regionfocus.search.tile_budget import AllToFinestSplit, GeometricSplit, start_tiles
from geofovea.regionfocus.uniform_sampling import even_positions, spread_tiles
from geofovea.tiling.pyramid import Pyramid, Tile

# top level 8, base level 6 with 3 × 3 tiles, so that a start costs 10 tiles
BIG = Pyramid(32768, 32768, 192)


@pytest.mark.parametrize(
    ("budget", "counts"),
    [
        (10, {}),
        (11, {0: 1}),
        (12, {3: 1, 0: 1}),
        (13, {4: 1, 2: 1, 0: 1}),
        (16, {5: 1, 4: 1, 3: 1, 2: 1, 1: 1, 0: 1}),
        (34, {5: 4, 4: 4, 3: 4, 2: 4, 1: 4, 0: 4}),
        (48, {5: 5, 4: 5, 3: 5, 2: 6, 1: 8, 0: 9}),
        (64, {5: 5, 4: 7, 3: 7, 2: 9, 1: 11, 0: 15}),
        # without the base level: 4 tiles of level 7, or the overview alone
        (1, {}),
        (2, {0: 1}),
        (4, {5: 1, 2: 1, 0: 1}),
        (5, {}),
        (6, {0: 1}),
        (9, {5: 1, 3: 1, 1: 1, 0: 1}),
    ],
)
def test_geometric_counts_are_those_of_the_table(budget, counts):
    assert GeometricSplit().tiles_per_level(BIG, budget) == counts


def test_what_a_small_level_cannot_hold_flows_to_finer_levels_first():
    # one tile wide: grids of 4, 8 and 16 tiles below the base level's 2
    strip = Pyramid(10, 16 * 100, 100, base_side=200)
    assert [math.prod(strip.grid_shape(lv)) for lv in (3, 2, 1, 0)] == [2, 4, 8, 16]
    assert GeometricSplit(ratio=0.1).tiles_per_level(strip, 3 + 20) == {2: 4, 1: 8, 0: 8}
    assert GeometricSplit(ratio=100).tiles_per_level(strip, 3 + 27) == {2: 4, 1: 7, 0: 16}
    assert GeometricSplit().tiles_per_level(strip, 1000) == {2: 4, 1: 8, 0: 16}


@pytest.mark.parametrize(("budget", "counts"), [(10, {}), (11, {0: 1}), (64, {0: 54})])
def test_all_to_finest_puts_everything_on_native(budget, counts):
    assert AllToFinestSplit().tiles_per_level(BIG, budget) == counts


@given(
    pyramids,
    st.integers(1, 3000),
    st.one_of(
        st.just(AllToFinestSplit()),
        st.builds(GeometricSplit, st.integers(1, 9), st.floats(0.01, 100)),
    ),
)
def test_a_split_keeps_the_budget_and_the_grids_and_reaches_native(pyramid, budget, split):
    start = start_tiles(pyramid, budget)
    counts = split.tiles_per_level(pyramid, budget)
    assert len(start) + sum(counts.values()) <= budget
    assert list(counts) == sorted(counts, reverse=True)
    assert all(level < start[-1].level for level in counts)
    assert all(1 <= n <= math.prod(pyramid.grid_shape(level)) for level, n in counts.items())
    if start[-1].level > 0 and len(start) < budget:
        assert counts[0] >= 1


@given(pyramids, st.integers(1, 3000))
def test_a_geometric_split_spends_all_that_the_grids_can_hold(pyramid, budget):
    start = start_tiles(pyramid, budget)
    left = budget - len(start)
    levels = range(start[-1].level)
    room = sum(math.prod(pyramid.grid_shape(level)) for level in levels)
    assert sum(GeometricSplit().tiles_per_level(pyramid, budget).values()) == min(left, room)


@pytest.mark.parametrize(
    ("budget", "level", "count"), [(1, 8, 1), (4, 8, 1), (5, 7, 5), (9, 7, 5), (10, 6, 10)]
)
def test_the_start_is_the_finest_whole_level_up_to_base_that_fits(budget, level, count):
    start = start_tiles(BIG, budget)
    assert (start[0], start[-1].level, len(start)) == (BIG.overview, level, count)


def test_a_scene_smaller_than_a_tile_starts_with_one_tile():
    assert start_tiles(Pyramid(10, 7, 192), 64) == [Tile(0, 0, 0)]
    assert GeometricSplit().tiles_per_level(Pyramid(10, 7, 192), 64) == {}


def test_base_and_overview_on_one_level_are_paid_once():
    assert start_tiles(Pyramid(1000, 1000, 192, base_side=192), 64) == [Tile(3, 0, 0)]


def test_a_budget_of_no_tile_is_refused():
    with pytest.raises(BudgetError, match="at least 1 tile"):
        start_tiles(BIG, 0)


@pytest.mark.parametrize("settings", [(0, 1.5), (4, 0), (4, math.inf), (4, math.nan)])
def test_an_impossible_split_is_refused(settings):
    with pytest.raises(BudgetError, match="floor >= 1"):
        GeometricSplit(*settings)


def test_even_positions_follow_the_formula():
    assert even_positions(10, 4) == [1, 3, 6, 8]
    assert even_positions(3, 9) == [0, 1, 2]
    assert even_positions(5, 0) == even_positions(0, 3) == []


def test_spread_tiles_use_both_axes():
    spread = spread_tiles(list(Pyramid(800, 800, 100).tiles(0)), 16)
    assert len(spread) == 16
    # one in each 2 × 2 block of the 8 × 8 grid
    assert len({(tile.row // 2, tile.col // 2) for tile in spread}) == 16
