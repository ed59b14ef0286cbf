"""What a vision tower makes of images, before any projector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["TILES_AT_ONCE", "tower_features"]

TILES_AT_ONCE = 16
"""Tiles that go through a tower together."""


def tower_features(
    tower: Any, images: Tensor, layers: Sequence[int], *, has_class_token: bool
) -> Tensor:
    """Features (k, patches, d · layers) of images, without the class token.

    Args:
        tower: A CLIP tower of ``transformers``, which has a class token, or a SigLIP one.
        images: ``(k, 3, T, T)``, normalized.
        layers: Whose features follow each other in a vector, numbered as in ``hidden_states``: 0
            are the embeddings, -1 is the last layer's.
        has_class_token: Whether it has one.
    """
    # a CLIP tower's last hidden state has no final norm: it is also the last hidden_states
    is_last = tuple(layers) == (-1,) and has_class_token
    output = tower(images, output_hidden_states=not is_last)
    states = (output.last_hidden_state,) if is_last else output.hidden_states
    selection = [states[number] for number in layers]
    features: Tensor = selection[0] if len(selection) == 1 else torch.cat(selection, dim=-1)
    return features[:, 1:] if has_class_token else features
