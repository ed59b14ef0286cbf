"""Models of other builds than the usual one of their family equal their stock model, too."""

import pytest
import torch
from family_toys import (
    OF_ANY_SIZE,
    QUESTION,
    WORDS,
    host_of,
    question_ids,
    stock_decoder_inputs,
    stock_inputs,
    stock_logits,
    stock_text,
    tokens_of,
    variant_of,
)
from hidden_tokens import full_positions, masked_logits, some, visible_where
from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.llava import LlavaFamily
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.inference.decoder.choice_scoring import choice_instruction

ONE_KEY_HEAD = {"num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 24}
WINDOW = {"use_sliding_window": True, "sliding_window": 12, "max_window_layers": 1}
SIGLIP = {"model_type": "siglip_vision_model", "vision_use_head": False}
GRANITE = {"model_type": "granite", "embedding_multiplier": 3.0, "logits_scaling": 2.0}
BARE = {"use_absolute_position_embeddings": False, "use_mean_pooling": False}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}
YARN |= {"original_max_position_embeddings": 512}
VARIANTS = {
    "llava: one key head, tied words": (
        "llava",
        {"text": ONE_KEY_HEAD | {"attention_bias": True}, "tie_word_embeddings": True},
    ),
    "llava: last layer": ("llava", {"vision_feature_layer": -1}),
    "llava: a layer from the front": ("llava", {"vision_feature_layer": 1}),
    "llava: layers together": ("llava", {"vision_feature_layer": [-2, 3]}),
    "llava: Qwen3 with yarn": (
        "llava",
        {"text": {"model_type": "qwen3", "rope_parameters": YARN, "head_dim": 24}},
    ),
    "llava: five layers of Gemma": (
        "llava",
        {"text": {"model_type": "gemma", "num_hidden_layers": 5}, "tie_word_embeddings": True},
    ),
    "llava_next: layers together of SigLIP before Granite": (
        "llava_next",
        {
            "text": GRANITE,
            "vision": SIGLIP,
            "vision_feature_layer": [-3, -1],
            "vision_feature_select_strategy": "full",
        },
    ),
    "llava_next: a window": ("llava_next", {"text": {"sliding_window": 15}}),
    "llava_onevision: a window in two layers": ("llava_onevision", {"text": WINDOW}),
    "llava_onevision: a patch that does not divide a tile": (
        "llava_onevision",
        {"vision": {"image_size": 33, "patch_size": 6}, "image_grid_pinpoints": [[33, 33]]},
    ),
    "qwen2_5_vl: windows in all layers, patches alone": (
        "qwen2_5_vl",
        {
            "vision": {"spatial_merge_size": 1, "window_size": 8, "fullatt_block_indexes": []},
            "tile": 20,
        },
    ),
    "qwen2_5_vl: nine patches a token, one key head": (
        "qwen2_5_vl",
        {
            "vision": {"spatial_merge_size": 3, "window_size": 36},
            "text": {"num_key_value_heads": 1},
            "tile": 36,
        },
    ),
    "qwen2_5_vl: a window": ("qwen2_5_vl", {"text": WINDOW, "tile": 24}),
    "qwen3_vl: three deep layers": (
        "qwen3_vl",
        {"vision": {"deepstack_visual_indexes": [0, 1, 2]}, "tile": 24},
    ),
    "qwen3_vl: no deep layer, one key head": (
        "qwen3_vl",
        {"vision": {"deepstack_visual_indexes": []}, "text": {"num_key_value_heads": 1}, "tile": 8},
    ),
    "internvl: norms of queries, root mean squares": (
        "internvl",
        {"vision": BARE | {"use_qk_norm": True, "norm_type": "rms_norm", "attention_bias": True}},
    ),
    "internvl: sixteen patches a token, mixture of experts": (
        "internvl",
        {
            "downsample_ratio": 0.25,
            "vision_feature_layer": -2,
            "text": {
                "model_type": "qwen3_moe",
                "num_experts": 4,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 32,
            },
        },
    ),
    "idefics3: nine patches a token": (
        "idefics3",
        {"scale_factor": 3, "vision": {"image_size": 36, "patch_size": 6}},
    ),
    "smolvlm: patches alone, tied words": (
        "smolvlm",
        {"scale_factor": 1, "tie_word_embeddings": True, "text": ONE_KEY_HEAD},
    ),
}
VARIANTS |= {
    "gemma3: full layers, sixteen patches a token, tied words": (
        "gemma3",
        {
            "text": {"layer_types": ["full_attention"] * 3},
            "mm_tokens_per_image": 1,
            "tie_word_embeddings": True,
        },
    ),
    "gemma3: a window smaller than a tile": ("gemma3", {"text": {"sliding_window": 3}}),
    "paligemma: Gemma, tied words": (
        "paligemma",
        {"text": {"model_type": "gemma", "sliding_window": None}, "tie_word_embeddings": True},
    ),
    "paligemma: a window smaller than a tile": ("paligemma", {"text": {"sliding_window": 3}}),
    "mistral3: patches alone, one key head": (
        "mistral3",
        {"spatial_merge_size": 1, "tile": 24, "text": {"num_key_value_heads": 1}},
    ),
    "pixtral: layers together": ("pixtral", {"vision_feature_layer": [-2, -1], "tile": 24}),
    "paligemma: no bounds on logits": (
        "paligemma",
        {"text": {"final_logit_softcapping": None, "attn_logit_softcapping": None}},
    ),
}
VARIANTS |= {
    "mistral3: one token a tile": ("mistral3", {"tile": 16}),
    "qwen2_vl: nine odd patches a token, tied words": (
        "qwen2_vl",
        {
            "vision": {"spatial_merge_size": 3, "patch_size": 5},
            "tile": 45,
            "tie_word_embeddings": True,
        },
    ),
    "qwen3_vl_moe: experts in each second layer": (
        "qwen3_vl_moe",
        {"text": {"decoder_sparse_step": 2, "num_experts": 6, "num_experts_per_tok": 3}, "tile": 8},
    ),
    "glm4v: nine patches a token, one key head": (
        "glm4v",
        {
            "vision": {"spatial_merge_size": 3, "image_size": 36},
            "text": {"num_key_value_heads": 1},
            "tile": 36,
        },
    ),
    "glm4v_moe: experts in groups": (
        "glm4v_moe",
        {
            "text": {"n_routed_experts": 8, "n_group": 4, "topk_group": 2, "n_shared_experts": 2},
            "tile": 24,
        },
    ),
    "qwen3_5: other heads of values, a fourth of each head turned": (
        "qwen3_5",
        {
            "text": {
                "linear_num_value_heads": 6,
                "linear_conv_kernel_dim": 2,
                "head_dim": 32,
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 1e7,
                    "mrope_section": [2, 1, 1],
                    "mrope_interleaved": True,
                    "partial_rotary_factor": 0.25,
                },
            },
            "tile": 24,
        },
    ),
}
SEES_ALL = {name: built for name, built in VARIANTS.items() if "window" not in name}


