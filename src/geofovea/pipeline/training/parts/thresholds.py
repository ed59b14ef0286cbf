"""Training of ATP-LLaVA's heads: above which score does a vision token go on to the next layer?

The decoder does not change. In training no token leaves: the logarithm of a soft mask is added to
the attention logits of vision tokens in later layers, and their scores count by the mask. Only the
heads learn. No gradient flows through the scores, so a head learns its thresholds for the scores as
they are. What is measured are hard masks, as they are used.

Source: "ATP-LLaVA: Adaptive Token Pruning for Large Vision Language Models", see
``layer_plans.atp``. The published loss counts the distance from the target in tokens. Here it
counts as a share of the tokens, because the count differs from lesson to lesson.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from geofovea.pipeline.inference.attention.rows import row_logits
from geofovea.pipeline.training.losses import answer_position
from geofovea.pipeline.training.parts.answers import answer_loss, right_answers, unpacked
from geofovea.pipeline.training.parts.frozen_model import Entering, FrozenModel
from geofovea.pipeline.training.parts.lessons import Lessons, at_answers
from geofovea.pipeline.training.parts.recipe import PartRecipe
from geofovea.regionfocus.layer_plans.atp import (
    RATES,
    ThresholdHead,
    budget_loss,
    leaving_layers,
    margins,
    soft_mask,
    spatial_scores,
    thresholds,
)

__all__ = ["ThresholdPart"]

_WEIGHT_OF_LATE_LAYERS = 0.05
_SMALLEST = 1e-4
"""Of a soft mask, so that its logarithm stays finite."""


class ThresholdPart(nn.Module):
    """A head for each layer behind which tokens leave."""

    def __init__(self, model: FrozenModel, recipe: PartRecipe) -> None:
        """Heads whose thresholds do not depend on the scores yet; seed torch before the call."""
        super().__init__()
        self.settings: dict[str, Any] = dict(recipe.settings)
        places = leaving_layers(model.depth)
        # of a shallow model, two heads may have the same layer, and the first one acts
        self.layers = {n: places.index(n) for n in places if n < model.depth - 1}
        width = model.shape.width
        self.projection = [nn.Linear(2, width) for _ in RATES]
        self.redundant = [nn.Linear(width, 1) for _ in RATES]
        self.spatial = [nn.Linear(width, 1) for _ in RATES]
        for layer in (*self.redundant, *self.spatial):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.learned = nn.ModuleList([*self.projection, *self.redundant, *self.spatial])
        self._model, self._questions = [model], recipe.questions

    @torch.no_grad()
    def prepare(self, lessons: Lessons) -> None:
        """Put each threshold at the median of the scores, so that half of the tokens go on."""
        few = unpacked(lessons.at(torch.arange(min(8, len(lessons)))), 2, torch.Generator())
        run = _Run(self, few, is_hard=True)
        run.logits()
        for number, scores in run.scores.items():
            middle = scores.mean(1)[few.visible].median().clamp(0.02, 0.98)
            self.redundant[number].bias.copy_(middle.logit())

    def loss(self, lessons: Lessons, draw: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """See ``TrainedPart``."""
        lessons = unpacked(lessons, self._questions, draw)
        run = _Run(self, lessons, is_hard=False)
        answer, record = answer_loss(at_answers(run.logits(), lessons.targets), lessons)
        shares = [count.mean() for count in run.shares]
        depth = self._model[0].depth
        weights = [(number + 1) / depth for number in self.layers]
        late, apart = budget_loss(shares, 1, float(self.settings["target"]), weights)
        budget = _WEIGHT_OF_LATE_LAYERS * late + float(self.settings["weight"]) * apart
        mean = torch.stack(shares).mean().item()
        return answer + budget, record | {"share": mean}

    @torch.no_grad()
    def measure(self, lessons: Lessons) -> dict[str, float]:
        """Accuracy with all tokens and with those that go on, and their share by layer."""
        lessons = unpacked(lessons, 4, torch.Generator().manual_seed(0))
        right, whole, shares = [], [], []
        for some in lessons.batches(16):
            run = _Run(self, some, is_hard=True)
            right.append(right_answers(at_answers(run.logits(), some.targets), some))
            whole.append(right_answers(some.teacher, some))
            shares.append(torch.stack(run.shares, 1))
        record = {"accuracy": _mean(right), "accuracy_of_all": _mean(whole)}
        for layer, share in zip(self.layers, torch.cat(shares).unbind(1), strict=True):
            record[f"goes_on_{layer + 1}"] = _mean([share])
        record["spread"] = round(torch.cat(shares).mean(1).std().item(), 4)
        return record

    def tensors(self) -> dict[str, Tensor]:
        """See ``TrainedPart``: the fields of ``ThresholdHead`` as ``NUMBER.FIELD``."""
        record: dict[str, Tensor] = {}
        for number in range(len(RATES)):
            head = self.head(number)
            record |= {f"{number}.{name}": getattr(head, name) for name in head.__slots__}
        return record

    def rates(self, recipe: PartRecipe) -> list[dict[str, Any]]:
        """See ``TrainedPart``."""
        return [{"params": list(self.parameters()), "lr": recipe.learning_rate}]

    def head(self, number: int) -> ThresholdHead:
        """The head of a layer, by its number among those that have one."""
        first, redundant, spatial = (
            (layers[number].weight, layers[number].bias)
            for layers in (self.projection, self.redundant, self.spatial)
        )
        return ThresholdHead(*first, *redundant, *spatial)


class _Run:
    """One pass of the decoder, with tokens that leave on the way.

    Attributes:
        scores: ``(b, 2, n)`` by head.
        shares: ``(b,)`` behind each layer: of the vision tokens that go on.
    """

    def __init__(self, part: ThresholdPart, lessons: Lessons, *, is_hard: bool) -> None:
        """Prepare a pass over lessons with one question each."""
        self._part, self._lessons, self._is_hard = part, lessons, is_hard
        self._alive = lessons.visible.float()
        self.scores: dict[int, Tensor] = {}
        self.shares: list[Tensor] = []
        side = part._model[0].shape.grid
        cell = torch.arange(lessons.vision.shape[1]) % (side * side)
        self._cells = torch.stack([cell // side, cell % side], 1)

    def logits(self) -> Tensor:
        """See `FrozenModel.logits`."""
        lessons, model = self._lessons, self._part._model[0]
        return model.logits(lessons.vision, lessons.visible, lessons.words, change=self._enter)

    def _enter(self, entering: Entering) -> Entering:
        """A layer with the mask that earlier ones left; then what goes on behind it."""
        before = torch.cat([torch.ones_like(self._alive[:, :1]), self._alive], 1)
        hidden = torch.finfo(entering.hidden.dtype).min
        mask = before.clamp_min(_SMALLEST).log().masked_fill(before == 0, hidden)
        entering = Entering(entering.number, entering.layer, entering.hidden, mask, entering.rotary)
        if entering.number in self._part.layers:
            self._leave(self._part.layers[entering.number], entering)
        return entering

    def _leave(self, number: int, entering: Entering) -> None:
        """Let go what is below both thresholds of a layer."""
        scores = self.scores[number] = _scores(entering, self._alive, self._lessons)
        spatial = spatial_scores(self._cells, RATES[number])
        alive = self._alive.detach()
        means = (scores * alive[:, None]).sum(2) / alive.sum(1)[:, None]
        head, masks = self._part.head(number), []
        for own, mean, is_alive in zip(scores.mean(1), means, alive > 0, strict=True):
            bounds = thresholds(mean[:, None], head)
            if self._is_hard:
                margin = margins(own, spatial, bounds).masked_fill(~is_alive, -torch.inf)
                # the nearest one goes on in any case
                masks.append(((margin > 0) | (margin == margin.amax())).float())
            else:
                masks.append(soft_mask(own, spatial, bounds))
        self._alive = self._alive * torch.stack(masks)
        self.shares.append(self._alive.sum(1) / self._lessons.visible.sum(1))


@torch.no_grad()
def _scores(entering: Entering, alive: Tensor, lessons: Lessons) -> Tensor:
    """What each vision token gets from vision and from words, in units of 1/n, ``(b, 2, n)``.

    Args:
        entering: A layer; one question each.
        alive: ``(b, n)`` from 0 to 1, how much of each token is left.
        lessons: Whose questions end at their last word.
    """
    batch, length = entering.hidden.shape[:2]
    count = alive.shape[1]
    rows = torch.arange(length).expand(batch, -1)
    logits = row_logits(entering.layer, entering.hidden, entering.rotary, rows, 0, length)
    logits[..., : 1 + count] += entering.mask[:, None, None]
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    logits.masked_fill_(later, -torch.inf)
    weights = logits.softmax(-1)[..., 1 : 1 + count].mean(1)
    total = alive.sum(1, keepdim=True)
    of_vision = (weights[:, 1 : 1 + count] * alive[..., None]).sum(1)
    seers = alive.flip(1).cumsum(1).flip(1).clamp_min(_SMALLEST)
    last = answer_position(lessons.targets)
    is_asked = (torch.arange(length - 1 - count) <= last).float()
    of_words = (weights[:, 1 + count :] * is_asked[..., None]).sum(1)
    of_words = of_words / is_asked.sum(1, keepdim=True)
    return torch.stack([total * of_vision / seers, total * of_words], 1)


def _mean(parts: list[Tensor]) -> float:
    return round(torch.cat(parts).float().mean().item(), 4)
