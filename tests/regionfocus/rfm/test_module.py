"""The region focus module computes the recorded layers and scores, with and without a mask."""

import json

import numpy as np
import pytest
import torch
from repository import SHARED
from safetensors.torch import load_file

from geofovea.errors import ModelError
from geofovea.regionfocus.rfm.module import RegionFocusModule, RegionFocusSettings
from geofovea.regionfocus.rfm.published_selection import select_share

REFERENCE = SHARED / "reference"
CASES = [
    pytest.param(path, id=path.stem) for path in sorted(REFERENCE.glob("*__unit_rfm*.npz"))
] or [pytest.param(None, marks=pytest.mark.skip(reason=f"no unit_rfm in {REFERENCE}"))]
PRUNER = "model.mm_projector.token_pruner."
# recorded float32: attention relative, everything else absolute
ATTENTION, EMBEDDING = 2e-5, 1e-5


@pytest.fixture(scope="module")
def modules():
    """``modules(name)``: the recorded model's RFM, made once."""
    made = {}

    def make(name):
        if name not in made:
            config = json.loads((REFERENCE / f"{name}.config.json").read_text(encoding="utf-8"))
            weights = load_file(REFERENCE / f"{name}.safetensors")
            own = {k[len(PRUNER) :]: v for k, v in weights.items() if k.startswith(PRUNER)}
            module = RegionFocusModule(
                RegionFocusSettings(
                    layers=config["rfm_num_layers"] + 1,
                    hidden=config["hidden_size"],
                    intermediate=config["intermediate_size"],
                    heads=config["num_attention_heads"],
                    key_heads=config["num_key_value_heads"],
                    bias="layers.0.self_attn.q_proj.bias" in own,
                    rope_theta=config["rope_theta"],
                    eps=config["rms_norm_eps"],
                    score_dim=config["rfm_score_scale_head_dim"],
                )
            )
            module.load_state_dict(own)
            made[name] = module.eval().requires_grad_(False)
        return made[name]

    return make


def opened(path):
    arrays = dict(np.load(path))
    prefix, seen, rows, cols, question = arrays["layout"].tolist()
    # one separator stands between the global tokens and the local ones
    return arrays, prefix + seen + 1, (rows, cols), question


def close(given, expected, **tolerance):
    np.testing.assert_allclose(given.numpy(), expected, **({"rtol": 0, "atol": 0} | tolerance))


@pytest.mark.parametrize("path", CASES)
def test_every_layer_and_the_scores_are_the_recorded_ones(path, modules):
    arrays, first, grid, _ = opened(path)
    module = modules(path.name.split("__")[0])
    embeds = torch.from_numpy(arrays["inputs_embeds"])[0]
    for number, hidden in enumerate(module.features(embeds)[1:]):
        close(hidden, arrays[f"hidden_after_layer{number}"][0], atol=EMBEDDING)
    scores = module(embeds, first, grid[0] * grid[1])
    close(scores, arrays["attention"], rtol=ATTENTION)


@pytest.mark.parametrize("path", CASES)
def test_the_ranking_layer_itself_is_a_whole_decoder_layer(path, modules):
    arrays, *_ = opened(path)
    module = modules(path.name.split("__")[0])
    embeds = torch.from_numpy(arrays["inputs_embeds"])[0]
    hidden = module.features(embeds)[-1]
    rotary = module._rotary(torch.arange(len(embeds)), torch.float32)
    last = module.settings.layers - 1
    close(
        module.layers[-1](hidden, rotary, None),
        arrays[f"hidden_after_layer{last}"][0],
        atol=EMBEDDING,
        # how products round depends on the number of threads
        rtol=1e-5,
    )


@pytest.mark.parametrize("path", CASES)
def test_pruning_one_level_keeps_the_recorded_tokens(path, modules):
    arrays, first, grid, question = opened(path)
    module = modules(path.name.split("__")[0])
    embeds = torch.from_numpy(arrays["inputs_embeds"])[0]
    kept = first + select_share(module(embeds, first, grid[0] * grid[1]), grid)
    after = torch.arange(len(embeds) - question, len(embeds))
    positions = torch.cat([torch.arange(first), kept, after])
    assert positions.tolist() == arrays["kept_positions"].tolist()
    close(embeds[positions], arrays["kept_embeds"], atol=EMBEDDING)


@pytest.mark.parametrize("path", CASES)
def test_a_masked_token_weighs_nothing(path, modules):
    arrays, first, grid, _ = opened(path)
    count = grid[0] * grid[1]
    embeds = torch.from_numpy(arrays["masked_inputs_embeds"])[0]
    valid = torch.from_numpy(arrays["masked_mask"]).bool()[first : first + count]
    scores = modules(path.name.split("__")[0])(embeds, first, count, valid)
    close(scores, arrays["masked_attention_proper"], rtol=ATTENTION)
    assert scores[~valid].abs().max() == 0


@pytest.mark.parametrize("path", CASES)
def test_the_released_mask_can_be_reproduced(path, modules):
    arrays, first, grid, _ = opened(path)
    count = grid[0] * grid[1]
    module = modules(path.name.split("__")[0])
    embeds = torch.from_numpy(arrays["masked_inputs_embeds"])[0]
    everywhere = torch.from_numpy(arrays["masked_mask"]).bool()
    for number, hidden in enumerate(module.features(embeds, everywhere)[1:]):
        close(hidden, arrays[f"masked_hidden_after_layer{number}"][0], atol=EMBEDDING)
    scores = module(embeds, first, count, everywhere[first : first + count], mask_defect=True)
    close(scores, arrays["masked_attention_reference"], rtol=ATTENTION)


SMALL = RegionFocusSettings(3, 16, 24, 4, 2, bias=True)


def small():
    torch.manual_seed(0)
    return RegionFocusModule(SMALL).requires_grad_(False)


def test_what_a_masked_token_holds_does_not_matter():
    module, embeds = small(), torch.randn(30, 16)
    valid = torch.rand(20) < 0.6
    scores = module(embeds, 4, 20, valid)
    embeds[4:24][~valid] = 99.0
    assert torch.equal(module(embeds, 4, 20, valid), scores)
    assert float(scores.sum()) == pytest.approx(1, abs=1e-6)


def test_a_block_of_queries_more_changes_nothing(monkeypatch):
    module, embeds = small(), torch.randn(30, 16)
    whole = module(embeds, 4, 20)
    monkeypatch.setattr("geofovea.regionfocus.rfm.module._QUERIES_AT_ONCE", 7)
    torch.testing.assert_close(module(embeds, 4, 20), whole, rtol=1e-5, atol=1e-7)


def test_impossible_shapes_and_places_are_refused():
    with pytest.raises(ModelError, match="heads that divide"):
        RegionFocusSettings(2, 16, 24, 3, 1, bias=False)
    with pytest.raises(ModelError, match="must end before the last"):
        small()(torch.randn(10, 16), 4, 6)
    with pytest.raises(ModelError, match="at least one tile"):
        small()(torch.randn(30, 16), 4, 20, torch.zeros(20, dtype=torch.bool))
