"""Tokens that the focus scores high, among those that differ from each other: the default.

Source: of this project. The best scores alone repeat one object many times, and the most different
tokens alone ignore the question; the product of both is greedy max–min dispersion, as in DivPrune,
with the scores as weights.

Signal: scores of the focus and cosine distance of features. The first token is the one with the
best score; each next one has the largest ``score ** sharpness * distance``, the distance being the
one to the nearest token chosen so far. Equal tokens go in order of score. O(k n d) time, O(n)
memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import Selector, TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.dispersion import farthest_first
from geofovea.regionfocus.reductions.primitives.similarity import broken_rows, unit_rows
from geofovea.regionfocus.scoring import as_masses

__all__ = ["FocusSpread"]

_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True, slots=True)
class FocusSpread(Selector):
    """Scores of the focus, weighed against the distance to what is kept already.

    Attributes:
        sharpness: Exponent of the scores; 0 asks for distance alone, a large one for the best
            scores alone. Between 0.3 and 1 no difference could be measured.
    """

    sharpness: float = 0.6
    name: ClassVar[str] = "focus_spread"
    requires: ClassVar[frozenset[str]] = frozenset({"scores"})

    def __post_init__(self) -> None:
        if not 0 <= self.sharpness <= 8:
            raise ModelError(
                f"focus_spread takes a sharpness from 0 to 8, got {self.sharpness}; 0.6 is usual"
            )

    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:
        assert context.scores is not None  # noqa: S101 - required, and checked by reduce
        unit = unit_rows(context.features)
        masses = as_masses(context.scores, n).to(unit.device)
        weights = (masses / masses.max()).clamp_min(_LEAST_WEIGHT) ** self.sharpness
        broken = broken_rows(context.features)
        start = int(weights.masked_fill(broken, -1).argmax())
        order = farthest_first(unit, broken, start, k, weights)
        return TokenChoice(order.sort().values)
