"""A reduction that is told of each look what its host showed of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from geofovea.regionfocus.reductions.base import Kept, Reduction, Stage
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.search.looks import LevelLook

__all__ = ["Informed", "reduce_in_look"]


@dataclass(slots=True, eq=False)
class Informed:
    """A reduction with what makes its contexts; it is one itself.

    Attributes:
        reduction: What chooses.
        context_of: What it may know of the tokens of a look.
        seconds: Time that contexts and choices took so far.
    """

    reduction: Reduction
    context_of: Callable[[LevelLook], TokenContext]
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """See `Reduction`."""
        return self.reduction.name

    @property
    def stage(self) -> Stage:
        """See `Reduction`."""
        return self.reduction.stage

    @property
    def requires(self) -> frozenset[str]:
        """See `Reduction`."""
        return self.reduction.requires

    def reduce(self, context: TokenContext, k: int) -> Kept:
        """See `Reduction`."""
        return self.reduction.reduce(context, k)

    def reduce_look(self, look: LevelLook, k: int) -> Kept:
        """Keep ``k`` of the tokens of a look, told of all that is known of them."""
        started = time.perf_counter()
        try:
            return self.reduction.reduce(self.context_of(look), k)
        finally:
            self.seconds += time.perf_counter() - started


def reduce_in_look(reduction: Reduction, look: LevelLook, k: int) -> Kept:
    """Keep ``k`` of the tokens of a look; one that is not informed knows features and scores."""
    if isinstance(reduction, Informed):
        return reduction.reduce_look(look, k)
    return reduction.reduce(TokenContext.of(look.tokens, look.scores), k)
