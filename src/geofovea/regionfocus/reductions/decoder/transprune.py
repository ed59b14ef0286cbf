"""TransPrune: keep vision tokens whose states change direction and length from layer to layer.

Source: TransPrune, CVPR 2026.

Watches what attention and feed-forward do to each token in layers 7 to 12 (of 32, from 1): length
ratio times a softmax over the sequence of one minus the cosine, added up. Acts after layers 7, 9
and 12 on that sum and on the mean attention that all tokens after the picture pay to each vision
token, recomputed with the layer that comes next. O(s · d) per sublayer, a strip of rows per step.
Text-guided by the strip. Positions are numbered anew.

``faithful``: `transition`, `combined_scores`, ``Schedule(..., rounding="down")``. ``fixed`` differs
in the rounding of shares, in stable ties, in a length of zero (no division by it), and in an even
choice when no score is finite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.decoder.base import (
    DecoderStage,
    DecoderView,
    Positions,
    Sublayer,
)
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.primitives.sums import summed

__all__ = ["TransPrune", "combined_scores", "transition"]

_CARRIED = "transition"

_PUBLISHED = Schedule.of((7 / 32, 0.875), (9 / 32, 0.625), (12 / 32, 0.125))


@dataclass(frozen=True, slots=True)
class TransPrune(DecoderStage):
    """Keep what changes, and what the question looks at.

    Attributes:
        schedule: 7/8, 5/8 and 1/8 after layers 7, 9 and 12 of 32, as shares, unless told otherwise.
        first_watched: The first layer that is watched, from 0, as a share of the depth or a whole
            number; the last one is that before the last step.
        positions: Of survivors.

    Raises:
        ModelError: If the first watched layer is negative.
    """

    schedule: Schedule = _PUBLISHED
    first_watched: int | float = 6 / 32
    positions: Positions = "contiguous"
    name: ClassVar[str] = "transprune"

    def __post_init__(self) -> None:
        if self.first_watched < 0:
            raise ModelError(f"layers are counted from 0, got {self.first_watched} to watch from")

    def watched(self, depth: int) -> frozenset[int]:
        """See `DecoderReduction`; at least the layer before the first step."""
        steps = self.layers(depth)
        is_whole = isinstance(self.first_watched, int)
        first = int(self.first_watched) if is_whole else int(self.first_watched * depth + 0.5)
        return frozenset(range(min(first, steps[0] - 1), steps[-1]))

    def watch(self, view: DecoderView, sublayer: Sublayer, before: Tensor, after: Tensor) -> None:  # noqa: ARG002
        """Add one sublayer's transition to what is carried."""
        change = transition(before, after)[view.visual]
        total = view.carried.get(_CARRIED)
        view.carried[_CARRIED] = change if total is None else total + change

    def _choose(self, view: DecoderView, k: int) -> TokenChoice:
        attention = view.mean_rows(view.text)[view.visual]
        return keep_best(combined_scores(view.carried[_CARRIED], attention), k)


def transition(before: Tensor, after: Tensor) -> Tensor:
    """How much one sublayer changes each token, in length and direction.

    Args:
        before: ``(s, d)``, its normed input.
        after: ``(s, d)``, its output before the residual.

    Returns:
        float32 ``(s,)``: ratio of lengths times a softmax over the sequence of 1 − cosine.
    """
    before, after = before.float(), after.float()
    tiny = torch.finfo(torch.float32).tiny
    # in this form a token that is not changed has a ratio and a cosine of exactly one
    square_before = summed(before.square(), -1).clamp_min(tiny)
    square_after = summed(after.square(), -1)
    lengths = square_before.sqrt() * square_after.sqrt()
    cosines = summed(before * after, -1) / lengths.clamp_min(tiny)
    return (square_after / square_before).sqrt() * (1 - cosines).softmax(-1)


def combined_scores(transitions: Tensor, attention: Tensor) -> Tensor:
    """Each of two signals ``(n,)`` as shares of its sum, added, float32 ``(n,)``."""
    transitions, attention = transitions.float(), attention.float()
    shares = (part / (summed(part, 0) + 1e-8) for part in (transitions, attention))
    return sum(shares, torch.zeros_like(transitions))
