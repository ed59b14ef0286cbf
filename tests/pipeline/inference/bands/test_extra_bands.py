"""Kernels of further bands: nothing without a band, and a sum with one."""

import pytest
import torch
from reduction_vectors import noise
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel

from geofovea.errors import ModelError, SceneError
from geofovea.pipeline.inference.bands.extra_bands import ExtraBands, patch_owner

WIDTH, PATCH = 16, 4
SIZES = {
    "hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "image_size": 3 * PATCH, "patch_size": PATCH,
}  # fmt: skip


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return CLIPVisionModel(CLIPVisionConfig(**SIZES)).eval()


def with_bands(tower, *wavelengths, seed=None):
    owner = patch_owner(tower)
    bands = ExtraBands(owner.patch_embedding, wavelengths or (0.842,))
    if seed is not None:
        with torch.no_grad():
            bands.kernels.copy_(noise(*bands.kernels.shape, seed=seed))
            bands.vectors.copy_(noise(*bands.vectors.shape, seed=seed + 1))
    owner.patch_embedding = bands
    return bands


def images(bands):
    return noise(2, bands, 3 * PATCH, 3 * PATCH, seed=5)


@torch.no_grad()
def test_colors_alone_give_what_the_tower_gave_to_the_bit(tower):
    before = tower(images(3)).last_hidden_state
    with_bands(tower, seed=1)
    assert torch.equal(tower(images(3)).last_hidden_state, before)


@torch.no_grad()
def test_new_weights_change_nothing_and_hidden_bands_neither(tower):
    four = images(4)
    before = tower(four[:, :3]).last_hidden_state
    bands = with_bands(tower)
    assert torch.equal(tower(four).last_hidden_state, before)
    bands.vectors.fill_(1.0)
    assert not torch.equal(tower(four).last_hidden_state, before)
    bands.shows_extra = False
    assert torch.equal(tower(four).last_hidden_state, before)


@torch.no_grad()
def test_patches_are_those_of_one_convolution_over_all_bands(tower):
    bands = with_bands(tower, 0.842, 1.61, seed=3)
    assert bands.channels == ("nir", "swir1")
    five = images(5)
    joined = nn.Conv2d(5, WIDTH, PATCH, stride=PATCH)
    joined.weight.copy_(torch.cat([bands.colors.weight, *bands.kernels], 1))
    joined.bias.copy_(bands.vectors.sum(0))
    scaled = torch.cat([five[:, :3], (five[:, 3:] - 0.45) / 0.27], 1)
    torch.testing.assert_close(bands(five), joined(scaled), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("wavelengths", [(0.3,), (0.842, 0.85)], ids=str)
def test_bands_that_no_channel_takes_are_refused(tower, wavelengths):
    with pytest.raises(SceneError, match="µm"):
        with_bands(tower, *wavelengths)


def test_other_numbers_of_bands_and_other_towers_are_refused(tower):
    bands = with_bands(tower, 0.842, 1.61)
    with pytest.raises(ModelError, match=r"2 bands beside .* \(nir, swir1\), or none; got 1"):
        bands(images(4))
    with pytest.raises(ModelError, match="not of a Linear"):
        patch_owner(nn.Linear(2, 2))
    siglip = SiglipVisionModel(SiglipVisionConfig(**SIZES))
    assert isinstance(patch_owner(siglip).patch_embedding, nn.Conv2d)
