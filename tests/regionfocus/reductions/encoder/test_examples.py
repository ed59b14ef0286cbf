"""The eight-token examples of the specification, as literal tables."""

import math

import pytest
import torch
from released_mergers import crossget_merge, dymu_merge, evit_step, merge_once

from geofovea.regionfocus.reductions.encoder.crossget import crossget_match, rank_tokens
from geofovea.regionfocus.reductions.encoder.flowcut import (
    entropy_ratio,
    flowcut_llm_score,
    flowcut_score,
    key_relation,
    prune_count,
)
from geofovea.regionfocus.reductions.encoder.zero_tprune import (
    combine_heads,
    drop_alike,
    head_filter,
    page_rank,
)
from geofovea.regionfocus.scoring import top_indices

X = torch.tensor(
    [
        [1, 0, 0],
        [0.9, 0.1, 0],
        [0, 1, 0],
        [0, 0.9, 0.2],
        [0, 0, 1],
        [0.5, 0.5, 0.1],
        [-1, 0, 0.1],
        [0.2, 0.1, 0.9],
    ]
)
CLASS_ATTENTION = torch.tensor([0.05, 0.22, 0.10, 0.08, 0.03, 0.30, 0.12, 0.10])
ONES = torch.ones(8)


def patch_attention():
    rows = [
        [[(3 * i + 5 * j + i * j + 2 * h) % 7 / 2 for j in range(8)] for i in range(8)]
        for h in range(2)
    ]
    return torch.tensor(rows).softmax(-1)


def near(values, expected, tolerance=2e-5):
    torch.testing.assert_close(values, torch.tensor(expected), rtol=0, atol=tolerance)


def test_tome_merges_two_pairs():
    tokens, sizes, groups = merge_once(X, X, ONES, 2)
    near(
        tokens,
        [
            [0, 0, 1.0],
            [-1, 0, 0.1],
            [0.95, 0.05, 0],
            [0, 0.95, 0.1],
            [0.5, 0.5, 0.1],
            [0.2, 0.1, 0.9],
        ],
    )
    assert sizes.tolist() == [1, 1, 2, 2, 1, 1]
    assert groups.tolist() == [2, 2, 3, 3, 0, 4, 1, 5]


def test_dymu_merges_what_exceeds_a_threshold():
    tokens, sizes, groups = dymu_merge(X, X, 0.95)
    assert groups.tolist() == [1, 1, 2, 2, 4, 3, 0, 4]
    assert sizes.tolist() == [1, 2, 2, 1, 2]
    near(tokens[4], [0.1, 0.05, 0.95])


def test_crossget_lets_the_unimportant_join_the_alike():
    order, best = rank_tokens(X)
    near(best, [0.99388, 0.99388, 0.97619, 0.97619, 0.97049, 0.77318, 0.0995, 0.97049])
    assert order.tolist() == [0, 1, 2, 3, 4, 7, 5, 6]
    pairs = crossget_match(X, CLASS_ATTENTION, 2)
    assert [p.tolist() for p in pairs] == [[0, 4], [1, 7]]
    tokens, sizes, weights = crossget_merge(X, ONES, pairs, CLASS_ATTENTION)
    near(weights, [[0.4576, 0.5424], [0.48251, 0.51749]])
    near(
        tokens,
        [
            [0.94576, 0.05424, 0],
            [0, 1, 0],
            [0, 0.9, 0.2],
            [0.5, 0.5, 0.1],
            [-1, 0, 0.1],
            [0.1035, 0.05175, 0.94825],
        ],
    )
    assert sizes.tolist() == [2, 1, 1, 1, 1, 2]


def test_evit_keeps_half_and_sums_up_the_rest():
    tokens, kept = evit_step(X, CLASS_ATTENTION, 0.5)
    assert kept.tolist() == [5, 1, 6, 2]
    near(tokens[-1], [0.07, 0.082, 0.136])
    assert torch.equal(tokens[:4], X[kept])


def test_flowcut_scores_counts_and_remembers():
    affinity = torch.tensor([0.2, 0.1, 0.1, 0.1, 0.2, 0.1, 0.1, 0.1])
    score = flowcut_score(CLASS_ATTENTION, affinity, X)
    near(score, [0.25, 0.32, 0.2, 0.198, 0.23, 0.44, 0.242, 0.24])
    assert entropy_ratio(CLASS_ATTENTION).item() == pytest.approx(0.8974959, rel=1e-5)
    raw = (8 - 3) / math.sqrt(4) * (1 - entropy_ratio(CLASS_ATTENTION).item() ** 2)
    assert raw == pytest.approx(0.48625, abs=1e-5)
    assert prune_count(CLASS_ATTENTION, 3, 4) == 0
    assert prune_count(CLASS_ATTENTION, 3, 2) == 1
    remembered = 0.5 * score.mean() + 0.5 * score
    near(remembered, [0.2575, 0.2925, 0.2325, 0.2315, 0.2475, 0.3525, 0.2535, 0.2525])


def test_flowcut_scores_in_a_decoder():
    values = X.flip(1)
    relation = key_relation(torch.tensor([[0.1, 0.2, 1.0]]), X[None])
    near(
        relation,
        [0.10438, 0.10498, 0.11058, 0.12269, 0.1755, 0.11382, 0.09852, 0.16952],
    )
    affinity = key_relation(torch.tensor([[0.3, 0.3, 0.3]]), values[None])
    score = flowcut_llm_score(relation, affinity, values)
    near(score, [0.23275, 0.23336, 0.23896, 0.27864, 0.30387, 0.26888, 0.20999, 0.36291])
    assert top_indices(score, 4).sort().values.tolist() == [3, 4, 5, 7]


def test_zero_tprune_ranks_drops_the_alike_and_keeps_the_important():
    ranks = page_rank(patch_attention(), 5)
    near(ranks.sum(1), [1.0, 1.0])
    near((8 * ranks).var(1, correction=0), [0.44158, 0.07811])
    assert head_filter(ranks).tolist() == [True, True]
    importance = combine_heads(ranks)
    near(importance, [0.11775, 0.1199, 0.11784, 0.10626, 0.2446, 0.13659, 0.10821, 0.11775])
    assert drop_alike(X, importance, 2).tolist() == [1, 2, 4, 5, 6, 7]
    assert top_indices(importance, 4).sort().values.tolist() == [1, 2, 4, 5]
