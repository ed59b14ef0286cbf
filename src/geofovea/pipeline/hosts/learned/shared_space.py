"""Vectors of tiles and of texts in one space, made of a model's own vision tokens and words.

A tile's vector is pooled from its vision tokens: for each of some features, the strongest token of
the tile counts, beside the mean of all. So one small thing among many tokens still shows. A text's
vector is made of the mean of its words. Both were trained together with the sigmoid loss of SigLIP
(Zhai et al., Sigmoid Loss for Language Image Pre-Training, ICCV 2023), here with several texts that
are true of each picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SharedSpace"]

_START_SCALE, _START_BIAS = 10.0, -6.0


class SharedSpace(nn.Module):
    """What brings tiles and texts together.

    Attributes:
        settings: What it is made with.
    """

    def __init__(self, width: int, settings: Mapping[str, Any]) -> None:
        """Random weights; seed torch before the call.

        Args:
            width: Of the model's vision tokens and of its words.
            settings: ``dimension`` of the vectors, ``features`` of a token, ``hidden`` width.
        """
        super().__init__()
        self.settings = dict(settings)
        dimension, features, hidden = (
            int(self.settings[name]) for name in ("dimension", "features", "hidden")
        )
        self.token_norm = nn.LayerNorm(width)
        self.token_features = _two_layers(width, hidden, features)
        self.pooled = _two_layers(2 * features, hidden, dimension)
        self.word_norm = nn.LayerNorm(width)
        self.text = _two_layers(width, hidden, dimension)
        self.log_scale = nn.Parameter(torch.tensor(math.log(_START_SCALE)))
        self.bias = nn.Parameter(torch.tensor(_START_BIAS))

    def of_tiles(self, tokens: Tensor) -> Tensor:
        """Unit vectors ``(k, dimension)`` of tiles ``(k, n, d)``, n vision tokens each."""
        features = self.token_features(self.token_norm(tokens))
        return F.normalize(self.pooled(torch.cat([features.amax(1), features.mean(1)], 1)), dim=-1)

    def of_texts(self, means: Tensor) -> Tensor:
        """Unit vectors ``(m, dimension)`` of texts, given by the mean of their words ``(m, d)``."""
        return F.normalize(self.text(self.word_norm(means)), dim=-1)

    def logits(self, tiles: Tensor, texts: Tensor) -> Tensor:
        """How likely each text is true of each tile, before the sigmoid, ``(k, m)``."""
        return self.log_scale.exp() * tiles @ texts.T + self.bias


def _two_layers(wide: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(wide, hidden), nn.GELU(), nn.Linear(hidden, out))
