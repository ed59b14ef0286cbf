"""How much of a row of attention the position of a token explains; peaks count little.

A host with a positional trend likes tokens late in the sequence, or near an edge, whatever they
show. Sinks and things would bend a fit by least squares, so residuals are weighted as Huber does
("Robust Estimation of a Location Parameter", 1964), on the scale of their median deviation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geofovea.regionfocus.rfm.attention_debiasing import place_features
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["strong_trends"]

_ROUNDS = 5
_RIDGE = 1e-4
_HUBER = 1.345
_MAD_TO_DEVIATION = 1.4826
_TINY = 1e-9
_FROM, _TO = 0.5, 0.7
"""Of the variance of a row: what explains less is left in, what explains more goes whole."""


def strong_trends(logits: Tensor, tokens: TokenSet) -> Tensor:
    """What position explains of each row, zero where it explains little.

    A trend is a polynomial of degree two in the place in the scene and in the sequence. Things that
    stand on one side of a scene explain up to half of a row, so a trend counts from there on.

    Args:
        logits: Logarithms of shares, ``(g, n)``.
        tokens: The n tokens.

    Returns:
        float32 ``(g, n)`` on the device of the logits; each row has the mean 0.
    """
    corners = tokens.boxes_scene[:, 2:].amax(0)
    features = place_features(tokens, (float(corners[0]), float(corners[1])))
    values = logits.double().cpu()
    spare = len(features) - features.shape[1]
    if spare < 1:
        return torch.zeros_like(logits, dtype=torch.float32)
    weights = torch.ones_like(values)
    fitted = torch.zeros_like(values)
    for _ in range(_ROUNDS):
        fitted = _weighted_fit(values, features, weights)
        weights = _huber_weights(values - fitted)
    unexplained = _weighted_variance(values - fitted, weights) * (len(features) - 1) / spare
    explained = 1 - unexplained / (_weighted_variance(values, weights) + _TINY)
    strength = ((explained - _FROM) / (_TO - _FROM)).clamp(0, 1)
    trend: Tensor = strength[:, None] * (fitted - fitted.mean(1, keepdim=True))
    return trend.float().to(logits.device)


def _weighted_fit(values: Tensor, features: Tensor, weights: Tensor) -> Tensor:
    """Values ``(g, n)`` of the polynomials that fit best under weights ``(g, n)``."""
    count, size = features.shape
    moments = torch.einsum("gn,np,nq->gpq", weights, features, features)
    moments = moments + _RIDGE * count * torch.eye(size, dtype=torch.float64)
    products = (weights * values) @ features
    fitted: Tensor = torch.linalg.solve(moments, products) @ features.T
    return fitted


def _huber_weights(residuals: Tensor) -> Tensor:
    centered = residuals - residuals.median(1, keepdim=True).values
    scale = _MAD_TO_DEVIATION * centered.abs().median(1, keepdim=True).values + _TINY
    weights: Tensor = _HUBER / (residuals.abs() / scale).clamp(min=_HUBER)
    return weights


def _weighted_variance(values: Tensor, weights: Tensor) -> Tensor:
    total = weights.sum(1, keepdim=True)
    mean = (weights * values).sum(1, keepdim=True) / total
    variance: Tensor = (weights * (values - mean) ** 2 / total).sum(1)
    return variance
