"""Views of a sequence before a layer, for tests of layer methods."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ToyView:
    """Five vision tokens of two tiles between two words and four."""

    hidden: Tensor
    visual: Tensor
    tiles: Tensor
    layer: int = 2
    depth: int = 6
    weights: Tensor | None = None

    @property
    def numbers(self):
        return torch.arange(len(self.visual))

    def attention(self, rows):
        return self.weights[:, rows]


def toy_view(layer=2, *, depth=6, width=16, on_vision=0.5, seed=0):
    """A random view whose rows give vision a share of their attention in both heads."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(11, width, generator=generator)
    visual = torch.arange(2, 7)
    weights = torch.zeros(2, 11, 11)
    weights[..., visual] = on_vision / 5
    weights[..., 0] = 1 - on_vision
    tiles = torch.tensor([0, 0, 0, 1, 1])
    return ToyView(hidden, visual, tiles, layer, depth, weights)
