"""Reductions by encoder attention: recorded numbers and worked examples."""

import pytest
import torch
from reduction_vectors import CLS, X, close, load, near, vector_files
from released_reductions import hiprune_released, holov_released

from geofovea.errors import BudgetError, ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.cells import cells_of
from geofovea.regionfocus.reductions.projected.fastervlm import FasterVLM
from geofovea.regionfocus.reductions.projected.hiprune import HiPrune, hiprune_keep
from geofovea.regionfocus.reductions.projected.holov import HoloV, crop_scores, keep_by_crop
from geofovea.regionfocus.reductions.projected.vtc_cls import VtcCls, summed_attention

OTHER = torch.tensor([0.10, 0.12, 0.30, 0.03, 0.08, 0.10, 0.22, 0.05])
FALLING = torch.tensor([0.4, 0.3, 0.1, 0.1, 0.02, 0.02, 0.03, 0.03])
OBJECT = torch.tensor([0.05, 0.05, 0.05, 0.4, 0.05, 0.15, 0.15, 0.1])
DEEP = torch.tensor([0.1, 0.05, 0.12, 0.03, 0.2, 0.25, 0.05, 0.2])


def tokens(**fields):
    return TokenContext(X, grid=(2, 4), **fields)


@pytest.mark.parametrize(("k", "index"), [(3, [1, 5, 6]), (4, [1, 2, 5, 6]), (5, [1, 2, 5, 6, 7])])
def test_fastervlm_keeps_the_most_attended_tokens(k, index):
    context = tokens(cls_attention={22: torch.stack([CLS + 0.01, CLS - 0.01])})
    assert FasterVLM().reduce(context, k).index.tolist() == index


def test_fastervlm_without_a_class_token_says_what_it_used():
    kept = FasterVLM().reduce(tokens(received={22: CLS}), 3)
    assert (kept.index.tolist(), kept.info) == ([1, 5, 6], {"score": "received"})
    with pytest.raises(ModelError, match="needs cls_attention or received"):
        FasterVLM().reduce(tokens(), 3)


@pytest.mark.parametrize("path", vector_files("fastervlm"))
def test_fastervlm_is_the_released_code(path):
    params, inputs, outputs = load(path)
    attentions = inputs["cls_attn_heads"]
    for heads, mask in zip(attentions, outputs["keep_mask"], strict=True):
        context = TokenContext(torch.zeros(len(mask), 1), cls_attention={0: heads})
        kept = FasterVLM().reduce(context, params["k"])
        assert kept.index.tolist() == mask.nonzero()[:, 0].tolist()
    close(attentions.mean(dim=1), outputs["mean_attn"])


def test_vtc_sums_all_layers_but_the_last():
    layers = {9: CLS[None], 10: OTHER[None], 11: torch.full((1, 8), 0.125)}
    near(summed_attention(layers), [0.15, 0.34, 0.40, 0.11, 0.11, 0.40, 0.34, 0.15])
    assert VtcCls().reduce(tokens(cls_attention=layers), 3).index.tolist() == [1, 2, 5]
    with pytest.raises(ModelError, match="these are there: 9, 10, 11"):
        summed_attention(layers, 11)


def test_vtc_of_one_layer_is_fastervlm():
    context = tokens(cls_attention={7: CLS[None]})
    for k in range(1, 8):
        found, expected = VtcCls().reduce(context, k), FasterVLM().reduce(context, k)
        assert torch.equal(found.index, expected.index)


@pytest.mark.parametrize("path", vector_files("vtc_cls"))
def test_vtc_is_the_released_code(path):
    params, inputs, outputs = load(path)
    layers = dict(enumerate(inputs["cls_attn_layers"]))
    context = TokenContext(torch.zeros(inputs["cls_attn_layers"].shape[1], 1), cls_attention=layers)
    starts = [int(name.removeprefix("ens_start")) for name in outputs if name.startswith("ens")]
    assert starts
    for start in starts:
        close(summed_attention(layers, start), outputs[f"ens_start{start}"])
        kept = VtcCls(start).reduce(context, params["k"])
        expected = outputs[f"keep{params['k']}_start{start}"]
        assert kept.index.tolist() == sorted(expected.tolist())


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


def test_hiprune_released_and_mended_are_those_of_the_worked_example():
    assert hiprune_released(OBJECT, DEEP, 6, 0.9, 4).tolist() == [0, 2, 3, 4, 5, 7]
    cells = cells_of(tokens())
    assert hiprune_keep(OBJECT, DEEP, cells, 6, 0.9).tolist() == [0, 2, 3, 4, 5, 7]
    # the neighbours in the grid alone: left, and below
    assert hiprune_keep(OBJECT, torch.zeros(8), cells, 3, 1.0).tolist() == [2, 3, 7]
    with pytest.raises(BudgetError, match="lower alpha"):
        hiprune_released(OBJECT, DEEP, 3, 1.0, 4)


@pytest.mark.parametrize("path", vector_files("hiprune_"))
def test_hiprune_faithful_is_the_released_code(path):
    params, inputs, outputs = load(path)
    k = params["retention_total"] // params["images"]
    maps = zip(
        inputs["received_object"], inputs["received_deep"], outputs["keep_mask"], strict=True
    )
    for obj, deep, mask in maps:
        found = hiprune_released(obj, deep, k, params["alpha"], params["grid"])
        assert found.tolist() == mask.nonzero()[:, 0].tolist()


def test_hiprune_without_anchors_is_the_top_of_the_deep_layer():
    kept = HiPrune(alpha=0).reduce(tokens(received={8: OBJECT, 22: DEEP}), 3)
    assert kept.index.tolist() == [4, 5, 7]


def test_hiprune_mirrors_with_its_grid():
    generator = torch.Generator().manual_seed(5)
    obj, deep = torch.rand(2, 36, generator=generator)
    flip = torch.arange(36).reshape(6, 6).flip(1).flatten()
    cells = cells_of(TokenContext(torch.zeros(36, 1), grid=(6, 6)))
    for k in range(1, 36):
        kept = hiprune_keep(obj, deep, cells, k, 0.6)
        mirrored = hiprune_keep(obj[flip], deep[flip], cells, k, 0.6)
        assert sorted(flip[kept].tolist()) == mirrored.tolist()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: HoloV(crops=0), "at least one crop"),
        (lambda: HoloV(crop_score="mean"), "attention, combined or max"),
        (lambda: HiPrune(alpha=1.5), r"alpha in \[0, 1\]"),
    ],
)
def test_impossible_settings_are_refused(make, match):
    with pytest.raises(ModelError, match=match):
        make()
