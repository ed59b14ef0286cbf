"""CATP, second stage: keep context that gains attention or resembles the question's own sample.

Source: CATP, AAAI 2026, made for several pictures in one prompt; no code was found, so there is a
worked example and no reference run. The first stage acts on projected tokens and is a reduction of
its own.

Acts after decoder layer 6 (of 32): a context token's score is how much more attention it gets from
the last token in that layer than in the one before, never less than zero, plus its likeness to the
mean state of the question's sample. One layer later the tokens of the question's own picture are
ranked by likeness to the mean of the surviving context. Needs one row of two layers. O(s · d).
Text-guided. Here the finest level of a prompt (``carried["levels"]``) is the question's own picture
and all coarser levels are context; where no levels are known, all is context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.decoder.base import DecoderStage, DecoderView, Positions
from geofovea.regionfocus.reductions.decoder.schedule import Schedule

__all__ = ["CatpDecoder", "context_scores"]

_PUBLISHED = Schedule.of((7 / 32, 0.5))

_CARRIED = "is_own_picture"


@dataclass(frozen=True, slots=True)
class CatpDecoder(DecoderStage):
    """Keep a share of the context, then, one layer later, of the question's own picture.

    Attributes:
        schedule: One step, after layer 6 of 32 to a half, as shares, unless told otherwise; it says
            what is left in the end.
        likeness_weight: What likeness counts beside a gain of attention.
        positions: Of survivors.

    Raises:
        ModelError: If there is more than one step.
    """

    schedule: Schedule = _PUBLISHED
    likeness_weight: float = 0.6
    positions: Positions = "contiguous"
    name: ClassVar[str] = "catp_decoder"
    reach: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if len(self.schedule.steps) != 1:
            raise ModelError(
                f"CATP acts once on context, got a schedule of {len(self.schedule.steps)} steps"
            )

    def layers(self, depth: int) -> tuple[int, ...]:
        """See `DecoderReduction`: not before layer 2, and the layer after it, if there is one."""
        first = self._first(depth)
        return tuple(range(first, min(first + 2, depth)))

    def reduce(self, view: DecoderView) -> TokenChoice:
        """See `DecoderReduction`."""
        n = len(view.visual)
        k = min(next(iter(self.schedule.counts(view.original, view.depth).values())), n)
        return TokenChoice(torch.arange(n)) if k == n else self._choose(view, k)

    def _choose(self, view: DecoderView, k: int) -> TokenChoice:
        n = len(view.visual)
        if _CARRIED not in view.carried:
            # once for both layers: the first may leave no context to tell the picture from
            view.carried[_CARRIED] = _is_own_picture(view)
        is_own = view.carried[_CARRIED].cpu()
        hidden = view.hidden.float()
        own, context = (mask.nonzero()[:, 0] for mask in (is_own, ~is_own))
        if view.layer == self._first(view.depth):
            # both kinds shrink by the same share; the next layer takes the rest of it
            count = min(max(1, round(k * len(context) / n)), k - 1) if len(own) else k
            pool = context
            sample = torch.cat([view.visual[own.to(view.visual.device)], view.text])
            place = view.visual[context.to(view.visual.device)]
            current, before = (view.rows(view.text[-1:], back)[:, 0].mean(0) for back in (1, 2))
            likeness = cosine_similarity(hidden[place], hidden[sample].mean(0)[None], eps=1e-12)
            scores = context_scores(before[place], current[place], likeness, self.likeness_weight)
        else:
            count, pool = k - len(context), own
            # a budget of one token has no context left to compare with; the words stand in
            guide = view.visual[context.to(view.visual.device)] if len(context) else view.text
            place = view.visual[own.to(view.visual.device)]
            scores = cosine_similarity(hidden[place], hidden[guide].mean(0)[None], eps=1e-12)
        if count == 0:
            return TokenChoice(own)
        choice = keep_best(scores, count)
        others = own if pool is context else context
        return TokenChoice(torch.cat([pool[choice.index], others]).sort().values, info=choice.info)

    def _first(self, depth: int) -> int:
        first = max(2, *self.schedule.counts(1, depth))
        if first >= depth:
            raise ModelError(
                f"CATP compares two layers before it acts; a decoder of {depth} layers is too "
                "shallow, choose fastv or pyramiddrop"
            )
        return first


def _is_own_picture(view: DecoderView) -> Tensor:
    """Which tokens are of the finest level, bool ``(n,)``; none where there is one level only."""
    levels = view.carried.get("levels", torch.ones(len(view.visual), device=view.visual.device))
    finest = levels.min()
    return (levels == finest) & (levels != finest).any()


def context_scores(
    before: Tensor, current: Tensor, likeness: Tensor, weight: float = 0.6
) -> Tensor:
    """Gain of attention, at least zero, plus weighted likeness; all ``(n,)``, the result float32.

    Args:
        before: Attention of the last token to each context token in the layer before, head mean.
        current: The same in this layer.
        likeness: Cosine of each token's state and the mean state of the question's sample.
        weight: Of the likeness.
    """
    return (current.float() - before.float()).clamp_min(0) + weight * likeness.float()
