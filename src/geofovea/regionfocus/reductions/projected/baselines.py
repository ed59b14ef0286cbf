"""What any reduction has to beat: evenly spaced tokens, random ones, and the best of the focus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from geofovea.regionfocus.reductions.base import Selector, TokenChoice, keep_best
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.uniform_sampling import even_positions

__all__ = ["RandomKeep", "Strided", "TopScore"]


@dataclass(frozen=True, slots=True)
class TopScore(Selector):
    """The best scores, equal ones in order of index; evenly spaced when no score is finite."""

    name: ClassVar[str] = "top_score"
    requires: ClassVar[frozenset[str]] = frozenset({"scores"})

    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        assert context.scores is not None  # noqa: S101 - required, and checked by reduce
        return keep_best(context.scores, k)


@dataclass(frozen=True, slots=True)
class Strided(Selector):
    """Evenly spaced positions, ``floor((i + 0.5) * n / k)``."""

    name: ClassVar[str] = "strided"

    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        return TokenChoice(torch.tensor(even_positions(n, k)))


@dataclass(frozen=True, slots=True)
class RandomKeep(Selector):
    """A random choice, the same for the same seed and counts; the context's seed is added to it.

    Attributes:
        seed: Seed of the generator.
    """

    seed: int = 0
    name: ClassVar[str] = "random"

    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:
        generator = torch.Generator().manual_seed(self.seed + context.seed)
        return TokenChoice(torch.randperm(n, generator=generator)[:k].sort().values)
