"""Strata, estimates and intervals against literal numbers, laws and simulated worlds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofovea.errors import BudgetError, DataError
from geofovea.pipeline.evaluation.counts.coverage import Planted, interval_coverage
from geofovea.pipeline.places.confusion import Confusion
from geofovea.pipeline.places.estimate import StratumCounts, estimate_total
from geofovea.pipeline.places.strata import make_strata


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.integers(1, 250), st.integers(0, 9)
)
def test_strata_hold_every_tile_once_and_keep_the_budget(scores, count, seed):
    strata = make_strata(scores, count, seed)
    members = sorted(index for stratum in strata for index in stratum.members)
    assert members == list(range(len(scores)))
    drawn = [index for stratum in strata for index in stratum.drawn]
    assert len(drawn) == len(set(drawn)) == min(count, len(scores))
    assert strata == make_strata(scores, count, seed)


def test_what_a_budget_ends_is_a_random_part_of_every_stratum():
    scores = np.arange(1000.0)
    for stratum in make_strata(scores, 400):
        early = stratum.drawn[: len(stratum.drawn) // 2]
        of_all = scores[list(stratum.drawn)]
        # five standard errors of a simple random sample
        error = of_all.std() / math.sqrt(2 * len(of_all))
        assert abs(scores[list(early)].mean() - of_all.mean()) < 5 * error


def test_the_likeliest_tiles_are_all_looked_at():
    scores = np.arange(100.0)
    first, *others = make_strata(scores, 20)
    assert sorted(first.members) == list(range(90, 100))
    assert first.is_certain
    assert len(others) > 1
    assert all(o.weight > 1 for o in others)
    # the mean score is 49.5; a quarter of it is added to both
    assert first.expected == pytest.approx((94.5 / 49.5 + 0.25) / 1.25)
    assert first.expected > others[0].expected > others[-1].expected > 0.2


def test_scores_that_say_nothing_are_drawn_from_evenly():
    (only,) = make_strata(np.ones(50), 10)
    assert (len(only.members), len(only.drawn), only.weight) == (50, 10, 5.0)
    assert only.expected == 1


def test_a_draw_of_nothing_is_refused():
    with pytest.raises(BudgetError, match="at least 1 tile"):
        make_strata([1.0, 2.0], 0)


def test_the_estimate_is_the_expansion_of_each_stratum():
    strata = [StratumCounts(4, (3, 1, 0, 2)), StratumCounts(100, (1, 0, 0, 0, 1))]
    result = estimate_total(strata)
    assert result.value == 6 + 100 * 2 / 5
    assert 8 <= result.low < result.value < result.high


def test_the_ends_are_those_of_a_poisson_count_where_one_tile_stands_for_very_many():
    # four tiles with one thing each among a hundred: Garwood has 1.09 and 10.24
    result = estimate_total([StratumCounts(10**6, (1,) * 4 + (0,) * 96)])
    assert 1.09e4 < result.low < 1.35e4
    assert 9.2e4 < result.high < 10.24e4


def test_where_nothing_was_seen_the_upper_end_is_between_those_of_jeffreys_and_mid_p():
    # 2.51 is the quantile of half a chi-square; half of e to the minus 3 is 2.5 %
    result = estimate_total([StratumCounts(10**6, (0,) * 100)])
    assert (result.low, result.value) == (0, 0)
    assert 2.45e4 < result.high < 3e4


def test_what_a_coarse_level_calls_rare_may_hide_less():
    seen = StratumCounts(4, (3, 1, 0, 2))
    rare, usual, likely = (
        estimate_total([seen, StratumCounts(100, (0,) * 10, expected)]).high
        for expected in (0.2, 1.0, 5.0)
    )
    assert 6 < rare < usual == likely


def test_tiles_with_many_things_make_the_interval_wider_than_as_many_with_one():
    even = estimate_total([StratumCounts(100, (1,) * 6 + (0,) * 14)])
    crowded = estimate_total([StratumCounts(100, (6,) + (0,) * 19)])
    assert crowded.value == even.value
    assert crowded.high - crowded.low > 1.5 * (even.high - even.low)


@pytest.mark.parametrize("expected", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_density_is_refused(expected):
    with pytest.raises(DataError, match="density above 0"):
        StratumCounts(2, (1,), expected)


def test_a_sweep_without_errors_has_no_doubt():
    result = estimate_total([StratumCounts(3, (2, 0, 5))])
    assert (result.low, result.value, result.high) == (7, 7, 7)


def test_measured_errors_are_taken_out():
    confusion = Confusion(80, 20, 10, 1000)
    result = estimate_total([StratumCounts(100, (1,) * 41 + (0,) * 59)], confusion)
    # Rogan and Gladen by hand: one false alarm in 100 tiles, four of five are found
    assert result.value == pytest.approx((41 - 1) / 0.8)
    assert result.low < result.value < result.high
    perfect = Confusion(10**6, 0, 0, 10**9)
    sure = estimate_total([StratumCounts(100, (1,) * 41 + (0,) * 59)], perfect)
    assert sure.high - sure.low <= 1


@pytest.mark.parametrize(("tiles", "counts"), [(2, (1, 1, 1)), (2, ()), (2, (-1,))])
def test_impossible_counts_are_refused(tiles, counts):
    with pytest.raises(DataError):
        StratumCounts(tiles, counts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("planted", "least"),
    [
        (Planted(0.25, 0.8, is_known=False), 0.93),
        (Planted(0.3, 0.0, is_known=False), 0.93),
        (Planted(0.25, 0.5, 0.9, 0.002), 0.93),
        (Planted(1.0, 0.8, 0.9, 0.002), 0.93),
    ],
    ids=["scored well", "not scored", "with errors", "a sweep with errors"],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(planted, least):
    result = interval_coverage(planted, 25, 4096)
    assert result.runs > 100
    assert result.coverage >= least


def test_an_interval_that_ignores_the_errors_does_not_hold_the_truth():
    known = interval_coverage(Planted(1.0, 0.8, 0.6, 0.01), 8, 4096)
    blind = Planted(1.0, 0.8, 0.6, 0.01, is_known=False)
    assert known.coverage > 0.9
    # of detections it is right, for it claims no more
    assert interval_coverage(blind, 8, 4096).coverage == 1.0
