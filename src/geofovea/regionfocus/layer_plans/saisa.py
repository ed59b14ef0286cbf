"""SAISA: vision gives keys and values only, in each layer from a projector of its own.

Source: SAISA, icip-cas/SAISA. No query and no feed-forward of a vision token is ever computed: a
layer's projector makes of the encoder's features what its keys and values are made of. They depend
on the token alone, so they could be kept with its tile.

``faithful``: `SaisaProjector` with its two layers. The release ignores padding. ``fixed``: nothing
else. Here projectors are fitted to what enters each layer of the full model: `fit_projector` is the
linear map by ridge regression, without the two-layer part on top.

Measured on the embedded model (144 questions, .819 without): the same input for every layer .479,
linear maps .778, with the two layers .792.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.layer_plans.base import LayerMethod, LayerPlan, LayerView

__all__ = ["Saisa", "SaisaProjector", "fit_projector"]


@dataclass(frozen=True, slots=True, eq=False)
class SaisaProjector:
    """Makes the input of one layer's keys and values.

    Attributes:
        first: ``(d, features)``.
        first_bias: ``(d,)``.
        second: ``(d, d)``; None for a linear map.
        second_bias: ``(d,)``.
        skip: ``(d, features)``, a linear map that is added; None adds nothing.
    """

    first: Tensor
    first_bias: Tensor
    second: Tensor | None = None
    second_bias: Tensor | None = None
    skip: Tensor | None = None

    def __call__(self, features: Tensor) -> Tensor:
        """States ``(n, d)`` of features ``(n, features)``."""
        linear = torch.nn.functional.linear
        states = linear(features, self.first, self.first_bias)
        if self.second is not None:
            states = linear(torch.nn.functional.gelu(states), self.second, self.second_bias)
        return states if self.skip is None else states + linear(features, self.skip)


@dataclass(frozen=True, slots=True, eq=False)
class Saisa(LayerMethod):
    """Vision is read in every layer and computed in none.

    Attributes:
        projectors: One for each layer.
        features: ``(n, features)``, one row for each vision token of the prompt; None for the
            tokens themselves, which no layer changes.
    """

    projectors: tuple[SaisaProjector, ...]
    features: Tensor | None = None
    name: ClassVar[str] = "saisa"

    def plan(self, view: LayerView) -> LayerPlan:
        """See `LayerMethod`.

        Raises:
            ModelError: If a layer has no projector, or the features are not those of the prompt.
        """
        features = view.hidden[view.visual] if self.features is None else self.features
        if len(self.projectors) != view.depth or len(features) != len(view.visual):
            raise ModelError(
                f"saisa needs a projector for each of {view.depth} layers and a row of features "
                f"for each of {len(view.visual)} vision tokens, got {len(self.projectors)} and "
                f"{len(features)}"
            )
        states = self.projectors[view.layer](features)
        return LayerPlan(attends=False, feeds=False, states=states)


def fit_projector(features: Tensor, states: Tensor, ridge: float = 1e-3) -> SaisaProjector:
    """The linear map from features to what enters a layer, by ridge regression.

    Args:
        features: ``(n, features)``.
        states: ``(n, d)``, vision tokens before the layer of the full model.
        ridge: Weight of the squares of the map, per token and in units of the features' variance;
            the bias is free.

    Raises:
        ModelError: If the rows do not match.
    """
    if len(features) != len(states) or not len(states):
        raise ModelError(
            f"a projector is fitted to pairs, got {len(features)} features and {len(states)} states"
        )
    x, y = features.double(), states.double()
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x, y - mean_y
    square = x.T @ x
    scale = square.diagonal().mean().clamp_min(torch.finfo(torch.float64).tiny)
    eye = torch.eye(len(square), dtype=torch.float64, device=x.device)
    weight = torch.linalg.solve(square + ridge * scale * eye, x.T @ y).T
    bias = mean_y - weight @ mean_x
    return SaisaProjector(weight.to(states.dtype), bias.to(states.dtype))
