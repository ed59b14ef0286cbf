"""Properties that all reductions share, over every one that is registered, and those of families.

The context has every field that a host may give. A reduction that is not named in a family below is
held to the properties of all: an exact budget above all.
"""

from dataclasses import fields, replace
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from geofovea.errors import BudgetError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.similarity import cosine_matrix
from geofovea.regionfocus.reductions.projected.fopru import FoPru
from geofovea.regionfocus.reductions.projected.holov import HoloV
from geofovea.regionfocus.reductions.projected.vflowopt import VFlowOpt
from geofovea.regionfocus.reductions.registry import REDUCTION_NAMES, make_reduction
from geofovea.regionfocus.uniform_sampling import even_positions

EVERY = pytest.mark.parametrize("name", REDUCTION_NAMES)
few = settings(max_examples=8)
seeds = st.integers(0, 9999)
grids = st.tuples(st.integers(1, 6), st.integers(1, 6))

AT_MOST = {"m3", "pooled", "vqtoken"}
"""Their outputs are rectangles of a grid, whose number is not any number."""

TOP_OF_A_SCORE = ("top_score", "lrs_vqa", "fastervlm", "vtc_cls", "fopru")
EQUIVARIANT = (
    *TOP_OF_A_SCORE,
    *("divprune", "todre", "catp", "prumerge", "recoverable", "tokencorr"),
    # by place, which a token takes along
    *("holov", "hiprune", "vflowopt"),
)
NESTED = (*TOP_OF_A_SCORE, "divprune", "todre", "catp")
BY_SCORE = (*TOP_OF_A_SCORE, "holov", "hiprune", "prumerge", "recoverable", "tokencorr")
MEANS_OF_GROUPS = ("visionzip", "vflowopt", "m3", "pooled", "vqtoken")
CONSERVING = ("visionzip", "m3", "pooled", "vqtoken")
SCORES = ("scores", "received", "cls_attention", "attention", "text_similarity")


