"""The expected recall of a search, from a random sample of what it passed over."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

__all__ = ["expected_recall", "gamma_quantile", "upper_rate"]

_HALF_ALPHA = 0.025
_STEPS = 200


def expected_recall(
    found: int, drawn: Sequence[int], unseen: int
) -> tuple[float | None, float | None]:
    """Which share of all places was found, were the model asked about every tile.

    The tiles that the search passed over hold as many places each, on average, as a random sample
    of them. This estimate rests on the draw alone, not on what the model believes.

    Args:
        found: Places that were found, those of the sample included.
        drawn: Places in each tile of the sample.
        unseen: Tiles that were not looked at, the sample left out.

    Returns:
        The share, and the lower end of its 95 % interval; None where nothing was found or drawn.
    """
    if not found or not drawn:
        return None, None
    mean = sum(drawn) / len(drawn)
    recall = found / (found + unseen * mean)
    return recall, found / (found + unseen * upper_rate(sum(drawn), len(drawn)))


def upper_rate(events: int, tiles: int) -> float:
    """Upper end of the 95 % interval of a Poisson rate per tile (Garwood, Biometrika 28, 1936)."""
    return gamma_quantile(events + 1, 1 - _HALF_ALPHA) / tiles


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
