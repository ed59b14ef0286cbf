"""Pretraining of ChA-MAEViT: hidden bands are reconstructed from those that are shown.

Source: see `masking`. The encoder sees what is shown, with its class token and tokens of no place.
A small decoder gets the output of the encoder at its places and one learned vector at all others,
and predicts the pixels of the hidden patches. It is discarded afterwards.

Of the published loss here are the pixels, the Fourier term and the diversity of tokens, with the
published weights, and tokens of channels that begin orthogonal. The loss of a task and the token
that reads all others at inference are not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geofovea.errors import ModelError
from geofovea.pipeline.inference.bands.encoder import BandEncoder
from geofovea.pipeline.inference.bands.losses import (
    diversity_loss,
    fourier_loss,
    normalized_patches,
    pixel_loss,
)
from geofovea.pipeline.inference.bands.patch_embedding import resampled_positions

__all__ = ["MaskedBands", "decoder_input"]

_FOURIER, _DIVERSITY = 0.01, 1e-5


class MaskedBands(nn.Module):
    """An encoder with the decoder that teaches it.

    Attributes:
        encoder: What is trained.
        mask_vector: ``(d,)``, what stands at hidden places.
        channel_vectors: ``(channels, d)``, orthogonal at the start.
        places: ``(extra + n, d)``, of the decoder.
        layers: Of the decoder.
        pixels: ``d`` to ``p · p``.
    """

    def __init__(self, encoder: BandEncoder, depth: int = 2, heads: int = 16) -> None:
        """Prepare a decoder; seed torch before the call.

        Args:
            encoder: What is trained.
            depth: Layers of the decoder.
            heads: Of these.

        Raises:
            ModelError: If the width is not a multiple of the heads.
        """
        super().__init__()
        channels, width = encoder.embedding.channel_vectors.shape
        if width % heads:
            raise ModelError(f"{heads} heads do not divide a width of {width}; choose others")
        self.encoder = encoder
        self.mask_vector = nn.Parameter(torch.randn(width) * 0.02)
        self.channel_vectors = nn.Parameter(nn.init.orthogonal_(torch.empty(channels, width)))
        count = encoder.extra + len(encoder.embedding.places) - 1
        self.places = nn.Parameter(torch.randn(count, width) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.pixels = nn.Linear(width, self.patch**2)

    @property
    def patch(self) -> int:
        """Side of a patch in pixels."""
        return int(self.encoder.embedding.projection.kernel_size[0])

    def forward(self, images: Tensor, numbers: Tensor, hidden: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            images: ``(b, c, h, w)``, normalized.
            numbers: int64 ``(c,)``, the channel of each band.
            hidden: bool ``(c, n)``, from `drawn_mask`.
        """
        # both are drawn on the CPU, wherever the images are
        numbers, hidden = numbers.to(images.device), hidden.to(images.device)
        flat = hidden.flatten()
        pixels, states = self.reconstruct(images, numbers, hidden)
        target = normalized_patches(images, self.patch)
        loss = pixel_loss(pixels, target, flat) + _FOURIER * fourier_loss(pixels, target, flat)
        of_channel = numbers.repeat_interleave(hidden.shape[1])[~flat]
        return loss + _DIVERSITY * diversity_loss(states, of_channel)

    def reconstruct(self, images: Tensor, numbers: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels of all patches ``(b, c · n, p · p)``, and states ``(b, t, d)`` of those shown."""
        visible = (~hidden.flatten()).nonzero()[:, 0]
        latent = self.encoder.states(images, numbers, visible)
        extra = self.encoder.extra
        grid = (images.shape[2] // self.patch, images.shape[3] // self.patch)
        places = resampled_positions(self.places[extra:], grid).repeat(len(numbers), 1)
        states = decoder_input(
            latent,
            visible,
            self.mask_vector,
            torch.cat([self.places[:extra], places]),
            self.channel_vectors[numbers].repeat_interleave(hidden.shape[1], 0),
        )
        for layer in self.layers:
            states = layer(states)
        return self.pixels(states[:, extra:]), latent[:, extra:]


def decoder_input(
    latent: Tensor, kept: Tensor, mask_vector: Tensor, places: Tensor, channels: Tensor
) -> Tensor:
    """What the decoder reads, ``(b, extra + c · n, d)``.

    Args:
        latent: ``(b, extra + t, d)``, from the encoder.
        kept: int64 ``(t,)``, where the t tokens stand among all, in the order of ``latent``.
        mask_vector: ``(d,)``, what stands elsewhere.
        places: ``(extra + c · n, d)``, added to all.
        channels: ``(c · n, d)``, added to those of bands.
    """
    extra = latent.shape[1] - len(kept)
    bands = mask_vector.expand(len(latent), len(channels), -1)
    bands = bands.index_copy(1, kept, latent[:, extra:]) + channels
    return torch.cat([latent[:, :extra], bands], dim=1) + places