def rich(grid, seed, dim=5):
    """Tokens of one tile that know all that there is to know."""
    n, made = grid[0] * grid[1], torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(*shape, generator=made)

    place = torch.arange(n)
    corners = torch.stack([place % grid[1], place // grid[1]], dim=1).double() * 14
    return TokenContext(
        features=rand(n, dim) - 0.5,
        scores=rand(n),
        levels=torch.zeros(n, dtype=torch.int64),
        tile_index=torch.zeros(n, dtype=torch.int64),
        boxes_scene=torch.cat([corners, corners + 14], dim=1),
        grid=grid,
        cls_attention={layer: rand(2, n) for layer in (4, 8, 12)},
        received={layer: rand(n) for layer in (4, 8, 12)},
        attention={12: (3 * rand(2, n, n)).softmax(dim=-1)},
        keys=rand(n, 4) - 0.5,
        encoder_hidden=rand(n, 7),
        entropy=8 * rand(n),
        text_embeds=rand(3, dim) - 0.5,
        text_similarity=rand(n),
        protected=torch.zeros(n, dtype=torch.bool),
    )


def changed(context, change, names=None):
    """The context with its tensors of floats changed, maps by layer included."""
    names = names or [f.name for f in fields(TokenContext)]
    new = {}
    for name in names:
        value = getattr(context, name)
        if isinstance(value, dict):
            new[name] = {layer: change(table) for layer, table in value.items()}
        elif isinstance(value, torch.Tensor) and value.dtype == torch.float32:
            new[name] = change(value)
    return replace(context, **new)


def chosen(name, context, k):
    return make_reduction(name).reduce(context, k)


def same(one, two):
    assert one.index.tolist() == two.index.tolist()
    for a, b in ((one.features, two.features), (one.groups, two.groups), (one.sizes, two.sizes)):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)


@EVERY
@few
@given(grid=grids, seed=seeds, data=st.data())
def test_the_choice_is_ascending_and_as_large_as_the_budget(name, grid, seed, data):
    n = grid[0] * grid[1]
    k = data.draw(st.integers(-1, n + 2))
    kept = chosen(name, rich(grid, seed), k)
    index = kept.index.tolist()
    assert index == sorted(set(index))
    assert all(0 <= i < n for i in index)
    clipped = min(max(k, 1), n)
    assert len(index) <= clipped if name in AT_MOST else len(index) == clipped
    assert len(index) >= 1


@EVERY
def test_a_budget_that_holds_all_tokens_leaves_them_as_they_are(name):
    for k in (12, 13, 99):
        kept = chosen(name, rich((3, 4), 1), k)
        assert kept.index.tolist() == list(range(12))
        assert kept.features is None
        assert kept.groups is None
    assert chosen(name, rich((0, 4), 1), 3).index.tolist() == []


@EVERY
def test_a_reduction_that_says_that_it_merges_does_so(name):
    kept = chosen(name, rich((6, 6), 1), 9)
    assert (kept.features is not None) == make_reduction(name).merges


@EVERY
@few
@given(grid=grids, seed=seeds, data=st.data())
def test_outputs_that_stand_for_several_tokens_say_for_which(name, grid, seed, data):
    n = grid[0] * grid[1]
    context = rich(grid, seed)
    kept = chosen(name, context, data.draw(st.integers(1, n)))
    k = len(kept.index)
    if kept.features is not None:
        assert make_reduction(name).merges
        assert kept.features.shape == (k, context.features.shape[1])
        assert kept.features.dtype == context.features.dtype
        assert bool(kept.features.isfinite().all())
        low, high = context.features.amin(dim=0), context.features.amax(dim=0)
        assert bool(((kept.features >= low - 1e-5) & (kept.features <= high + 1e-5)).all())
    if kept.groups is not None:
        assert kept.groups.shape == (n,)
        assert -1 <= int(kept.groups.min()) <= int(kept.groups.max()) < k
        assert torch.equal(kept.groups[kept.index], torch.arange(k))
    if kept.sizes is not None:
        assert kept.sizes.shape == (k,)
        assert 1 <= int(kept.sizes.sum()) <= n


@EVERY
@few
@given(grid=grids, seed=seeds, data=st.data())
def test_protected_tokens_are_kept_untouched_and_never_counted(name, grid, seed, data):
    n = grid[0] * grid[1]
    context = rich(grid, seed)
    protected = torch.rand(n, generator=torch.Generator().manual_seed(seed)) < 0.3
    context = replace(context, protected=protected)
    k = data.draw(st.integers(1, n))
    kept = chosen(name, context, k)
    always, others = int(protected.sum()), int((~protected).sum())
    assert set(protected.nonzero()[:, 0].tolist()) <= set(kept.index.tolist())
    assert always <= len(kept.index) <= always + min(k, others)
    if name not in AT_MOST:
        assert len(kept.index) == always + min(k, others)
    if kept.features is not None:
        is_protected = protected[kept.index]
        assert torch.equal(kept.features[is_protected], context.features[kept.index[is_protected]])
        assert kept.groups is None or torch.equal(
            kept.groups[kept.index], torch.arange(len(kept.index))
        )


@EVERY
@few
@given(grid=grids, seed=seeds, data=st.data())
def test_calls_are_repeatable_and_leave_their_input_alone(name, grid, seed, data):
    context = rich(grid, seed)
    k = data.draw(st.integers(1, grid[0] * grid[1]))
    one, two = chosen(name, context, k), chosen(name, context, k)
    same(one, two)
    for f in fields(TokenContext):
        value, fresh = getattr(context, f.name), getattr(rich(grid, seed), f.name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, fresh), f.name
        elif isinstance(value, dict):
            assert all(torch.equal(value[layer], fresh[layer]) for layer in fresh), f.name


@EVERY
@few
@given(grid=grids, seed=seeds, data=st.data())
def test_half_precision_chooses_like_its_copy_in_single_precision(name, grid, seed, data):
    half = changed(rich(grid, seed), lambda x: x.to(torch.bfloat16))
    single = replace(half)
    for f in fields(TokenContext):
        value = getattr(half, f.name)
        if isinstance(value, dict):
            single = replace(single, **{f.name: {k: v.float() for k, v in value.items()}})
        elif isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16:
            single = replace(single, **{f.name: value.float()})
    k = data.draw(st.integers(1, grid[0] * grid[1]))
    assert torch.equal(chosen(name, half, k).index, chosen(name, single, k).index)


@EVERY
@few
@given(grid=grids, seed=seeds, data=st.data())
def test_the_length_of_all_features_does_not_matter(name, grid, seed, data):
    context = rich(grid, seed)
    longer = changed(context, lambda x: 8 * x, ("features", "keys", "encoder_hidden"))
    k = data.draw(st.integers(1, grid[0] * grid[1]))
    assert torch.equal(chosen(name, context, k).index, chosen(name, longer, k).index)


@EVERY
def test_equal_tokens_are_chosen_from_without_an_error(name):
    flat = changed(rich((5, 6), 0), lambda x: torch.full_like(x, 0.25))
    for k in (1, 4, 29):
        kept = chosen(name, flat, k)
        assert 1 <= len(kept.index) <= k
        assert name in AT_MOST or len(kept.index) == k
        if name in TOP_OF_A_SCORE or name in ("divprune", "todre", "catp"):
            assert kept.index.tolist() == list(range(k))


@EVERY
def test_tiny_sets_of_tokens_do_not_raise(name):
    for n in (1, 2, 3, 4, 20, 21, 33):
        for k in {1, 2, n - 1, n} - {0}:
            assert 1 <= len(chosen(name, rich((1, n), n), k).index) <= k


@pytest.mark.parametrize("name", EQUIVARIANT)
@few
@given(grid=grids, seed=seeds, data=st.data())
def test_the_order_of_the_tokens_does_not_matter(name, grid, seed, data):
    n = grid[0] * grid[1]
    context = rich(grid, seed)
    if name == "divprune" and n > 1:
        # two that are each other's nearest are equally isolated, and the first of them starts
        distance = (1 - cosine_matrix(context.features)).fill_diagonal_(torch.inf)
        most, next_most = distance.amin(dim=1).topk(2).values
        assume(most - next_most > 1e-5)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed + 1))
    k = data.draw(st.integers(1, n))
    kept = chosen(name, context.select(order), k).index
    assert order[kept].sort().values.tolist() == chosen(name, context, k).index.tolist()


