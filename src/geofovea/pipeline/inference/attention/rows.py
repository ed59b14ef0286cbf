"""Attention logits of a few rows of one decoder layer: the last prompt token's, as a rule.

A full attention matrix of N tokens costs N² numbers per head; focus needs one row of it. The
layer's own projections and its family's own rotary function are used, so the row equals that of the
stock attention. Works on any decoder layer with ``input_layernorm`` and ``self_attn`` with
``q_proj`` and ``k_proj`` (LLaMA, Mistral, Qwen2, Qwen3 and their kin), grouped heads and query and
key norms included.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "layer_values",
    "merged_rotary",
    "pair_logits",
    "rotate",
    "rotated_keys",
    "rotated_queries",
    "row_logits",
]


_GATED_QUERIES = frozenset({"qwen3_5_moe_text", "qwen3_5_text"})
"""Decoders that make a gate beside each query, for what the layer puts out."""


def row_logits(
    layer: Any, hidden: Tensor, rotary: tuple[Tensor, Tensor], rows: Tensor, first: int, count: int
) -> Tensor:
    """Scaled attention logits of ``rows`` over ``count`` keys from ``first`` on.

    Args:
        layer: A decoder layer of ``transformers``.
        hidden: Its input (b, s, d).
        rotary: Cosines and sines (b, s, head_dim), as the decoder computed them.
        rows: Positions of the queries, int64 (b, q).
        first: Position of the first key.
        count: Number of keys.

    Returns:
        float32 (b, heads, q, count), before any mask and softmax.
    """
    logits = pair_logits(
        rotated_queries(layer, hidden, rotary, rows),
        rotated_keys(layer, hidden, rotary, first, count),
        layer.self_attn.scaling,
    )
    cap = _logit_cap(layer.self_attn)
    return logits if cap is None else (logits / cap).tanh() * cap


def rotated_queries(
    layer: Any, hidden: Tensor, rotary: tuple[Tensor, Tensor], rows: Tensor
) -> Tensor:
    """Queries of ``rows`` (b, q) as the layer would use them, (b, heads, q, head_dim)."""
    attention = layer.self_attn
    states = hidden.gather(1, rows[..., None].expand(-1, -1, hidden.shape[-1]))
    queries = attention.q_proj(layer.input_layernorm(states))
    if getattr(attention.config, "model_type", None) in _GATED_QUERIES:
        queries = queries.view(*rows.shape, -1, 2 * attention.head_dim).chunk(2, dim=-1)[0]
    queries = queries.reshape(*rows.shape, -1, attention.head_dim)
    if hasattr(attention, "q_norm"):
        queries = attention.q_norm(queries)
    place = rows[..., None].expand(-1, -1, rotary[0].shape[-1])
    cos, sin = (table.gather(1, place) for table in rotary)
    return rotate(attention, queries.transpose(1, 2), cos, sin)


def rotated_keys(
    layer: Any, hidden: Tensor, rotary: tuple[Tensor, Tensor], first: int, count: int
) -> Tensor:
    """``count`` keys from ``first`` on as the layer would use them, (b, key heads, count, dim)."""
    attention = layer.self_attn
    states = layer.input_layernorm(hidden[:, first : first + count])
    keys = attention.k_proj(states).view(len(hidden), count, -1, attention.head_dim)
    if hasattr(attention, "k_norm"):
        keys = attention.k_norm(keys)
    cos, sin = (table[:, first : first + count] for table in rotary)
    return rotate(attention, keys.transpose(1, 2), cos, sin)


def layer_values(layer: Any, hidden: Tensor) -> Tensor:
    """Values of all tokens as the layer would use them, (b, key heads, s, head_dim)."""
    attention = layer.self_attn
    values: Tensor = attention.v_proj(layer.input_layernorm(hidden))
    return values.view(*hidden.shape[:2], -1, attention.head_dim).transpose(1, 2)


def pair_logits(queries: Tensor, keys: Tensor, scaling: float) -> Tensor:
    """Scaled products of all queries with all keys, float32 (b, heads, q, count)."""
    # several query heads may share one key head
    batch, _, rows, dim = queries.shape
    grouped = queries.float().view(batch, keys.shape[1], -1, rows, dim)
    logits = grouped @ keys.float().transpose(-1, -2).unsqueeze(2)
    scaled: Tensor = logits.flatten(1, 2) * scaling
    return scaled


def merged_rotary(layer: Any, rotary: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Cosines and sines (b, s, head_dim) of a layer, whatever its decoder hands it.

    In earlier releases of transformers 5, Qwen2.5-VL's decoder hands on a table for each of the
    three axes, and the layers take alternating sections of them; other decoders hand on one table.
    """
    if rotary[0].ndim == 3:
        return rotary
    sections = layer.self_attn.config.rope_parameters["mrope_section"] * 2
    cos, sin = (
        torch.cat(
            [part[i % 3] for i, part in enumerate(torch.split(table, sections, dim=-1))], dim=-1
        )
        for table in rotary
    )
    return cos, sin


def _logit_cap(attention: Any) -> float | None:
    """What a layer holds its logits within; Gemma 3 has the setting, too, and does not use it."""
    if getattr(attention.config, "model_type", None) != "gemma2":
        return None
    cap: float | None = attention.attn_logit_softcapping
    return cap


def rotate(attention: Any, states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """States ``(b, heads, s, head_dim)`` turned by the rotary function of their family.

    Args:
        attention: The attention module of a layer.
        states: Queries or keys.
        cos: ``(1 or b, s, head_dim)``.
        sin: Likewise.
    """
    module = sys.modules[type(attention).__module__]
    if not hasattr(module, "apply_rotary_pos_emb"):
        module = import_module("transformers.models.llama.modeling_llama")
    # it turns a pair: of the second, one head is enough
    rotated: Tensor = module.apply_rotary_pos_emb(states, states[:, :1], cos, sin)[0]
    return rotated
