"""A vision transformer over the tokens of any subset of bands.

Every token attends to all tokens of all bands, through stock layers of a CLIP tower. The output is
averaged over the bands of a place, so a tile has one token for each place. Decoder, search, budgets
and reductions therefore need no change. With c bands, the encoder has c times the tokens and c²
times the pairs.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from geofovea.errors import ModelError
from geofovea.pipeline.inference.bands.channels import CHANNELS
from geofovea.pipeline.inference.bands.patch_embedding import BandEmbedding

__all__ = ["MOST_BANDS", "BandEncoder", "means_of_places"]

MOST_BANDS = 4
"""Bands of a tile that are encoded at once, for the sake of c² pairs."""


class BandEncoder(nn.Module):
    """Bands to one token a place.

    Attributes:
        embedding: Makes tokens of patches.
        norm: Before the layers.
        layers: Stock encoder layers.
        memory: ``(m, d)``, tokens of no place that take part in every layer; usually none.
    """

    def __init__(
        self, embedding: BandEmbedding, norm: nn.Module, layers: nn.ModuleList, memory: int = 0
    ) -> None:
        """Join the parts.

        Args:
            embedding: Makes tokens of patches.
            norm: Before the layers.
            layers: Stock encoder layers.
            memory: Tokens of no place; ChA-MAEViT has 4.
        """
        super().__init__()
        self.embedding, self.norm, self.layers = embedding, norm, layers
        width = embedding.places.shape[1]
        self.memory = nn.Parameter(torch.randn(memory, width) * 0.02)

    @classmethod
    def from_tower(
        cls,
        tower: Any,
        layers: int | None = None,
        channels: int = len(CHANNELS),
        memory: int = 0,
    ) -> BandEncoder:
        """An encoder that begins with the weights of a CLIP tower, which are copied.

        The kernel of a band is the sum of those of red, green and blue, and channels begin equal.
        For a single band, the encoder thus gives what the tower gives for it as a gray picture.

        Args:
            tower: A ``CLIPVisionModel``.
            layers: How many of its layers run; None for all.
            channels: Parts of the spectrum that it will know.
            memory: Tokens of no place.

        Raises:
            ModelError: If the tower is of another kind.
        """
        model = getattr(tower, "vision_model", tower)
        if not all(hasattr(model, part) for part in ("embeddings", "pre_layrnorm", "encoder")):
            raise ModelError(
                f"an encoder of bands begins with a CLIPVisionModel, not a {type(tower).__name__}"
            )
        stock = model.embeddings
        places = stock.position_embedding.weight
        kernel = stock.patch_embedding.weight
        embedding = BandEmbedding(channels, places.shape[1], kernel.shape[-1], len(places) - 1)
        with torch.no_grad():
            embedding.projection.weight.copy_(kernel.sum(1, keepdim=True))
            embedding.projection.bias.zero_()  # type: ignore[union-attr]
            embedding.places.copy_(places)
            embedding.class_vector.copy_(stock.class_embedding)
        own = copy.deepcopy(model.encoder.layers[:layers])
        return cls(embedding, copy.deepcopy(model.pre_layrnorm), own, memory)

    @property
    def extra(self) -> int:
        """Tokens before those of patches: the class token and those of no place."""
        return 1 + len(self.memory)

    def forward(self, images: Tensor, numbers: Tensor) -> Tensor:
        """One token for each place, ``(b, n, d)``.

        Args:
            images: ``(b, c, h, w)``, normalized.
            numbers: int64 ``(c,)``, the channel of each band; see `channel_numbers`.

        Raises:
            ModelError: If there are more than four bands, or they do not match their channels.
        """
        if len(numbers) > MOST_BANDS:
            raise ModelError(
                f"at most {MOST_BANDS} bands of a tile are encoded at once, got {len(numbers)}; "
                "choose some of them"
            )
        states = self.states(images, numbers)
        return means_of_places(states[:, self.extra :], len(numbers))

    def states(self, images: Tensor, numbers: Tensor, kept: Tensor | None = None) -> Tensor:
        """States behind the layers, ``(b, extra + t, d)``: those of no place first.

        Args:
            images: ``(b, c, h, w)``, normalized.
            numbers: int64 ``(c,)``, the channel of each band.
            kept: int64 ``(t,)``, the tokens of bands that run, band after band; None for all.
        """
        tokens = self.embedding(images, numbers)
        patches = tokens[:, 1:] if kept is None else tokens[:, 1:][:, kept]
        memory = self.memory.expand(len(images), -1, -1)
        states: Tensor = self.norm(torch.cat([tokens[:, :1], memory, patches], dim=1))
        for layer in self.layers:
            output = layer(states, attention_mask=None)
            states = output[0] if isinstance(output, tuple) else output
        return states


def means_of_places(tokens: Tensor, bands: int) -> Tensor:
    """Mean over the bands, ``(b, n, d)``, of tokens ``(b, bands · n, d)``, band after band."""
    return tokens.reshape(len(tokens), bands, -1, tokens.shape[2]).mean(1)
