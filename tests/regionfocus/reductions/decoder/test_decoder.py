"""Methods that drop vision tokens between decoder layers equal their references and examples."""

import pytest
import torch
from decoder_toys import random_view, reduce_to, worked_attention
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import X

from geofovea.errors import BudgetError, GeometryError, ModelError
from geofovea.regionfocus.reductions.decoder.catp import CatpDecoder
from geofovea.regionfocus.reductions.decoder.flowcut import (
    FlowCutDecoder,
    decoder_flow,
    share_of_vision,
)
from geofovea.regionfocus.reductions.decoder.local_attention import local_mask
from geofovea.regionfocus.reductions.decoder.schedule import Schedule, Step
from geofovea.regionfocus.reductions.decoder.sparsevlm import (
    PUBLISHED,
    SparseVlm,
    rank_count,
    raters,
)
from geofovea.regionfocus.reductions.decoder.spatten import CacheBudget, evicted
from geofovea.regionfocus.reductions.decoder.todre import TodreDropAll
from geofovea.regionfocus.reductions.decoder.vflowopt import VFlowOptDecoder
from geofovea.regionfocus.reductions.decoder.visiondrop import VisionDrop, contextual
from geofovea.regionfocus.reductions.decoder.visual_sinks import (
    SinkFilter,
    exclude_visual_sinks,
    redistribute,
    sink_dimensions,
)
from geofovea.regionfocus.reductions.encoder.flowcut import flowcut_score, key_relation
from geofovea.regionfocus.reductions.primitives.clustering import cluster_by_density
from geofovea.regionfocus.reductions.registry import DECODER_REDUCTION_NAMES, make_decoder_reduction

nan = torch.nan
SCHEDULED = tuple(name for name in DECODER_REDUCTION_NAMES if name != "todre_drop_all")
BY_SCORE = (
    *("fastv", "pyramiddrop", "transprune", "flowcut_decoder", "vflowopt_decoder"),
    "spatten",
)
"""Methods whose choice is a top-k of one score."""


# --- reference vectors


def in_bfloat16(view):
    """A view in half precision, and its copy in single precision."""
    names = ("hidden", "embedded_visual", "embedded_text", "key_means")
    low = {name: getattr(view, name).bfloat16() for name in names}
    rows = {back: table.bfloat16() for back, table in view.attention.items()}
    n = len(view.visual)
    made = []
    for change in (lambda x: x, lambda x: x.float()):
        attention = {back: change(table) for back, table in rows.items()}
        fields = {name: change(value) for name, value in low.items()}
        made.append(random_view(n, attention=attention, **fields))
    return made


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


@given(st.integers(1, 40), st.integers(0, 9))
def test_the_flow_of_a_decoder_is_the_same_with_sums_divided_out_as_in_the_paper(n, seed):
    view = random_view(n, seed)
    values = view.values()
    seen = values[:, view.visual]
    likeness = key_relation(values[:, view.text[-1]], seen)
    relation = share_of_vision(view.rows(view.text[-1:]), view.visual)
    torch.testing.assert_close(decoder_flow(view), flowcut_score(relation, likeness, seen.mean(0)))


def test_a_head_that_sees_no_vision_token_does_not_spoil_the_flow():
    view = random_view(6)
    view.attention[0][0, :, view.visual] = 0
    assert bool(decoder_flow(view).isfinite().all())
    assert "fallback" not in reduce_to("flowcut_decoder", view, 3).info


def test_vflowopt_goes_on_after_a_third_and_two_thirds_of_the_depth():
    assert VFlowOptDecoder().schedule.counts(1000, 28) == {9: 1000, 18: 601}
    at_a_half = Schedule.of((9 / 28, 0.7487), (18 / 28, 0.487))
    assert at_a_half.counts(1000, 28) == {9: 749, 18: 487}


def test_vflowopt_keeps_the_most_important_and_refuses_tokens_that_do_not_know():
    importance = torch.tensor(
        [0.09468, 0.23195, 0.09645, 0.21923, 0.42729, 0.10776, 0.15418, 0.16846]
    )
    view = random_view(8, carried={"importance": importance})
    assert reduce_to("vflowopt_decoder", view, 4).index.tolist() == [1, 3, 4, 7]
    with pytest.raises(ModelError, match=r"came without it; let vflowopt leave them"):
        reduce_to("vflowopt_decoder", random_view(8, carried={}), 4)


def test_flowcut_halves_what_the_encoder_left_before_the_second_layer():
    for depth in (2, 6, 28, 32):
        assert FlowCutDecoder().schedule.counts(576, depth) == {1: 288}
    assert make_decoder_reduction("flowcut_decoder", 0.1).schedule.counts(576, 28) == {1: 58}


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


@given(st.integers(2, 40), st.floats(0, 1), st.integers(0, 9))
def test_dropping_all_or_none_does_not_depend_on_the_precision(n, threshold, seed):
    one, two = in_bfloat16(random_view(n, seed))
    kept = [TodreDropAll(threshold=threshold).reduce(view).index.tolist() for view in (one, two)]
    assert kept[0] == kept[1]


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


