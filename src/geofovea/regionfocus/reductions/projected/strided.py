"""Evenly spaced tokens: what any reduction has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from geofovea.regionfocus.reductions.base import Kept, Selector
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.uniform_sampling import even_positions

__all__ = ["Strided"]


@dataclass(frozen=True, slots=True)
class Strided(Selector):
    """Evenly spaced positions, ``floor((i + 0.5) * n / k)``."""

    name: ClassVar[str] = "strided"

    def _choose(self, context: TokenContext, n: int, k: int) -> Kept:  # noqa: ARG002
        return Kept(torch.tensor(even_positions(n, k)))
