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
    kinds = set(getattr(config, "layer_types", None) or ())
    if not kinds:
        return _added(_whole(blocks, places), dtype)
    masks = {"full_attention": _added(_whole(blocks, places), dtype)}
    if "sliding_attention" in kinds:
        window = config.sliding_window
        # a window of Gemma 3 bounds what an image sees of itself, one of Gemma 2 does not
        bounds_blocks = config.model_type == "gemma3_text"
        masks["sliding_attention"] = _added(
            _windowed(blocks, places, window, bounds_blocks=bounds_blocks), dtype
        )
    return masks


# each step below is in place: at 65,000 tokens a matrix of truth values takes 4 GB
def _whole(blocks: Tensor, places: Tensor) -> Tensor:
    """Who sees whom without a window, bool ``(b, s, s)``."""
    return _within(blocks).logical_or_(places[:, None] >= places)


def _windowed(blocks: Tensor, places: Tensor, window: int, *, bounds_blocks: bool) -> Tensor:
    """Likewise where a token sees the last ``window`` places."""
    near = places > places[:, None] - window
    if bounds_blocks:
        return _whole(blocks, places).logical_and_(near)
    return _within(blocks).logical_or_(near.logical_and_(places[:, None] >= places))


def _within(blocks: Tensor) -> Tensor:
    """Which tokens are in one block, bool ``(b, s, s)``."""
    return (blocks[:, :, None] == blocks[:, None]).logical_and_((blocks >= 0)[:, None])


def _added(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask ``(b, 1, s, s)`` that hides what is not visible; takes the truth values for it."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(visible.logical_not_(), torch.finfo(dtype).min)[:, None]