@pytest.mark.parametrize("family, changes", VARIANTS.values(), ids=VARIANTS)  # noqa: PT006
def test_a_model_of_another_build_says_what_its_stock_model_says(family, changes, first_logits):
    host = variant_of(family, **changes)
    inputs = stock_inputs(host, family, 3)
    tokens = tokens_of(host, 3)
    expected = stock_logits(host, family, inputs)
    found = first_logits(host, QUESTION, tokens)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert host.generate(QUESTION, tokens).text == stock_text(host, family, inputs)
    other = first_logits(host, QUESTION, tokens_of(host, 3, seed=6))
    assert (other - expected).abs().max() > 1e-3, "the picture must matter for this to prove much"


@pytest.mark.parametrize("family, changes", SEES_ALL.values(), ids=SEES_ALL)  # noqa: PT006
def test_tokens_that_such_a_model_lost_leave_no_trace(family, changes, first_logits):
    host = variant_of(family, **changes)
    tokens = tokens_of(host)
    sequence = stock_decoder_inputs(host, family, stock_inputs(host, family))
    keep = some(len(tokens))
    visual = host._prompts.layout.sequence(host._prompts.words.ids(QUESTION), tokens).visual
    length = sequence["inputs_embeds"].shape[1]
    visible = visible_where(host, family, length, visual, keep)
    positions = full_positions(host, sequence, host.capabilities.positions, visible, tokens)
    expected = masked_logits(host, sequence, visible, positions)
    found = first_logits(host, QUESTION, tokens.select(keep))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_in_sixteen_bits_a_host_is_as_far_off_as_its_stock_model(family, dtype, first_logits):
    host = variant_of(family, dtype=dtype, tile=24 if family in OF_ANY_SIZE else None)
    inputs = stock_inputs(host, family)
    inputs |= {k: v.to(dtype) for k, v in inputs.items() if v.is_floating_point()}
    expected = stock_logits(host, family, inputs).float()
    found = first_logits(host, QUESTION, tokens_of(host))
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_letters_are_scored_as_the_stock_forward_pass_has_them(family):
    host = host_of(family, positions="original" if family in OF_ANY_SIZE else "compact")
    choices = ("red", "blue", "green")
    found = host.generate(QUESTION, tokens_of(host), choices=choices).choices
    inputs = stock_inputs(host, family)
    asked = f"{QUESTION}{choice_instruction(choices)} is"
    ids = host._tokenizer.encode(asked, add_special_tokens=False)
    shown = inputs["input_ids"][:, : -len(question_ids())]
    inputs["input_ids"] = torch.cat([shown, torch.tensor([ids])], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    kinds = (inputs["input_ids"] == WORDS["<image>"]).int()
    if family == "paligemma":
        kinds = torch.zeros_like(kinds)
    inputs |= {name: kinds for name in inputs if "token_type_ids" in name}
    believed = stock_logits(host, family, inputs).log_softmax(-1)
    expected = [float(believed[WORDS[letter]]) for letter in "ABC"]
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_vision_tower_of_an_unknown_kind_is_refused_with_those_that_are_known():
    config = LlavaConfig(
        vision_config={"model_type": "dinov2", "hidden_size": 32, "num_hidden_layers": 1}
        | {"num_attention_heads": 2, "image_size": 32, "patch_size": 8},
        text_config=host_of("llava")._family.config.text_config,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    with pytest.raises(ModelError, match="is a 'dinov2'; supported are clip_vision_model"):
        LlavaFamily(LlavaForConditionalGeneration(config))


@pytest.mark.parametrize(
    ("family", "changes", "words"),
    [
        ("internvl", {"downsample_ratio": 0.3}, "downsample_ratio 0.3"),
        ("internvl", {"vision_feature_layer": [-1, -2]}, "one vision_feature_layer"),
        ("internvl", {"vision": {"image_size": [24, 24]}}, "3 patches along a side"),
        ("smolvlm", {"scale_factor": 3}, "cannot be merged 3 × 3"),
        ("idefics3", {"vision": {"image_size": 40}}, "5 patches along a side"),
        ("llava_next", {"vision_feature_layer": 4}, "not one of the hidden states -4 to 3"),
        (
            "llava",
            {"text": {"model_type": "opt", "ffn_dim": 64, "word_embed_proj_dim": 64}},
            "is a 'opt', whose layers are not where",
        ),
    ],
)
def test_a_build_that_does_not_add_up_is_refused(family, changes, words):
    with pytest.raises(ModelError, match=words):
        variant_of(family, **changes)


def test_layers_together_are_no_tower_that_reductions_enter():
    vision = CLIPVisionConfig().model_type
    host = variant_of("llava", vision_feature_layer=[-2, -1])
    assert host._family.config.vision_config.model_type == vision
    assert "encoder_layer" not in host.capabilities.stages
    assert "cls_attention" not in host.capabilities.signals
