"""How far the tokens of one place at two dates lie apart, measured by how far they usually do.

An encoder sees noise, compression and light, so tokens of a place where nothing happened differ,
too, and they do so along a few directions. A difference is therefore measured against the spread of
the differences of all places that were compared: its Mahalanobis distance, as in detectors of
anomalous change (Theiler and Perkins, 2006). No training is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ChangeScale", "mahalanobis"]

_MOST_REMEMBERED = 1024
_SHRINKAGE = 0.3
_USUAL_SPREADS = 6.0
_TINY = 1e-12


class ChangeScale:
    """The spread of the differences that were seen so far, and distances measured by it."""

    def __init__(self, shrinkage: float = _SHRINKAGE) -> None:
        """Begin with nothing seen.

        Args:
            shrinkage: How much of a spread that is equal in all directions is added, relative to
                the mean spread; it holds where there are fewer places than directions.
        """
        self._shrinkage = shrinkage
        self._sample: Tensor | None = None

    def distances(self, before: Tensor, after: Tensor) -> Tensor:
        """How far the tokens of n places lie apart; these places count for the spread, too.

        Args:
            before: ``(n, d)`` at one date.
            after: ``(n, d)`` at the other.

        Returns:
            float32 ``(n,)`` on the host, at least zero.
        """
        differences = _directions(after) - _directions(before)
        if not len(differences):
            return torch.zeros(0)
        # what all places have in common, such as another light, is no change
        differences = differences - differences.median(dim=0).values
        first = mahalanobis(differences, self._joined(differences), self._shrinkage)
        # what changed would widen the spread by which it is measured
        self._sample = _thinned(self._joined(differences[~_stands_out(first)]))
        return mahalanobis(differences, self._sample, self._shrinkage).to(torch.float32)

    def _joined(self, differences: Tensor) -> Tensor:
        """The sample with further differences."""
        return differences if self._sample is None else torch.cat([self._sample, differences])


def _thinned(sample: Tensor) -> Tensor:
    """As many differences as are kept, evenly chosen, so that no look is forgotten."""
    if len(sample) <= _MOST_REMEMBERED:
        return sample
    return sample[torch.linspace(0, len(sample) - 1, _MOST_REMEMBERED).long()]


def _stands_out(distances: Tensor) -> Tensor:
    """Which distances are far above the median: less than half of them."""
    middle = distances.median()
    spread = (distances - middle).abs().median()
    return distances > middle + _USUAL_SPREADS * spread


def _directions(features: Tensor) -> Tensor:
    """Tokens of length 1: their lengths vary much and say little."""
    features = torch.nan_to_num(features.detach().to("cpu", torch.float64))
    lengths: Tensor = features.norm(dim=1, keepdim=True)
    return features / lengths.clamp(min=_TINY)


def mahalanobis(differences: Tensor, sample: Tensor, shrinkage: float) -> Tensor:
    """``sqrt(x' (S + s I)^-1 x)`` with ``S`` the second moment of m differences ``(m, d)``.

    It is computed in the space of the m places (Woodbury), for tokens may have thousands of
    numbers.

    Args:
        differences: ``(n, d)``.
        sample: ``(m, d)``, those that tell the spread.
        shrinkage: ``s`` over the mean of the diagonal of ``S``.

    Returns:
        ``(n,)``; zero where nothing was ever seen to differ.
    """
    count, width = sample.shape
    spread = shrinkage * float(sample.square().sum()) / (count * width)
    if spread <= _TINY:
        # nothing differs anywhere
        return torch.zeros(len(differences), dtype=torch.float64)
    gram = sample @ sample.T
    gram.diagonal().add_(count * spread)
    cross = differences @ sample.T
    solved: Tensor = torch.linalg.solve(gram, cross.T)
    along = (cross * solved.T).sum(dim=1)
    squares: Tensor = (differences.square().sum(dim=1) - along) / spread
    return squares.clamp(min=0).sqrt()
