"""FlowCut, in the decoder: keep the vision tokens that the last prompt token draws from.

Source: "FlowCut: Rethinking Redundancy via Information Flow for Efficient Vision-Language Models",
arXiv 2505.19536. The steps inside the encoder are those of ``flowcut``: for pictures of several
tiles that one leaves twice the tokens of each tile, and this one halves them together.

Acts once, before decoder layer 1 (of 32), with the queries, keys and values of that layer: the last
prompt token's attention to each vision token plus the likeness of its value to theirs, both a
softmax over vision tokens alone, times the size of the value. Needs one row and the values of the
layer that comes next. O(n · d · heads) time, O(n · d) memory. Text-guided. Nothing is told about
positions; survivors keep theirs, as in other methods that drop once and early.

``fixed`` differs from ``faithful`` (`flowcut_llm_score`, best first) in stable ties, in an even
choice when no score is finite, and in the rounding of shares. The paper divides both terms by their
sums, the released code does not: over vision tokens alone both sums are one, so it is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.decoder.base import DecoderStage, DecoderView, Positions
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.encoder.flowcut import flowcut_llm_score, key_relation
from geofovea.regionfocus.reductions.primitives.sums import summed

__all__ = ["FlowCutDecoder", "decoder_flow", "share_of_vision"]

_PUBLISHED = Schedule.of((1 / 32, 0.5))


@dataclass(frozen=True, slots=True)
class FlowCutDecoder(DecoderStage):
    """Keep the tokens of most flow into the last prompt token, in the layer that comes next.

    Attributes:
        schedule: One step before layer 1 of 32 to a half, as shares, unless told otherwise.
        positions: Of survivors.
    """

    schedule: Schedule = _PUBLISHED
    positions: Positions = "original"
    name: ClassVar[str] = "flowcut_decoder"

    def _choose(self, view: DecoderView, k: int) -> TokenChoice:
        return keep_best(decoder_flow(view), k)


def decoder_flow(view: DecoderView) -> Tensor:
    """The score of each vision token that is left, float32 ``(n,)``."""
    values = view.values()
    last = int(view.text[-1])
    relation = share_of_vision(view.rows(view.text[-1:]), view.visual)
    visual_values = values[:, view.visual]
    # query heads of one group share a value, so the mean over key heads is that over all heads
    return flowcut_llm_score(
        relation, key_relation(values[:, last], visual_values), visual_values.mean(0)
    )


def share_of_vision(rows: Tensor, visual: Tensor) -> Tensor:
    """Attention of the last query among vision tokens alone, mean of heads, float32 ``(n,)``.

    A softmax over some of the keys is what they get of that over all, divided by their sum.

    Args:
        rows: ``(heads, q, s)``.
        visual: int64 ``(n,)``, places of the vision tokens.
    """
    attention = rows[:, -1, visual].float()
    # a head that sees no vision token at all says nothing
    shares = attention / summed(attention, -1)[:, None].clamp_min(torch.finfo(torch.float32).tiny)
    return summed(shares, 0) / len(rows)
