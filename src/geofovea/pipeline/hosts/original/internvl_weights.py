"""Weights of an InternVL of the original layout, under the names of stock ``transformers``.

Its tower keeps queries, keys and values in one matrix, and its InternLM2 decoder does so for each
group of heads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.original.weights import tensors_in

__all__ = ["internvl_weights"]

_NAMES = (
    (r"^vision_model\.embeddings\.class_embedding$", "model.vision_tower.embeddings.cls_token"),
    (
        r"^vision_model\.embeddings\.position_embedding$",
        "model.vision_tower.embeddings.position_embeddings",
    ),
    (
        r"^vision_model\.embeddings\.patch_embedding\.",
        "model.vision_tower.embeddings.patch_embeddings.projection.",
    ),
    (r"^vision_model\.encoder\.layers\.(\d+)\.", r"model.vision_tower.encoder.layer.\1."),
    (r"(encoder\.layer\.\d+)\.attn\.proj\.", r"\1.attention.projection_layer."),
    (r"(encoder\.layer\.\d+)\.attn\.", r"\1.attention."),
    (r"(encoder\.layer\.\d+)\.ls([12])$", r"\1.lambda_\2"),
    (r"(encoder\.layer\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"(encoder\.layer\.\d+)\.norm2\.", r"\1.layernorm_after."),
    (r"^mlp1\.0\.", "model.multi_modal_projector.layer_norm."),
    (r"^mlp1\.1\.", "model.multi_modal_projector.linear_1."),
    (r"^mlp1\.3\.", "model.multi_modal_projector.linear_2."),
    (r"^language_model\.(lm_head|output)\.", "lm_head."),
    (r"^language_model\.model\.", "model.language_model."),
)
_INTERNLM2_NAMES = (
    (r"\.tok_embeddings\.", ".embed_tokens."),
    (r"\.attention\.wo\.", ".self_attn.o_proj."),
    (r"\.feed_forward\.w1\.", ".mlp.gate_proj."),
    (r"\.feed_forward\.w2\.", ".mlp.down_proj."),
    (r"\.feed_forward\.w3\.", ".mlp.up_proj."),
    (r"\.attention_norm\.", ".input_layernorm."),
    (r"\.ffn_norm\.", ".post_attention_layernorm."),
)
_STOCK = re.compile(r"^(model\.(vision_tower|multi_modal_projector|language_model)\.|lm_head\.)")
# older releases kept what is computed from the configuration
_COMPUTED = "rotary_emb.inv_freq"


def internvl_weights(files: list[Path], config: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """All weights under the names of the stock class, one in memory at a time.

    Args:
        files: In safetensors.
        config: The original ``config.json``.

    Raises:
        ModelError: If a file is damaged, or holds a weight of another model.
    """
    for path in files:
        for name, tensor in tensors_in(path):
            if not name.endswith(_COMPUTED):
                yield from _converted(name, tensor, config["llm_config"])


def _converted(
    name: str, tensor: Tensor, decoder: Mapping[str, Any]
) -> Iterator[tuple[str, Tensor]]:
    stock = _renamed(name, _NAMES)
    if decoder["model_type"] == "internlm2":
        stock = _renamed(stock, _INTERNLM2_NAMES)
    if not _STOCK.match(stock):
        raise ModelError(
            f"the weight {name} belongs to no part of an InternVL; this is another model, or one "
            "with parts of its own (adapters have to be merged first), and cannot be converted"
        )
    if ".attention.qkv." in stock:
        for part, values in zip("qkv", tensor.chunk(3), strict=True):
            yield stock.replace(".attention.qkv.", f".attention.{part}_proj."), values
    elif ".attention.wqkv." in stock:
        for part, values in zip("qkv", _by_head(tensor, decoder), strict=True):
            yield stock.replace(".attention.wqkv.", f".self_attn.{part}_proj."), values
    else:
        yield stock, tensor


def _renamed(name: str, names: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in names:
        name = re.sub(pattern, replacement, name)
    return name


def _by_head(packed: Tensor, decoder: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices of queries, keys and values; InternLM2 has them side by side for each key head."""
    heads, key_heads = decoder["num_attention_heads"], decoder["num_key_value_heads"]
    width = decoder["hidden_size"] // heads
    try:
        grouped = packed.view(key_heads, heads // key_heads + 2, width, *packed.shape[1:])
    except RuntimeError as error:
        raise ModelError(
            f"a matrix of queries, keys and values {tuple(packed.shape)} does not fit the "
            f"{heads} and {key_heads} heads that config.json says; download the model again"
        ) from error
    queries, keys, values = grouped[:, :-2], grouped[:, -2], grouped[:, -1]
    return (
        queries.flatten(0, 2).contiguous(),
        keys.flatten(0, 1).contiguous(),
        values.flatten(0, 1).contiguous(),
    )
