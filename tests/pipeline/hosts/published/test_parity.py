"""The published method reproduces the numbers that its authors' code gave, stage by stage.

The released code's wrong mask is reproduced where its numbers were recorded; the default mask is
compared with the recorded counterfactual.
"""

import hashlib
from functools import lru_cache

import numpy as np
import pytest
import torch
from published_toys import REFERENCE, Case, recorded_cases

from geofovea.pipeline.hosts.published.image import PublishedImage
from geofovea.pipeline.hosts.published.model import PublishedModel, load_published_model
from geofovea.regionfocus.rfm.published_selection import select_share

# tolerances of the recorded numbers, all of them float32
PIXEL, EMBEDDING, LOGIT = {"atol": 1e-6}, {"atol": 1e-5}, {"atol": 2e-5}
ATTENTION = {"rtol": 2e-5, "atol": 1e-9}
# inside the module values reach ten, and layers add up their rounding
HIDDEN = {"rtol": 1e-5, "atol": 1e-5}


@lru_cache(maxsize=3)
def host_of(folder) -> PublishedModel:
    return load_published_model(str(folder))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """``folders(model)``: a recorded model laid out as a published checkpoint is."""
    root = tmp_path_factory.mktemp("published")

    def lay_out(model):
        folder = root / model
        if not folder.exists():
            folder.mkdir()
            recorded = REFERENCE.resolve()
            (folder / "config.json").symlink_to(recorded / f"{model}.config.json")
            (folder / "model.safetensors").symlink_to(recorded / f"{model}.safetensors")
        return folder

    return lay_out


@pytest.fixture(scope="module", params=recorded_cases())
def seen(request, folders):
    """A recorded case, its image, its host, and one look of that host with the released mask."""
    case = Case(request.param)
    image = PublishedImage(case.pixels())
    host = host_of(folders(case.model))
    ids = torch.from_numpy(case.arrays["input_ids"])
    return case, image, host, host.look(image, ids, mask_defect=True)


def close(given, expected, **tolerance):
    given = given.detach().numpy()
    np.testing.assert_allclose(given, expected, **({"rtol": 0, "atol": 0} | tolerance))


def same_statistics(given, recorded, atol):
    """Shape, range and sums; a sum may be off by a tenth of the tolerance per element."""
    assert list(given.shape) == recorded["shape"]
    wide = given.detach().double()
    room = atol * wide.numel() / 10
    assert float(wide.sum()) == pytest.approx(recorded["sum"], abs=room)
    assert float(wide.abs().sum()) == pytest.approx(recorded["abs_sum"], abs=room)
    assert float(wide.square().sum()) == pytest.approx(recorded["sq_sum"], rel=1e-5)
    assert float(wide.min()) == pytest.approx(recorded["min"], abs=atol)
    assert float(wide.max()) == pytest.approx(recorded["max"], abs=atol)


def has(case, name):
    return name in case.arrays


def test_the_image_is_the_recorded_one(seen):
    case, image, *_ = seen
    digest = hashlib.sha256(image.pixels.tobytes()).hexdigest()
    assert digest == case.numbers["image"]["sha256_rgb"]


def test_levels_are_planned_as_recorded(seen):
    case, image, *_ = seen
    dip, plan = case.numbers["dip"], image.plan
    assert list(plan.ratios) == dip["pyramid_ratios_high_to_low"]
    assert list(plan.global_resized) == dip["global_resized_hw"]
    assert [1, *(level.tiles for level in plan.levels)] == dip["image_num_split"]
    for level, recorded in zip(plan.levels, dip["scale_infos"], strict=True):
        assert list(level.resized) == recorded["resize_hw"]
        assert list(level.padded) == recorded["resize_padding_hw"]
        assert list(level.blocks) == recorded["block_num_hw"]


def test_the_image_is_prepared_as_recorded(seen):
    case, image, *_ = seen
    arrays = case.arrays
    whole = image.global_tile()
    same_statistics(whole[0], case.numbers["global_image"], 1e-6)
    if has(case, "global_image_crop"):
        close(whole[0, :, 100:132, 100:132], arrays["global_image_crop"], **PIXEL)
        close(whole[0, :, ::8, ::8], arrays["global_image_stride8"], **PIXEL)
    for number, recorded in enumerate(case.numbers["dip"]["levels"]):
        tiles = image.tiles(number)
        same_statistics(tiles, recorded, 1e-6)
        np.testing.assert_allclose(
            tiles.double().sum((2, 3, 4)), recorded["tile_sums"], rtol=0, atol=0.05
        )
        if has(case, f"dip_level{number}_stride"):
            stride = arrays[f"dip_level{number}_stride"]
            step = 48 if stride.shape[-1] == 7 else 112
            close(tiles[..., ::step, ::step], stride, **PIXEL)
            first, last = tiles[0, 0], tiles[-1, -1]
            close(first[:, 100:116, 100:116], arrays[f"dip_level{number}_tile00_crop"], **PIXEL)
            close(last[:, :16, :16], arrays[f"dip_level{number}_tilelast_crop"], **PIXEL)


