"""QuoTA: each tile's answer to "is it here?" says how many tokens it gets.

Source: "QuoTA: Query-oriented Token Assignment via CoT Query Decouple for Long Video Comprehension"
(repository MAC-AutoML/QuoTA).

Signal: probability that a small model says yes to each tile, with the question. Meant for the stage
before encoding, where `quota_weights` and `allot_tokens` need no more than those probabilities. As
a reduction it takes the focus's scores of a tile for them, so it needs scores and tile numbers, and
acts on projected tokens. O(tiles · log tiles + n); version 4 merges, O(n² d).

A tile weighs (100 p)², and gets its share of the total. Its tokens are brought to that number by
one of five released rules: 1 bilinear resize, 2 average pooling to the same shape, 3 an evenly
spaced subset, 4 repeated bipartite merging, 5 average pooling of rows, then of columns (the
released rule is known by its name only; averages over even parts make it equal to 2).

Where this differs from the released code: shares are exact and respect what a tile holds, where the
released counts are cut to integers and lose tokens; its cap of a tile's share is left to capacities
(the released one redistributes the excess once and does not add up to 1 again); and tokens are an
evenly spaced subset, so that the budget is met exactly and values stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.per_tile import PerTile
from geofovea.regionfocus.scoring import as_masses
from geofovea.regionfocus.uniform_sampling import even_positions

__all__ = ["Quota", "quota_weights"]


def quota_weights(probabilities: Sequence[float]) -> list[float]:
    """Shares of tiles, (100 p)² over their sum; equal shares where every p is 0."""
    squares = [(100 * p) ** 2 for p in probabilities]
    whole = math.fsum(squares)
    return [s / whole for s in squares] if whole > 0 else [1 / len(squares) for _ in squares]


@dataclass(frozen=True, slots=True)
class Quota(PerTile):
    """Evenly spaced tokens of each tile, as many as its squared score deserves."""

    name: ClassVar[str] = "quota"
    requires: ClassVar[frozenset[str]] = frozenset({"scores", "tile_index"})

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        return TokenChoice(torch.tensor(even_positions(n, k)))

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
