"""Pretraining of bands: a stopped run goes on as if it had not been, from what no test shares."""

import json
from dataclasses import asdict

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

from geofovea.errors import DataError
from geofovea.pipeline.training.band_pretraining import (
    BAND_CHANNELS,
    BandRecipe,
    band_tiles,
    pretrain_bands,
    pretrained_bands,
)

STEPS = 4


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    return CLIPVisionModel(config).eval()


def weights(tower, folder):
    return pretrained_bands(tower, folder).state_dict()


@pytest.mark.filterwarnings("error")
def test_a_resumed_run_is_an_uninterrupted_one(tower, tmp_path):
    recipe = BandRecipe(steps=STEPS, tiles=2, world=1536)
    whole = list(pretrain_bands(tower, recipe, tmp_path / "whole"))
    part = list(pretrain_bands(tower, recipe, tmp_path / "part", stop_after=0))
    assert part[0]["step"] == 1
    again = list(pretrain_bands(tower, recipe, tmp_path / "part"))
    assert again[1:] == whole[1:]
    # a line has the mean of the steps since the line before
    total = part[0]["loss"] + (STEPS - 1) * again[0]["loss"]
    assert whole[0]["loss"] == pytest.approx(total / STEPS, abs=2e-4)
    assert set(whole[-1]["held_out"]) == {"red", "green", "blue", "nir", "patches"}
    first, second = (weights(tower, tmp_path / name) for name in ("whole", "part"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    tokens = pretrained_bands(tower, tmp_path / "whole")(
        torch.zeros(1, 1, 32, 32), BAND_CHANNELS[3:]
    )
    assert tokens.shape == (1, 4, 32)
    with pytest.raises(DataError, match="another recipe"):
        next(pretrain_bands(tower, BandRecipe(seed=1), tmp_path / "part"))


def test_tiles_have_four_bands_that_differ_and_come_again():
    tiles = band_tiles(700_000, 3, 2, 32, 1536)
    assert tiles.shape == (2, 4, 32, 32)
    assert torch.equal(tiles, band_tiles(700_000, 3, 2, 32, 1536))
    assert not torch.equal(tiles, band_tiles(700_000, 4, 2, 32, 1536))
    assert len({float(tiles[:, band].mean()) for band in range(4)}) == 4


def test_what_cannot_be_meant_is_refused(tower, tmp_path):
    with pytest.raises(DataError, match="no pretrained"):
        pretrained_bands(tower, tmp_path)
    with pytest.raises(DataError, match="steps of tiles"):
        BandRecipe(steps=0)


@pytest.mark.parametrize(
    ("name", "content"),
    [("bands.json", b"{"), ("bands.json", b"[]"), ("bands.safetensors", b"half")],
    ids=str,
)
def test_a_damaged_state_says_how_to_begin_again(tower, tmp_path, name, content):
    recipe = BandRecipe(steps=1, tiles=1, world=1536)
    (tmp_path / "bands.json").write_text(json.dumps(asdict(recipe)))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"damaged .* remove bands.json"):
        next(pretrain_bands(tower, recipe, tmp_path))
    with pytest.raises(DataError, match=r"damaged .* remove bands.json"):
        weights(tower, tmp_path)
