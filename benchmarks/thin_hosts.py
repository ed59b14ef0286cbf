"""Hosts of the depth and the tiles of real ones, so narrow that a CPU computes them.

What they ask of a device is what the real ones ask: layers, patches, windows, tokens of a tile,
axes of positions and kinds of rotary embedding are those of the published configurations; only
widths and vocabulary are small. Weights are random.
"""

from __future__ import annotations

from typing import Any

import torch

from gpu_pipeline import SHAPES, build, make_host

__all__ = ["THIN", "thin_host"]

_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 28,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
_DEEP_VISION = {
    "depth": 27,
    "hidden_size": 32,
    "num_heads": 2,
    "intermediate_size": 64,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "deepstack_visual_indexes": [8, 16, 24],
    "num_position_embeddings": 2304,
    "out_hidden_size": _TEXT["hidden_size"],
}
_DEEP_TEXT = _TEXT | {
    "head_dim": 16,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 5e6,
        "mrope_section": [2, 3, 3],
        "mrope_interleaved": True,
    },
    "max_position_embeddings": 262_144,
}
_MARKS = ("<|vision_start|>", "<|vision_end|>", "<img>", "</img>")


def _qwen25_vl(answer: int) -> tuple[Any, Any]:
    """Qwen2.5-VL 7B: 32 windowed layers, 144 tokens a tile, positions of three axes."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    from geofovea.pipeline.hosts.families.qwen_vl import Qwen25VLFamily

    vision = {"depth": 32, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64}
    vision |= {"patch_size": 14, "spatial_merge_size": 2, "window_size": 112}
    vision |= {"fullatt_block_indexes": [7, 15, 23, 31], "out_hidden_size": _TEXT["hidden_size"]}
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
    config = Qwen2_5_VLConfig(
        vision_config=vision,
        text_config=_TEXT | {"rope_parameters": rope, "max_position_embeddings": 128_000},
        image_token_id=4,
    )
    return _host(Qwen2_5_VLForConditionalGeneration(config), Qwen25VLFamily, answer)


def _qwen3_vl(answer: int) -> tuple[Any, Any]:
    """Qwen3-VL 8B: 27 layers, three of which go on into the decoder, 144 tokens a tile."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    from geofovea.pipeline.hosts.families.qwen_vl import Qwen3VLFamily

    config = Qwen3VLConfig(
        vision_config=_DEEP_VISION,
        text_config=_DEEP_TEXT | {"num_hidden_layers": 36},
        image_token_id=4,
    )
    return _host(Qwen3VLForConditionalGeneration(config), Qwen3VLFamily, answer)


def _qwen3_vl_moe(answer: int) -> tuple[Any, Any]:
    """Qwen3-VL 30B-A3B: the same tower, 48 layers of 128 experts, 8 of which work on a token."""
    from transformers import Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration

    from geofovea.pipeline.hosts.families.qwen_vl import Qwen3VLMoeFamily

    experts = {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 16}
    config = Qwen3VLMoeConfig(
        vision_config=_DEEP_VISION,
        text_config=_DEEP_TEXT | experts | {"num_hidden_layers": 48},
        image_token_id=4,
    )
    return _host(Qwen3VLMoeForConditionalGeneration(config), Qwen3VLMoeFamily, answer)


def _internvl(answer: int) -> tuple[Any, Any]:
    """InternVL3 8B: 24 layers on 1024 patches, 256 tokens a tile, dynamic positions."""
    from transformers import InternVLConfig, InternVLForConditionalGeneration, Qwen2Config

    from geofovea.pipeline.hosts.families.internvl import InternVLFamily

    vision = {"num_hidden_layers": 24, "hidden_size": 32, "num_attention_heads": 2}
    vision |= {"intermediate_size": 64, "image_size": [448, 448], "patch_size": [14, 14]}
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e6}
    text = Qwen2Config(**_TEXT, rope_parameters=rope, max_position_embeddings=32_768)
    config = InternVLConfig(vision_config=vision, text_config=text, image_token_id=4)
    return _host(InternVLForConditionalGeneration(config), InternVLFamily, answer)


def _llava(answer: int) -> tuple[Any, Any]:
    """CLIP-L/14-336 and Qwen2-7B, as in ``gpu_pipeline``, with patches of 28 pixels."""
    model = build(SHAPES["thin"], torch.device("cpu"), torch.float32)
    return model, lambda: make_host(model, SHAPES["thin"], answer)[0]


THIN = {
    "llava": _llava,
    "qwen2_5_vl": _qwen25_vl,
    "qwen3_vl": _qwen3_vl,
    "qwen3_vl_moe": _qwen3_vl_moe,
    "internvl": _internvl,
}
"""By ``model_type``."""


def thin_host(family: str, answer: int) -> tuple[Any, Any]:
    """A model on the CPU, and what makes a host of it once it is where it shall run.

    Args:
        family: One of ``THIN``.
        answer: Tokens of every answer; none ends earlier.
    """
    torch.manual_seed(0)
    return THIN[family](answer)


def _host(model: Any, family: Any, answer: int) -> tuple[Any, Any]:
    from geofovea.pipeline.hosts.lvlm import LvlmHost
    from geofovea.pipeline.hosts.settings import HostSettings
    from geofovea.pipeline.training.embedded_model import build_tokenizer

    model.generation_config.eos_token_id = None
    tokenizer = build_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(_MARKS)})
    tokenizer.eos_token = None
    settings = HostSettings(
        template="{image} {question}", instruction="", focus_layer=3, answer_tokens=answer
    )
    model.eval()
    return model, lambda: LvlmHost("random", family(model), tokenizer, settings)
