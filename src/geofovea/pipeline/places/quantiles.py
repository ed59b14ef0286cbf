"""Quantiles of the gamma distribution, by bisection of its distribution function."""

from __future__ import annotations

import math

import torch

__all__ = ["gamma_quantile"]

_STEPS = 200


def gamma_quantile(shape: float, probability: float) -> float:
    """The value below which a gamma variable of scale 1 lies with a probability.

    Half of a chi-square quantile with ``2 * shape`` degrees of freedom.

    Args:
        shape: Above 0; 0 gives 0, for a variable that is always 0.
        probability: In (0, 1).
    """
    if shape <= 0:
        return 0.0
    order = torch.tensor(float(shape), dtype=torch.float64)

    def below(value: float) -> float:
        return float(torch.special.gammainc(order, torch.tensor(value, dtype=torch.float64)))

    low, high = 0.0, max(1.0, shape + 10 * math.sqrt(shape) + 10)
    while below(high) < probability:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if below(middle) < probability else (low, middle)
    return (low + high) / 2
