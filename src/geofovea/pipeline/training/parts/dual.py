"""Training of a dual encoder beside a model: vectors of tiles and texts that can be compared.

The vision tower does not change; what is learned pools its tokens and reads the words of phrases.
See ``SharedSpace`` for the source.
"""

from __future__ import annotations

import random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofovea.pipeline.hosts.learned.shared_space import SharedSpace
from geofovea.pipeline.training.embedded_model import build_tokenizer
from geofovea.pipeline.training.lessons.phrases import PHRASES, Phrase, worded
from geofovea.pipeline.training.parts.frozen_model import FrozenModel
from geofovea.pipeline.training.parts.phrase_lessons import PhraseLessons
from geofovea.pipeline.training.parts.recipe import PartRecipe

__all__ = ["DualPart"]

_COARSE = 2
"""From this level on, a tile counts as coarse: sites show there, and things do not."""

_WEIGHT_OF_A_TRUE_PHRASE = 4.0
"""Most phrases are false of a tile."""


class DualPart(nn.Module):
    """A shared space of tiles and texts."""

    def __init__(self, model: FrozenModel, recipe: PartRecipe) -> None:
        """Random weights; seed torch before the call."""
        super().__init__()
        self.settings: dict[str, Any] = dict(recipe.settings)
        self.space = SharedSpace(model.shape.width, self.settings)
        self._model = [model]
        self._tokenizer = build_tokenizer()

    def prepare(self, lessons: PhraseLessons) -> None:
        """See ``TrainedPart``; the lessons are all there is."""
        del lessons

    def loss(
        self, lessons: PhraseLessons, draw: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """See ``TrainedPart``: of all phrases, each in one of its wordings."""
        rng = random.Random(int(torch.randint(2**62, (1,), generator=draw)))
        logits = self._logits(lessons, [worded(phrase, rng) for phrase in PHRASES])
        shown = lessons.shown.flatten(0, 1)
        loss = F.binary_cross_entropy_with_logits(
            logits,
            (shown == 1).float(),
            (shown >= 0).float(),
            pos_weight=torch.tensor(_WEIGHT_OF_A_TRUE_PHRASE),
        )
        return loss, {"loss": loss.item(), "scale": self.space.log_scale.exp().item()}

    @torch.no_grad()
    def measure(self, lessons: PhraseLessons) -> dict[str, float]:
        """Mean average precision of held-out tiles, by what a phrase names and by level."""
        logits = torch.cat([self._logits(some, _TEXTS) for some in lessons.batches(8)])
        shown, level = lessons.shown.flatten(0, 1), lessons.level.flatten()
        rows = {"native": level == 0, "coarse": level >= _COARSE}
        record = {}
        for name, places in _GROUPS.items():
            for which in ("native", "coarse") if name == "site" else ("native",):
                of_level = rows[which]
                precisions = [
                    average_precision(logits[of_level, p], shown[of_level, p]) for p in places
                ]
                known = [value for value in precisions if value is not None]
                if known:
                    record[f"{name}_{which}"] = round(sum(known) / len(known), 4)
        return record

    def tensors(self) -> dict[str, Tensor]:
        """See ``TrainedPart``."""
        return dict(self.space.state_dict())

    def rates(self, recipe: PartRecipe) -> list[dict[str, Any]]:
        """See ``TrainedPart``."""
        return [{"params": list(self.parameters()), "lr": recipe.learning_rate}]

    def _logits(self, lessons: PhraseLessons, texts: list[str]) -> Tensor:
        """``(b k, P)``, all tiles against all texts."""
        tiles = self.space.of_tiles(lessons.tokens.flatten(0, 1))
        return self.space.logits(tiles, self._vectors(texts))

    def _vectors(self, texts: list[str]) -> Tensor:
        """``(m, dimension)``; words that the model does not know say nothing."""
        ids = self._tokenizer(texts, padding=True, return_tensors="pt")["input_ids"]
        is_known = (ids > self._tokenizer.unk_token_id).float()[..., None]
        words = self._model[0].embed(ids) * is_known
        return self.space.of_texts(words.sum(1) / is_known.sum(1).clamp_min(1))


_TEXTS = [phrase.text for phrase in PHRASES]


def _group_of(phrase: Phrase) -> str:
    if phrase.site:
        return "at_site" if phrase.thing else "site"
    if not phrase.thing:
        return "surface"
    if phrase.thing == "hall":
        return "hall"
    return "attribute" if phrase.attribute else "thing"


_GROUPS: dict[str, list[int]] = {}
for _place, _phrase in enumerate(PHRASES):
    _GROUPS.setdefault(_group_of(_phrase), []).append(_place)


def average_precision(logits: Tensor, shown: Tensor) -> float | None:
    """Area under precision against recall of one phrase; None where it is true of no tile.

    Args:
        logits: ``(k,)``.
        shown: int64 ``(k,)``, see ``shown_phrases``.
    """
    is_known = shown >= 0
    order = logits[is_known].argsort(descending=True)
    true = (shown[is_known][order] == 1).double()
    if not bool(true.any()):
        return None
    precision = true.cumsum(0) / torch.arange(1, len(true) + 1)
    return float((precision * true).sum() / true.sum())
