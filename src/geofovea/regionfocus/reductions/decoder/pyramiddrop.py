"""PyramidDrop: stage after stage, keep the vision tokens that the last instruction token looks at.

Source: PyramidDrop (PDrop), CVPR 2025.

Acts before decoder layers at a quarter, a half and three quarters of the depth, on one attention
row recomputed with the norm, projections and rotation of the layer that comes next, softmax over
the whole causal context. O(s · d) time for the keys of each stage, O(s) memory. Text-guided.
Positions are numbered anew after each stage.

``fixed`` differs from ``faithful`` (`keep_places`, ``Schedule(..., rounding="down")``) in the
rounding of shares, in stable ties, in an even choice when no score is finite, and in grouped-query
heads, for which the released code does not repeat the keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.decoder.base import DecoderStage, DecoderView, Positions
from geofovea.regionfocus.reductions.decoder.fastv import keep_places, last_row_scores
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.decoder.visual_sinks import SinkFilter, exclude_visual_sinks

__all__ = ["PyramidDrop", "keep_places"]

_PUBLISHED = Schedule.of((0.25, 0.5), (0.5, 0.25), (0.75, 0.125))


@dataclass(frozen=True, slots=True)
class PyramidDrop(DecoderStage):
    """Keep the best of the last row of the layer that comes next.

    Attributes:
        schedule: A half, a quarter and an eighth at the quarters of the depth, as published for
            layers 8, 16 and 24 of 32.
        positions: Of survivors.
        sinks: Vision tokens that may not win by being attention sinks; None to leave them in.
    """

    schedule: Schedule = _PUBLISHED
    positions: Positions = "contiguous"
    sinks: SinkFilter | None = None
    name: ClassVar[str] = "pyramiddrop"

    def _choose(self, view: DecoderView, k: int) -> TokenChoice:
        scores = last_row_scores(view.rows(view.text[-1:]), view.visual)
        return keep_best(exclude_visual_sinks(scores, view, self.sinks), k)
