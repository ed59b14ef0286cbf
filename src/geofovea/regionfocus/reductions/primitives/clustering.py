"""Density-peak clustering with nearest neighbors (DPC-KNN; Du et al. 2016), without noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.errors import BudgetError
from geofovea.regionfocus.reductions.primitives.similarity import refuse_quadratic
from geofovea.regionfocus.scoring import top_indices

__all__ = ["Clusters", "cluster_by_density"]


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """A partition of n points into K clusters.

    Attributes:
        centers: int64 ``(K,)``, the best peak first.
        assignment: int64 ``(n,)``, place in ``centers`` of each point's cluster.
        density: ``(n,)``.
        distance: ``(n,)``, to the nearest point of greater density.
    """

    centers: Tensor
    assignment: Tensor
    density: Tensor
    distance: Tensor

    def means(self, points: Tensor) -> Tensor:
        """Sum over count + 1e-6 of the members' values ``(n, c)``, float32 ``(K, c)``."""
        x = points.to(torch.float32)
        sums = x.new_zeros(len(self.centers), x.shape[1]).index_add_(0, self.assignment, x)
        counts = self.assignment.bincount(minlength=len(self.centers))
        return sums / (counts[:, None] + 1e-6)


def cluster_by_density(points: Tensor, clusters: int) -> Clusters:
    """Cluster points ``(n, c)`` around peaks of density.

    Density is high where the nearest points, a point itself among them, are near. Centers are dense
    and far from anything denser. Points of equal density do not rule each other out: with two
    clusters, any two points that are nearest to each other are equally dense, whichever comes
    first. Only a copy of an earlier point is no center of its own. The released code of SparseVLM
    adds random noise, so that one of two equals wins by chance. O(n² c) time, O(n²) memory.

    Raises:
        BudgetError: If ``clusters`` is not in 1..n, or n is above `MOST_TOKENS`.
    """
    n = len(points)
    if not 1 <= clusters <= n:
        raise BudgetError(f"cannot make {clusters} clusters of {n} points; choose 1 to {n}")
    refuse_quadratic(n, "clustering by density")
    x = points.detach().to(torch.float32)
    # the difference form: distances from dot products cancel where points are near
    table = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist") / x.shape[1] ** 0.5
    nearest = table.topk(clusters, dim=1, largest=False).values
    density = (-nearest.square().mean(dim=1)).exp()
    order = torch.arange(n, device=x.device)
    denser = density[None] > density[:, None]
    denser |= (table == 0) & (order[None] < order[:, None])
    distance = torch.where(denser, table, table.max()).amin(dim=1)
    centers = top_indices(density * distance, clusters)
    assignment = table[:, centers].argmin(dim=1)
    assignment[centers] = torch.arange(clusters, device=x.device)
    return Clusters(centers, assignment, density, distance)
