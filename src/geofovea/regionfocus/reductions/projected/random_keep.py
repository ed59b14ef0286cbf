"""Random tokens: chance level of any reduction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from geofovea.regionfocus.reductions.base import Kept, Selector
from geofovea.regionfocus.reductions.context import TokenContext

__all__ = ["RandomKeep"]


@dataclass(frozen=True, slots=True)
class RandomKeep(Selector):
    """A random choice, the same for the same seed and counts; the context's seed is added to it.

    Attributes:
        seed: Seed of the generator.
    """

    seed: int = 0
    name: ClassVar[str] = "random"

    def _choose(self, context: TokenContext, n: int, k: int) -> Kept:
        generator = torch.Generator().manual_seed(self.seed + context.seed)
        return Kept(torch.randperm(n, generator=generator)[:k].sort().values)
