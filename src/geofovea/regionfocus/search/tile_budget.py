"""How a tile budget is paid out over the levels of a pyramid. Integers only, no tensors.

The start of every descent is paid first (`start_tiles`); a `Split` shares what is left among the
finer levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol

from geofovea.errors import BudgetError
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["AllToBestSplit", "AllToFinestSplit", "GeometricSplit", "Split", "start_tiles"]


class Split(Protocol):
    """A policy that shares the tiles left after the start among the finer levels."""

    def tiles_per_level(self, pyramid: Pyramid, budget_tiles: int) -> dict[int, int]:
        """Tiles per level, coarse to fine, for a whole budget of ``budget_tiles``.

        Only levels finer than those of `start_tiles` appear, each with at least one tile and at
        most its grid; together with the start they never exceed the budget.

        Raises:
            BudgetError: If the budget is less than one tile.
        """
        ...


def start_tiles(pyramid: Pyramid, budget_tiles: int) -> list[Tile]:
    """The tiles that are encoded before any score exists: overview first, then one whole level.

    That level is the base level, or the finest between it and the overview that the budget can
    hold; with no such level, or where base and overview are the same tile, the overview is alone.

    Raises:
        BudgetError: If the budget is less than one tile.
    """
    if budget_tiles < 1:
        raise BudgetError(
            f"a descent needs at least 1 tile, the overview; got a budget of {budget_tiles}"
        )
    for level in range(pyramid.base_level, pyramid.top_level):
        if 1 + math.prod(pyramid.grid_shape(level)) <= budget_tiles:
            return [pyramid.overview, *pyramid.tiles(level)]
    return [pyramid.overview]


@dataclass(frozen=True, slots=True)
class GeometricSplit:
    """A floor for every level, and the rest growing toward native.

    A place of interest may straddle the corner of four tiles, hence the floor. Finer levels show
    the same ground in more tiles, hence the growth. A budget too small for the floors lowers them
    together; one too small for a tile on every level skips levels evenly and keeps native.

    Attributes:
        floor: Tiles that each level gets before the rest is shared.
        ratio: Growth of a level's share of the rest over the next coarser level's.

    Raises:
        BudgetError: If ``floor`` is less than 1 or ``ratio`` is not in (0, 100].
    """

    floor: int = 4
    ratio: float = 1.5

    def __post_init__(self) -> None:
        if self.floor < 1 or not 0 < self.ratio <= 100:
            raise BudgetError(
                f"a geometric split needs floor >= 1 and 0 < ratio <= 100, got {self}"
            )

    def tiles_per_level(self, pyramid: Pyramid, budget_tiles: int) -> dict[int, int]:
        """See `Split`."""
        levels, remaining = _finer_levels(pyramid, budget_tiles)
        if not levels or not remaining:
            return {}
        if remaining < len(levels):
            # native is last on the list, and this ladder of indices always ends on the last
            steps = range(1, remaining + 1)
            return {levels[math.ceil(i * len(levels) / remaining) - 1]: 1 for i in steps}
        floor = min(self.floor, remaining // len(levels))
        weights = [self.ratio**i for i in range(len(levels))]
        shares = _proportional(remaining - floor * len(levels), weights)
        capacities = [math.prod(pyramid.grid_shape(level)) for level in levels]
        counts = _within([floor + share for share in shares], capacities)
        return dict(zip(levels, counts, strict=True))


@dataclass(frozen=True, slots=True)
class AllToFinestSplit:
    """Everything on native at once, chosen from the scores of the start alone.

    A descent then scores every native tile under the start: seconds where they are a million. No
    name of a descent reaches it; tests compare the splits that have names with it.
    """

    def tiles_per_level(self, pyramid: Pyramid, budget_tiles: int) -> dict[int, int]:
        """See `Split`."""
        levels, remaining = _finer_levels(pyramid, budget_tiles)
        if not levels or not remaining:
            return {}
        return {0: min(remaining, math.prod(pyramid.grid_shape(0)))}


@dataclass(frozen=True, slots=True)
class AllToBestSplit:
    """Enough on every level to follow one place, and all the rest to native around it.

    Attributes:
        floor: Tiles of each level above native: a place may straddle the corner of four.

    Raises:
        BudgetError: If ``floor`` is less than 1.
    """

    floor: int = 4

    def __post_init__(self) -> None:
        if self.floor < 1:
            raise BudgetError(f"a split all to the best place needs floor >= 1, got {self}")

    def tiles_per_level(self, pyramid: Pyramid, budget_tiles: int) -> dict[int, int]:
        """See `Split`."""
        levels, remaining = _finer_levels(pyramid, budget_tiles)
        if not levels or remaining < len(levels):
            return GeometricSplit().tiles_per_level(pyramid, budget_tiles)
        floor = min(self.floor, remaining // len(levels))
        capacities = [math.prod(pyramid.grid_shape(level)) for level in levels]
        counts = [floor] * (len(levels) - 1) + [remaining - floor * (len(levels) - 1)]
        return dict(zip(levels, _within(counts, capacities), strict=True))


def _finer_levels(pyramid: Pyramid, budget_tiles: int) -> tuple[list[int], int]:
    """The levels below the start, coarse to fine, and the tiles that are left for them."""
    start = start_tiles(pyramid, budget_tiles)
    return list(range(start[-1].level - 1, -1, -1)), budget_tiles - len(start)


def _proportional(total: int, weights: Sequence[float]) -> list[int]:
    """Whole shares in proportion to weights; rounding the running sum keeps the total exact."""
    ends = [round(total * end / math.fsum(weights)) for end in accumulate(weights)]
    return [after - before for before, after in pairwise([0, *ends[:-1], total])]


def _within(requests: Sequence[int], capacities: Sequence[int]) -> list[int]:
    """Cut counts to capacities; what is cut flows to finer levels first, then to coarser ones."""
    counts, surplus = list(requests), 0
    towards_finer = range(len(counts))
    for i in (*towards_finer, *reversed(towards_finer)):
        available = counts[i] + surplus
        counts[i] = min(available, capacities[i])
        surplus = available - counts[i]
    return counts
