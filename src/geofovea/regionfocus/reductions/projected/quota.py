"""QuoTA: each tile's answer to "is it here?" says how many tokens it gets.

Source: "QuoTA: Query-oriented Token Assignment via CoT Query Decouple for Long Video Comprehension"
(repository MAC-AutoML/QuoTA).

Signal: probability that a small model says yes to each tile, with the question. Meant for the stage
before encoding, where `quota_weights` and `allot_tokens` need no more than those probabilities. As
a reduction it takes the focus's scores of a tile for them, so it needs scores and tile numbers, and
acts on projected tokens. O(tiles · log tiles + n); version 4 merges, O(n² d).

A tile weighs (100 p)², and gets its share of the total. Its tokens are brought to that number by
one of five rules: 1 bilinear resize, 2 average pooling to the same shape, 3 an evenly spaced
subset, 4 repeated bipartite merging, 5 average pooling of rows, then of columns (the released rule
is known by its name only; averages over even parts make it equal to 2).

Where `fixed` differs from `faithful`: shares are exact and respect what a tile holds, where the
released counts are cut to integers and lose tokens; its cap of a tile's share is left to capacities
(the released one redistributes the excess once and does not add up to 1 again); and tokens are an
evenly spaced subset, so that the budget is met exactly and values stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from geofovea.errors import BudgetError, GeometryError
from geofovea.regionfocus.reductions.base import Kept
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.encoder.tome import tome_pairs, tome_survivors
from geofovea.regionfocus.reductions.per_tile import PerTile
from geofovea.regionfocus.reductions.primitives.merging import group_rows, size_weighted_mean
from geofovea.regionfocus.scoring import as_masses
from geofovea.regionfocus.uniform_sampling import even_positions

__all__ = ["Quota", "capped_shares", "quota_weights", "released_counts", "resize_tokens"]

Version = Literal["v1", "v2", "v3", "v4", "v5"]


def quota_weights(probabilities: Sequence[float]) -> list[float]:
    """Shares of tiles, (100 p)² over their sum; equal shares where every p is 0."""
    squares = [(100 * p) ** 2 for p in probabilities]
    whole = math.fsum(squares)
    return [s / whole for s in squares] if whole > 0 else [1 / len(squares) for _ in squares]


def released_counts(weights: Sequence[float], total: int) -> list[int]:
    """Counts of the released code: shares of the total, cut to integers."""
    whole = math.fsum(weights)
    return [int(total * weight / whole) for weight in weights]


def capped_shares(weights: Sequence[float], most: float) -> list[float]:
    """The released cap: what is above it goes to the others once; the sum may stay below 1.

    Args:
        weights: Shares of tiles, not all 0; they are normalised first.
        most: Greatest share.
    """
    whole = math.fsum(weights)
    shares = [weight / whole for weight in weights]
    cut = [min(share, most) for share in shares]
    left = math.fsum(cut)
    return [c if s > most else c / left for s, c in zip(shares, cut, strict=True)]


def resize_tokens(features: Tensor, grid: tuple[int, int], count: int, version: Version) -> Tensor:
    """Bring the tokens of a tile to ``count`` by one of the released rules.

    Args:
        features: ``(rows * cols, d)``.
        grid: ``(rows, cols)``.
        count: From 1 to the number of tokens; versions 1, 2 and 5 may return fewer.
        version: See the module.

    Returns:
        float32 ``(count or fewer, d)``.

    Raises:
        GeometryError: If the tokens do not fill the grid.
        BudgetError: If the count is impossible.
    """
    if grid[0] * grid[1] != len(features):
        raise GeometryError(f"a grid of {grid} does not hold {len(features)} tokens")
    if not 1 <= count <= len(features):
        raise BudgetError(f"cannot bring {len(features)} tokens to {count}; ask for 1 to as many")
    x = features.detach().to(torch.float32)
    if version == "v3":
        return x[torch.linspace(0, len(x) - 1, count).to(torch.int64)]
    if version == "v4":
        return _merge_to(x, count)
    picture = x.T.reshape(1, -1, *grid)
    side = math.isqrt(count)
    shape = (side + 1, side) if side * (side + 1) <= count else (side, side)
    if version == "v1":
        resized = F.interpolate(picture, size=shape, mode="bilinear", align_corners=False)
    else:
        resized = F.adaptive_avg_pool2d(picture, shape)
    return resized[0].flatten(1).T


def _merge_to(x: Tensor, count: int) -> Tensor:
    """Merge even tokens into the most similar odd ones until ``count`` are left; no sizes."""
    while len(x) > count:
        pairs = tome_pairs(x, len(x) - count)
        groups, survivors = group_rows(len(x), pairs, tome_survivors(x, pairs))
        x = size_weighted_mean(x, x.new_ones(len(x)), groups, len(survivors))
    return x


@dataclass(frozen=True, slots=True)
class Quota(PerTile):
    """Evenly spaced tokens of each tile, as many as its squared score deserves."""

    name: ClassVar[str] = "quota"
    requires: ClassVar[frozenset[str]] = frozenset({"scores", "tile_index"})

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> Kept:  # noqa: ARG002
        return Kept(torch.tensor(even_positions(n, k)))

    def _tile_weights(
        self,
        context: TokenContext,
        members: Sequence[Tensor],
        inside: Sequence[TokenContext],  # noqa: ARG002 - by score alone
    ) -> list[float]:
        """Squared mean score of each tile."""
        assert context.scores is not None  # noqa: S101 - required, and checked by reduce
        masses = as_masses(context.scores, len(context.features))
        return quota_weights([float(masses[m].mean(dtype=torch.float64)) for m in members])
