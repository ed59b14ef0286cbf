"""Attention logits of a few rows of one decoder layer: the last prompt token's, as a rule.

A full attention matrix of N tokens costs N² numbers per head; focus needs one row of it. The
layer's own projections and its family's own rotary function are used, so the row equals that of the
stock attention. Works on any decoder layer with ``input_layernorm`` and ``self_attn`` with
``q_proj`` and ``k_proj`` (LLaMA, Mistral, Qwen2, Qwen3 and their kin), grouped heads and query and
key norms included.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor

__all__ = ["row_logits"]


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
    attention = layer.self_attn
    rotate = sys.modules[type(attention).__module__].apply_rotary_pos_emb
    batch, dim = hidden.shape[0], attention.head_dim
    normed = layer.input_layernorm(hidden)
    wanted = normed.gather(1, rows[..., None].expand(-1, -1, hidden.shape[-1]))
    queries = attention.q_proj(wanted).view(batch, rows.shape[1], -1, dim)
    keys = attention.k_proj(normed[:, first : first + count]).view(batch, count, -1, dim)
    if hasattr(attention, "q_norm"):
        queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    queries, keys = queries.transpose(1, 2), keys.transpose(1, 2)
    cos, sin = rotary
    place = rows[..., None].expand(-1, -1, cos.shape[-1])
    queries, _ = rotate(queries, queries, cos.gather(1, place), sin.gather(1, place))
    _, keys = rotate(keys, keys, cos[:, first : first + count], sin[:, first : first + count])
    # several query heads may share one key head
    queries = queries.unflatten(1, (keys.shape[1], -1))
    logits = queries.float() @ keys.float().transpose(-1, -2).unsqueeze(2)
    scaled: Tensor = logits.flatten(1, 2) * attention.scaling
    return scaled
