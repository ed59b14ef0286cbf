"""Masks of prompts in which some tokens see tokens behind them, as the stock models make them.

A stock text model is causal by itself; the model around it hands it a mask for its blocks, and here
nothing stands around it. Memory is that of the square of the prompt, as in the stock model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["block_masks"]


def block_masks(decoder: Any, blocks: Tensor, dtype: torch.dtype) -> Tensor | dict[str, Tensor]:
    """What a text model takes as the mask of some prompts without a cache.

    Args:
        decoder: The text model.
        blocks: int64 ``(b, s)``, the block of each token; negative where it is in none.
        dtype: Of the hidden states.

    Returns:
        ``(b, 1, s, s)`` to be added to attention logits; one for each kind of layers where the
        decoder has several.
    """
    config, places = decoder.config, torch.arange(blocks.shape[1], device=blocks.device)
    causal = places[:, None] >= places
    within = (blocks[:, :, None] == blocks[:, None]) & (blocks >= 0)[:, None]
    kinds = set(getattr(config, "layer_types", None) or ())
    if not kinds:
        return _added(causal | within, dtype)
    masks = {"full_attention": causal | within}
    if "sliding_attention" in kinds:
        near = places > places[:, None] - config.sliding_window
        # a window of Gemma 3 bounds what an image sees of itself, one of Gemma 2 does not
        windowed = near & (causal | within)
        masks["sliding_attention"] = (
            windowed if config.model_type == "gemma3_text" else (near & causal) | within
        )
    return {kind: _added(mask, dtype) for kind, mask in masks.items()}


def _added(visible: Tensor, dtype: torch.dtype) -> Tensor:
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]
