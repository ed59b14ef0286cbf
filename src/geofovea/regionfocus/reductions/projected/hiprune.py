"""HiPrune: anchors of a middle layer with their neighbors, registers of a deep one.

Source: "HiPrune: Training-Free Visual Token Pruning via Hierarchical Attention in Vision-Language
Models", arXiv 2508.00553 (repository Danielement321/HiPrune).

Signal: attention that a token receives, mean over heads and queries, in a middle "object" layer and
in a deep one; no class token, no question. Needs both and places on a grid. Acts on projected
tokens, tile by tile. O(n log n) time and O(n) memory, given the two means.

Where this differs from the released code: neighbors outside the grid are dropped, where the
released code takes i ± 1 and i ± width clipped to the range, so that rows wrap around and border
anchors bring in the first or the last token; and where anchors and neighbors exceed the budget,
anchors come first and neighbors by their object score, where the released code fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.per_tile import PerTile
from geofovea.regionfocus.reductions.primitives.attention_mass import deepest
from geofovea.regionfocus.reductions.primitives.cells import HAS_CELLS, cells_of
from geofovea.regionfocus.scoring import clean_scores, top_indices

__all__ = ["HiPrune", "hiprune_keep"]


def hiprune_keep(obj: Tensor, deep: Tensor, cells: Tensor, k: int, alpha: float) -> Tensor:
    """The choice.

    Args:
        obj: ``(n,)``, attention received in the object layer.
        deep: ``(n,)``, the same in the deep layer.
        cells: int64 ``(n, 2)``, row and column of each token.
        k: Tokens to keep, up to n.
        alpha: Share of the budget for anchors and their neighbors, 0 to 1.

    Returns:
        int64 ``(k,)`` on the host, ascending.
    """
    obj, deep = clean_scores(obj)[0], clean_scores(deep)[0]
    anchors = top_indices(obj, round(k * alpha / 5))
    away = (cells[:, None] - cells[anchors]).abs().sum(dim=2)
    is_anchor = torch.zeros(len(obj), dtype=torch.bool)
    is_anchor[anchors] = True
    # anchors first, then their neighbors by object score, then registers by the deep score
    groups = [anchors]
    # a neighbor without a score of its own comes in by its deep score or not at all
    is_near = (away == 1).any(dim=1) & ~is_anchor & (obj > -torch.inf)
    beside = is_near.nonzero()[:, 0]
    groups.append(beside[top_indices(obj[beside], k - len(anchors))])
    is_taken = is_anchor.index_fill(0, groups[1], True)
    others = (~is_taken).nonzero()[:, 0]
    groups.append(others[top_indices(deep[others], k - int(is_taken.sum()))])
    return torch.cat(groups).sort().values


@dataclass(frozen=True, slots=True)
class HiPrune(PerTile):
    """Anchors, their neighbors, and registers.

    Attributes:
        alpha: Share of the budget for anchors and their neighbors; a fifth of it are anchors.
        object_layer: Encoder layer of the anchors; by default the one that is nearest to three
            eighths of the depth of the deep one (the ninth of CLIP's 24).
        deep_layer: Encoder layer of the registers; the deepest that the context has by default.
    """

    alpha: float = 0.1
    object_layer: int | None = None
    deep_layer: int | None = None
    name: ClassVar[str] = "hiprune"
    requires: ClassVar[frozenset[str]] = frozenset({"received"})
    requires_one_of: ClassVar[tuple[frozenset[str], ...]] = (HAS_CELLS,)

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ModelError(f"hiprune needs an alpha in [0, 1], got {self.alpha}")

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        assert context.received is not None  # noqa: S101 - required, and checked by reduce
        received = context.received
        deep_layer = deepest(received, self.deep_layer, "received attention")
        deep = received[deep_layer]
        obj = received[self._middle(received, deep_layer)]
        if not bool(deep.isfinite().any()):
            return keep_best(deep, k)
        return TokenChoice(hiprune_keep(obj, deep, cells_of(context), k, self.alpha))

    def _middle(self, received: Mapping[int, Tensor], deep_layer: int) -> int:
        if self.object_layer is not None:
            return deepest(received, self.object_layer, "received attention")
        return min(sorted(received), key=lambda layer: abs(layer - 0.375 * deep_layer))
