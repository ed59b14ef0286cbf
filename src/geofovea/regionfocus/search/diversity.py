"""Policies that decide whether many good tiles of one place may crowd out another place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from geofovea.errors import BudgetError
from geofovea.regionfocus.scoring import top_indices
from geofovea.tiling.pyramid import Tile

__all__ = ["BestOnly", "DiscountedPlaces", "Diversity"]


class Diversity(Protocol):
    """Chooses which of some candidates are looked at next."""

    def choose(
        self,
        candidates: Sequence[Tile],
        scores: Tensor,
        count: int,
        taken: Iterable[Tile] = (),
        place_level: int = 0,
    ) -> list[Tile]:
        """``count`` of the candidates, or all if there are fewer, best first.

        Args:
            candidates: Tiles of any levels; the first of equal ones is preferred.
            scores: ``(m,)``, of at least zero.
            count: How many.
            taken: Tiles that were looked at before.
            place_level: Tiles under one tile of this level belong to one place.
        """
        ...


@dataclass(frozen=True, slots=True)
class BestOnly:
    """The best, wherever they lie."""

    def choose(
        self,
        candidates: Sequence[Tile],
        scores: Tensor,
        count: int,
        taken: Iterable[Tile] = (),  # noqa: ARG002
        place_level: int = 0,  # noqa: ARG002
    ) -> list[Tile]:
        """See `Diversity`."""
        return [candidates[i] for i in top_indices(scores, count).tolist()]


@dataclass(frozen=True, slots=True)
class DiscountedPlaces:
    """Every tile that a place got lowers the score of its others.

    Near-identical tiles of one place then take turns with other places instead of starving them.

    Attributes:
        factor: What is left of a score for each tile of its place on its level, in (0, 1].

    Raises:
        BudgetError: If the factor is not in (0, 1].
    """

    factor: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.factor <= 1:
            raise BudgetError(f"places are discounted by a factor in (0, 1], got {self.factor!r}")

    def choose(
        self,
        candidates: Sequence[Tile],
        scores: Tensor,
        count: int,
        taken: Iterable[Tile] = (),
        place_level: int = 0,
    ) -> list[Tile]:
        """See `Diversity`."""
        places = [_place(tile, place_level) for tile in candidates]
        had = Counter(_place(tile, place_level) for tile in taken)
        values = scores.to("cpu", torch.float64).clone()
        values *= torch.tensor([self.factor ** had[place] for place in places], dtype=torch.float64)
        of_place = {place: torch.tensor([p == place for p in places]) for place in set(places)}
        index: list[int] = []
        while len(index) < min(count, len(candidates)):
            best = int(values.argmax())
            index.append(best)
            values[of_place[places[best]]] *= self.factor
            values[best] = -torch.inf
        return [candidates[i] for i in index]


def _place(tile: Tile, level: int) -> tuple[int, int, int]:
    """The tile of ``level`` over a tile, with the tile's own level: levels do not compete."""
    steps = max(0, level - tile.level)
    return tile.level, tile.row >> steps, tile.col >> steps
