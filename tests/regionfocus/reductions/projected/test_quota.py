"""Quotas of tiles: recorded numbers, worked examples, bounds."""

import pytest
import torch
from reduction_vectors import close, load, near, noise, vector_files
from released_reductions import capped_shares, released_counts, resize_tokens

from geofovea.errors import BudgetError, GeometryError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.allotment import allot_tokens
from geofovea.regionfocus.reductions.projected.quota import Quota, quota_weights


def test_quota_is_that_of_the_worked_example():
    weights = quota_weights([0.9, 0.5, 0.2, 0.05])
    near(weights, [0.73469, 0.22676, 0.03628, 0.00227])
    assert released_counts(weights, 32) == [23, 7, 1, 0]
    assert allot_tokens(weights, [32] * 4, 32) == [24, 7, 1, 0]
    near(capped_shares([0.6, 0.2, 0.15, 0.05], 0.3), [0.3, 0.28571, 0.21429, 0.07143])


@pytest.mark.parametrize("path", vector_files("quota_v"))
def test_quota_resizes_tiles_as_the_released_code(path):
    params, inputs, outputs = load(path)
    total = params["total"] * params["max_token"]
    counts = [n for n in released_counts(inputs["weights"].tolist(), total) if n]
    assert len(counts) == len(outputs)
    grid = (params["grid"], params["grid"])
    for frame, count in enumerate(counts):
        found = resize_tokens(inputs["x"][frame], grid, count, params["version"])
        close(found, outputs[f"frame{frame}"])


@pytest.mark.parametrize("path", vector_files("quota_scale"))
def test_quota_caps_shares_as_the_released_code(path):
    params, inputs, outputs = load(path)
    found = capped_shares(inputs["weights"].tolist(), params["max_value"])
    close(torch.tensor(found, dtype=torch.float64), outputs["scaled"])


@pytest.mark.parametrize("version", ["v1", "v2", "v3", "v4", "v5"])
def test_resized_tokens_never_exceed_their_count(version):
    x = noise(20, 3, seed=4)
    for count in range(1, 21):
        found = resize_tokens(x, (4, 5), count, version)
        assert 1 <= len(found) <= count
        assert version not in ("v3", "v4") or len(found) == count
    with pytest.raises(BudgetError, match="ask for 1 to as many"):
        resize_tokens(x, (4, 5), 0, version)
    with pytest.raises(GeometryError, match="does not hold 20"):
        resize_tokens(x, (4, 4), 3, version)


def test_quota_gives_tiles_tokens_by_their_squared_scores():
    scores = torch.tensor([0.9] * 10 + [0.3] * 10 + [0.0] * 10)
    context = TokenContext(torch.zeros(30, 1), scores, tile_index=torch.arange(30) // 10)
    assert Quota().reduce(context, 10).info["per_tile"] == {0: 9, 1: 1, 2: 0}