def test_vision_features_are_the_recorded_ones(seen):
    case, image, host, _ = seen
    arrays, vision = case.arrays, case.numbers["vision"]
    clip = host.features(image.global_tile())
    close(clip[0, :32], arrays["vision_clip_global_head"], **EMBEDDING)
    close(clip[0, ::16], arrays["vision_clip_global_full_stride16"], **EMBEDDING)
    same_statistics(clip, vision["clip_global"], 1e-5)
    tokens = host.encode(image.global_tile())
    close(tokens[0, :16], arrays["vision_global_proj_head"], **EMBEDDING)
    close(tokens[0, ::16], arrays["vision_global_proj_stride16"], **EMBEDDING)
    same_statistics(tokens, vision["global_features"], 1e-5)
    pooled = host.encode_pooled(image.tiles(0).flatten(0, 1))
    close(pooled[0, ::3], arrays["vision_local_pooled_tile0"], **EMBEDDING)
    close(pooled[-1, ::9], arrays["vision_local_pooled_tilelast"], **EMBEDDING)
    close(pooled[:, ::36], arrays["vision_local_pooled_stride"], **EMBEDDING)
    same_statistics(pooled, vision["local_pooled"], 1e-5)


def test_the_first_prompt_is_the_recorded_one(seen):
    case, _, _, look = seen
    recorded, embeds = case.numbers["rfm_input"], look.first.embeds
    assert list(look.first.grid) == recorded["local_grid_hw"]
    assert look.first.first == recorded["image_token_pos"] + recorded["local_rel_begin"]
    same_statistics(embeds, recorded["stat"], 1e-5)
    rows = case.arrays.get("rfm_input_embeds_stride_index", np.arange(0, len(embeds), 17))
    close(embeds[torch.from_numpy(rows)], case.arrays["rfm_input_embeds_stride"], **EMBEDDING)
    if has(case, "rfm_input_embeds"):
        close(embeds, case.arrays["rfm_input_embeds"], **EMBEDDING)


def test_the_first_pass_scores_and_selects_as_recorded(seen):
    case, _, host, look = seen
    inputs = host.parts.focus.features(look.first.embeds)
    assert len(inputs) - 1 == case.numbers["level0"]["rank_layer"]
    close(inputs[-1][::17], case.arrays["level0_features_stride"], **HIDDEN)
    close(look.first.scores, case.arrays["level0_attention"], **ATTENTION)
    assert look.first.index.tolist() == case.arrays["level0_selected_indices"].tolist()


def test_the_selected_tiles_and_their_pixels_are_the_recorded_ones(seen):
    case, image, _, look = seen
    assert look.second.level == case.numbers["level0"]["next_level_index_used"]
    assert look.second.tiles.tolist() == case.arrays["level1_tile_positions"].tolist()
    rows, cols = look.second.tiles.T
    pixels = image.tiles(look.second.level)[rows, cols]
    same_statistics(pixels, case.numbers["level0"]["selected_tiles"], 1e-6)


def test_the_second_prompt_and_its_mask_are_the_recorded_ones(seen):
    case, _, _, look = seen
    second = look.second
    assert list(second.grid) == case.numbers["level1"]["grid_hw"]
    everywhere = np.ones(len(second.embeds), np.uint8)
    everywhere[second.first : second.first + len(second.valid)] = second.valid.numpy()
    assert everywhere.tolist() == case.arrays["level1_embed_mask"].tolist()
    close(second.embeds[::17], case.arrays["level1_input_embeds_stride"], **EMBEDDING)
    if has(case, "level1_input_embeds"):
        close(second.embeds, case.arrays["level1_input_embeds"], **EMBEDDING)


def test_the_second_pass_with_the_released_mask_keeps_the_recorded_tokens(seen):
    case, _, _, look = seen
    close(look.second.scores, case.arrays["level1_attention"], **ATTENTION)
    assert look.second.index.tolist() == case.arrays["level1_kept_indices"].tolist()


def test_the_second_pass_with_a_right_mask_scores_as_recorded(seen):
    case, _, host, look = seen
    second, recorded = look.second, case.numbers["level1"]
    scores = host.parts.focus(second.embeds, second.first, len(second.valid), second.valid)
    close(scores.detach(), case.arrays["level1_attention_if_masked_properly"], **ATTENTION)
    kept = set(select_share(scores.detach(), second.grid, second.valid).tolist())
    assert len(kept) == recorded["kept_if_masked_properly"]
    assert len(kept & set(second.index.tolist())) == recorded["kept_overlap"]


def test_the_pruned_prompt_is_the_recorded_one(seen):
    case, _, _, look = seen
    embeds, final = look.embeds, case.numbers["final"]
    assert [1, *embeds.shape] == final["returned_shape"]
    assert len(look.second.index) == final["n_local"]
    same_statistics(embeds, final["stat"], 1e-5)
    close(embeds[::13], case.arrays["prune_new_input_embeds_stride"], **EMBEDDING)
    tail = case.arrays["prune_new_input_embeds_tail"]
    close(embeds[-len(tail) :], tail, **EMBEDDING)
    if has(case, "prune_new_input_embeds"):
        close(embeds, case.arrays["prune_new_input_embeds"], **EMBEDDING)


def test_logits_and_greedy_ids_are_the_recorded_ones(seen):
    case, _, host, look = seen
    close(host.logits(look.embeds), case.arrays["llm_last_logits"], **LOGIT)
    recorded = case.arrays["greedy_ids"].tolist()
    chosen, log_probabilities = host.greedy(look.embeds, len(recorded))
    assert chosen == recorded
    assert max(log_probabilities) <= 0
