"""What holds for every method that drops vision tokens between decoder layers."""

import pytest
import torch
from decoder_toys import in_bfloat16, random_view, reduce_to
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import X

from geofovea.errors import BudgetError, GeometryError, ModelError
from geofovea.regionfocus.reductions.decoder.catp import CatpDecoder
from geofovea.regionfocus.reductions.decoder.local_attention import local_mask
from geofovea.regionfocus.reductions.decoder.schedule import Schedule, Step
from geofovea.regionfocus.reductions.decoder.sparsevlm import (
    PUBLISHED,
    SparseVlm,
)
from geofovea.regionfocus.reductions.decoder.todre import TodreDropAll
from geofovea.regionfocus.reductions.decoder.visiondrop import VisionDrop, contextual
from geofovea.regionfocus.reductions.decoder.visual_sinks import (
    SinkFilter,
)
from geofovea.regionfocus.reductions.primitives.clustering import cluster_by_density
from geofovea.regionfocus.reductions.registry import DECODER_REDUCTION_NAMES, make_decoder_reduction

SCHEDULED = tuple(name for name in DECODER_REDUCTION_NAMES if name != "todre_drop_all")
BY_SCORE = (
    *("fastv", "pyramiddrop", "transprune", "flowcut_decoder", "vflowopt_decoder"),
    "spatten",
)
"""Methods whose choice is a top-k of one score."""
nan = torch.nan


@given(st.integers(1, 40), st.integers(1, 45), st.sampled_from(SCHEDULED), st.integers(0, 9))
def test_every_method_leaves_the_scheduled_number_in_ascending_order(n, k, name, seed):
    view = random_view(n, seed)
    before = view.hidden.clone()
    kept = reduce_to(name, view, k)
    index = kept.index.tolist()
    assert len(index) == min(k, n)
    assert index == sorted(set(index))
    assert all(0 <= i < n for i in index)
    assert torch.equal(view.hidden, before)


@given(st.integers(2, 40), st.integers(1, 39), st.sampled_from(BY_SCORE), st.integers(0, 9))
def test_a_smaller_budget_keeps_some_of_what_a_larger_one_keeps(n, k, name, seed):
    fewer, more = (
        reduce_to(name, random_view(n, seed), count).index.tolist() for count in (k, k + 1)
    )
    assert set(fewer) <= set(more)


@given(st.integers(2, 40), st.integers(1, 39), st.sampled_from(SCHEDULED))
def test_without_a_number_to_go_by_tokens_are_kept_evenly(n, k, name):
    view = random_view(n)
    view.attention.update({back: rows * nan for back, rows in view.attention.items()})
    view.hidden.fill_(nan)
    view.carried["importance"].fill_(nan)
    kept = reduce_to(name, view, k)
    assert len(kept.index) == min(k, n)
    assert k >= n or kept.info["fallback"] == "uniform"


@given(st.integers(2, 30), st.integers(1, 29), st.sampled_from(BY_SCORE))
def test_equal_scores_keep_the_first(n, k, name):
    carried = {name: torch.ones(n) for name in ("transition", "importance")}
    view = random_view(n, carried=carried)
    view.attention.update({b: torch.full_like(r, 1 / len(r[0])) for b, r in view.attention.items()})
    view.hidden.fill_(0.3)
    assert reduce_to(name, view, k).index.tolist() == list(range(min(k, n)))


