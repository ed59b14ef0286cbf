"""Tokens dropped inside a vision encoder: stock without a reduction, shorter with one."""

import json

import numpy as np
import pytest
import torch
from released_mergers import merge_once
from repository import SHARED
from transformers import CLIPVisionConfig, CLIPVisionModel

from geofovea.errors import BudgetError, ModelError
from geofovea.pipeline.inference.vision.clip_pruning import (
    encode_pruned,
    run_layers,
)
from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.encoder.dymu import DyMUEncoder
from geofovea.regionfocus.reductions.encoder.evit import EViTEncoder
from geofovea.regionfocus.reductions.encoder.flowcut import FlowCutEncoder
from geofovea.regionfocus.reductions.encoder.tome import ToMeEncoder
from geofovea.regionfocus.reductions.registry import ENCODER_REDUCTION_NAMES, make_encoder_reduction

PATCHES = 36
MERGERS = ("tome", "dymu", "crossget", "stvit")


def clip(layers=6, seed=4, **config):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    settings = sizes | {"num_hidden_layers": layers, "image_size": 24, "patch_size": 4} | config
    model = CLIPVisionModel(CLIPVisionConfig(**settings)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed" not in name:
                parameter.mul_(2)
    return model


def encoder_of(tower):
    """Of a CLIP tower, which earlier releases of transformers put one level deeper."""
    return getattr(tower, "vision_model", tower).encoder


def layers_of(tower):
    return encoder_of(tower).layers


@pytest.fixture(scope="module")
def tower():
    return clip()


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("layer", [-1, -2, 3, 0])
def test_without_a_reduction_it_is_the_stock_forward(tower, pixels, layer, implementation):
    tower.set_attn_implementation(implementation)
    with torch.inference_mode():
        stock = tower(pixels, output_hidden_states=True).hidden_states[layer]
    for image, expected in zip(
        encode_pruned(tower, pixels, feature_layer=layer), stock, strict=True
    ):
        torch.testing.assert_close(image.hidden, expected, rtol=1e-5, atol=1e-5)
        assert image.positions.tolist() == image.groups.tolist() == list(range(PATCHES))
        assert set(image.lengths) == {PATCHES}


@pytest.mark.parametrize("name", ENCODER_REDUCTION_NAMES)
def test_a_budget_that_holds_all_patches_changes_nothing(tower, pixels, name):
    plain, pruned = (
        encode_pruned(tower, pixels[:1], reduction, PATCHES)[0]
        for reduction in (None, make_encoder_reduction(name))
    )
    assert torch.equal(plain.hidden, pruned.hidden)


@pytest.mark.parametrize("name", ENCODER_REDUCTION_NAMES)
@pytest.mark.parametrize("k", [1, 9, 30])
def test_the_sequence_gets_shorter_from_layer_to_layer(tower, pixels, name, k):
    for image in encode_pruned(tower, pixels, make_encoder_reduction(name), k, -1):
        lengths, count = image.lengths, image.lengths[-1]
        assert list(lengths) == sorted(lengths, reverse=True)
        assert (len(lengths), lengths[0]) == (7, PATCHES)
        assert count == k or (count < k and name in ("stvit", "dymu"))
        assert image.features.shape == (count, 32)
        assert image.features.isfinite().all()


@pytest.mark.parametrize("name", ENCODER_REDUCTION_NAMES)
def test_survivors_are_patches_in_reading_order_and_lead_their_groups(tower, pixels, name):
    for image in encode_pruned(tower, pixels, make_encoder_reduction(name), 9, -1):
        positions, count = image.positions.tolist(), image.lengths[-1]
        assert positions == sorted(set(positions) & set(range(PATCHES)))
        assert image.groups[image.positions].tolist() == list(range(count))
        assert int(image.groups.max()) < count


@pytest.mark.parametrize("name", MERGERS)
def test_what_merges_loses_no_patch(tower, pixels, name):
    for image in encode_pruned(tower, pixels, make_encoder_reduction(name), 9, -1):
        assert int(image.groups.min()) == 0
        assert image.sizes.sum().item() == pytest.approx(PATCHES, rel=1e-4)
        if name in ("tome", "dymu", "crossget"):
            assert torch.bincount(image.groups).tolist() == image.sizes.tolist()


def test_layers_behind_a_step_work_on_fewer_tokens(tower, pixels):
    seen = []
    hooks = [
        layer.mlp.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
        for layer in layers_of(tower)
    ]
    try:
        encode_pruned(tower, pixels[:1], EViTEncoder((1, 3)), 9, -1)
    finally:
        for hook in hooks:
            hook.remove()
    # attention of layer 1 still sees all, its MLP does not
    assert seen == [37, 19, 19, 10, 10, 10]


def test_merged_patches_count_as_often_in_attention_as_they_stand_for():
    # four times the same patch, as one token of size four or as itself, is the same to the others
    layers = layers_of(clip(2))
    hidden = torch.randn(6, 32, generator=torch.Generator().manual_seed(2))
    hidden[1:5] = hidden[1]

    class MergeTwins:
        name, place, is_proportional = "twins", "block", True

        def start(self, n, k, layers):
            return self

        def needs(self, layer):
            return frozenset({"keys"}) if layer == 0 else frozenset()

        def step(self, view):
            groups = torch.tensor([0, 0, 0, 0, 1])
            features = view.hidden[[0, 4]]
            return TokenChoice(torch.tensor([0, 4]), features, groups, torch.tensor([4.0, 1.0]))

    whole = run_layers(layers, hidden)
    merged = run_layers(layers, hidden, MergeTwins(), 2)
    torch.testing.assert_close(merged.hidden, whole.hidden[[0, 1, 5]], rtol=1e-5, atol=1e-5)
    unweighted = MergeTwins()
    unweighted.is_proportional = False
    other = run_layers(layers, hidden, unweighted, 2)
    assert not torch.allclose(other.hidden, whole.hidden[[0, 1, 5]], atol=1e-3)


def test_patches_that_were_dropped_stay_dropped():
    layers = layers_of(clip(3))
    hidden = torch.randn(9, 32, generator=torch.Generator().manual_seed(3))

    class DropFirst:
        name, place, is_proportional = "first", "block", False

        def start(self, n, k, layers):
            return self

        def needs(self, layer):
            return frozenset({"keys"})

        def step(self, view):
            return TokenChoice(torch.arange(1, len(view.hidden)))

    image = run_layers(layers, hidden, DropFirst(), 5)
    assert image.lengths == (8, 7, 6, 5)
    assert image.positions.tolist() == [3, 4, 5, 6, 7]
    assert image.groups.tolist() == [-1, -1, -1, 0, 1, 2, 3, 4]


def test_dymu_keeps_fewer_tokens_of_a_simple_image():
    layers = layers_of(clip(3))
    varied = torch.randn(37, 32, generator=torch.Generator().manual_seed(5))
    simple = torch.cat([varied[:1], varied[1] + 0.01 * varied[1:]])
    few, many = (
        len(run_layers(layers, hidden, DyMUEncoder((0.97,)), 30).positions)
        for hidden in (simple, varied)
    )
    assert few < many <= 30


def test_tome_in_an_encoder_merges_as_beside_the_published_class_token():
    layers = layers_of(clip(1))
    hidden = torch.randn(8, 32, generator=torch.Generator().manual_seed(6))
    image = run_layers(layers, hidden, ToMeEncoder(), 5)
    with torch.inference_mode():
        keys = layers[0].self_attn.k_proj(layers[0].layer_norm1(hidden)).view(8, 4, 8).mean(1)
    _, _, groups = merge_once(hidden, keys, torch.ones(8), 2, protect_first=True)
    together = groups[1:, None] == groups[1:]
    assert torch.equal(image.groups[:, None] == image.groups, together)


@pytest.mark.parametrize("name", ENCODER_REDUCTION_NAMES)
@pytest.mark.parametrize("layers", [1, 2])
def test_even_the_shallowest_encoder_meets_the_budget(name, layers):
    image = run_layers(
        layers_of(clip(layers)), torch.randn(10, 32), make_encoder_reduction(name), 4
    )
    assert 1 <= image.lengths[-1] <= 4


def toy_encoder(data, params):
    model = clip(
        params["layers"],
        num_attention_heads=params["heads"],
        hidden_size=params["dim"],
        hidden_act="gelu",
        layer_norm_eps=params["ln_eps"],
    )
    names = {"mlp.0": "mlp.fc1", "mlp.2": "mlp.fc2"}
    state = {}
    for name, value in data.items():
        if name.startswith("in_w_"):
            key = name.removeprefix("in_w_")
            for old, new in names.items():
                key = key.replace(f".{old}.", f".{new}.")
            state[key] = torch.from_numpy(value)
    encoder_of(model).load_state_dict(state)
    return layers_of(model)


def toy_files():
    found = sorted((SHARED / "vectors").glob("flowcut_encoder*.npz"))
    if not found:
        reason = f"no flowcut_encoder*.npz in {SHARED / 'vectors'}"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    return [pytest.param(path, id=path.stem) for path in found]


@pytest.mark.parametrize("path", toy_files())
def test_flowcut_prunes_a_toy_encoder_as_published(path):
    with np.load(path) as arrays:
        data = dict(arrays)
    rows = json.loads((path.parent / "index.json").read_text(encoding="utf-8"))
    params = next(row["params"] for row in rows if row["file"] == path.name)
    layers = toy_encoder(data, params)[: params["select_layer"] + 1]
    hidden = torch.from_numpy(data["in_x"][0])
    image = run_layers(layers, hidden, FlowCutEncoder(), params["target"] - 1)
    assert image.positions.tolist() == data["out_keep"][0].tolist()
    states = data["out_tokens_per_state"].tolist()
    assert [n + 1 for n in image.lengths] == states[: len(image.lengths)]
    expected = torch.from_numpy(data["out_hidden_sel"][0])
    # of float32 values of up to 70; in float64 the toy is as far from the record as this is
    scale = expected.abs().max().item()
    torch.testing.assert_close(image.hidden, expected, rtol=1e-4, atol=2e-5 * scale)


def test_what_cannot_be_is_refused(tower, pixels):
    with pytest.raises(ModelError, match="give k, 1 to 36"):
        encode_pruned(tower, pixels, ToMeEncoder())
    with pytest.raises(ModelError, match="CLIPVisionModel only, not a Linear"):
        encode_pruned(torch.nn.Linear(2, 2), pixels)
    with pytest.raises(ModelError, match="hidden states 0 to 6, got feature_layer 7"):
        encode_pruned(tower, pixels, feature_layer=7)
    with pytest.raises(BudgetError, match="layers 0 to 4"):
        encode_pruned(tower, pixels, EViTEncoder((5,)), 9)
    with pytest.raises(ModelError, match="unknown encoder reduction 'top'; choose one of tome"):
        make_encoder_reduction("top")
