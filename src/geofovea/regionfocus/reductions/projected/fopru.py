"""FoPru: tokens, or whole rows of tokens, that one attention map of the encoder finds significant.

Source: "FoPru: Focal Pruning for Efficient Large Vision-Language Models", arXiv 2411.14164.

Signal: an attention map among patches, heads averaged; no class token, no question. Significance
is the mean of its columns or of its rows, whichever varies more; rows of a whole softmax sum to 1,
so it is the columns (attention received) unless parts of the map were cut off. Needs the map, or
the attention received alone. Acts on projected tokens, tile by tile. O(heads · n²) on the map,
O(n) on attention received.

Strategy ``rank`` keeps the most significant tokens, ``row`` whole rows of the grid by their sum.
`faithful` takes ``floor(rows · ratio)`` rows. Where `fixed` differs: at least one row; rows are
those of the real grid, not of the square root of n; and the budget is spent exactly, by tokens of
the next best row (one released variant takes the budget of tokens for a number of rows).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.per_tile import PerTile
from geofovea.regionfocus.reductions.primitives.attention_mass import deepest
from geofovea.regionfocus.reductions.primitives.cells import cells_of
from geofovea.regionfocus.scoring import clean_scores, top_indices

__all__ = ["FoPru", "best_rows", "keep_rows", "significance"]


def significance(attention: Tensor) -> Tensor:
    """Column or row means of a map ``(heads, n, n)``, whichever vary more; float32 ``(n,)``."""
    mean = attention.detach().to(torch.float32).mean(dim=0)
    columns, rows = mean.mean(dim=0), mean.mean(dim=1)
    return rows if float(rows.var()) > float(columns.var()) else columns


def best_rows(scores: Tensor, grid: tuple[int, int], ratio: float) -> Tensor:
    """Tokens of the ``floor(rows * ratio)`` rows of greatest sum, at least of one.

    Args:
        scores: ``(rows * cols,)``.
        grid: ``(rows, cols)``.
        ratio: Share of the rows.

    Returns:
        int64, ascending.
    """
    sums = scores.to(torch.float32).reshape(grid).sum(dim=1)
    rows = top_indices(sums, max(1, int(grid[0] * ratio))).sort().values
    return (rows[:, None] * grid[1] + torch.arange(grid[1], device=rows.device)).flatten()


def keep_rows(scores: Tensor, row: Tensor, k: int) -> TokenChoice:
    """``k`` tokens in whole rows, the best first; the last row gives its best tokens.

    Args:
        scores: ``(n,)``.
        row: int64 ``(n,)``, the row that each token stands in.
        k: From 1 to n.
    """
    cleaned, is_replaced = clean_scores(scores)
    if is_replaced:
        return keep_best(scores, k)
    labels = torch.unique(row, return_inverse=True)[1]
    # tokens without a score add nothing to their row, and come last of all
    finite = cleaned > -torch.inf
    sums = torch.zeros(int(labels.max()) + 1).index_add_(0, labels, cleaned.where(finite, 0))
    rank = torch.argsort(torch.argsort(-sums, stable=True))[labels]
    by_score = torch.argsort(-cleaned, stable=True)
    by_row = by_score[torch.argsort(rank[by_score], stable=True)]
    order = by_row[torch.argsort((~finite[by_row]).to(torch.int8), stable=True)]
    return TokenChoice(order[:k].sort().values)


@dataclass(frozen=True, slots=True)
class FoPru(PerTile):
    """The most significant tokens, or rows.

    Attributes:
        strategy: ``rank`` or ``row``.
        layer: Encoder layer; the deepest that the context has by default.
    """

    strategy: Literal["rank", "row"] = "rank"
    layer: int | None = None
    name: ClassVar[str] = "fopru"
    requires_one_of: ClassVar[tuple[frozenset[str], ...]] = (frozenset({"attention", "received"}),)

    def __post_init__(self) -> None:
        if self.strategy not in ("rank", "row"):
            raise ModelError(f"fopru keeps by 'rank' or 'row', got {self.strategy!r}")

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        info: dict[str, Any] = {}
        if context.attention:
            layer = deepest(context.attention, self.layer, "attention map")
            scores = significance(context.attention_of(layer))
        else:
            received = context.received or {}
            scores = received[deepest(received, self.layer, "received attention")]
            info = {"score": "received"}
        if self.strategy == "rank":
            choice = keep_best(scores, k)
        else:
            choice = keep_rows(scores, cells_of(context)[:, 0], k)
        return replace(choice, info=choice.info | info)
