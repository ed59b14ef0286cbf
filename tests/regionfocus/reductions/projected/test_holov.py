"""HoloV: recorded numbers, worked examples, bounds."""

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
