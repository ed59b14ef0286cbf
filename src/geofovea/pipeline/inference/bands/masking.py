"""Which tokens of which bands a masked autoencoder hides.

Source: "ChA-MAEViT: Unifying Channel-Aware Masked Autoencoders and Multi-Channel Vision
Transformers", chaudatascience/cha_mae_vit. A draw hides patches, different ones in each band, or
whole bands, so that the encoder learns what one band says about another. It hides equally many
patches in each band, and all images of a batch share it. The release instead pads images that keep
fewer tokens, and that padding lands on hidden places.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from geofovea.errors import ModelError

__all__ = ["Masking", "drawn_mask", "hidden_tokens", "kept_patches", "published_ratio"]

Masking = Literal["alternating", "both", "patches", "channels"]
"""Patches or whole bands, each in half of the draws; both at once; one of them always."""


def published_ratio(masking: Masking) -> float:
    """Share of the patches that is hidden where patches are; less where whole bands are too."""
    return 0.25 if masking == "both" else 0.75


def drawn_mask(
    channels: int,
    places: int,
    generator: torch.Generator,
    ratio: float | None = None,
    masking: Masking = "alternating",
) -> Tensor:
    """What is hidden of a batch, bool ``(channels, places)``; something is always shown.

    Args:
        channels: Bands of the images. A single one is hidden in patches alone.
        places: Patches of a band.
        generator: Its state decides the draw.
        ratio: Share of the patches that is hidden where patches are; 0 hides nothing anywhere.
            None for `published_ratio`.
        masking: What is hidden.

    Raises:
        ModelError: If the ratio is below 0, or leaves nothing to see.
    """
    ratio = published_ratio(masking) if ratio is None else ratio
    if not 0 <= ratio < 1:
        raise ModelError(f"a share of the patches from 0 to below 1 is hidden, got {ratio}")
    order = torch.rand(channels, places, generator=generator).argsort(1).argsort(1)
    patches = order >= kept_patches(places, ratio)
    most = max(1, channels - 1)
    number = int(torch.randint(1, most + 1, (), generator=generator))
    whole = torch.randperm(channels, generator=generator) < number
    is_patches = bool(torch.rand((), generator=generator) < 0.5)
    if ratio == 0 or channels == 1:
        whole = torch.zeros_like(whole)
    if masking == "both":
        return hidden_tokens(patches, whole, "both")
    if masking == "alternating":
        masking = "patches" if is_patches or channels == 1 else "channels"
    return hidden_tokens(patches, whole, masking)


def kept_patches(places: int, ratio: float) -> int:
    """How many patches of a band are shown, at least one."""
    return max(1, int(places * (1 - ratio)))


def hidden_tokens(patches: Tensor, channels: Tensor, masking: Masking) -> Tensor:
    """What is hidden in all, bool ``(c, n)``.

    Args:
        patches: bool ``(c, n)``, patches that are drawn.
        channels: bool ``(c,)``, bands that are drawn.
        masking: Which of them count.

    Raises:
        ModelError: If ``masking`` is none of the known kinds.
    """
    if masking == "both":
        return patches | channels[:, None]
    if masking == "patches":
        return patches
    if masking == "channels":
        return channels[:, None].expand_as(patches)
    raise ModelError(f"tokens are hidden by patches, channels or both, got {masking!r}")
