"""Crossget inside an encoder: recorded numbers, worked examples, bounds."""

import pytest
import torch
from encoder_toys import CLASS_ATTENTION, ONES, X, near
from reduction_vectors import close, read, vector_files
from released_mergers import crossget_importance, crossget_merge

from geofovea.regionfocus.reductions.encoder.crossget import crossget_match, rank_tokens


def test_crossget_with_equal_importance_merges_by_size_as_published():
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(3))
    sizes = torch.arange(1.0, 13)
    importance = torch.full((12,), 0.3)
    pairs = crossget_match(x, importance, 5)
    tokens, merged, _ = crossget_merge(x, sizes, pairs, importance)
    torch.testing.assert_close((tokens * merged[:, None]).sum(0), (x * sizes[:, None]).sum(0))


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


@pytest.mark.parametrize("path", vector_files("crossget_"))
def test_crossget_matches_and_merges_as_published(path):
    data, params = read(path)
    flavour = data["in_metric"] if len(data["in_query"]) == 1 else None
    importance = crossget_importance(data["in_query"], flavour)
    # beside a class token the last token is the cross token, and neither merges
    protected = torch.zeros(len(importance), dtype=torch.bool)
    protected[[0, -1]] = params["class_token"]
    pairs = crossget_match(
        data["in_metric"],
        importance,
        params["r"],
        data["in_rank_order"],
        protected=protected,
    )
    sources, destinations = data["out_src_idx"], data["out_dst_all_idx"][data["out_dst_idx"]]
    expected = dict(zip(sources.tolist(), destinations.tolist(), strict=True))
    assert dict(zip(pairs[0].tolist(), pairs[1].tolist(), strict=True)) == expected
    stays = torch.ones(len(importance), dtype=torch.bool)
    stays[pairs[0]] = False
    assert set(stays.nonzero()[:, 0].tolist()) == set(data["out_dst_all_idx"].tolist())
    tokens, sizes, weights = crossget_merge(data["in_x"], data["in_size"][:, 0], pairs, importance)
    close(tokens, data["out_tokens"])
    close(sizes, data["out_size"], 1e-6)
    order = [sources.tolist().index(source) for source in pairs[0].tolist()]
    close(weights, data["out_weight"][order])
