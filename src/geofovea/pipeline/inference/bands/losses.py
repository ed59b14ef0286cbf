"""What a masked autoencoder of bands is trained by.

Source: see `masking`; the diversity is that of "Enhancing Feature Diversity Boosts Channel-Adaptive
Vision Transformers", chaudatascience/diverse_channel_vit.

``faithful``: ``side`` of `fourier_loss`: the release cuts the stream of pixels of all patches, in
their order, into squares as wide as the tile has patches. These hold parts of several patches.
``fixed``, the default: the transform of each patch.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["band_patches", "diversity_loss", "fourier_loss", "normalized_patches", "pixel_loss"]


def band_patches(images: Tensor, patch: int) -> Tensor:
    """Pixels of each patch ``(b, c · n, p · p)`` of images ``(b, c, h, w)``, band after band."""
    rows, cols = images.shape[2] // patch, images.shape[3] // patch
    cut = images.reshape(*images.shape[:2], rows, patch, cols, patch).transpose(3, 4)
    return cut.reshape(len(images), -1, patch * patch)


def normalized_patches(images: Tensor, patch: int) -> Tensor:
    """The same, each patch with mean 0 and variance 1 (unbiased, plus 1e-6)."""
    patches = band_patches(images, patch)
    variance = patches.var(-1, keepdim=True)
    return (patches - patches.mean(-1, keepdim=True)) / (variance + 1e-6).sqrt()


def pixel_loss(made: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error over hidden patches; 0 where nothing is hidden.

    Args:
        made: ``(b, t, p · p)``.
        target: The same shape, from `normalized_patches`.
        hidden: bool ``(t,)``.
    """
    return _over_hidden((made - target).square().mean(-1), hidden)


def fourier_loss(made: Tensor, target: Tensor, hidden: Tensor, side: int | None = None) -> Tensor:
    """Mean difference of amplitudes over hidden patches.

    Args:
        made: ``(b, t, p · p)``.
        target: The same shape.
        hidden: bool ``(t,)``.
        side: Side of the squares that are transformed, for the release; None for the patch's own.
    """
    width = round(made.shape[-1] ** 0.5) if side is None else side
    made_amplitude, amplitude = (
        torch.fft.fft2(each.reshape(-1, width, width)).abs() for each in (made, target)
    )
    apart = (made_amplitude - amplitude).abs().reshape(made.shape)
    return _over_hidden(apart.mean(-1), hidden)


def diversity_loss(
    features: Tensor, channels: Tensor, same: float = 1.0, other: float = 4.0
) -> Tensor:
    """How alike tokens are: mean cosine within a channel and between channels, weighted.

    Args:
        features: ``(b, t, d)``.
        channels: int64 ``(t,)``, the channel of each token.
        same: Weight of pairs of one channel, a token with itself left out.
        other: Weight of pairs of different channels.
    """
    unit = torch.nn.functional.normalize(features, dim=-1)
    cosines = unit @ unit.transpose(1, 2)
    is_same = channels[:, None] == channels
    itself = torch.eye(len(channels), dtype=torch.bool, device=channels.device)
    total = features.new_zeros(())
    for weight, pairs in ((same, is_same & ~itself), (other, ~is_same)):
        if bool(pairs.any()):
            total = total + weight * cosines[:, pairs].mean()
    return total


def _over_hidden(values: Tensor, hidden: Tensor) -> Tensor:
    """Mean of ``(b, t)`` over the hidden ones."""
    return (values * hidden).sum() / (hidden.sum() * len(values)).clamp_min(1)
