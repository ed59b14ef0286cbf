"""Fitting of SAISA's projectors: from a vision token to what it would be before each layer.

The decoder stays as it is. A projector has two layers, as published, beside a linear map that ridge
regression gives in closed form; only the two layers are learned step by step.

Source: SAISA, see ``layer_plans.saisa``. The publication trains projectors on answers. Here they
are fitted to the states of the whole model instead, which takes minutes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofovea.pipeline.training.parts.frozen_model import FrozenModel
from geofovea.pipeline.training.parts.lessons import Lessons
from geofovea.pipeline.training.parts.recipe import PartRecipe
from geofovea.regionfocus.layer_plans.saisa import SaisaProjector, fit_projector

__all__ = ["SaisaPart"]

_LESSONS_OF_THE_FIT = 160
_TOKENS_A_STEP = 512


class SaisaPart(nn.Module):
    """A projector for each layer; that of the first is the identity, and is not learned."""

    def __init__(self, model: FrozenModel, recipe: PartRecipe) -> None:
        """Projectors that add nothing to their linear maps; seed torch before the call."""
        super().__init__()
        self.settings: dict[str, Any] = dict(recipe.settings)
        width = model.shape.width
        self.first = nn.ModuleList(nn.Linear(width, width) for _ in range(model.depth))
        self.second = nn.ModuleList(nn.Linear(width, width) for _ in range(model.depth))
        for layer in self.second:
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
        self._model = [model]
        self._linear: list[SaisaProjector] = []
        self._table: tuple[Tensor, Tensor] | None = None

    def prepare(self, lessons: Lessons) -> None:
        """Gather states of the whole model, and fit the linear maps to them."""
        tokens, states = self._states(
            lessons.at(torch.arange(min(_LESSONS_OF_THE_FIT, len(lessons))))
        )
        self._linear = [fit_projector(tokens, states[:, i]) for i in range(states.shape[1])]
        self._table = tokens, states

    def loss(self, lessons: Lessons, draw: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """See ``TrainedPart``: what is left of the variance of the states."""
        tokens, states = self._table or self._states(lessons)
        chosen = torch.randint(len(tokens), (_TOKENS_A_STEP,), generator=draw)
        own, target = tokens[chosen], states[chosen]
        guess = torch.stack([self._projected(i, own) for i in range(len(self.first))], 1)
        spread = (target - target.mean(0)).square().sum((0, 2)).clamp_min(1e-6)
        residual = (guess - target).square().sum((0, 2)) / spread
        return residual.mean(), {"variance_left": residual.mean().item()}

    @torch.no_grad()
    def measure(self, lessons: Lessons) -> dict[str, float]:
        """Share of the variance that is explained, by layer."""
        tokens, states = self._states(lessons)
        record = {}
        for layer in range(1, len(self.first)):
            target = states[:, layer]
            residual = (self._projected(layer, tokens) - target).square().sum()
            spread = (target - target.mean(0)).square().sum()
            record[f"explained_{layer}"] = round(1 - (residual / spread).item(), 4)
        return record

    def tensors(self) -> dict[str, Tensor]:
        """See ``TrainedPart``: ``LAYER.NAME`` of each projector."""
        record: dict[str, Tensor] = {}
        for number, linear in enumerate(self._linear):
            record[f"{number}.skip"] = linear.first
            for which, layers in (("first", self.first), ("second", self.second)):
                own = layers[number].state_dict()
                record[f"{number}.{which}"] = own["weight"]
                record[f"{number}.{which}_bias"] = own["bias"]
            record[f"{number}.second_bias"] = record[f"{number}.second_bias"] + linear.first_bias
        return record

    def rates(self, recipe: PartRecipe) -> list[dict[str, Any]]:
        """See ``TrainedPart``."""
        return [{"params": list(self.parameters()), "lr": recipe.learning_rate}]

    def _projected(self, layer: int, tokens: Tensor) -> Tensor:
        inner = F.gelu(self.first[layer](tokens))
        projected: Tensor = self._linear[layer](tokens) + self.second[layer](inner)
        return projected

    @torch.no_grad()
    def _states(self, lessons: Lessons) -> tuple[Tensor, Tensor]:
        """Tokens ``(m, d)`` and what they are before each layer, ``(m, layers, d)``."""
        tokens, states = [], []
        for some in lessons.batches(8):
            own: list[Tensor] = []
            count = some.vision.shape[1]

            def watch(_: int, hidden: Tensor, own: list[Tensor] = own, count: int = count) -> None:
                own.append(hidden[:, 1 : 1 + count])

            self._model[0].logits(some.vision, some.visible, some.words[:, :1], watch=watch)
            tokens.append(some.vision[some.visible])
            states.append(torch.stack(own, 2)[some.visible])
        return torch.cat(tokens), torch.cat(states)
