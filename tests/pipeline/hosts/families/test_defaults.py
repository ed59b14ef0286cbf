"""Used as they were trained: all tokens of a tile, and the colors of the family's own processor."""

import pytest

from geofovea.pipeline.hosts.families.registry import FAMILIES

CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# what the published processors of each family have, mean and deviation
COLORS = {
    "llava": CLIP,
    "llava_next": CLIP,
    "llava_onevision": HALF,
    "qwen2_vl": CLIP,
    "qwen2_5_vl": CLIP,
    "qwen3_vl": HALF,
    "qwen3_vl_moe": HALF,
    "qwen3_5": HALF,
    "qwen3_5_moe": HALF,
    "glm4v": CLIP,
    "glm46v": CLIP,
    "glm4v_moe": CLIP,
    "internvl": IMAGENET,
    "idefics3": HALF,
    "smolvlm": HALF,
    "gemma3": HALF,
    "paligemma": HALF,
    "mistral3": CLIP,
    "pixtral": CLIP,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_colors_are_those_that_the_family_was_trained_with(family):
    settings = FAMILIES[family].defaults
    assert (settings.image_mean, settings.image_std) == COLORS[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_token_of_a_tile_is_kept_unless_fewer_are_chosen(family):
    assert FAMILIES[family].defaults.pool == 1
