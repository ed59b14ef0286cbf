"""What holds for all tokens that merge or leave inside an encoder, whatever their values."""

import pytest
import torch
from encoder_toys import random_context
from hypothesis import given
from hypothesis import strategies as st

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.decoder import virtual_unmerging
from geofovea.regionfocus.reductions.decoder.virtual_unmerging import (
    virtual_scores,
)
from geofovea.regionfocus.reductions.encoder import zero_tprune
from geofovea.regionfocus.reductions.encoder.base import LayerView
from geofovea.regionfocus.reductions.encoder.tome import ToMe
from geofovea.regionfocus.reductions.encoder.zero_tprune import (
    ZeroTPrune,
)
from geofovea.regionfocus.reductions.registry import (
    ENCODER_REDUCTION_NAMES,
    make_encoder_reduction,
    make_reduction,
)

MERGERS = ("tome", "dymu", "crossget")
ALL = (*MERGERS, "evit", "zero_tprune")
seeds = st.integers(0, 999)


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


def test_what_is_quadratic_refuses_too_many_tokens(monkeypatch):
    monkeypatch.setattr(zero_tprune, "_MOST_TOKENS", 5)
    monkeypatch.setattr(virtual_unmerging, "_MOST_TOKENS", 5)
    with pytest.raises(ModelError, match=r"up to 5 tokens.*or choose flowcut"):
        ZeroTPrune().reduce(random_context(6, 0), 2)
    q = torch.zeros(1, 1, 2, 4)
    with pytest.raises(ModelError, match="up to 5 tokens, got 6"):
        virtual_scores(q, q, torch.zeros(6, dtype=torch.int64), (q[0], q[0]), 1)
