"""HoloV: recorded numbers, worked examples, bounds, and the formulas computed again."""

import math

import numpy as np
import pytest
import torch
from reduction_vectors import CLS, SECOND, X, close, load, vector_files
from released_reductions import holov_released

from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.projected.holov import (
    HoloV,
    crop_scores,
    keep_by_crop,
    qwen_budget,
    variances,
)

FALLING = torch.tensor([0.4, 0.3, 0.1, 0.1, 0.02, 0.02, 0.03, 0.03])


def test_holov_released_and_mended_are_those_of_the_worked_examples():
    positions, _ = holov_released(X, CLS, 3, crops=2)
    assert sorted(positions.tolist()) == [1, 5, 6]
    positions, padded = holov_released(X, FALLING, 6, crops=4)
    assert positions.tolist() == [0, 1, 2, -1, -1, -1]
    assert torch.equal(padded, torch.cat([X[:3], torch.zeros(3, 3)]))
    runs = torch.arange(8) // 2
    kept = keep_by_crop(FALLING, runs, crop_scores(X, FALLING, runs), 6)
    assert kept.index.tolist() == [0, 1, 2, 3, 4, 6]
    assert kept.info["per_crop"] == [2, 2, 1, 1]


@pytest.mark.parametrize("path", vector_files("holov_"))
def test_holov_faithful_is_the_released_code(path):
    params, inputs, outputs = load(path)
    positions, found = holov_released(
        inputs["tokens"],
        inputs["attn"],
        params["k"],
        crops=params["num_patches"],
        alpha=params["alpha"],
        beta=params["beta"],
    )
    assert positions.tolist() == outputs["positions"].tolist()
    close(found, outputs["tokens"])


@pytest.mark.parametrize("path", vector_files("holov_crops_", folder=SECOND))
def test_holov_crops_for_qwen_are_those_of_the_released_code(path):
    _, inputs, outputs = load(path)
    cases = zip(inputs["image_tokens"].tolist(), inputs["rate"].tolist(), strict=True)
    expected = zip(outputs["keep"].tolist(), outputs["crops"].tolist(), strict=True)
    assert [qwen_budget(*case) for case in cases] == list(expected)


def test_holov_takes_more_crops_where_fewer_tokens_stay():
    assert qwen_budget(1024, 0.111) == (113, 16)
    assert qwen_budget(5, 0.1) == (1, 8)
    attention = torch.rand(36, generator=torch.Generator().manual_seed(3))
    context = TokenContext(torch.zeros(36, 2), cls_attention={0: attention[None]}, grid=(6, 6))
    crops = [len(HoloV(crops=None).reduce(context, k).info["per_crop"]) for k in (4, 16, 35)]
    assert crops == [16, 4, 1]


def test_the_variance_of_holov_acts_only_where_it_is_not_scaled_away():
    crop = torch.arange(8) // 4
    by_attention = crop_scores(X, CLS, crop)
    other = torch.cat([X[:4], torch.ones(4, 3)])
    assert torch.equal(crop_scores(other, CLS, crop), by_attention)
    for kind in ("combined", "max"):
        found = crop_scores(X, CLS, crop, crop_score=kind, beta=1.0)
        assert not torch.equal(found, crop_scores(other, CLS, crop, crop_score=kind, beta=1.0))


def test_holov_crops_are_rectangles_and_a_flip_of_the_grid_flips_the_choice():
    attention = torch.rand(36, generator=torch.Generator().manual_seed(3))
    flip = torch.arange(36).reshape(6, 6).flip(1).flatten()
    features = torch.zeros(36, 2)
    for k in range(1, 36):
        one = TokenContext(features, cls_attention={0: attention[None]}, grid=(6, 6))
        two = TokenContext(features, cls_attention={0: attention[flip][None]}, grid=(6, 6))
        kept = HoloV(crops=4).reduce(one, k)
        assert len(kept.info["per_crop"]) == 4
        if len(set(kept.info["per_crop"])) == 1:
            mirrored = HoloV(crops=4).reduce(two, k)
            assert sorted(flip[kept.index].tolist()) == mirrored.index.tolist()


