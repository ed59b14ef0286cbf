"""How many of a set of scores stand out: two rules that turn scores into a budget."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["iqr_outlier_fraction", "local_outlier_factor", "lof_outlier_fraction"]

LOF_THRESHOLD = 1.5
"""What scikit-learn's ``contamination="auto"`` amounts to."""


def iqr_outlier_fraction(scores: Tensor) -> float:
    """Fraction of scores ``(n,)`` above Q3 + 1.5 (Q3 − Q1), quartiles by linear interpolation.

    Tukey's fence. 0 for equal scores and for none.
    """
    if len(scores) == 0:
        return 0.0
    values = scores.detach().to("cpu", torch.float64)
    q1, q3 = torch.quantile(values, values.new_tensor([0.25, 0.75]))
    return float((values > q3 + 1.5 * (q3 - q1)).double().mean())


def local_outlier_factor(scores: Tensor, neighbors: int = 20) -> Tensor:
    """Local outlier factor (Breunig et al. 2000) of scalars ``(n,)``, float64 ``(n,)``.

    About 1 inside a crowd, large far from one, on either side of it. Values on a line have their
    nearest neighbors beside them once sorted: O(n · neighbors) instead of O(n²).

    Args:
        scores: ``(n,)``, finite.
        neighbors: Others that each value is compared with; capped at n − 1. Without others every
            factor is 1.
    """
    values, order = scores.detach().to("cpu", torch.float64).sort(stable=True)
    n, k = len(values), min(neighbors, len(values) - 1)
    if k < 1:
        return torch.ones(n, dtype=torch.float64)
    offsets = torch.cat([torch.arange(-k, 0), torch.arange(1, k + 1)])
    beside = torch.arange(n)[:, None] + offsets
    inside = (beside >= 0) & (beside < n)
    beside = beside.clamp(0, n - 1)
    distance = torch.where(inside, (values[beside] - values[:, None]).abs(), torch.inf)
    nearest_distance, nearest = distance.sort(dim=1, stable=True)
    nearest_distance, nearest = nearest_distance[:, :k], beside.gather(1, nearest[:, :k])
    reach = torch.maximum(nearest_distance, nearest_distance[:, -1][nearest])
    density = 1 / (reach.mean(dim=1) + 1e-10)
    factor = density[nearest].mean(dim=1) / density
    return torch.empty_like(factor).scatter_(0, order, factor)


def lof_outlier_fraction(scores: Tensor, neighbors: int = 20) -> float:
    """Fraction of scores ``(n,)`` whose local outlier factor is above 1.5; low ones count too."""
    if len(scores) == 0:
        return 0.0
    factors = local_outlier_factor(scores, neighbors)
    return float((factors > LOF_THRESHOLD).double().mean())
