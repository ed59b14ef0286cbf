"""Tokens that reach the decoder: never more than the budget, always the overview."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from regionfocus_toys import ToyEncoder, point_focus, pyramids, random_focus

from geofovea.errors import BudgetError, GeometryError, ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.projected.baselines import RandomKeep, Strided, TopScore
from geofovea.regionfocus.reductions.projected.vflowopt import VFlowOpt
from geofovea.regionfocus.reductions.registry import REDUCTION_NAMES, make_reduction
from geofovea.regionfocus.search.baselines import look_full
from geofovea.regionfocus.search.descent import descend
from geofovea.regionfocus.selection.allocation import allot
from geofovea.regionfocus.selection.kept_tokens import keep_tokens
from geofovea.regionfocus.uniform_sampling import even_positions
from geofovea.tiling.pyramid import Pyramid

inf, nan = torch.inf, torch.nan
SELECTING = ("top_score", "strided", "random")
"""Reductions that need nothing but the scores that every focus gives."""


def context(scores):
    return TokenContext(torch.zeros(len(scores), 3), torch.tensor(scores))


@pytest.mark.parametrize(
    ("scores", "k", "index"),
    [
        ([0.05, 0.22, 0.10, 0.08, 0.03, 0.30, 0.12, 0.10], 4, [1, 2, 5, 6]),
        ([1.0, 1.0, 1.0, 1.0], 2, [0, 1]),
        ([nan, 0.0, -inf, inf, -5.0], 3, [1, 3, 4]),
        ([0.1, 0.2, 0.3], 0, [2]),
        ([0.1, 0.2, 0.3], 7, [0, 1, 2]),
        ([nan, 0.2], 2, [0, 1]),
    ],
)
def test_top_score_keeps_the_best_in_ascending_order(scores, k, index):
    kept = TopScore().reduce(context(scores), k)
    assert (kept.index.tolist(), kept.info) == (index, {})


def test_top_score_without_a_finite_score_keeps_even_positions_and_says_so():
    kept = TopScore().reduce(context([nan] * 7 + [inf] * 3), 4)
    assert (kept.index.tolist(), kept.info) == ([1, 3, 6, 8], {"fallback": "uniform"})


@given(st.integers(0, 60), st.integers(-3, 70), st.sampled_from(SELECTING))
def test_every_reduction_keeps_the_clipped_number_in_ascending_order(n, k, name):
    scores = torch.rand(n, generator=torch.Generator().manual_seed(n))
    before = scores.clone()
    reduce = make_reduction(name).reduce
    index = reduce(TokenContext(torch.zeros(n, 2), scores), k).index.tolist()
    assert len(index) == min(max(k, 1), n)
    assert index == sorted(set(index))
    assert all(0 <= i < n for i in index)
    assert torch.equal(scores, before)


def test_random_keep_depends_on_its_seed_only():
    tokens = TokenContext(torch.zeros(100, 1))
    one, same, other = (RandomKeep(seed).reduce(tokens, 20).index.tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_strided_keeps_even_positions():
    assert Strided().reduce(TokenContext(torch.zeros(10, 1)), 4).index.tolist() == [1, 3, 6, 8]


def test_protected_tokens_are_always_kept_and_never_counted():
    scores = torch.tensor([0.1, 0.9, 0.2, 0.8, 0.3])
    protected = torch.tensor([True, False, False, False, True])
    kept = TopScore().reduce(TokenContext(torch.zeros(5, 2), scores, protected=protected), 2)
    assert kept.index.tolist() == [0, 1, 3, 4]


def test_every_name_makes_the_reduction_that_bears_it():
    assert tuple(make_reduction(name).name for name in REDUCTION_NAMES) == REDUCTION_NAMES


@pytest.mark.parametrize(
    "fields",
    [
        {"scores": torch.zeros(4)},
        {"grid": (2, 2)},
        {"cls_attention": {3: torch.zeros(2, 4)}},
        {"attention": {3: torch.zeros(2, 3, 4)}},
    ],
)
def test_a_context_whose_fields_do_not_fit_its_tokens_is_refused(fields):
    with pytest.raises(GeometryError, match="3"):
        TokenContext(torch.zeros(3, 1), **fields)


def test_an_unknown_reduction_and_a_missing_score_name_the_alternatives():
    with pytest.raises(
        ModelError, match="unknown reduction 'best'; choose one of focus_spread, top_score, str"
    ):
        make_reduction("best")
    with pytest.raises(ModelError, match=r"needs scores.*such as strided"):
        TopScore().reduce(TokenContext(torch.zeros(3, 1)), 2)


@pytest.mark.parametrize(
    ("counts", "tokens", "shares"),
    [
        ({8: 36, 6: 300, 3: 300, 0: 500}, 136, {8: 36, 6: 20, 3: 20, 0: 60}),
        ({8: 36, 6: 10, 3: 300, 0: 500}, 136, {8: 36, 6: 10, 3: 30, 0: 60}),
        ({8: 36, 6: 300, 3: 300, 0: 50}, 136, {8: 36, 6: 25, 3: 25, 0: 50}),
        ({8: 36, 6: 5, 3: 5, 0: 500}, 136, {8: 36, 6: 5, 3: 5, 0: 90}),
        ({8: 36, 6: 9, 0: 9}, 999, {8: 36, 6: 9, 0: 9}),
        ({8: 36, 6: 300}, 136, {8: 36, 6: 100}),
        ({8: 36, 0: 9}, 20, {8: 20, 0: 0}),
        ({8: 36}, 20, {8: 20}),
    ],
)
def test_shares_are_those_of_the_table(counts, tokens, shares):
    assert allot(counts, tokens, overview=8) == shares


@pytest.mark.parametrize(
    ("counts", "tokens", "shares"),
    [
        ({8: 36, 6: 300, 3: 300, 0: 500}, 150, {8: 20, 6: 20, 3: 20, 0: 90}),
        ({8: 36, 6: 236, 0: 150}, 42, {8: 8, 6: 8, 0: 26}),
        ({8: 36, 6: 236, 0: 9}, 42, {8: 16, 6: 17, 0: 9}),
        ({8: 36, 6: 236}, 50, {8: 20, 6: 30}),
        ({8: 36, 6: 236, 0: 150}, 1, {8: 0, 6: 0, 0: 1}),
        ({8: 36}, 20, {8: 20}),
    ],
)
def test_no_level_comes_before_the_finest_unless_it_is_told_to(counts, tokens, shares):
    assert allot(counts, tokens) == shares


@given(
    st.dictionaries(st.integers(0, 9), st.integers(0, 200), min_size=1),
    st.integers(1, 800),
    st.floats(0, 1),
)
def test_sharing_spends_the_budget_exactly_as_far_as_there_are_tokens(counts, tokens, finest_share):
    overview = max(counts)
    shares = allot(counts, tokens, overview, finest_share)
    assert shares.keys() == counts.keys()
    assert sum(shares.values()) == min(tokens, sum(counts.values()))
    assert all(0 <= shares[level] <= counts[level] for level in counts)
    assert shares[overview] == min(tokens, counts[overview])
    finest, left = min(counts), tokens - shares[overview]
    if finest != overview:
        assert shares[finest] >= min(counts[finest], finest_share * left)


def test_an_impossible_sharing_is_refused():
    for tokens, share in ((0, 0.6), (9, 1.5)):
        with pytest.raises(BudgetError, match="budget of at least 1"):
            allot({0: 9}, tokens, overview=0, finest_share=share)


@given(
    pyramids,
    st.integers(1, 40),
    st.integers(1, 600),
    st.sampled_from(SELECTING),
    st.integers(0, 99),
)
def test_kept_tokens_fill_the_budget_in_reading_order_level_by_level(
    pyramid, tiles, budget, name, seed
):
    descent = descend(pyramid, tiles, ToyEncoder(pyramid), random_focus(seed))
    tokens, scores = keep_tokens(descent, budget, make_reduction(name))
    offered = [len(look.tokens) for look in descent.looks]
    assert len(tokens) == len(scores) == min(budget, sum(offered))
    assert torch.equal(tokens.reading_order(), torch.arange(len(tokens)))
    counts = {look.level: len(look.tokens) for look in descent.looks}
    found = {level: int((tokens.levels == level).sum()) for level in counts}
    assert found == allot(counts, budget)


def backwards(encode):
    """An encoder whose tokens come last first."""
    return lambda tiles: (tokens := encode(tiles)).select(torch.arange(len(tokens)).flip(0))


def test_kept_scores_stay_with_their_tokens():
    pyramid = Pyramid(3200, 3200, 100)
    descent = descend(pyramid, 40, backwards(ToyEncoder(pyramid)), point_focus(2222, 1111, 0.01))
    tokens, scores = keep_tokens(descent, 120, TopScore())
    x0, y0, x1, y1 = tokens.boxes_scene.T
    contains = (x0 <= 2222) & (x1 > 2222) & (y0 <= 1111) & (y1 > 1111)
    scored = tokens.levels < pyramid.top_level
    assert torch.equal(scores[scored] > 1, contains[scored])
    assert int(tokens.levels[contains & scored].min()) == 0


@pytest.mark.parametrize("budget", [60, 10_000])
def test_importance_reaches_the_decoder_with_its_tokens(budget):
    pyramid = Pyramid(400, 400, 100)
    descent = look_full(pyramid, 99, backwards(ToyEncoder(pyramid)))

    def attention_at(tokens):
        x0, y0 = tokens.boxes_scene[:, :2].T.float()
        return (37 * x0 + 101 * y0) % 997 + tokens.levels

    def known(look):
        plain = TokenContext.of(look.tokens, look.scores)
        x0, y0 = look.tokens.boxes_scene[:, :2].T
        cells = torch.stack([y0, x0], dim=1).long() // 10
        return replace(plain, received={0: attention_at(look.tokens)}, cells=cells)

    kept, _ = keep_tokens(descent, budget, VFlowOpt(tells_importance=True), context_of=known)
    assert len(kept) == min(budget, sum(len(look.tokens) for look in descent.looks))
    assert torch.equal(kept.importance, attention_at(kept))
    kept, _ = keep_tokens(descent, budget, VFlowOpt(), context_of=known)
    assert kept.importance is None


def test_levels_without_preference_are_thinned_evenly_by_a_reduction_by_score():
    pyramid = Pyramid(400, 400, 100)
    descent = look_full(pyramid, 99, ToyEncoder(pyramid))
    tokens, _ = keep_tokens(descent, 16 + 64, TopScore())
    native = descent.looks[1].tokens
    expected = native.select(torch.tensor(even_positions(len(native), 64))).in_reading_order()
    assert torch.equal(tokens.at_level(0).boxes_scene, expected.boxes_scene)
