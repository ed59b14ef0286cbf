"""Encoders of bands: recorded numbers, any subset in any order, nothing hidden is seen."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import FOLDER, SECOND, close, load, noise, vector_files
from transformers import CLIPVisionConfig, CLIPVisionModel

from geofovea.errors import ModelError, SceneError
from geofovea.pipeline.inference.bands.channels import (
    CHANNELS,
    channel_numbers,
    sampled_channels,
)
from geofovea.pipeline.inference.bands.encoder import BandEncoder, means_of_places
from geofovea.pipeline.inference.bands.losses import (
    diversity_loss,
    fourier_loss,
    normalized_patches,
    pixel_loss,
)
from geofovea.pipeline.inference.bands.masking import drawn_mask, hidden_tokens, kept_patches
from geofovea.pipeline.inference.bands.patch_embedding import BandEmbedding, resampled_positions
from geofovea.pipeline.inference.bands.pretraining import MaskedBands, decoder_input

WIDTH, PATCH, SIDE = 16, 4, 3
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(scope="module")
def tower():
    """A random tower of two layers whose tiles have three by three patches."""
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE * PATCH,
        patch_size=PATCH,
    )
    return CLIPVisionModel(config).eval()


@pytest.fixture(scope="module")
def encoder(tower):
    """An encoder that tells its channels apart."""
    encoder = BandEncoder.from_tower(tower, memory=2).eval()
    with torch.no_grad():
        encoder.embedding.channel_vectors.copy_(noise(len(CHANNELS), WIDTH, seed=1))
    return encoder


def tiles(bands, side=SIDE * PATCH, count=2):
    return noise(count, bands, side, side, seed=2)


@pytest.mark.parametrize("file", vector_files("channelvit_tokens_", folder=SECOND))
@torch.no_grad()
def test_tokens_of_bands_are_those_of_the_reference(file):
    params, inputs, outputs = load(file)
    width, places = inputs["pos_embed"].shape[1], len(inputs["pos_embed"]) - 1
    embedding = BandEmbedding(params["channels"], width, params["patch"], places)
    embedding.projection.weight.copy_(inputs["weight"][:, 0])
    embedding.projection.bias.copy_(inputs["bias"])
    embedding.channel_vectors.copy_(inputs["channel_embed"])
    embedding.places.copy_(inputs["pos_embed"])
    embedding.class_vector.copy_(inputs["cls"])
    released = embedding(inputs["x"][None], inputs["channels"], released=True)[0]
    close(released, outputs["tokens"])
    # the fixed form adds the places as they are, and differs by that alone
    own = embedding(inputs["x"][None], inputs["channels"])[0]
    moved = outputs["positions_used"] - inputs["pos_embed"][1:].repeat(3, 1)
    close(own[1:] + moved, outputs["tokens"][1:])
    assert float(moved.abs().max()) > 0.1


@pytest.mark.parametrize("file", vector_files("channelvit_patch_embed", folder=FOLDER))
@torch.no_grad()
def test_patches_of_all_bands_share_a_projection(file):
    _, inputs, outputs = load(file)
    weight, channels = inputs["weight"][:, 0], inputs["channel_embed"][0, :, :, 0, 0].T
    embedding = BandEmbedding(len(channels), len(weight), weight.shape[-1], 4)
    embedding.projection.weight.copy_(weight)
    embedding.projection.bias.copy_(inputs["bias"])
    embedding.channel_vectors.copy_(channels)
    embedding.places.zero_()
    close(embedding(inputs["x"][None], inputs["channels"])[0, 1:], outputs["tokens"])


def test_tokens_go_channel_by_channel_as_in_the_worked_example():
    embedding = BandEmbedding(3, 8, 2, 4)
    images = torch.zeros(1, 3, 4, 4)
    images[0, 1, 2:, :2] = 1
    tokens = embedding(images, torch.arange(3))[0, 1:]
    assert tokens.shape == (12, 8)
    # second channel, second row, first column
    differs = (tokens != embedding(torch.zeros(1, 3, 4, 4), torch.arange(3))[0, 1:]).any(1)
    assert differs.nonzero().flatten().tolist() == [4 + 2]


@pytest.mark.parametrize(
    ("numbers", "rows", "cols"), [([4], 3, 3), ([6, 0, 3], 3, 3), ([1, 2, 3, 7], 2, 4)]
)
@torch.no_grad()
def test_tokens_of_any_bands_are_the_formula(numbers, rows, cols):
    torch.manual_seed(0)
    embedding = BandEmbedding(len(CHANNELS), WIDTH, PATCH, SIDE * SIDE)
    embedding.channel_vectors.normal_()
    images = noise(2, len(numbers), rows * PATCH, cols * PATCH, seed=3)
    found = embedding(images, torch.tensor(numbers)).numpy()
    kernel, bias, channels, own, first = (
        value.detach().numpy()
        for value in (
            embedding.projection.weight[:, 0],
            embedding.projection.bias,
            embedding.channel_vectors,
            resampled_positions(embedding.places[1:], (rows, cols)),
            embedding.class_vector + embedding.places[0],
        )
    )
    if rows == cols == SIDE:
        np.testing.assert_array_equal(own, embedding.places[1:].detach().numpy())
    np.testing.assert_allclose(found[:, 0], np.broadcast_to(first, (2, WIDTH)), atol=1e-6)
    for place, (band, row, col) in enumerate(np.ndindex(len(numbers), rows, cols)):
        y, x = row * PATCH, col * PATCH
        patch = images[:, band, y : y + PATCH, x : x + PATCH].numpy()
        token = np.einsum("bij,dij->bd", patch, kernel) + bias
        token += channels[numbers[band]] + own[row * cols + col]
        np.testing.assert_allclose(found[:, 1 + place], token, atol=1e-5)


@torch.no_grad()
def test_one_band_is_what_the_tower_makes_of_it_in_gray(tower):
    band = tiles(1)
    stock = tower(band.expand(-1, 3, -1, -1), output_hidden_states=True)
    for layers, state in ((None, 2), (1, 1)):
        made = BandEncoder.from_tower(tower, layers).eval()(band, torch.tensor([4]))
        torch.testing.assert_close(made, stock.hidden_states[state][:, 1:], **CLOSE)


@torch.no_grad()
def test_bands_in_another_order_are_the_same_tile_and_a_missing_band_is_not_a_black_one(encoder):
    images, numbers, order = tiles(3), torch.tensor([1, 3, 5]), torch.tensor([2, 0, 1])
    made = encoder(images, numbers)
    assert made.shape == (2, SIDE * SIDE, WIDTH)
    torch.testing.assert_close(encoder(images[:, order], numbers[order]), made, **CLOSE)
    # it is the numbers that say what a band is
    assert not torch.allclose(encoder(images, numbers[order]), made, atol=1e-3)
    black = images.clone()
    black[:, 2] = 0
    missing = encoder(images[:, :2], numbers[:2])
    assert not torch.allclose(encoder(black, numbers), missing, atol=1e-3)


@torch.no_grad()
def test_tiles_of_another_size_get_places_between_those_that_were_learned(encoder):
    assert encoder(tiles(2, 5 * PATCH), torch.tensor([0, 1])).shape == (2, 25, WIDTH)


def test_what_does_not_fit_is_refused(encoder):
    for images, numbers, match in (
        (tiles(5), [0, 1, 2, 3, 4], "at most 4 bands"),
        (tiles(2), [0], r"\(b, 1, h, w\)"),
        (tiles(2), [0, 8], "from 0 to 7"),
        (tiles(2), [3, 3], "of its own"),
        (tiles(1, 13), [0], "multiples of 4"),
    ):
        with pytest.raises(ModelError, match=match):
            encoder(images, torch.tensor(numbers))
    with pytest.raises(ModelError, match="CLIPVisionModel"):
        BandEncoder.from_tower(torch.nn.Linear(1, 1))
    with pytest.raises(ModelError, match="n x n"):
        BandEmbedding(1, 8, 2, 5)


def test_bands_are_declared_by_wavelength():
    assert [CHANNELS[n] for n in channel_numbers([0.665, 0.56, 0.49, 0.83])] == [
        "red", "green", "blue", "nir",
    ]  # fmt: skip
    for waves, match in (([], "at least one"), ([1.0], "no channel"), ([0.65, 0.66], "all red")):
        with pytest.raises(SceneError, match=match):
            channel_numbers(waves)


def test_small_subsets_of_channels_are_drawn_as_often_as_large_ones():
    generator = torch.Generator().manual_seed(3)
    draws = [sampled_channels(4, generator) for _ in range(4000)]
    sizes = torch.bincount(torch.tensor([len(draw) for draw in draws]), minlength=5) / 4000
    torch.testing.assert_close(sizes[1:], torch.full((4,), 0.25), atol=0.03, rtol=0)
    used = torch.bincount(torch.cat(draws), minlength=4) / 4000
    torch.testing.assert_close(used, torch.full((4,), 0.625), atol=0.03, rtol=0)
    alone = sum(draw.tolist() == [2] for draw in draws) / 4000
    assert alone == pytest.approx(1 / 16, abs=0.015)
    with pytest.raises(SceneError, match="at least one"):
        sampled_channels(0, generator)


@pytest.mark.parametrize("file", vector_files("channel_diversity_", folder=SECOND))
def test_the_diversity_of_tokens_is_that_of_the_reference(file):
    params, inputs, outputs = load(file)
    weights = params["gamma_same"], params["gamma_other"]
    close(diversity_loss(inputs["features"], inputs["labels"], *weights), outputs["loss"])


@pytest.mark.parametrize("file", vector_files("chamae_", folder=SECOND))
def test_masks_losses_and_the_input_of_the_decoder_are_those_of_the_reference(file):
    params, inputs, outputs = load(file)
    channels, side = params["channels"], params["side"]
    patches = inputs["patch_mask"].reshape(channels, side * side)
    masking = {"BOTH_MASKING": "both", "CHANNEL_MASKING_ONLY": "channels"}[params["strategy"]]
    hidden = hidden_tokens(patches, inputs["channel_mask"], masking)
    assert torch.equal(~hidden.flatten(), outputs["visible"])
    assert torch.equal(hidden.flatten(), outputs["loss_mask"])
    kept_each = kept_patches(side * side, params["mask_ratio"])
    assert bool(((~patches).sum(1) == kept_each).all())
    target = normalized_patches(inputs["image"][None], params["patch"])
    made, flat = inputs["reconstruction"][None], hidden.flatten()
    close(pixel_loss(made, target, flat), outputs["pixel_loss"])
    close(fourier_loss(made, target, flat, side), outputs["fourier_loss"])
    read = decoder_input(
        inputs["latent"][None],
        outputs["tokens_to_keep"],
        inputs["mask_token"],
        inputs["positions"],
        inputs["channel_tokens"],
    )
    close(read[0], outputs["decoder_input"])


def test_tokens_are_hidden_as_in_the_worked_example():
    patches = torch.ones(3, 4, dtype=torch.bool).index_fill(1, torch.tensor([2]), 0)
    assert kept_patches(4, 0.75) == 1
    channels = torch.tensor([False, True, False])
    assert int((~hidden_tokens(patches, channels, "both")).sum()) == 2
    assert int((~hidden_tokens(patches, channels, "channels")).sum()) == 8
    assert int((~hidden_tokens(patches, channels, "patches")).sum()) == 3


@given(
    st.integers(1, 4),
    st.sampled_from([4, 9, 16]),
    st.sampled_from([0, 0.25, 0.75]),
    st.sampled_from(["alternating", "both", "patches", "channels"]),
    st.integers(0, 99),
)
def test_something_is_shown_and_nothing_is_hidden_at_ratio_0(bands, places, ratio, masking, seed):
    hidden = drawn_mask(bands, places, torch.Generator().manual_seed(seed), ratio, masking)
    assert hidden.shape == (bands, places)
    assert not bool(hidden.all())
    if ratio == 0:
        assert not bool(hidden.any())
    else:
        assert bool(hidden.any()) or (masking == "channels" and bands == 1)


@pytest.mark.parametrize(("masking", "hidden_each"), [("patches", 12), ("both", 4)])
def test_patches_are_hidden_as_published_in_each_band_for_itself(masking, hidden_each):
    generator = torch.Generator().manual_seed(7)
    masks = torch.stack([drawn_mask(4, 16, generator, masking=masking) for _ in range(600)])
    partly = ~masks.all(2)
    assert bool((masks.sum(2)[partly] == hidden_each).all())
    # each place as often as any other, and what is hidden of one band says nothing of another
    share = masks.double()[partly].mean(0)
    np.testing.assert_allclose(share, hidden_each / 16, atol=0.06)
    both = partly[:, 0] & partly[:, 1]
    together = (masks[both][:, 0] & masks[both][:, 1]).double().mean()
    assert float(together) == pytest.approx((hidden_each / 16) ** 2, abs=0.03)


def test_whole_bands_are_hidden_in_any_number_but_all_and_patches_in_half_of_the_draws():
    generator = torch.Generator().manual_seed(8)
    masks = torch.stack([drawn_mask(4, 16, generator) for _ in range(3000)])
    whole = masks.all(2)
    of_patches = ~whole.any(1)
    assert float(of_patches.double().mean()) == pytest.approx(0.5, abs=0.03)
    sizes = torch.bincount(whole[~of_patches].sum(1), minlength=5).double()
    np.testing.assert_allclose(sizes / sizes.sum(), [0, 1 / 3, 1 / 3, 1 / 3, 0], atol=0.04)
    np.testing.assert_allclose(whole[~of_patches].double().mean(0), 0.5, atol=0.04)
    assert not bool((masks & ~whole[..., None])[~of_patches].any())


@torch.no_grad()
def test_losses_are_zero_on_what_is_shown(encoder):
    torch.manual_seed(1)
    model = MaskedBands(encoder, heads=4)
    images, numbers = tiles(2), torch.tensor([3, 5])
    nothing = torch.zeros(2, SIDE * SIDE, dtype=torch.bool)
    made, states = model.reconstruct(images, numbers, nothing)
    target = normalized_patches(images, PATCH)
    of_channel = numbers.repeat_interleave(SIDE * SIDE)
    torch.testing.assert_close(
        model(images, numbers, nothing), 1e-5 * diversity_loss(states, of_channel)
    )
    assert float(pixel_loss(made, target, nothing.flatten())) == 0
    assert float(fourier_loss(made, target, nothing.flatten())) == 0


def test_no_hidden_pixel_reaches_the_decoder(encoder):
    torch.manual_seed(1)
    model = MaskedBands(encoder, heads=4)
    images, numbers = tiles(2).requires_grad_(), torch.tensor([3, 5])
    hidden = drawn_mask(2, SIDE * SIDE, torch.Generator().manual_seed(1), masking="patches")
    made, _ = model.reconstruct(images, numbers, hidden)
    made.square().sum().backward()
    rows = hidden.reshape(1, 2, SIDE, 1, SIDE, 1).expand(2, -1, -1, PATCH, -1, PATCH)
    is_hidden = rows.reshape(images.shape)
    assert not bool(images.grad[is_hidden].any())
    assert bool(images.grad[~is_hidden].any())


def test_a_band_is_learned_from_another(tower):
    def draw(step):
        pattern = noise(16, 1, SIDE * PATCH, SIDE * PATCH, seed=step % 4)
        # the second band is the negative of the first
        return torch.cat([pattern, -pattern], 1), torch.tensor([3, 5])

    def losses(steps):
        torch.manual_seed(2)
        model = MaskedBands(BandEncoder.from_tower(tower, memory=2), heads=4)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3, (0.9, 0.95), weight_decay=0.01)
        return [take_step(model, optimizer, step) for step in range(steps)]

    def take_step(model, optimizer, step):
        images, numbers = draw(step)
        hidden = drawn_mask(2, SIDE * SIDE, torch.Generator().manual_seed(step), masking="channels")
        loss = model(images, numbers, hidden)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    falling = losses(120)
    assert sum(falling[-8:]) < 0.9 * sum(falling[:8])
    assert losses(3) == falling[:3]


def test_heads_that_do_not_divide_the_width_are_refused(encoder):
    with pytest.raises(ModelError, match="3 heads"):
        MaskedBands(encoder, heads=3)


@pytest.mark.parametrize(("bands", "places", "patch"), [(1, 1, 2), (3, 4, 2), (2, 9, 3), (4, 1, 4)])
def test_losses_and_means_of_bands_are_their_formulas(bands, places, patch):
    numbers, count = np.random.default_rng(places), bands * places
    features, channels = numbers.normal(size=(2, count, 5)), np.repeat(np.arange(bands), places)
    unit = features / np.linalg.norm(features, axis=-1, keepdims=True)
    cosines = {True: [], False: []}
    for first in range(count):
        for second in set(range(count)) - {first}:
            pair = (unit[:, first] * unit[:, second]).sum(-1)
            cosines[bool(channels[first] == channels[second])].extend(pair)
    expected = sum(w * np.mean(cosines[key]) for key, w in ((True, 1), (False, 4)) if cosines[key])
    found = diversity_loss(torch.tensor(features), torch.tensor(channels))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    means = [features[:, place::places].mean(1) for place in range(places)]
    np.testing.assert_allclose(means_of_places(torch.tensor(features), bands), np.stack(means, 1))

    side = round(places**0.5)
    images = numbers.normal(size=(2, bands, side * patch, side * patch))
    cut = [
        np.split(row, side, 2)
        for band in range(bands)
        for row in np.split(images[:, band], side, 1)
    ]
    pixels = np.stack([each.reshape(2, -1) for row in cut for each in row], 1)
    deviation = np.sqrt(pixels.var(-1, ddof=1, keepdims=True) + 1e-6)
    target = (pixels - pixels.mean(-1, keepdims=True)) / deviation
    np.testing.assert_allclose(normalized_patches(torch.tensor(images), patch), target)
    made = numbers.normal(size=target.shape)
    waves = [np.abs(np.fft.fft2(x.reshape(2, count, patch, patch))) for x in (made, target)]
    apart = np.abs(waves[0] - waves[1]).reshape(target.shape)
    for hidden in (np.zeros(count, bool), np.arange(count) % 2 == 0, np.ones(count, bool)):
        own = [torch.tensor(each) for each in (made, target, hidden)]
        for loss, each in ((pixel_loss, (made - target) ** 2), (fourier_loss, apart)):
            expected = each[:, hidden].mean() if hidden.any() else 0
            np.testing.assert_allclose(loss(*own), expected, atol=1e-9)
