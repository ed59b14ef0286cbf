"""Dymu inside an encoder: recorded numbers, worked examples, bounds."""

import pytest
import torch
from encoder_toys import X, adjacency, near
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import close, read, vector_files
from released_mergers import dymu_merge

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.encoder.dymu import (
    DyMU,
    DyMUEncoder,
    batch_threshold,
    dymu_pairs,
)

seeds = st.integers(0, 999)


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


def test_dymu_merges_what_exceeds_a_threshold():
    tokens, sizes, groups = dymu_merge(X, X, 0.95)
    assert groups.tolist() == [1, 1, 2, 2, 4, 3, 0, 4]
    assert sizes.tolist() == [1, 2, 2, 1, 2]
    near(tokens[4], [0.1, 0.05, 0.95])


@pytest.mark.parametrize("path", vector_files("dymu_threshold_"))
def test_dymu_merges_what_exceeds_the_threshold_as_published(path):
    data, params = read(path)
    tokens, sizes, groups = dymu_merge(data["in_x"], data["in_metric"], params["threshold"])
    close(tokens, data["out_tokens"])
    close(sizes, data["out_size"], 1e-6)
    assert torch.equal(adjacency(groups, len(tokens)), data["out_pos_tracking"])
    close(tokens[groups], data["out_expanded"])


@pytest.mark.parametrize("path", vector_files("dymu_batch_threshold"))
def test_dymu_calibrates_the_published_threshold(path):
    data, params = read(path)
    found = batch_threshold(list(data["in_metric"]), params["r"])
    assert found == pytest.approx(data["out_threshold"].item(), rel=1e-5)