@given(st.integers(1, 700), st.integers(3, 40), st.sampled_from(SCHEDULED), st.floats(0.01, 0.9))
def test_schedules_never_grow_and_end_where_they_are_bent_to(n, depth, name, share):
    schedule = make_decoder_reduction(name, share).schedule
    counts = schedule.counts(n, depth)
    left = list(counts.values())
    assert left == sorted(left, reverse=True)
    assert left[-1] == max(1, int(share * n + 0.5))
    assert all(1 <= layer < depth for layer in counts)
    assert list(counts) == sorted(counts)


def test_sparsevlm_and_visiondrop_keep_the_published_counts():
    assert SparseVlm().schedule.counts(576, 32) == {3: 300, 7: 200, 16: 110}
    assert PUBLISHED[64].counts(576, 32) == {3: 66, 7: 30, 16: 17}
    assert VisionDrop().schedule.counts(48, 32) == {8: 35, 16: 26, 24: 19}


def test_sparsevlm_keeps_what_the_rank_of_its_attention_asks_for_within_the_schedule():
    attention = torch.eye(3, 10).expand(2, 3, 10)
    assert [rank_count(attention, share) for share in (0.0, 0.5, 1.0)] == [10, 7, 3]
    view = random_view(30)
    for share, left in ((0.0, 20), (1.0, len(raters(view.embedded_visual, view.embedded_text)))):
        reduction = SparseVlm(Schedule.of((2, 20)), rank_strength=share)
        assert len(reduction.reduce(view).index) == left


def test_todre_drops_all_or_none():
    rows = worked_attention(8, causal=True)
    fields = {"attention": {0: rows}, "visual": torch.arange(1, 5), "text": torch.arange(5, 8)}
    view = random_view(4, before=1, after=3, **fields)
    assert TodreDropAll(threshold=0.1).reduce(view).index.tolist() == [0, 1, 2, 3]
    assert TodreDropAll(threshold=0.9).reduce(view).index.tolist() == []


def test_catp_shrinks_context_first_and_its_own_picture_one_layer_later():
    reduction = CatpDecoder(schedule=Schedule.of((2, 9)))
    assert reduction.layers(8) == (2, 3)
    levels = torch.tensor([3] * 12 + [0] * 6)
    first = reduction.reduce(random_view(18, carried={"levels": levels}))
    kept = levels[first.index]
    assert (int((kept == 3).sum()), int((kept == 0).sum())) == (6, 6)
    later = random_view(12, layer=3, original=18, carried={"levels": kept})
    kept = kept[reduction.reduce(later).index]
    assert (int((kept == 3).sum()), int((kept == 0).sum())) == (6, 3)


@given(st.integers(0, 50))
def test_moving_attention_from_sinks_keeps_the_sums_of_rows(seed):
    view = random_view(10, seed)
    generator = torch.Generator().manual_seed(seed)
    is_sink = torch.rand(len(view.hidden), generator=generator) < 0.4
    rows = torch.rand(view.attention[0].shape[:2], generator=generator) < 0.5
    moved = redistribute(view.attention[0], is_sink, view.visual, rows)
    torch.testing.assert_close(moved.sum(-1), view.attention[0].sum(-1), atol=1e-5, rtol=0)
    assert torch.equal(moved[~rows], view.attention[0][~rows])
    unchanged = redistribute(view.attention[0], is_sink & False, view.visual, rows)
    assert torch.equal(unchanged, view.attention[0])


def test_a_sink_cannot_win_unless_all_are_sinks():
    view = random_view(6)
    view.hidden.fill_(0.1)
    view.hidden[0, 5] = view.hidden[view.visual[2], 5] = 900
    assert sink_dimensions(view.hidden[0], 2) == (5,)
    filtered = exclude_visual_sinks(torch.ones(6), view, SinkFilter(threshold=2))
    assert filtered.isneginf().tolist() == [False, False, True, False, False, False]
    view.hidden[view.visual, 5] = 900
    assert torch.equal(
        exclude_visual_sinks(torch.ones(6), view, SinkFilter(threshold=2)), torch.ones(6)
    )
    assert torch.equal(exclude_visual_sinks(torch.ones(6), view, None), torch.ones(6))


def test_all_words_rate_where_none_stands_out():
    assert raters(X, torch.ones(4, 3)).tolist() == [0, 1, 2, 3]


@given(st.integers(1, 60), st.integers(0, 5), st.integers(0, 6), st.integers(1, 9))
def test_a_cache_never_outgrows_its_budget(s, first, important, recent):
    budget = CacheBudget(first, important, recent)
    generator = torch.Generator().manual_seed(s)
    keys = torch.randn(1, 2, s, 4, generator=generator)
    kept, _, stays = evicted(keys, keys, torch.randn(1, 2, 3, s, generator=generator), budget)
    assert kept.shape[2] == min(s, budget.size)
    assert bool((stays.diff(dim=-1) > 0).all())
    assert torch.equal(kept[0, 1], keys[0, 1, stays[0, 1]])


# --- refusals


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
        (lambda: CacheBudget(0, 0, 0), BudgetError, "at least one entry"),
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
