"""AKI: vision tokens see the question, too, though it stands behind them.

Source: "AKI: Modality-Mutual Attention", sony/aki. Among themselves vision tokens see what stands
before them, as ever; in addition each sees the words from the picture to the mark of the answer.
The paper trains with this mask.

``faithful``: `mutual_mask`, whose caller in the release ends the question one token late, so that
vision sees the first token of the mark. ``fixed``: the question ends before it. Vision then depends
on the question: no stored prompt and no stored tile can be used with it.

Measured on the embedded model, which was not trained with it: all of 144 answers are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.layer_plans.base import (
    LayerMethod,
    LayerPlan,
    LayerView,
    check_start,
    words_behind,
)

__all__ = ["Aki", "mutual_mask"]


@dataclass(frozen=True, slots=True)
class Aki(LayerMethod):
    """Let vision see the question.

    Attributes:
        mark: Tokens at the end of the prompt that belong to the mark of the answer, and stay
            unseen; how many depends on the template of the model.
        start: The first layer in which it does.

    Raises:
        ModelError: If the mark has no token, for the one that answers may not be seen, or there is
            no such layer.
    """

    mark: int = 1
    start: int = 0
    name: ClassVar[str] = "aki"

    def __post_init__(self) -> None:
        check_start(self.start)
        if self.mark < 1:
            raise ModelError(f"at least the last token of a prompt stays unseen, got {self.mark}")

    def layers(self, depth: int) -> tuple[int, ...]:
        """See `LayerMethod`; what vision tokens see in the last layer is read by nothing."""
        return tuple(range(self.start, depth - 1))

    def plan(self, view: LayerView) -> LayerPlan:
        """See `LayerMethod`."""
        question = words_behind(view)[: -self.mark]
        if view.layer not in self.layers(view.depth) or not len(question):
            return LayerPlan()
        return LayerPlan(later_words=question)


def mutual_mask(length: int, first: int, count: int, end: int) -> Tensor:
    """Who sees whom, rows are queries; bool ``(length, length)``.

    Args:
        length: Tokens of the sequence.
        first: Place of the first vision token.
        count: Vision tokens, one after the other.
        end: Place behind the last word of the question; the release has it one too far.
    """
    sees = torch.ones(length, length, dtype=torch.bool).tril()
    sees[first : first + count, first + count : end] = True
    return sees
