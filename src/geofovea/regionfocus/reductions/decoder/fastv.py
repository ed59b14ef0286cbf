"""FastV: after a few layers, keep the vision tokens that the last prompt token looks at.

Source: "An Image is Worth 1/2 Tokens After Layer 2" (ECCV 2024), whose text speaks of the attention
received from all tokens; the released code uses the last query only, and so do we.

Acts once, before decoder layer K, on the attention of layer K − 1. Needs one row of that layer.
O(s · d · heads) time, O(s) memory. Text-guided. Survivors keep their positions.

``fixed`` differs from ``faithful`` (`keep_places`) in the rounding of shares (halves up, not to
even), in stable ties, and in an even choice when no score is finite. The last row favors late
tokens, and attention sinks: see ``sinks``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.decoder.base import (
    DecoderStage,
    DecoderView,
    Positions,
    sequence_after,
)
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.decoder.visual_sinks import SinkFilter, exclude_visual_sinks
from geofovea.regionfocus.reductions.primitives.sums import summed
from geofovea.regionfocus.scoring import top_indices

__all__ = ["FastV", "keep_places", "last_row_scores"]

_PUBLISHED = Schedule.of((2, 0.5))


@dataclass(frozen=True, slots=True)
class FastV(DecoderStage):
    """Keep the best of the last row of the layer that just ran.

    Attributes:
        schedule: One step before layer 2 to a half, unless told otherwise.
        positions: Of survivors.
        sinks: Vision tokens that may not win by being attention sinks; None to leave them in.
    """

    schedule: Schedule = _PUBLISHED
    positions: Positions = "original"
    sinks: SinkFilter | None = None
    name: ClassVar[str] = "fastv"
    reach: ClassVar[int] = 1

    def _choose(self, view: DecoderView, k: int) -> TokenChoice:
        scores = last_row_scores(view.rows(view.text[-1:], back=1), view.visual)
        return keep_best(exclude_visual_sinks(scores, view, self.sinks), k)


def last_row_scores(rows: Tensor, visual: Tensor) -> Tensor:
    """Attention of the last query to each vision token, mean of heads.

    Args:
        rows: ``(heads, q, s)``.
        visual: int64 ``(n,)``, places of the vision tokens.

    Returns:
        float32 ``(n,)``.
    """
    return summed(rows[:, -1].float(), 0)[visual] / len(rows)


def keep_places(attention: Tensor, visual: Tensor, k: int) -> Tensor:
    """Places of the sequence that the published code keeps, int64, ascending.

    Args:
        attention: ``(heads, s, s)`` of layer K − 1.
        visual: int64 ``(n,)``.
        k: Vision tokens to keep.
    """
    best = top_indices(last_row_scores(attention, visual), k)
    return sequence_after(attention.shape[-1], visual, best)
