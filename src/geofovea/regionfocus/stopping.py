"""When a descent ends before its tiles are spent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from geofovea.errors import BudgetError

__all__ = ["FlatStop", "NeverStop", "StopRule"]


class StopRule(Protocol):
    """Looks at the scores of the candidates of the next level and may call the descent off."""

    def reason(self, candidate_scores: Tensor) -> str | None:
        """Why the descent should end here in one word, or None to go on; scores are ``(m,)``."""
        ...


@dataclass(frozen=True, slots=True)
class NeverStop:
    """Goes on while there are levels and tiles."""

    def reason(self, candidate_scores: Tensor) -> str | None:  # noqa: ARG002
        """See `StopRule`."""
        return None


@dataclass(frozen=True, slots=True)
class FlatStop:
    """Ends where no candidate stands out: there is nothing to zoom to.

    Attributes:
        threshold: The best candidate must reach ``1 + threshold`` times the mean.

    Raises:
        BudgetError: If the threshold is negative or not finite.
    """

    threshold: float

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < math.inf:
            raise BudgetError(f"a flat stop needs a threshold of at least 0, got {self.threshold}")

    def reason(self, candidate_scores: Tensor) -> str | None:
        """See `StopRule`."""
        best, mean = float(candidate_scores.max()), float(candidate_scores.mean())
        return "flat" if best < (1 + self.threshold) * mean else None
