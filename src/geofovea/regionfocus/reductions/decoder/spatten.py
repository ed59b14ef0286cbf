"""SpAtten: keep tokens by the attention that they received in all layers so far.

Source: SpAtten, "Efficient Sparse Attention Architecture with Cascade Token and Head Pruning"; its
variant for language models evicts entries of a cache (``cache_policies/spatten``). The hardware is
not our affair.

Importance is the sum of attention over layers, heads and queries; a token removed never returns. It
needs the attention of every row of every layer up to its last step: O(s² · d) per layer, in blocks,
never s² memory; that cost is what it is for judging, not for speed.

``faithful``: `cumulative_attention`. ``fixed`` differs in stable ties, and in an even choice when
no score is finite. Like every sum under a causal mask, it favors early tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.decoder.base import DecoderStage, DecoderView, Positions
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.primitives.sums import summed

__all__ = ["SpAtten", "cumulative_attention"]

_CARRIED = "received_so_far"

_CASCADE = Schedule.of((0.25, 0.5), (0.5, 0.25), (0.75, 0.125))


@dataclass(frozen=True, slots=True)
class SpAtten(DecoderStage):
    """Keep what received most attention since the first layer.

    Attributes:
        schedule: When to drop; a cascade at the quarters of the depth, ours, unless told otherwise.
        positions: Of survivors.
    """

    schedule: Schedule = _CASCADE
    positions: Positions = "original"
    name: ClassVar[str] = "spatten"
    reach: ClassVar[int] = 1

    def layers(self, depth: int) -> tuple[int, ...]:
        """See `DecoderReduction`: every layer up to the last step, to add up its attention."""
        return tuple(range(1, max(self.schedule.counts(1, depth)) + 1))

    def reduce(self, view: DecoderView) -> TokenChoice:
        """See `DecoderReduction`."""
        everyone = torch.arange(len(view.hidden), device=view.visual.device)
        received = view.mean_rows(everyone, back=1)[view.visual] * len(everyone)
        before = view.carried.get(_CARRIED)
        view.carried[_CARRIED] = received if before is None else before + received
        n = len(view.visual)
        k = min(self.schedule.counts(view.original, view.depth).get(view.layer, n), n)
        return TokenChoice(torch.arange(n)) if k == n else self._choose(view, k)

    def _choose(self, view: DecoderView, k: int) -> TokenChoice:
        return keep_best(view.carried[_CARRIED], k)


def cumulative_attention(attention: Iterable[Tensor]) -> Tensor:
    """Attention that each token received in all layers, heads and queries, float32 ``(s,)``.

    Args:
        attention: Of each layer, ``(heads, q, s)``, at least one; sums to heads · q a layer.
    """
    return summed(torch.stack([summed(layer.float(), (0, 1)) for layer in attention]), 0)