@given(st.integers(2, 30), st.sampled_from(BY_SCORE[:5]))
def test_scores_go_with_their_tokens(n, name):
    """Swapping what two tokens receive, and are, swaps their fate."""
    view = random_view(n)
    turned = torch.randperm(n, generator=torch.Generator().manual_seed(n))
    rows = {back: r.clone() for back, r in view.attention.items()}
    for r in rows.values():
        r[..., view.visual] = r[..., view.visual[turned]]
    carried = {name: values[turned] for name, values in view.carried.items()}
    hidden = view.hidden.clone()
    hidden[view.visual] = hidden[view.visual[turned]]
    other = random_view(n, hidden=hidden, attention=rows, carried=carried)
    kept, moved = (set(reduce_to(name, v, n // 2).index.tolist()) for v in (view, other))
    assert {int(turned[i]) for i in moved} == kept


@given(st.integers(3, 60), st.integers(1, 59), st.integers(0, 9))
def test_merging_methods_lose_or_keep_every_token_and_count_what_they_merged(n, k, seed):
    for name in ("sparsevlm", "visiondrop"):
        view = random_view(n, seed)
        kept = reduce_to(name, view, k)
        if kept.groups is None:
            continue
        members = kept.groups[kept.groups >= 0].bincount(minlength=len(kept.index))
        assert members.tolist() == kept.sizes.tolist()
        assert kept.groups[kept.index].tolist() == list(range(len(kept.index)))
        hidden = view.hidden[view.visual]
        for output, features in enumerate(kept.features):
            inside = hidden[kept.groups == output]
            torch.testing.assert_close(features, inside.mean(0), atol=1e-5, rtol=1e-4)
        if name == "visiondrop":
            assert int(kept.sizes.sum()) == n


def test_a_second_merge_weighs_tokens_by_what_is_in_them():
    sizes = torch.tensor([3.0, 1.0, 2.0])
    points = torch.tensor([[0.0, 1], [4, 1], [9, 9]])
    merged = contextual(points, points, torch.tensor([2]), 1, sizes=sizes)
    assert merged.tokens.tolist() == [[1.0, 1.0]]
    assert merged.sizes.tolist() == [4]


@given(st.integers(2, 40), st.integers(1, 39), st.sampled_from(SCHEDULED), st.integers(0, 9))
def test_selection_in_bfloat16_equals_that_of_its_float32_copy(n, k, name, seed):
    one, two = in_bfloat16(random_view(n, seed))
    assert torch.equal(reduce_to(name, one, k).index, reduce_to(name, two, k).index)


@given(st.integers(2, 40), st.integers(1, 39), st.sampled_from(("fastv", "pyramiddrop")))
def test_only_the_order_of_the_last_row_matters(n, k, name):
    view = random_view(n, k)
    rows = {back: table[:1] for back, table in view.attention.items()}
    bent = {back: 4 * table + table.sqrt() for back, table in rows.items()}
    kept = (reduce_to(name, random_view(n, k, attention=a), k).index for a in (rows, bent))
    assert torch.equal(*kept)


@given(st.integers(2, 40), st.integers(1, 39), st.sampled_from(SCHEDULED), st.integers(0, 9))
def test_a_choice_between_layers_is_repeatable(n, k, name, seed):
    one, two = (reduce_to(name, random_view(n, seed), k) for _ in range(2))
    assert torch.equal(one.index, two.index)
    for a, b in ((one.features, two.features), (one.sizes, two.sizes)):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)


def test_sparsevlm_and_visiondrop_keep_the_published_counts():
    assert SparseVlm().schedule.counts(576, 32) == {3: 300, 7: 200, 16: 110}
    assert PUBLISHED[64].counts(576, 32) == {3: 66, 7: 30, 16: 17}
    assert VisionDrop().schedule.counts(48, 32) == {8: 35, 16: 26, 24: 19}


@pytest.mark.parametrize("name", sorted(set(DECODER_REDUCTION_NAMES) - {"todre_drop_all"}))
def test_a_schedule_keeps_in_its_last_step_the_share_that_is_asked_for(name):
    for share, last in ((1.0, 100), (0.5, 50), (1e-9, 1)):
        counts = list(make_decoder_reduction(name, share).schedule.counts(100, 28).values())
        assert counts[-1] == last
        assert share < 1 or set(counts) == {100}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Step(0, 5), ModelError, "layer of at least 1"),
        (lambda: Step(1.5, 5), ModelError, "layer of at least 1"),
        (lambda: Step(True, 5), ModelError, "layer of at least 1"),
        (lambda: Step(2, 0), BudgetError, "todre_drop_all"),
        (lambda: Step(2, 1.5), BudgetError, "at most 1"),
        (lambda: Schedule(()), ModelError, "at least one step"),
        (lambda: Schedule.of((4, 0.5), (2, 0.25)), ModelError, "must ascend"),
        (lambda: Schedule.of((2, 0.2), (4, 0.5)), BudgetError, "cannot come back"),
        (lambda: Schedule.of((9, 0.2)).counts(10, 8), ModelError, "8 layers"),
        (lambda: Schedule.of((2, 5)).to_final(0.1), BudgetError, "schedule of shares"),
        (lambda: cluster_by_density(torch.zeros(8193, 1), 2), BudgetError, "at most 8192"),
        (lambda: cluster_by_density(X, 9), BudgetError, "choose 1 to 8"),
        (lambda: local_mask((91, 91)), BudgetError, "at most 8192"),
        (lambda: local_mask((3, 3), 4), GeometryError, "odd window"),
        (lambda: SinkFilter(()), ModelError, "at least one dimension"),
        (lambda: SparseVlm(rank_strength=2), ModelError, "between 0 and 1"),
        (lambda: TodreDropAll(threshold=2), ModelError, "between 0 and 1"),
        (lambda: VisionDrop(contextual_share=1), ModelError, "below 1"),
        (lambda: make_decoder_reduction("best"), ModelError, "choose one of fastv, pyr"),
        (lambda: make_decoder_reduction("todre_drop_all", 0.1), ModelError, "all vision tokens"),
        (lambda: CatpDecoder().layers(2), ModelError, "too shallow"),
    ],
)
def test_impossible_values_are_refused_with_a_way_out(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_every_name_makes_the_decoder_reduction_that_bears_it():
    made = [make_decoder_reduction(name) for name in DECODER_REDUCTION_NAMES]
    assert tuple(reduction.name for reduction in made) == DECODER_REDUCTION_NAMES
    assert {reduction.stage for reduction in made} == {"decoder_layer"}
