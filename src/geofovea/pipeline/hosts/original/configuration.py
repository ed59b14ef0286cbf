"""The stock configuration of a LLaVA whose own repository saved another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "DECODERS",
    "GEOCHAT",
    "GEOCHAT_SIDE",
    "IMAGE_MARKS",
    "LINEAR",
    "POOLED",
    "PROJECTORS",
    "answer_rules",
    "host_settings",
    "projector_activation",
    "stock_config",
    "weight_dtype",
]

GEOCHAT = "geochat"
"""The ``model_type`` of GeoChat and of what was trained with its code."""
GEOCHAT_SIDE = 504
"""Pixels along a side of the images of GeoChat, whatever its tower was made for."""

DECODERS = {
    "llava": "llama",
    "llava_llama": "llama",
    GEOCHAT: "llama",
    "llava_mistral": "mistral",
    "llava_qwen": "qwen2",
}
"""The decoder of a LLaVA by the ``model_type`` of its own repository."""
LINEAR = "linear"
"""A projector of one layer, and a function that changes nothing."""
PROJECTORS = {"mlp2x_gelu": "gelu", "mlp1x_gelu": LINEAR, LINEAR: LINEAR}
"""The function between the two layers of a stock projector, by the name of the original one.

One linear layer is two, the second of which changes nothing.
"""
IMAGE_MARKS = ("<im_start>", "<im_end>")
"""Special words around an image, in models that were trained with them."""
POOLED = "unires"
"""Tokens of every tile are averaged two by two, without a vector behind a tile: LongVA's way."""
_PACKED = "spatial"
_ANSWER_FIELDS = ("bos_token_id", "eos_token_id", "pad_token_id", "repetition_penalty")
_DECODER_FIELDS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "attention_bias",
    "sliding_window",
    "use_sliding_window",
    "max_window_layers",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
)


def stock_config(
    config: Mapping[str, Any], vision: Mapping[str, Any], image_id: int, vocabulary: int
) -> dict[str, Any]:
    """A ``config.json`` of ``LlavaForConditionalGeneration``.

    Args:
        config: The original one.
        vision: Of the tower.
        image_id: Id of the word that stands for an image.
        vocabulary: Rows of the embeddings.
    """
    text = {key: config[key] for key in _DECODER_FIELDS if config.get(key) is not None}
    side = GEOCHAT_SIDE if config["model_type"] == GEOCHAT else vision.get("image_size", 224)
    is_packed = str(config.get("mm_patch_merge_type", "")).startswith(_PACKED)
    has_class_token = vision["model_type"] == "clip_vision_model"
    packed = ("Next", "llava_next") if has_class_token else ("Onevision", "llava_onevision")
    name, model_type = packed if is_packed else ("", "llava")
    own: dict[str, Any] = {"image_grid_pinpoints": _pinpoints(config, side)} if is_packed else {}
    layer = config.get("mm_vision_select_layer", -2)
    return own | {
        "architectures": [f"Llava{name}ForConditionalGeneration"],
        "model_type": model_type,
        "image_token_index": image_id,
        "projector_hidden_act": projector_activation(config),
        # the last layer of a SigLIP was left out, so that its last one but one is the last
        "vision_feature_layer": layer if has_class_token else -1,
        "vision_feature_select_strategy": "default" if has_class_token else "full",
        "tie_word_embeddings": bool(config.get("tie_word_embeddings", False)),
        "torch_dtype": weight_dtype(config, "float16"),
        "text_config": {
            "model_type": DECODERS[config["model_type"]],
            "vocab_size": vocabulary,
            **text,
        },
        "vision_config": {**vision, "image_size": side},
    }


def projector_activation(config: Mapping[str, Any]) -> str:
    """The function between the two layers of the stock projector, by its name."""
    # what the original code takes where the configuration does not say
    return PROJECTORS[config.get("mm_projector_type", LINEAR)]


def weight_dtype(config: Mapping[str, Any], usual: str) -> str:
    """The type of the weights by either name that releases of ``transformers`` gave it.

    Args:
        config: Original.
        usual: What they have where it does not say.
    """
    return str(config.get("dtype") or config.get("torch_dtype") or usual)


def host_settings(config: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    """What ``geofovea.json`` has to say of a model, for no stock configuration does.

    Args:
        config: The original one.
        prompt: The usual one of its family.
    """
    settings: dict[str, Any] = {}
    if config.get("mm_patch_merge_type") == POOLED:
        settings["pool"] = 2
    if config.get("mm_use_im_start_end"):
        settings["template"] = prompt.replace("{image}", "{image}".join(IMAGE_MARKS))
    return settings


def answer_rules(config: Mapping[str, Any], rules: Mapping[str, Any]) -> dict[str, Any]:
    """A ``generation_config.json``: what ends an answer, and what it must not repeat.

    Args:
        config: The original ``config.json``, where older releases kept the same.
        rules: The original ``generation_config.json``; empty where there is none.
    """
    both = {**config, **rules}
    return {key: both[key] for key in _ANSWER_FIELDS if both.get(key) is not None}


def _pinpoints(config: Mapping[str, Any], side: int) -> list[list[int]]:
    """Sizes to which images were packed; here each tile stands alone, so any list will do."""
    pinpoints = config.get("image_grid_pinpoints")
    if isinstance(pinpoints, list) and pinpoints:
        return pinpoints
    return [[side, 2 * side], [2 * side, side], [2 * side, 2 * side]]
