"""LRS-VQA's own selection: the best share of the scores, or all above a threshold.

Source: "When Large Vision-Language Model Meets Large Remote Sensing Imagery: Coarse-to-Fine
Text-Guided Token Pruning" (repository VisionXLab/LRS-VQA).

Signal: scores of the focus (there, its region focus module), with the question. Needs scores. Acts
on projected tokens. O(n log n).

Where this differs from the released code: the released code always adds the newline column, also of
rows that are masked out, which here are protected tokens; its threshold keeps nothing where all
scores are equal (0/0), here evenly spaced tokens; and a threshold keeps at most the budget, the
best ones. Without a threshold the fixed mode is the best scores under the budget; the released
share of them is `geofovea.regionfocus.rfm.published_selection.select_share`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import Selector, TokenChoice, keep_best
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.scoring import clean_scores, top_indices

__all__ = ["LrsVqa", "normalized", "select_by_threshold"]


def select_by_threshold(scores: Tensor, threshold: float, valid: Tensor | None = None) -> Tensor:
    """The valid tokens whose normalized score is above the threshold.

    Args:
        scores: ``(n,)``.
        threshold: Between 0 and 1.
        valid: bool ``(n,)``; all by default.

    Returns:
        int64, ascending; empty where all scores are equal, as in the released code.
    """
    candidates = _candidates(scores, valid)
    return candidates[normalized(scores[candidates]) > threshold]


def normalized(scores: Tensor) -> Tensor:
    """``(n,)`` scores between their 5 % and 95 % quantiles, 0 to 1; NaN where those are equal."""
    values = scores.detach().to(torch.float32)
    if len(values) == 0:
        return values
    low, high = torch.quantile(values, values.new_tensor([0.05, 0.95]))
    between: Tensor = ((values - low) / (high - low)).clamp(0, 1)
    return between


def _candidates(scores: Tensor, valid: Tensor | None) -> Tensor:
    if valid is None:
        return torch.arange(len(scores), device=scores.device)
    return valid.to(scores.device, torch.bool).nonzero()[:, 0]


@dataclass(frozen=True, slots=True)
class LrsVqa(Selector):
    """The best scores of the focus, all or those above a threshold.

    Attributes:
        threshold: Least normalized score of a kept token; None keeps as many as the budget holds.
    """

    threshold: float | None = None
    name: ClassVar[str] = "lrs_vqa"
    requires: ClassVar[frozenset[str]] = frozenset({"scores"})

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise ModelError(f"lrs_vqa needs a threshold in [0, 1), got {self.threshold}")

    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        assert context.scores is not None  # noqa: S101 - required, and checked by reduce
        if self.threshold is None:
            return keep_best(context.scores, k)
        scores, _ = clean_scores(context.scores)
        finite = scores[scores.isfinite()]
        above = select_by_threshold(
            scores.clamp(float(finite.min()), float(finite.max())), self.threshold
        )
        if len(above) == 0:
            # nothing stands out, so no place is worth more than another
            return keep_best(torch.full_like(scores, torch.nan), k)
        return TokenChoice(above[top_indices(scores[above], k)].sort().values)
