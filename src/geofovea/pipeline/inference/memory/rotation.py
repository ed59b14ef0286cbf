"""Rotary positions of keys, taken off and put on again.

A key that is stored without its position can stand anywhere in a sequence: the same tile behind two
others in one prompt, and first in the next.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from geofovea.pipeline.inference.attention.rows import rotate
from geofovea.pipeline.inference.attention.support import has_dynamic_rope

__all__ = ["rotary_tables", "rotated", "turned", "unturned"]

_Tables = tuple[Tensor, Tensor]
_SHORTEST = 1024
_TABLES: WeakKeyDictionary[Any, dict[tuple[torch.dtype, torch.device], _Tables]] = (
    WeakKeyDictionary()
)


def rotary_tables(decoder: Any, like: Tensor, positions: Tensor) -> _Tables:
    """Cosines and sines at some positions, each ``(1, s, rotary_dim)``.

    A question looks twenty times, and a decoder computes its tables anew each time. Here they are
    looked up, unless the angles depend on the length of the sequence.

    Args:
        decoder: A text model with one rotary axis.
        like: Has the type and the device of the tables.
        positions: int64 ``(s,)``.
    """
    positions = positions.to(like.device)
    if has_dynamic_rope(decoder) or not len(positions):
        dynamic: _Tables = decoder.rotary_emb(like, positions[None])
        return dynamic
    known, kind = _TABLES.setdefault(decoder, {}), (like.dtype, like.device)
    length = int(positions.max()) + 1
    if kind not in known or known[kind][0].shape[1] < length:
        longer = max(_SHORTEST, 1 << (length - 1).bit_length())
        known[kind] = decoder.rotary_emb(like, torch.arange(longer, device=like.device)[None])
    cos, sin = known[kind]
    return cos[:, positions], sin[:, positions]


def turned(decoder: Any, keys: Tensor, positions: Tensor) -> Tensor:
    """Keys ``(layers, key_heads, s, head_dim)`` as attention sees them at some positions.

    Args:
        decoder: The text model that they belong to.
        keys: Without positions.
        positions: int64 ``(s,)``.
    """
    return rotated(decoder, keys, *rotary_tables(decoder, keys, positions))


def unturned(decoder: Any, keys: Tensor, positions: Tensor) -> Tensor:
    """Undoes `turned`."""
    cos, sin = rotary_tables(decoder, keys, positions)
    # some decoders scale their tables: turning forth and back then scales twice
    scale = (cos**2 + sin**2)[:, None]
    return rotated(decoder, keys, cos, -sin) / scale


def rotated(decoder: Any, keys: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Keys ``(layers, key_heads, s, head_dim)``, turned by the tables of `rotary_tables`."""
    return rotate(decoder.layers[0].self_attn, keys, cos, sin)
