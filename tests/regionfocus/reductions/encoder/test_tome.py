"""Tome inside an encoder: recorded numbers, worked examples, bounds."""

import pytest
import torch
from encoder_toys import ONES, X, adjacency, near
from reduction_vectors import close, read, vector_files
from released_mergers import merge_once

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.encoder.tome import tome_pairs


def test_a_class_token_never_merges_and_no_more_than_half_of_the_rest_does():
    metric = torch.ones(9, 3)
    sources, destinations = tome_pairs(metric, 99, protect_first=True)
    assert sources.tolist() == [2, 4, 6, 8]
    assert destinations.tolist() == [1, 1, 1, 1]  # of equals the first
    with pytest.raises(ModelError, match="at least 0 tokens, got -1"):
        tome_pairs(metric, -1)


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


@pytest.mark.parametrize("path", vector_files("tome_"))
def test_tome_merges_as_published(path):
    data, params = read(path)
    tokens, sizes, groups = merge_once(
        data["in_x"],
        data["in_metric"],
        data["in_size"][:, 0],
        params["r"],
        protect_first=params["class_token"],
    )
    close(tokens, data["out_tokens"], 1e-5)
    close(sizes, data["out_size"], 1e-6)
    assert torch.equal(adjacency(groups, len(tokens)), data["out_source"])
    close(tokens[groups], data["out_unmerged"], 1e-5)
