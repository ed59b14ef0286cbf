"""When a reduction acts between the layers of a decoder, and how many vision tokens it leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from geofovea.errors import BudgetError, ModelError

__all__ = ["Schedule", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One shortening of the sequence.

    Attributes:
        layer: It happens before this layer: a whole number from 1 on, or a share of the depth.
        keep: Vision tokens that are left: a whole number, or a share of those the prompt had.

    Raises:
        ModelError: If the layer is neither a whole number of at least 1 nor between 0 and 1.
        BudgetError: If the number is neither a whole one of at least 1 nor above 0 and at most 1.
    """

    layer: int | float
    keep: int | float

    def __post_init__(self) -> None:
        # True is an int to Python, and layer True was hardly meant
        if isinstance(self.layer, bool) or not (
            self.layer >= 1 if isinstance(self.layer, int) else 0 < self.layer < 1
        ):
            raise ModelError(
                f"a step needs a layer of at least 1 or a share of the depth between 0 and 1, got "
                f"{self.layer!r}; before layer 0 choose a reduction that acts on projected tokens"
            )
        if isinstance(self.keep, bool) or not (
            self.keep >= 1 if isinstance(self.keep, int) else 0 < self.keep <= 1
        ):
            raise BudgetError(
                "a step keeps a whole number of at least 1 or a share above 0 and at most 1, got "
                f"{self.keep!r}; to drop every vision token choose todre_drop_all"
            )


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps in the order of their layers; what one keeps is never more than the one before kept.

    Attributes:
        steps: At least one.
        rounding: How a share of a number becomes whole: ``nearest`` (halves up) or ``down``, as
            some published codes have it.

    Raises:
        ModelError: If there is no step, or layers of one kind (whole, share) do not ascend.
        BudgetError: If numbers of one kind grow.
    """

    steps: tuple[Step, ...]
    rounding: Literal["nearest", "down"] = "nearest"

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not self.steps:
            raise ModelError("a schedule needs at least one step, got none")
        for kind in (int, float):
            layers = [step.layer for step in self.steps if isinstance(step.layer, kind)]
            if any(a >= b for a, b in pairwise(layers)):
                raise ModelError(f"the layers of a schedule must ascend, got {layers}")
            keeps = [step.keep for step in self.steps if isinstance(step.keep, kind)]
            if any(a < b for a, b in pairwise(keeps)):
                raise BudgetError(
                    f"a dropped token cannot come back, so a schedule may not grow, got {keeps}"
                )

    @classmethod
    def of(cls, *steps: tuple[int | float, int | float]) -> Schedule:
        """A schedule of ``(layer, keep)`` pairs."""
        return cls(tuple(Step(*step) for step in steps))

    def counts(self, original: int, depth: int) -> dict[int, int]:
        """Vision tokens left from each layer on, by layer, ascending.

        Where shares of a shallow depth fall on one layer, the later step holds.

        Args:
            original: Vision tokens in the prompt.
            depth: Layers of the decoder.

        Raises:
            ModelError: If a step stands at or behind the end of the decoder.
        """
        counts: dict[int, int] = {}
        remaining = original
        for step in self.steps:
            layer = _layer(step.layer, depth)
            if counts and layer < max(counts):
                raise ModelError(
                    f"with {depth} layers the steps at {[s.layer for s in self.steps]} are out of "
                    "order; give their layers all as whole numbers or all as shares"
                )
            remaining = min(remaining, self._count(step.keep, original))
            counts[layer] = remaining
        return counts

    def mean_tokens(self, original: int, depth: int) -> float:
        """Vision tokens that a layer sees, on average over all layers."""
        counts = self.counts(original, depth)
        ends = [*counts, depth]
        total = original * ends[0]
        total += sum(n * (ends[i + 1] - ends[i]) for i, n in enumerate(counts.values()))
        return total / depth

    def to_final(self, share: float) -> Schedule:
        """The same schedule, bent so that its last step keeps ``share``; 1 drops nothing.

        Each share is raised to the power that takes the last one there, so a geometric schedule
        stays geometric.

        Raises:
            BudgetError: If a step keeps a whole number or all, or ``share`` is not above 0 and at
                most 1.
        """
        last = self.steps[-1].keep
        if (
            not 0 < share <= 1
            or any(not isinstance(s.keep, float) for s in self.steps)
            or last == 1
        ):
            raise BudgetError(
                "only a schedule of shares can be bent, to a share above 0 and at most 1; got "
                f"{share} for {[step.keep for step in self.steps]}"
            )
        power = math.log(share) / math.log(last)
        steps = [replace(step, keep=step.keep**power) for step in self.steps]
        return replace(self, steps=(*steps[:-1], replace(steps[-1], keep=float(share))))

    def _count(self, keep: int | float, original: int) -> int:
        if isinstance(keep, int):
            return keep
        exact = keep * original
        return max(1, math.floor(exact + 0.5 if self.rounding == "nearest" else exact))


def _layer(layer: int | float, depth: int) -> int:
    index = layer if isinstance(layer, int) else max(1, math.floor(layer * depth + 0.5))
    if index >= depth and isinstance(layer, float) and depth > 1:
        return depth - 1
    if index >= depth:
        raise ModelError(
            f"a step before layer {layer} needs more than the {depth} layers of this decoder; "
            "choose an earlier one, or a share of the depth"
        )
    return index