def spread(x):
    """Variance of similarities in a crop, one row after the other."""
    unit = x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-6)
    found = []
    for i, row in enumerate(unit @ unit.T):
        row[i] = 0
        found.append(((row - row.sum() / (len(x) - 1)) ** 2).sum() / (len(x) - 1))
    return np.array(found)


def released_by_hand(x, a, k, crops):
    runs = [run.tolist() for run in np.array_split(np.arange(len(a)), crops)]
    scores = []
    for run in runs:
        score = a[run].mean()
        if len(run) > 1:
            varied = spread(x[run])
            varied *= 1000 * a[run].mean() / (varied.mean() + 1e-6)
            score = (1000 * a[run] + 0.09 * varied).mean()
        scores.append(score)
    weights = np.array(scores) / (sum(scores) + 1e-6)
    shares = np.floor(weights * k).astype(int)
    for place in np.argsort(-weights, kind="stable")[: k - shares.sum()]:
        shares[place] += 1
    kept = []
    for run, share in zip(runs, shares, strict=True):
        kept += run if share >= len(run) else sorted(run, key=lambda i: -a[i])[:share]
    return (kept + [-1] * k)[:k]


def mended_by_hand(x, a, k, grid, crops, kind):
    n, (height, width) = len(a), grid
    crops = crops or max(1, min(n, 16 * n // (9 * k)))
    rows = min(height, crops, max(1, round((crops * height / width) ** 0.5)))
    cols = min(width, max(1, crops // rows))
    of = [(i // width * rows // height, i % width * cols // width) for i in range(n)]
    members = [[i for i in range(n) if of[i] == crop] for crop in sorted(set(of))]
    varied = np.zeros(n)
    for crop in members:
        varied[crop] = spread(x[crop]) if len(crop) > 1 else 0
    combined = a / (a.mean() + 1e-12) + 0.09 * varied / (varied.mean() + 1e-12)
    of_kind = {
        "attention": [a[crop].mean() for crop in members],
        "combined": [combined[crop].mean() for crop in members],
        "max": [combined[crop].max() for crop in members],
    }
    quotas = k * np.array(of_kind[kind]) / sum(of_kind[kind])
    shares = [min(math.floor(q + 1e-9), len(m)) for q, m in zip(quotas, members, strict=True)]
    while sum(shares) < k:
        roomy = [i for i, crop in enumerate(members) if shares[i] < len(crop)]
        shares[max(roomy, key=lambda i: (quotas[i] - shares[i], -i))] += 1
    best = [sorted(m, key=lambda i: -a[i])[:s] for m, s in zip(members, shares, strict=True)]
    return sorted(i for crop in best for i in crop)


@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (4, 4), (5, 7)])
def test_holov_released_and_mended_are_their_formulas(grid):
    n, numbers = math.prod(grid), np.random.default_rng(grid[1])
    x = numbers.normal(size=(n, 5)).astype(np.float32)
    a = np.exp(2 * numbers.normal(size=n)).astype(np.float32)
    if n > 1:
        np.testing.assert_allclose(variances(torch.tensor(x)), spread(x), rtol=1e-4, atol=1e-6)
    for k in {1, -(-n // 3), n}:
        for crops in {1, min(3, n), n}:
            positions, _ = holov_released(torch.tensor(x), torch.tensor(a), k, crops=crops)
            assert positions.tolist() == released_by_hand(x, a, k, crops)
        for crops, kind in [(None, "attention"), (4, "combined"), (16, "max")]:
            context = TokenContext(
                torch.tensor(x), cls_attention={0: torch.tensor(a)[None]}, grid=grid
            )
            kept = HoloV(crops=crops, crop_score=kind).reduce(context, k)
            assert kept.index.tolist() == mended_by_hand(x, a, k, grid, crops, kind)
        # all alike: the first of each crop
        equal = TokenContext(torch.tensor(x), cls_attention={0: torch.full((1, n), 0.5)}, grid=grid)
        expected = mended_by_hand(x, np.full(n, 0.5), k, grid, 4, "attention")
        assert HoloV(crops=4).reduce(equal, k).index.tolist() == expected
