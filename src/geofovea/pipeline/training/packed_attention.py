"""Attention of many questions that share one prefix, without the pairs that are masked anyway.

A full matrix over ``p`` prefix tokens and ``q`` questions of ``l`` words has ``(p + q·l)²``
entries, but a question sees only the prefix and itself. Nothing else is computed here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

__all__ = ["PACKED_QUESTIONS", "packed_attention"]

PACKED_QUESTIONS = "geofovea_packed_questions"
"""Name under which ``transformers`` finds ``packed_attention``."""


def packed_attention(
    module: nn.Module,  # noqa: ARG001
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    question_length: int,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention over a prefix and over packed questions.

    Args:
        module: The attention layer, unused; part of the interface.
        query: ``(b, heads, s, d)`` with ``s = p + q · question_length``; keys and values alike,
            as many heads as queries.
        key: See ``query``.
        value: See ``query``.
        attention_mask: bool ``(b, p)``, the tokens of the prefix that may be seen; or float, what
            is added to their logits. It gives ``p``.
        scaling: Factor of the logits.
        question_length: Words of a question, padding included.

    Returns:
        ``(b, s, heads, d)``, and no weights.
    """
    if attention_mask is None:
        raise TypeError("packed attention needs the mask of its prefix")
    p = attention_mask.shape[1]
    hidden = attention_mask
    if hidden.dtype == torch.bool:
        visible = torch.zeros_like(attention_mask, dtype=query.dtype)
        hidden = visible.masked_fill(~attention_mask, torch.finfo(query.dtype).min)
    hidden = hidden[:, None, None]
    key_prefix, value_prefix = key[:, :, :p], value[:, :, :p]
    logits = query[:, :, :p] @ key_prefix.transpose(-1, -2) * scaling + hidden + _future(p, query)
    of_prefix = logits.softmax(-1) @ value_prefix
    asking, words, words_value = (_split(x[:, :, p:], question_length) for x in (query, key, value))
    on_prefix = query[:, :, p:] @ key_prefix.transpose(-1, -2) * scaling + hidden
    on_itself = asking @ words.transpose(-1, -2) * scaling + _future(question_length, query)
    weights = torch.cat([on_prefix, on_itself.flatten(2, 3)], -1).softmax(-1)
    of_itself = _split(weights[..., p:], question_length) @ words_value
    of_questions = weights[..., :p] @ value_prefix + of_itself.flatten(2, 3)
    return torch.cat([of_prefix, of_questions], 2).transpose(1, 2), None


def _split(packed: Tensor, length: int) -> Tensor:
    """``(b, heads, q · length, d)`` as ``(b, heads, q, length, d)``."""
    batch, heads, words, width = packed.shape
    return packed.reshape(batch, heads, words // length, length, width)


def _future(length: int, like: Tensor) -> Tensor:
    """What is added so that no token sees a later one, ``(length, length)``."""
    never = torch.full((length, length), torch.finfo(like.dtype).min, device=like.device)
    return never.triu(1).to(like.dtype)


AttentionInterface.register(PACKED_QUESTIONS, packed_attention)
