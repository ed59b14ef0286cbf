"""Rotary positions of keys, taken off and put on again.

A key that is stored without its position can stand anywhere in a sequence: the same tile behind two
others in one prompt, and first in the next.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from geofovea.pipeline.inference.attention.rows import rotate

__all__ = ["turned", "unturned"]


def turned(decoder: Any, keys: Tensor, positions: Tensor) -> Tensor:
    """Keys ``(layers, key_heads, s, head_dim)`` as attention sees them at some positions.

    Args:
        decoder: The text model that they belong to.
        keys: Without positions.
        positions: int64 ``(s,)``.
    """
    cos, sin = decoder.rotary_emb(keys, positions[None].to(keys.device))
    return rotate(decoder.layers[0].self_attn, keys, cos, sin)


def unturned(decoder: Any, keys: Tensor, positions: Tensor) -> Tensor:
    """Undoes `turned`."""
    cos, sin = decoder.rotary_emb(keys, positions[None].to(keys.device))
    # some decoders scale their tables: turning forth and back then scales twice
    scale = (cos**2 + sin**2)[:, None]
    back: Tensor = rotate(decoder.layers[0].self_attn, keys, cos, -sin) / scale
    return back
