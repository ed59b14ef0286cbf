"""VFlowOpt, in the decoder: drop more of what was least important before.

Source: "VFlowOpt: A Token Pruning Framework for LMMs with Visual Information Flow-Guided
Optimization", arXiv 2508.05211. The first part, on projected tokens, is ``vflowopt``.

Acts after decoder layers 9 and 18 (of 28) on the importance that the first part found; nothing is
scored anew and no layer is looked at. Needs that importance with each token. O(n log n). Not
text-guided. Nothing is told about positions; survivors keep theirs.

Importance is a softmax within one tile, and tokens of all tiles are compared here, as published:
that of every whole tile adds up to the same, so a token in a small part of a tile weighs more.

``fixed`` differs from the released counts in the rounding of shares (halves up, not to even), in
stable ties, and in an even choice when no importance is finite. The default shares are those of
the settings at 10 %, like those of the first part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.decoder.base import DecoderStage, DecoderView, Positions
from geofovea.regionfocus.reductions.decoder.schedule import Schedule

__all__ = ["VFlowOptDecoder"]

_PUBLISHED = Schedule.of((9 / 28, 1.0), (18 / 28, 0.6011))


@dataclass(frozen=True, slots=True)
class VFlowOptDecoder(DecoderStage):
    """Keep what was most important among projected tokens.

    Attributes:
        schedule: All and 0.6011 of the tokens after layers 9 and 18 of 28, as shares, unless told
            otherwise.
        positions: Of survivors.
    """

    schedule: Schedule = _PUBLISHED
    positions: Positions = "original"
    name: ClassVar[str] = "vflowopt_decoder"
    requires: ClassVar[frozenset[str]] = frozenset({"importance"})

    def _choose(self, view: DecoderView, k: int) -> TokenChoice:
        if "importance" not in view.carried:
            raise ModelError(
                "vflowopt_decoder continues with the importance of each token, and these tokens "
                "came without it; let vflowopt leave them, with tells_importance=True (in a "
                "chain: vflowopt+vflowopt_decoder)"
            )
        return keep_best(view.carried["importance"], k)