@pytest.mark.parametrize("name", ["holov", "hiprune", "fopru", "vflowopt", "m3", "pooled"])
@few
@given(seed=seeds, k=st.sampled_from([4, 9]))
def test_what_acts_on_a_grid_gives_the_mirrored_outcome_of_a_mirrored_grid(name, seed, k):
    side = 6
    context = rich((side, side), seed)
    mirror = torch.arange(side * side).reshape(side, side).flip(1).flatten()
    # the tokens themselves change places, while their grid stays
    mirrored = replace(context.select(mirror), cells=context.select(torch.arange(36)).cells)
    # cells of whole numbers of tokens lie the same way from either edge
    mended = {"holov": HoloV(crops=4), "vflowopt": VFlowOpt(m=3.0), "fopru": FoPru("row")}
    reduction = mended.get(name) or make_reduction(name)
    one, two = reduction.reduce(context, k), reduction.reduce(mirrored, k)
    if name in MEANS_OF_GROUPS and one.groups is not None:
        # which of equally central tokens a rectangle stands at is a matter of order
        together = one.groups[:, None] == one.groups
        assert torch.equal(together[mirror][:, mirror], two.groups[:, None] == two.groups)
    else:
        assert mirror[two.index].sort().values.tolist() == one.index.tolist()


@pytest.mark.parametrize("name", NESTED)
@few
@given(grid=grids, seed=seeds)
def test_a_larger_budget_keeps_what_a_smaller_one_kept(name, grid, seed):
    context = rich(grid, seed)
    n = grid[0] * grid[1]
    kept = [set(chosen(name, context, k).index.tolist()) for k in range(1, n + 1)]
    assert all(small <= large for small, large in pairwise(kept))


@pytest.mark.parametrize("name", ["top_score", "lrs_vqa", "fastervlm", "fopru"])
@few
@given(grid=grids, seed=seeds, data=st.data())
def test_only_the_order_of_a_score_matters(name, grid, seed, data):
    context = rich(grid, seed)
    context = replace(context, attention=None, cls_attention={12: context.cls_attention[12][:1]})
    bent = changed(context, lambda x: 4 * x + x.sign(), SCORES)
    k = data.draw(st.integers(1, grid[0] * grid[1]))
    assert torch.equal(chosen(name, context, k).index, chosen(name, bent, k).index)


