"""Training of DeepStack: a map for each group of added tokens, and the decoder that reads the sums.

The native tokens leave the sequence. Each is added to the token above it before one of the first
layers, by the map of the quarter that it fills. Maps begin as the identity, which is the release
without training. The teacher reads all tokens in one sequence.

Source: "DeepStack: Deeply Stacking Visual Tokens is Surprisingly Simple and Effective for LMMs",
see ``layer_plans.deepstack``. The release trains the whole decoder; here it learns low-rank
differences.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from geofovea.pipeline.hosts.learned.adapted_decoder import learnable_decoder, low_rank_tensors
from geofovea.pipeline.training.parts.answers import answer_loss, right_answers
from geofovea.pipeline.training.parts.frozen_model import Entering, FrozenModel
from geofovea.pipeline.training.parts.lessons import at_answers
from geofovea.pipeline.training.parts.recipe import PartRecipe
from geofovea.pipeline.training.parts.stacked_lessons import StackedLessons
from geofovea.regionfocus.layer_plans.deepstack import DeepStack
from geofovea.regionfocus.token_children import QUARTERS

__all__ = ["StackPart", "added_tokens"]


class StackPart(nn.Module):
    """Maps that learn, with low-rank differences of the decoder."""

    def __init__(self, model: FrozenModel, recipe: PartRecipe) -> None:
        """Maps that change nothing yet; seed torch before the call."""
        super().__init__()
        self.settings: dict[str, Any] = dict(recipe.settings)
        self.maps = nn.Parameter(torch.eye(model.shape.width).repeat(QUARTERS, 1, 1))
        self.decoder = learnable_decoder(model.llava.model.language_model, recipe.rank)
        self._model = [model]

    def prepare(self, lessons: StackedLessons) -> None:
        """See ``TrainedPart``: lessons are all that is needed."""

    def loss(
        self, lessons: StackedLessons, draw: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """See ``TrainedPart``."""
        del draw  # of which nothing is left to decide
        return answer_loss(self._answers(lessons), lessons)

    @torch.no_grad()
    def measure(self, lessons: StackedLessons) -> dict[str, float]:
        """Accuracy with sums, of the model on the same sequence alone, and of the whole model."""
        record: dict[str, list[Tensor]] = {
            "accuracy": [],
            "accuracy_of_sequence": [],
            "accuracy_of_all": [],
        }
        for some in lessons.batches(8):
            count = some.vision.shape[1] - some.parent.shape[1]
            alone = self._model[0].logits(
                some.vision[:, :count], some.visible[:, :count], some.words
            )
            by_way = (self._answers(some), at_answers(alone, some.targets), some.teacher)
            for right, logits in zip(record.values(), by_way, strict=True):
                right.append(right_answers(logits, some))
        return {k: round(torch.cat(v).float().mean().item(), 4) for k, v in record.items()}

    def tensors(self) -> dict[str, Tensor]:
        """See ``TrainedPart``."""
        own = {"maps": self.maps}
        return own | {f"decoder.{k}": v for k, v in low_rank_tensors(self.decoder).items()}

    def rates(self, recipe: PartRecipe) -> list[dict[str, Any]]:
        """See ``TrainedPart``."""
        learned = [p for p in self.decoder.parameters() if p.requires_grad]
        return [
            {"params": learned, "lr": recipe.decoder_rate},
            {"params": [self.maps], "lr": recipe.learning_rate},
        ]

    def _answers(self, lessons: StackedLessons) -> Tensor:
        """Logits at the answers, ``(b, q, 2, V)``."""
        model, method = self._model[0], DeepStack()
        groups = added_tokens(lessons)
        count = groups.shape[2]

        def change(entering: Entering) -> Entering:
            number = method.group_before(entering.number, model.depth)
            if number is None:
                return entering
            hidden = entering.hidden.clone()
            hidden[:, 1 : 1 + count] += groups[:, number] @ self.maps[number]
            return replace(entering, hidden=hidden)

        logits = model.logits(
            lessons.vision[:, :count],
            lessons.visible[:, :count],
            lessons.words,
            self.decoder,
            change=change,
        )
        return at_answers(logits, lessons.targets)


def added_tokens(lessons: StackedLessons) -> Tensor:
    """What is added to each of the n tokens of a sequence, ``(b, 4, n, d)``.

    The mean of the native tokens in each quarter of it, zero where there are none.
    """
    batch, fine = lessons.parent.shape
    count = lessons.vision.shape[1] - fine
    is_there = lessons.parent >= 0
    slot = (lessons.quarter * count + lessons.parent.clamp_min(0)).masked_fill(~is_there, 0)
    values = lessons.vision[:, count:] * is_there[..., None]
    total = values.new_zeros(batch, QUARTERS * count, values.shape[-1])
    total.scatter_add_(1, slot[..., None].expand_as(values), values)
    numbers = values.new_zeros(batch, QUARTERS * count).scatter_add_(1, slot, is_there.float())
    means = total / numbers.clamp_min(1)[..., None]
    return means.reshape(batch, QUARTERS, count, -1)
