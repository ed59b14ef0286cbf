"""VQToken: as many clusters as tokens are wanted, and the mean of each.

Source: "Token Dynamics: Towards Efficient and Dynamic Video Token Representation",
Hai-chao-Zhang/VQToken. Acts on the projected tokens of a level, on features alone: k-means under
cosine distance, and a token for each cluster.

``faithful``: `spherical_k_means` with a given start, and means of normalized members. The release
does not run as it is: its callers name arguments that do not exist, and its ways of choosing the
number of clusters give the same number whatever the tokens are. It also attends to the *indices* of
clusters as if they were sizes, which is not implemented here. ``fixed``: clusters start at tokens
far from each other, without chance; a token is the mean of its members as they are, at the place of
the member nearest to that mean.

O(rounds n k d) time, O(n k) memory, refused above 2²⁴ pairs. Equal tokens share a cluster, so there
may be fewer than k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import BudgetError
from geofovea.regionfocus.reductions.base import Selector, TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.dispersion import farthest_first, most_isolated
from geofovea.regionfocus.reductions.primitives.outputs import group_means, merged
from geofovea.regionfocus.reductions.primitives.similarity import broken_rows, unit_rows

__all__ = ["VqToken", "spherical_k_means"]

_MOST_PAIRS = 2**24


def spherical_k_means(
    unit: Tensor, centers: Tensor, rounds: int = 50, tolerance: float = 1e-4
) -> tuple[Tensor, Tensor]:
    """Clusters under cosine distance.

    Args:
        unit: float32 ``(n, d)`` of unit length.
        centers: ``(k, d)``, where the clusters begin.
        rounds: At most so many.
        tolerance: Ends once the centers move less than this.

    Returns:
        The cluster of each token, int64 ``(n,)``, and the centers ``(k, d)``, means of their
        members; one without members stays where it was.
    """
    labels = (unit @ unit_rows(centers).T).argmax(1)
    for _ in range(rounds):
        labels = (unit @ unit_rows(centers).T).argmax(1)
        counts = labels.bincount(minlength=len(centers))
        means = group_means(unit, labels, len(centers))
        moved = torch.where(counts[:, None] > 0, means, centers)
        distance = float((moved - centers).norm())
        centers = moved
        if distance < tolerance:
            break
    return labels, centers


@dataclass(frozen=True, slots=True)
class VqToken(Selector):
    """Means of clusters."""

    name: ClassVar[str] = "vqtoken"
    merges: ClassVar[bool] = True

    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:
        if n * k > _MOST_PAIRS:
            raise BudgetError(
                f"vqtoken compares {n} tokens with {k} clusters, and more than {_MOST_PAIRS} pairs "
                "do not fit; set a smaller token budget, or choose pooled"
            )
        unit = unit_rows(context.features.detach().to(torch.float32))
        broken = broken_rows(context.features)
        start = farthest_first(unit, broken, most_isolated(unit, broken), k)
        labels, _ = spherical_k_means(unit, unit[start.to(unit.device)])
        groups = labels.unique(return_inverse=True)[1].cpu()  # type: ignore[no-untyped-call]
        count = int(groups.max()) + 1
        means = group_means(context.features, groups, count)
        own = unit_rows(means)[groups.to(means.device)]
        likeness = (unit * own).sum(1).cpu()
        order = torch.argsort(-likeness, stable=True)
        order = order[torch.argsort(groups[order], stable=True)]
        sizes = groups.bincount(minlength=count)
        position = order[sizes.cumsum(0) - sizes]
        return merged(context.features, position, means, groups, {})
