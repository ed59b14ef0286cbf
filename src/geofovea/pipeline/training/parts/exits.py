"""Training of DyVTE's routers: after which layer is a question answered without vision?

The decoder does not change. For each question and layer, the answer without vision from there on is
computed once. A router then learns to predict from the states of the words whether the answer stays
the same. A wrong exit costs four times as much as a wrong stay. The threshold is the lowest at
which at most one answer in 200 changes on half of the held-out questions; the reported figures come
from the other half.

Source: "Accelerating Multimodal Large Language Models via Dynamic Visual-Token Exit", see
``layer_plans.dyvte``. The release labels a sample by its answer and its loss. Here the label
depends on the answer and the word after it, because a loss near zero changes by a large share by
chance.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofovea.errors import DataError
from geofovea.pipeline.training.losses import answer_position
from geofovea.pipeline.training.parts.frozen_model import FrozenModel
from geofovea.pipeline.training.parts.lessons import Lessons, at_answers
from geofovea.pipeline.training.parts.recipe import PartRecipe

__all__ = ["ExitPart"]

_WEIGHT_OF_A_WRONG_EXIT = 4.0
_QUESTIONS_A_STEP = 256
_MOST_CHANGED = 1 / 200


class ExitPart(nn.Module):
    """Routers behind all layers but the last."""

    def __init__(self, model: FrozenModel, recipe: PartRecipe) -> None:
        """Random routers; seed torch before the call."""
        super().__init__()
        self.settings: dict[str, Any] = dict(recipe.settings)
        width, hidden = model.shape.width, int(self.settings.get("hidden", 64))
        self.routers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(2 * width, hidden, bias=False),
                nn.GELU(),
                nn.Linear(hidden, 2, bias=False),
            )
            for _ in range(model.depth - 1)
        )
        self._model = [model]
        self._table: tuple[Tensor, Tensor] | None = None

    def prepare(self, lessons: Lessons) -> None:
        """Compute what is learned from: features and labels of all questions."""
        self._table = self._examples(lessons)

    def loss(self, lessons: Lessons, draw: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """See ``TrainedPart``; the questions of the step come from the table."""
        features, labels = self._table or self._examples(lessons)
        chosen = torch.randint(len(features), (_QUESTIONS_A_STEP,), generator=draw)
        logits = self._logits(features[chosen])
        # a wrong exit is a label 0 taken for 1
        weight = torch.tensor([_WEIGHT_OF_A_WRONG_EXIT, 1.0])
        loss = F.cross_entropy(logits.flatten(0, 1), labels[chosen].flatten(), weight)
        right = (logits.argmax(-1) == labels[chosen]).float().mean().item()
        return loss, {"loss": loss.item(), "right": right}

    @torch.no_grad()
    def measure(self, lessons: Lessons) -> dict[str, float]:
        """Shares that may leave, that do, and whose answers change; see the module.

        Raises:
            DataError: If there are fewer than two questions with an answer.
        """
        features, labels = self._examples(lessons)
        if len(labels) < 2:
            raise DataError(
                "one half of the held-out questions chooses the threshold of the exits and the "
                f"other half measures it, which takes at least 2 answered questions; got "
                f"{len(labels)}"
            )
        logits = self._logits(features)
        margin = logits[..., 1] - logits[..., 0]
        # behind the layer of the focus at the earliest: before it, vision has not been looked at
        first = min(self._model[0].shape.focus_layer, len(self.routers) - 1)
        half = len(labels) // 2
        threshold = _threshold(margin[:half, first:], labels[:half, first:])
        self.settings |= {"start": first + 1, "threshold": round(threshold, 4)}
        margin, labels = margin[half:], labels[half:]
        leaves = margin > threshold
        record: dict[str, float] = {"threshold": self.settings["threshold"]}
        for layer in range(first, len(self.routers)):
            name = layer + 1
            record[f"may_leave_{name}"] = _share(labels[:, layer] == 1)
            record[f"leaves_{name}"] = _share(leaves[:, layer])
            record[f"changed_{name}"] = _share(leaves[:, layer] & (labels[:, layer] == 0))
            record[f"auc_{name}"] = round(_auc(margin[:, layer], labels[:, layer]), 4)
        return record

    def tensors(self) -> dict[str, Tensor]:
        """See ``TrainedPart``: ``LAYER.first`` and ``LAYER.second``."""
        record = {}
        for number, router in enumerate(self.routers):
            own = router.state_dict()
            record[f"{number}.first"] = own["0.weight"]
            record[f"{number}.second"] = own["2.weight"]
        return record

    def rates(self, recipe: PartRecipe) -> list[dict[str, Any]]:
        """See ``TrainedPart``."""
        return [{"params": list(self.parameters()), "lr": recipe.learning_rate}]

    def _logits(self, features: Tensor) -> Tensor:
        """``(m, layers, 2)`` of features ``(m, layers, 2 d)``."""
        return torch.stack([router(features[:, i]) for i, router in enumerate(self.routers)], dim=1)

    @torch.no_grad()
    def _examples(self, lessons: Lessons) -> tuple[Tensor, Tensor]:
        """Features ``(m, layers, 2 d)`` and labels ``(m, layers)`` of questions with an answer."""
        features, labels = [], []
        for some in lessons.batches(8):
            own_features, whole = self._watched(some)
            own_labels = [self._stays(some, whole, layer) for layer in range(len(self.routers))]
            features.append(own_features[some.answered])
            labels.append(torch.stack(own_labels, -1)[some.answered])
        return torch.cat(features), torch.cat(labels)

    def _watched(self, lessons: Lessons) -> tuple[Tensor, Tensor]:
        """Features ``(b, q, layers, 2 d)`` and the answers of the whole model, ``(b, q, 2)``."""
        questions, length = lessons.words.shape[1:]
        last = answer_position(lessons.targets)
        place = torch.arange(length)
        others = (place < last[..., None]).float()[..., None]
        features: list[Tensor] = []

        def watch(number: int, hidden: Tensor) -> None:
            if not number:
                return
            words = hidden[:, -questions * length :].reshape(
                len(hidden), questions, length, hidden.shape[-1]
            )
            mean = (words * others).sum(2) / others.sum(2).clamp_min(1)
            final = words.gather(2, last[..., None, None].expand(-1, -1, 1, words.shape[-1]))
            features.append(torch.cat([mean, final[:, :, 0]], -1))

        model = self._model[0]
        logits = model.logits(lessons.vision, lessons.visible, lessons.words, watch=watch)
        return torch.stack(features, 2), at_answers(logits, lessons.targets).argmax(-1)

    def _stays(self, lessons: Lessons, whole: Tensor, layer: int) -> Tensor:
        """int64 ``(b, q)``: 1 where nothing changes if vision leaves behind a layer."""
        model = self._model[0]
        hidden = torch.zeros_like(lessons.visible)
        by_layer = [lessons.visible if i <= layer else hidden for i in range(model.depth)]
        logits = model.logits(lessons.vision, by_layer, lessons.words)
        return (at_answers(logits, lessons.targets).argmax(-1) == whole).all(-1).long()


def _threshold(margin: Tensor, labels: Tensor) -> float:
    """The lowest from 0 on at which few of the questions leave wrongly, ``(m, layers)`` each."""
    wrong = margin.masked_fill(labels == 1, -torch.inf).amax(1)
    allowed = int(_MOST_CHANGED * len(wrong))
    return max(0.0, float(wrong.sort(descending=True).values[min(allowed, len(wrong) - 1)]))


def _share(values: Tensor) -> float:
    return round(values.float().mean().item(), 4)


def _auc(margin: Tensor, labels: Tensor) -> float:
    """Chance that an example of label 1 has more of a margin than one of label 0."""
    positive, negative = margin[labels == 1], margin[labels == 0]
    if not len(positive) or not len(negative):
        return 1.0
    above = (positive[:, None] > negative).float().mean()
    return float(above + 0.5 * (positive[:, None] == negative).float().mean())
