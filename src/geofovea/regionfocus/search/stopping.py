"""When a descent ends before its tiles are spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from geofovea._arguments import is_number, shown
from geofovea.errors import BudgetError
from geofovea.regionfocus.search.looks import LevelLook

__all__ = ["FirstStop", "FlatStop", "NeverStop", "StopRule"]


class StopRule(Protocol):
    """Looks at the candidates of the next level and at what was seen, and may end the descent."""

    def reason(self, candidate_scores: Tensor, looks: Sequence[LevelLook] = ()) -> str | None:
        """Why the descent should end here, in one word, or None to go on.

        Args:
            candidate_scores: ``(m,)``, of the tiles that could be looked at next.
            looks: What was seen so far, coarse to fine.
        """
        ...


@dataclass(frozen=True, slots=True)
class NeverStop:
    """Goes on while there are levels and tiles."""

    def reason(
        self,
        candidate_scores: Tensor,  # noqa: ARG002
        looks: Sequence[LevelLook] = (),  # noqa: ARG002
    ) -> str | None:
        """See `StopRule`."""
        return None


@dataclass(frozen=True, slots=True)
class FirstStop:
    """Several rules at once; the first that has a reason gives it.

    Attributes:
        rules: Asked in this order.
    """

    rules: tuple[StopRule, ...]

    def reason(self, candidate_scores: Tensor, looks: Sequence[LevelLook] = ()) -> str | None:
        """See `StopRule`."""
        reasons = (rule.reason(candidate_scores, looks) for rule in self.rules)
        return next((reason for reason in reasons if reason), None)


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
        if not is_number(self.threshold) or self.threshold < 0:
            raise BudgetError(
                f"a flat stop needs a threshold of at least 0, got {shown(self.threshold)}"
            )

    def reason(
        self,
        candidate_scores: Tensor,
        looks: Sequence[LevelLook] = (),  # noqa: ARG002
    ) -> str | None:
        """See `StopRule`."""
        best, mean = float(candidate_scores.max()), float(candidate_scores.mean())
        return "flat" if best < (1 + self.threshold) * mean else None
