"""How far the tokens of one place at two dates lie apart, measured by how far they usually do.

An encoder sees noise, compression and light, so tokens of a place where nothing happened differ,
too, and they do so along a few directions. A difference is therefore measured against the spread of
the differences of all places that were compared: its Mahalanobis distance, as in detectors of
anomalous change (Theiler and Perkins, 2006). No training is needed.

No place is measured by a spread that it widens itself: among n places none could then lie farther
out than the root of n, and a change among few would hide (Hadi, Journal of the Royal Statistical
Society B 54, 1992). Nor do the places beside it measure it, for a change is often larger than one:
detectors of anomalies call them a guard window (Reed and Yu, IEEE Transactions on Acoustics, Speech
and Signal Processing 38, 1990). The others of its tile do: they know its ground.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

__all__ = ["ChangeScale", "mahalanobis"]

_MOST_REMEMBERED = 1024
_SHRINKAGE = 0.3
_USUAL_SPREADS = 6.0
# a place and those around it, which do not measure it
_GUARD = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
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
        self._sample = torch.zeros(0, 0, dtype=torch.float64)
        self._tiles: list[Hashable] = []
        self._cells = torch.zeros(0, 2, dtype=torch.long)

    def distances(
        self,
        before: Tensor,
        after: Tensor,
        tiles: Sequence[Hashable] | None = None,
        cells: Tensor | None = None,
    ) -> Tensor:
        """How far the tokens of n places lie apart; these places count for the spread, too.

        Args:
            before: ``(n, d)`` at one date.
            after: ``(n, d)`` at the other.
            tiles: The tile of each place; None if each has its own.
            cells: int64 ``(n, 2)``, row and column of each place in the grid of its tile; None if
                each has its own tile.

        Returns:
            float32 ``(n,)`` on the host, at least zero.
        """
        differences = _directions(after) - _directions(before)
        if not len(differences):
            return torch.zeros(0)
        # what all places have in common, such as another light, is no change
        differences = differences - differences.median(dim=0).values
        own = [object() for _ in differences] if tiles is None else list(tiles)
        where = torch.zeros(len(own), 2, dtype=torch.long) if cells is None else cells
        # a tile that is seen again is remembered once
        seen = set(own)
        others = [row for row, tile in enumerate(self._tiles) if tile not in seen]
        sample = torch.cat([self._sample[others], differences]) if others else differences
        of_tiles = [*(self._tiles[row] for row in others), *own]
        of_cells = torch.cat([self._cells[others], where])
        near = _near(own, where, of_tiles, of_cells)
        first = mahalanobis(differences, sample, self._shrinkage, near)
        # what changed would widen the spread by which others are measured
        usual = torch.ones(len(sample), dtype=torch.bool)
        usual[len(others) :] = ~_stands_out(first)
        kept = _thinned(usual.nonzero()[:, 0])
        self._sample, self._cells = sample[kept], of_cells[kept]
        self._tiles = [of_tiles[row] for row in kept.tolist()]
        near = _near(own, where, self._tiles, self._cells)
        distances = mahalanobis(differences, self._sample, self._shrinkage, near)
        return distances.to(torch.float32)


def _near(
    own: Sequence[Hashable], where: Tensor, of_tiles: Sequence[Hashable], of_cells: Tensor
) -> Tensor:
    """Which of a sample are a place itself or lie beside it: rows ``(n, 9)``, -1 for none."""
    rows = {
        (tile, row, col): number
        for number, (tile, (row, col)) in enumerate(zip(of_tiles, of_cells.tolist(), strict=True))
    }
    return torch.tensor(
        [
            [rows.get((tile, row + down, col + right), -1) for down, right in _GUARD]
            for tile, (row, col) in zip(own, where.tolist(), strict=True)
        ]
    )


def _thinned(rows: Tensor) -> Tensor:
    """As many rows as are kept, evenly chosen, so that no look is forgotten."""
    if len(rows) <= _MOST_REMEMBERED:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, _MOST_REMEMBERED).long()]


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


def mahalanobis(
    differences: Tensor, sample: Tensor, shrinkage: float, near: Tensor | None = None
) -> Tensor:
    """``sqrt(x' (S + s I)^-1 x)`` with ``S`` the second moment of m differences ``(m, d)``.

    It is computed in the space of the m places (Woodbury), for tokens may have thousands of
    numbers. So is what remains without some of these places: where ``A`` is the sum of squares with
    its ridge, and ``H`` the products ``y' A^-1 z`` of those places, ``x' A^-1 x`` grows by
    ``h' (I - H)^-1 h``, where ``h`` are the products of x with them.

    Args:
        differences: ``(n, d)``.
        sample: ``(m, d)``, those that tell the spread.
        shrinkage: ``s`` over the mean of the diagonal of ``S``, of the whole sample.
        near: int64 ``(n, k)``, rows of the sample by which each difference is not measured, each
            once, and -1 for none; None measures all by the whole sample.

    Returns:
        ``(n,)``; the spread is at least that of rounding, and all are zero without a sample.
    """
    count, width = sample.shape
    if not count:
        return torch.zeros(len(differences), dtype=torch.float64)
    spread = shrinkage * float(sample.square().sum()) / (count * width)
    if spread <= _TINY:
        # a copy in which one thing was painted over differs nowhere else, but for rounding
        spread = _TINY
        is_rounding = differences.square().mean(dim=1, keepdim=True) <= _TINY
        differences = differences.masked_fill(is_rounding, 0)
    gram = sample @ sample.T
    gram.diagonal().add_(count * spread)
    factor = torch.linalg.cholesky(gram)
    cross = sample @ differences.T
    # x' A^-1 y for all y of the sample
    products = torch.cholesky_solve(cross, factor)
    along = (cross * products).sum(dim=0)
    within = (differences.square().sum(dim=1) - along) / (count * spread)
    counts = torch.full_like(within, count)
    if near is not None and bool((near >= 0).any()):
        is_near = (near >= 0).to(within.dtype)
        rows = near.clamp(min=0)
        own = products.T.gather(1, rows) * is_near
        which = torch.tensor(sorted(set(rows.flatten().tolist())))
        place = torch.searchsorted(which, rows)
        among = torch.cholesky_solve(sample @ sample[which].T, factor)[which]
        among = among[place[:, :, None], place[:, None, :]]
        among = torch.eye(near.shape[1], dtype=among.dtype) - (
            among * is_near[:, :, None] * is_near[:, None]
        )
        within = within + (own * torch.linalg.solve(among, own[..., None])[..., 0]).sum(dim=1)
        counts = counts - is_near.sum(dim=1)
    return (counts * within).clamp(min=0).sqrt()
