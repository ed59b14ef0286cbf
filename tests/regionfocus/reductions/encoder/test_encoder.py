"""What holds for all tokens that merge or leave inside an encoder, whatever their values."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from released_mergers import crossget_merge, evit_step

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.decoder import virtual_unmerging
from geofovea.regionfocus.reductions.decoder.virtual_unmerging import (
    virtual_attention,
    virtual_scores,
)
from geofovea.regionfocus.reductions.encoder import zero_tprune
from geofovea.regionfocus.reductions.encoder.base import LayerView
from geofovea.regionfocus.reductions.encoder.crossget import crossget_match
from geofovea.regionfocus.reductions.encoder.dymu import (
    DyMU,
    DyMUEncoder,
    batch_threshold,
    dymu_pairs,
)
from geofovea.regionfocus.reductions.encoder.evit import EViT
from geofovea.regionfocus.reductions.encoder.flowcut import (
    FlowCutEncoder,
    flowcut_score,
    prune_count,
)
from geofovea.regionfocus.reductions.encoder.schedule import (
    acting_layers,
    geometric_counts,
    steady_counts,
)
from geofovea.regionfocus.reductions.encoder.stvit import (
    STViTEncoder,
    associate,
    cell_for,
    upsample,
)
from geofovea.regionfocus.reductions.encoder.tome import ToMe, best_of_odd, tome_pairs
from geofovea.regionfocus.reductions.encoder.zero_tprune import (
    ZeroTPrune,
    head_filter,
    page_rank,
)
from geofovea.regionfocus.reductions.primitives import merging
from geofovea.regionfocus.reductions.primitives.similarity import unit_rows
from geofovea.regionfocus.reductions.registry import (
    ENCODER_REDUCTION_NAMES,
    make_encoder_reduction,
    make_reduction,
)

MERGERS = ("tome", "dymu", "crossget")
ALL = (*MERGERS, "evit", "zero_tprune")
seeds = st.integers(0, 999)


def random_context(n, seed, dtype=torch.float32, **more):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, 6, generator=generator).to(dtype)
    row = torch.rand(1, n, generator=generator).to(dtype)
    graph = torch.randn(2, n, n, generator=generator).to(dtype).softmax(-1)
    scores = torch.rand(n, generator=generator)
    return TokenContext(features, scores, cls_attention={3: row}, attention={3: graph}, **more)


@given(st.integers(1, 40), st.integers(-1, 45), seeds, st.sampled_from(ALL))
def test_exactly_the_budget_is_left_in_ascending_order_and_nothing_is_changed(n, k, seed, name):
    context = random_context(n, seed)
    before = context.features.clone()
    kept, again = (make_reduction(name).reduce(context, k) for _ in range(2))
    index = kept.index.tolist()
    assert len(index) == min(max(k, 1), n)
    assert index == sorted(set(index))
    assert set(index) <= set(range(n))
    assert torch.equal(context.features, before)
    assert again.index.tolist() == index
    if kept.features is not None:
        assert torch.equal(kept.features, again.features)
        assert kept.groups[kept.index].tolist() == list(range(len(index)))
    else:
        assert name == "zero_tprune" or len(index) == n


@given(st.integers(2, 40), st.integers(1, 40), seeds, st.sampled_from(MERGERS))
def test_mergers_conserve_number_and_mass_and_stay_in_the_hull(n, k, seed, name):
    context = random_context(n, seed)
    kept = make_reduction(name).reduce(context, k)
    if k >= n:
        assert kept.features is None
        return
    assert torch.bincount(kept.groups).tolist() == kept.sizes.tolist()
    assert kept.sizes.sum() == n
    mass = (kept.sizes[:, None] * kept.features).sum(0)
    torch.testing.assert_close(mass, context.features.sum(0), rtol=1e-4, atol=1e-4)
    for row in range(len(kept.index)):
        members = context.features[kept.groups == row]
        assert bool((kept.features[row] >= members.amin(0) - 1e-5).all())
        assert bool((kept.features[row] <= members.amax(0) + 1e-5).all())


@given(st.integers(2, 30), st.integers(1, 30), seeds, st.sampled_from(ALL))
def test_half_precision_chooses_as_its_float32_copy(n, k, seed, name):
    half = random_context(n, seed, torch.bfloat16)
    copy = TokenContext(
        half.features.float(),
        half.scores,
        cls_attention={3: half.cls_attention[3].float()},
        attention={3: half.attention[3].float()},
    )
    reduction = make_reduction(name)
    assert torch.equal(reduction.reduce(half, k).index, reduction.reduce(copy, k).index)


def layer_view(layer, n, seed, change):
    """A layer that shows everything in bfloat16, or in a copy of that."""
    made = torch.Generator().manual_seed(seed + layer)

    def rand(*shape):
        return change(torch.randn(*shape, generator=made).bfloat16())

    return LayerView(
        layer,
        rand(n, 6),
        torch.arange(n),
        torch.ones(n),
        class_row=rand(2, n).float().softmax(-1),
        keys=rand(2, n + 1, 3),
        values=rand(2, n + 1, 3),
        attention=rand(2, n + 1, n + 1).float().softmax(-1),
    )


@given(st.integers(2, 6), st.integers(1, 35), seeds, st.sampled_from(ENCODER_REDUCTION_NAMES))
def test_half_precision_inside_the_encoder_chooses_as_its_float32_copy(side, k, seed, name):
    n, layers = side * side, 4
    reduction = make_encoder_reduction(name)
    runs = [reduction.start(n, min(k, n - 1), layers) for _ in range(2)]
    left = n
    for layer in range(layers):
        if not runs[0].needs(layer):
            continue
        half, copy = (
            run.step(layer_view(layer, left, seed, change))
            for run, change in zip(runs, (lambda x: x, lambda x: x.float()), strict=True)
        )
        assert (half is None) == (copy is None)
        if half is not None:
            assert torch.equal(half.index, copy.index)
            left = len(half.index)


@given(st.integers(2, 30), st.integers(1, 30), seeds, st.sampled_from(MERGERS))
def test_cosine_methods_heed_no_scale(n, k, seed, name):
    context = random_context(n, seed)
    scaled = TokenContext(context.features * 4, context.scores)
    reduction = make_reduction(name)
    assert torch.equal(reduction.reduce(context, k).index, reduction.reduce(scaled, k).index)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("value", [0.0, 1.0, torch.nan])
def test_equal_or_missing_numbers_still_meet_the_budget(name, value):
    n = 7
    context = TokenContext(
        torch.full((n, 3), value),
        torch.full((n,), value),
        cls_attention={0: torch.full((2, n), value)},
        attention={0: torch.full((2, n, n), value)},
    )
    assert len(make_reduction(name).reduce(context, 3).index) == 3


@pytest.mark.parametrize("name", ALL)
def test_protected_tokens_are_left_alone(name):
    protected = torch.tensor([True, *[False] * 8, True])
    context = random_context(10, 5, protected=protected)
    kept = make_reduction(name).reduce(context, 4)
    assert len(kept.index) == 6
    assert {0, 9} <= set(kept.index.tolist())
    if kept.features is not None:
        ends = kept.groups[[0, 9]]
        assert torch.equal(kept.features[ends], context.features[[0, 9]])
        assert kept.sizes[ends].tolist() == [1, 1]


@given(st.integers(6, 40), st.integers(0, 30), seeds, st.sampled_from(MERGERS))
def test_tiles_do_not_merge_as_long_as_the_budget_allows(n, extra, seed, name):
    tiles = torch.randint(0, 4, (n,), generator=torch.Generator().manual_seed(seed))
    k = min(n - 1, len(tiles.unique()) + extra)
    if k < len(tiles.unique()):
        return
    kept = make_reduction(name).reduce(random_context(n, seed, tile_index=tiles), k)
    assert len(kept.index) == k
    assert torch.equal(tiles[kept.index][kept.groups], tiles)


@pytest.mark.parametrize("name", MERGERS)
def test_a_budget_below_the_number_of_tiles_is_still_met(name):
    kept = make_reduction(name).reduce(random_context(6, 1, tile_index=torch.arange(6)), 2)
    assert len(kept.index) == 2


def test_a_merged_token_stands_in_the_middle_of_its_members():
    x = torch.arange(4, dtype=torch.float64)
    boxes = torch.stack([x, x * 0, x + 1, x * 0 + 1], 1)
    features = torch.tensor([[1.0, 0], [1, 0.01], [1, 0.02], [-1, 0]])
    kept = ToMe().reduce(TokenContext(features, boxes_scene=boxes), 2)
    assert kept.groups.tolist() == [0, 0, 0, 1]
    assert kept.index.tolist() == [1, 3]


def test_matching_in_blocks_finds_what_matching_at_once_finds(monkeypatch):
    metric = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    whole = best_of_odd(metric), crossget_match(metric, torch.rand(50), 0)
    at_once = best_of_odd(metric)
    monkeypatch.setattr(merging, "_BLOCK", 60)
    for one, other in zip(best_of_odd(metric), at_once, strict=True):
        torch.testing.assert_close(one, other)
    assert not len(whole[1][0])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), seeds)
def test_matching_unit_by_unit_finds_what_a_mask_over_all_pairs_finds(a, b, units, seed):
    made = torch.Generator().manual_seed(seed)
    rows, others = (unit_rows(torch.randn(n, 4, generator=made)) for n in (a, b))
    of_row, of_other = (torch.randint(0, units, (n,), generator=made) for n in (a, b))
    forbidden = torch.rand(a, b, generator=made) < 0.2

    def may(row, other):
        return ~forbidden[row[:, None], other]

    def masked(row, other):
        return may(row, other) & (of_row[row, None] == of_other[other])

    best, place = merging.nearest(rows, others, may, (of_row, of_other))
    expected, expected_place = merging.nearest(rows, others, masked)
    torch.testing.assert_close(best, expected)
    found = best > -torch.inf
    assert torch.equal(place[found], expected_place[found])


def test_a_class_token_never_merges_and_no_more_than_half_of_the_rest_does():
    metric = torch.ones(9, 3)
    sources, destinations = tome_pairs(metric, 99, protect_first=True)
    assert sources.tolist() == [2, 4, 6, 8]
    assert destinations.tolist() == [1, 1, 1, 1]  # of equals the first
    with pytest.raises(ModelError, match="at least 0 tokens, got -1"):
        tome_pairs(metric, -1)


def test_crossget_with_equal_importance_merges_by_size_as_published():
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(3))
    sizes = torch.arange(1.0, 13)
    importance = torch.full((12,), 0.3)
    pairs = crossget_match(x, importance, 5)
    tokens, merged, _ = crossget_merge(x, sizes, pairs, importance)
    torch.testing.assert_close((tokens * merged[:, None]).sum(0), (x * sizes[:, None]).sum(0))


@given(st.lists(st.integers(4, 20), min_size=1, max_size=4), seeds)
def test_a_calibrated_threshold_merges_as_many_pairs_as_it_was_asked_for(lengths, seed):
    generator = torch.Generator().manual_seed(seed)
    images = [torch.rand(n, 4, generator=generator) for n in lengths]
    wanted = len(images)
    threshold = batch_threshold(images, 1)
    assert sum(len(dymu_pairs(image, threshold)[0]) for image in images) == wanted


def test_a_threshold_that_cannot_be_is_refused():
    with pytest.raises(ModelError, match="choose a smaller r"):
        batch_threshold([torch.rand(6, 2)], 4)
    with pytest.raises(ModelError, match=r"-1 to 1, got 1\.5"):
        DyMU(1.5)
    with pytest.raises(ModelError, match="at least one threshold"):
        DyMUEncoder(())


def test_adaptive_dymu_keeps_fewer_of_alike_tokens_and_never_more_than_the_budget():
    features = torch.ones(16, 3) + 0.01 * torch.rand(16, 3)
    assert len(DyMU(is_adaptive=True).reduce(TokenContext(features), 8).index) == 1
    assert len(DyMU().reduce(TokenContext(features), 8).index) == 8


def test_virtual_attention_of_an_unmerged_sequence_is_attention():
    q, k, v = torch.randn(3, 1, 2, 7, 4, generator=torch.Generator().manual_seed(0))
    angles = torch.arange(7)[:, None] * torch.tensor([1.0, 0.1])
    rotary = tuple(f(torch.cat([angles, angles], 1))[None] for f in (torch.cos, torch.sin))
    scores = virtual_scores(q, k, torch.arange(7), rotary, 0.5)
    mask = torch.ones(7, 7).triu(1).bool()
    expected = scores.masked_fill(mask, -torch.inf).softmax(-1) @ v
    output = virtual_attention(q, k, v, torch.arange(7), rotary, 0.5)
    torch.testing.assert_close(output, expected)


def test_virtual_attention_of_merged_tokens_is_the_mean_over_members():
    generator = torch.Generator().manual_seed(1)
    groups = torch.tensor([0, 1, 0, 2, 1])
    q, k, v = torch.randn(3, 1, 2, 3, 4, generator=generator)
    angles = torch.rand(1, 5, 4, generator=generator)
    rotary = angles.cos(), angles.sin()
    whole = virtual_attention(
        q[:, :, groups], k[:, :, groups], v[:, :, groups], torch.arange(5), rotary, 0.5
    )
    merged = virtual_attention(q, k, v, groups, rotary, 0.5)
    for group in range(3):
        torch.testing.assert_close(merged[:, :, group], whole[:, :, groups == group].mean(2))


def test_evit_keeps_the_published_share_and_all_at_rate_one():
    x, a = torch.rand(10, 2), torch.rand(10)
    assert len(evit_step(x, a, 0.7)[1]) == 7
    assert torch.equal(evit_step(x, a, 1.0)[0], x)
    with pytest.raises(ModelError, match="at most 1, got 0"):
        evit_step(x, a, 0)


def test_evit_fuses_what_it_drops_into_a_mean_at_the_most_attended_of_it():
    features = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    row = {7: torch.tensor([[0.1, 0.4, 0.3, torch.nan]])}
    kept = EViT().reduce(TokenContext(features, cls_attention=row), 2)
    assert kept.index.tolist() == [1, 2]
    assert kept.groups.tolist() == [1, 0, 1, 1]
    assert kept.sizes.tolist() == [1, 3]
    torch.testing.assert_close(kept.features[:, 0], torch.tensor([2.0, (0.1 + 0.9) / 0.4]))
    with pytest.raises(ModelError, match=r"of layers \[7\], EViT asks for 2"):
        EViT(2).reduce(TokenContext(features, cls_attention=row), 2)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 4), st.integers(1, 4))
def test_masked_super_tokens_keep_a_constant_map_and_share_each_token_once(h, w, ch, cw):
    found = associate(torch.full((3, h, w), 2.5), (ch, cw), 2)
    torch.testing.assert_close(found.shares.sum(-1), torch.ones(h, w))
    torch.testing.assert_close(found.supers, torch.full_like(found.supers, 2.5))
    torch.testing.assert_close(upsample(found), torch.full((3, h, w), 2.5))


@given(st.integers(1, 3), st.integers(1, 3), seeds)
def test_super_tokens_of_a_mirrored_map_are_mirrored(ch, cw, seed):
    # cells begin at the left edge, so mirroring holds for whole cells
    features = torch.randn(4, 2 * ch, 3 * cw, generator=torch.Generator().manual_seed(seed))
    found, mirrored = (associate(x, (ch, cw)).supers for x in (features, features.flip(2)))
    torch.testing.assert_close(mirrored.flip(2), found)


@given(st.integers(1, 12), st.integers(1, 150))
def test_cells_give_at_most_the_budget_and_all_of_it_where_they_can(side, k):
    h, w = cell_for((side, side), k)
    assert -(-side // h) * -(-side // w) <= k
    if k >= side * side:
        assert (h, w) == (1, 1)


def test_an_impossible_super_token_is_refused():
    with pytest.raises(ModelError, match="at least 1 x 1"):
        associate(torch.zeros(2, 3, 3), (0, 1))
    with pytest.raises(ModelError, match="square grid of patches, got 8"):
        STViTEncoder().start(8, 2, 3)


def test_flowcut_takes_zero_attention_and_single_tokens():
    assert prune_count(torch.tensor([1.0, 0.0, 0.0]), 1, 1) == 2
    assert prune_count(torch.full((8,), 0.1), 2, 1) == 0
    assert prune_count(torch.ones(1), 1, 1) == 0
    score = flowcut_score(torch.zeros(3), torch.ones(3), torch.ones(3, 2))
    torch.testing.assert_close(score, torch.full((3,), 2 / 3))


def test_flowcut_under_even_attention_drops_all_at_the_end():
    n = 12
    run = FlowCutEncoder().start(n, 4, 7)
    counts = []
    for layer in range(6):
        view = LayerView(
            layer,
            torch.zeros(n, 2),
            torch.arange(n),
            torch.ones(n),
            class_row=torch.full((2, n), 1 / (n + 1)),
            values=torch.randn(2, n + 1, 3, generator=torch.Generator().manual_seed(layer)),
        )
        kept = run.step(view)
        n = n if kept is None else len(kept.index)
        counts.append(n)
    assert counts == [12, 12, 12, 12, 12, 4]


@given(st.integers(2, 20), st.integers(1, 20), seeds)
def test_zero_tprune_follows_its_tokens_wherever_they_stand(n, k, seed):
    context = random_context(n, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    moved = context.select(order)
    kept = ZeroTPrune().reduce(context, k).index
    assert sorted(order[ZeroTPrune().reduce(moved, k).index].tolist()) == kept.tolist()


def test_importance_flows_without_loss_and_evenly_in_an_even_graph():
    graph = torch.rand(3, 9, 9, generator=torch.Generator().manual_seed(1)).softmax(-1)
    for iterations in (1, 4):
        sums = page_rank(graph, iterations, has_class=True).sum(1)
        torch.testing.assert_close(sums, torch.ones(3))
    even = page_rank(torch.full((1, 4, 4), 0.25), 3)
    torch.testing.assert_close(even, torch.full((1, 4), 0.25))
    assert head_filter(even).tolist() == [True]


def test_what_is_quadratic_refuses_too_many_tokens(monkeypatch):
    monkeypatch.setattr(zero_tprune, "_MOST_TOKENS", 5)
    monkeypatch.setattr(virtual_unmerging, "_MOST_TOKENS", 5)
    with pytest.raises(ModelError, match=r"up to 5 tokens.*or choose flowcut"):
        ZeroTPrune().reduce(random_context(6, 0), 2)
    q = torch.zeros(1, 1, 2, 4)
    with pytest.raises(ModelError, match="up to 5 tokens, got 6"):
        virtual_scores(q, q, torch.zeros(6, dtype=torch.int64), (q[0], q[0]), 1)


@given(st.integers(2, 600), st.integers(1, 599), st.integers(1, 30))
def test_schedules_fall_to_exactly_the_budget(n, k, steps):
    k = min(k, n - 1)
    for counts in (geometric_counts(n, k, steps), steady_counts(n, k, steps)):
        assert len(counts) == steps
        assert list(counts) == sorted(counts, reverse=True)
        assert counts[-1] == k
        assert counts[0] <= n


def test_methods_of_few_steps_act_at_the_quarters():
    assert acting_layers(12) == (3, 6, 9)
    assert acting_layers(1) == (0,)
    assert acting_layers(12, (5, 2)) == (2, 5)
