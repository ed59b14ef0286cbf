"""The stock configuration of a LLaVA whose own repository saved another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["GEOCHAT_SIDE", "stock_config"]

GEOCHAT_SIDE = 504
"""Pixels along a side of the images of GeoChat, whatever its tower was made for."""

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
    "attention_bias",
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
    side = GEOCHAT_SIDE if config["model_type"] == "geochat" else vision.get("image_size", 224)
    return {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "image_token_index": image_id,
        "projector_hidden_act": "gelu",
        "vision_feature_layer": config.get("mm_vision_select_layer", -2),
        "vision_feature_select_strategy": "default",
        "tie_word_embeddings": bool(config.get("tie_word_embeddings", False)),
        "torch_dtype": config.get("torch_dtype", "float16"),
        "text_config": {"model_type": "llama", "vocab_size": vocabulary, **text},
        "vision_config": {**vision, "image_size": side},
    }
