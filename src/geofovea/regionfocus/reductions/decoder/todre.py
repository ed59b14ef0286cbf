"""ToDRE, second stage: drop all vision tokens once the text has stopped looking at them.

Source: ToDRE, arXiv 2505.18757; no code was released, so there is a worked example and no reference
run. The first stage, which chooses by diversity among projected tokens, is a reduction of its own.

Acts before one decoder layer, at seven eighths of the depth. If the share of attention that text
pays to vision, and that vision pays to text, are both below a threshold, every vision token leaves;
the cache of earlier layers keeps theirs. With the picture before the question, the second share is
zero under a causal mask. Needs rows of all tokens after the picture: O(t · s · d · heads), in
blocks. Text-guided. The threshold is not published: 0.1 is ours and wants calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.decoder.base import DecoderStage, DecoderView, Positions
from geofovea.regionfocus.reductions.decoder.schedule import Schedule

__all__ = ["TodreDropAll", "attention_share"]


@dataclass(frozen=True, slots=True)
class TodreDropAll(DecoderStage):
    """Drop all vision tokens or none.

    Attributes:
        layer: Before which layer, as in `Step`.
        threshold: Below which share of attention vision is not needed any more.
        positions: Of survivors.

    Raises:
        ModelError: If the threshold is not in 0..1.
    """

    layer: int | float = 7 / 8
    threshold: float = 0.1
    positions: Positions = "original"
    name: ClassVar[str] = "todre_drop_all"

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ModelError(f"a share of attention is between 0 and 1, got {self.threshold}")

    def layers(self, depth: int) -> tuple[int, ...]:
        """See `DecoderReduction`."""
        return tuple(Schedule.of((self.layer, 1.0)).counts(1, depth))

    def reduce(self, view: DecoderView) -> TokenChoice:
        """See `DecoderReduction`."""
        share = float(view.mean_rows(view.text)[view.visual].sum())
        if share < self.threshold:
            return self._choose(view, 0)
        return TokenChoice(torch.arange(len(view.visual)), info={"text_to_vision": share})

    def _choose(self, view: DecoderView, k: int) -> TokenChoice:  # noqa: ARG002
        return TokenChoice(
            torch.zeros(0, dtype=torch.int64), info={"dropped_all_before": view.layer}
        )


def attention_share(attention: Tensor, queries: Tensor, keys: Tensor) -> float:
    """Share of some queries' attention that goes to some keys, over all heads.

    Args:
        attention: ``(heads, s, s)``.
        queries: int64 ``(q,)``, places.
        keys: int64 ``(k,)``, places.
    """
    rows = attention[:, queries].float()
    return float(rows[..., keys].sum() / rows.sum().clamp_min(torch.finfo(torch.float32).tiny))
