"""Zero tprune inside an encoder: recorded numbers, worked examples, bounds."""

import torch
from encoder_toys import X, near, random_context
from hypothesis import given
from hypothesis import strategies as st

from geofovea.regionfocus.reductions.encoder.zero_tprune import (
    ZeroTPrune,
    combine_heads,
    drop_alike,
    head_filter,
    page_rank,
)
from geofovea.regionfocus.scoring import top_indices

seeds = st.integers(0, 999)


def patch_attention():
    rows = [
        [[(3 * i + 5 * j + i * j + 2 * h) % 7 / 2 for j in range(8)] for i in range(8)]
        for h in range(2)
    ]
    return torch.tensor(rows).softmax(-1)


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


def test_zero_tprune_ranks_drops_the_alike_and_keeps_the_important():
    ranks = page_rank(patch_attention(), 5)
    near(ranks.sum(1), [1.0, 1.0])
    near((8 * ranks).var(1, correction=0), [0.44158, 0.07811])
    assert head_filter(ranks).tolist() == [True, True]
    importance = combine_heads(ranks)
    near(importance, [0.11775, 0.1199, 0.11784, 0.10626, 0.2446, 0.13659, 0.10821, 0.11775])
    assert drop_alike(X, importance, 2).tolist() == [1, 2, 4, 5, 6, 7]
    assert top_indices(importance, 4).sort().values.tolist() == [1, 2, 4, 5]