@pytest.mark.parametrize("name", BY_SCORE)
@few
@given(grid=st.tuples(st.integers(2, 6), st.integers(2, 6)), seed=seeds, data=st.data())
def test_a_token_without_a_number_is_never_kept_before_others(name, grid, seed, data):
    n = grid[0] * grid[1]
    broken = data.draw(st.integers(0, n - 1))
    # what nobody can tell of a token is missing from its column of a map as well
    spoil = torch.arange(n) == broken
    context = changed(rich(grid, seed), lambda x: x.masked_fill(spoil, torch.nan), SCORES)
    context = replace(context, attention=None) if name == "fopru" else context
    kept = chosen(name, context, data.draw(st.integers(1, n - 1)))
    assert broken not in kept.index.tolist()


@pytest.mark.parametrize("name", BY_SCORE)
def test_without_any_number_even_positions_are_kept_and_it_is_said(name):
    context = changed(rich((5, 6), 3), lambda x: torch.full_like(x, torch.nan), SCORES)
    kept = chosen(name, context, 7)
    if name == "prumerge":
        # its summary stands for the others, at a place of its own
        assert len(kept.index) == 7
    else:
        assert kept.index.tolist() == even_positions(30, 7)
    assert kept.info["fallback"] == "uniform"


@pytest.mark.parametrize("name", MEANS_OF_GROUPS)
@few
@given(grid=grids, seed=seeds, data=st.data())
def test_a_merged_token_lies_between_those_that_it_stands_for(name, grid, seed, data):
    context = rich(grid, seed)
    kept = chosen(name, context, data.draw(st.integers(1, grid[0] * grid[1])))
    if kept.groups is None:
        return
    for row, value in enumerate(kept.features):
        members = context.features[kept.groups == row]
        assert len(members) == int(kept.sizes[row])
        assert bool((value >= members.amin(dim=0) - 1e-5).all())
        assert bool((value <= members.amax(dim=0) + 1e-5).all())


@pytest.mark.parametrize("name", CONSERVING)
@few
@given(grid=grids, seed=seeds, data=st.data())
def test_merging_conserves_the_mass_of_all_tokens(name, grid, seed, data):
    context = rich(grid, seed)
    kept = chosen(name, context, data.draw(st.integers(1, grid[0] * grid[1])))
    if kept.sizes is not None:
        assert int(kept.sizes.sum()) == grid[0] * grid[1]
        whole = kept.sizes.double() @ kept.features.double()
        torch.testing.assert_close(whole, context.features.double().sum(dim=0), rtol=0, atol=1e-4)


@EVERY
@few
@given(seed=seeds, data=st.data())
def test_tiles_share_the_budget_and_their_tokens_stay_apart(name, seed, data):
    tiles = torch.arange(36) % 3
    context = replace(rich((6, 6), seed), tile_index=tiles)
    if "attention" not in make_reduction(name).requires:
        context = replace(context, attention=None)
    k = data.draw(st.integers(1, 35))
    kept = chosen(name, context, k)
    assert len(kept.index) <= k if name in AT_MOST else len(kept.index) == k
    if (shares := kept.info.get("per_tile")) is not None:
        assert sum(shares.values()) == k
        if kept.groups is not None:
            merged = kept.groups >= 0
            assert torch.equal(tiles[kept.index][kept.groups[merged]], tiles[merged])
        # the attention of one tile says nothing about another
        louder = torch.where(tiles == 1, 64.0, 1.0)
        loud = changed(context, lambda x: x * louder, ("cls_attention", "received"))
        assert torch.equal(chosen(name, loud, k).index, kept.index)


def test_methods_with_a_quadratic_table_refuse_too_many_tokens():
    n = 8193
    many = TokenContext(
        torch.ones(n, 2), text_embeds=torch.ones(1, 2), cls_attention={0: torch.ones(1, n)}
    )
    with pytest.raises(BudgetError, match="takes at most 8192"):
        chosen("catp", many, 5)
    with pytest.raises(BudgetError, match="takes at most 8192"):
        HoloV(crops=1, crop_score="combined").reduce(replace(many, grid=(n, 1)), 5)
