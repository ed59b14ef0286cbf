"""The best scores of the focus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.base import Kept, Selector
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.scoring import clean_scores, top_indices
from geofovea.regionfocus.uniform_sampling import even_positions

__all__ = ["TopScore", "keep_best"]


@dataclass(frozen=True, slots=True)
class TopScore(Selector):
    """The best scores, equal ones in order of index; evenly spaced when no score is finite."""

    name: ClassVar[str] = "top_score"
    requires: ClassVar[frozenset[str]] = frozenset({"scores"})

    def _choose(self, context: TokenContext, n: int, k: int) -> Kept:  # noqa: ARG002
        assert context.scores is not None  # noqa: S101 - required, and checked by reduce
        return keep_best(context.scores, k)


def keep_best(scores: Tensor, k: int) -> Kept:
    """The ``k`` best of scores ``(n,)``, equal ones in order of index.

    NaN and -inf lose. Without a finite score, even positions are kept and ``info`` says so.
    """
    scores, is_replaced = clean_scores(scores)
    if is_replaced:
        return Kept(torch.tensor(even_positions(len(scores), k)), info={"fallback": "uniform"})
    return Kept(top_indices(scores, k).sort().values)
