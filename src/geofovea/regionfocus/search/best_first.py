"""Best first: a queue of tiles of all levels, the likeliest looked at next, down to native.

A level-by-level descent pays every level in advance. Here the tiles that could be looked at next
wait in one queue, each with the score of the chain that leads to it (see `scoring`), the
probability that looking there shows what was asked for. A place that disappoints loses its turn to
one on a coarser level, and a sure one is followed to its edges.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

import torch

from geofovea.errors import BudgetError
from geofovea.regionfocus.focus import Focus
from geofovea.regionfocus.search.descent import (
    Encode,
    encode_looks,
    find_candidates,
    score_look,
    score_looks,
)
from geofovea.regionfocus.search.diversity import BestOnly, Diversity
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.search.stopping import NeverStop, StopRule
from geofovea.regionfocus.search.tile_budget import start_tiles
from geofovea.regionfocus.tokens import TokenSet
from geofovea.regionfocus.uniform_sampling import spread_tiles
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["descend_best_first"]


def descend_best_first(
    pyramid: Pyramid,
    budget_tiles: int,
    encode: Encode,
    focus: Focus,
    *,
    width: int = 4,
    diversity: Diversity | None = None,
    stop: StopRule | None = None,
    deadline: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Descent:
    """Walk from the start tiles toward native, always to the likeliest tiles next.

    Enough tiles are held back that the finest chain can reach native, ``width`` tiles a level as
    far as the budget goes; fewer tiles than levels skip levels.

    Args:
        pyramid: The pyramid of the scene.
        budget_tiles: Tiles that may be encoded, the overview included.
        encode: Makes the tokens of tiles; never asked twice for a tile.
        focus: Scores tokens, once for each wave of tiles.
        width: Tiles of a wave; what is looked at together is encoded together. A place may
            straddle the corner of four.
        diversity: Chooses among what waits; `BestOnly` by default.
        stop: May end the search early; `NeverStop` by default.
        deadline: Reading of ``clock`` after which no further wave is begun.
        clock: A monotonic clock in seconds.

    Raises:
        BudgetError: If the budget is less than one tile, or ``width`` less than 1.
        ModelError: If the encoder answers with other tiles, or the focus with other shapes.
    """
    if width < 1:
        raise BudgetError(f"a best-first search needs waves of at least 1 tile, got {width}")
    stop = stop or NeverStop()
    start = start_tiles(pyramid, budget_tiles)
    *above, first = encode_looks(encode, start)
    search = _Search(pyramid, width, diversity or BestOnly())
    search.add(score_look(first, focus))
    remaining, stopped = budget_tiles - len(start), ""
    while remaining and search.queue:
        if deadline is not None and clock() >= deadline:
            stopped = "time"
            break
        scores = torch.tensor(list(search.queue.values()), dtype=torch.float64)
        if reason := stop.reason(scores, _SeenSoFar(above, search)):
            stopped = reason
            break
        wave = search.take(remaining)
        remaining -= len(wave)
        for look in score_looks(encode_looks(encode, sorted(wave)), focus, wave):
            search.add(look)
    looks = (*above, *search.looks())
    if not stopped and looks[-1].level:
        stopped = "nodata" if remaining else "tiles"
    return Descent(looks, stopped or "native")


@dataclass(slots=True)
class _Search:
    """The queue of a search and its looks.

    Attributes:
        pyramid: The pyramid of the scene.
        width: Tiles of a wave.
        diversity: Chooses among what waits.
        queue: Candidate tiles with the mass that leads to them.
        all_looks: In the order in which they were made.
    """

    pyramid: Pyramid
    width: int
    diversity: Diversity
    queue: dict[Tile, float] = field(default_factory=dict)
    all_looks: list[LevelLook] = field(default_factory=list)

    def add(self, look: LevelLook) -> None:
        """Remember a look and queue what lies under it, one level finer."""
        self.all_looks.append(look)
        if look.level:
            self._queue_under(look, look.level - 1)

    def take(self, remaining: int) -> dict[Tile, float]:
        """Take the next tiles out of the queue: at most ``remaining`` and at most ``width``."""
        finest = min(look.level for look in self.all_looks)
        pool, count = list(self.queue.items()), min(self.width, remaining)
        if finest and remaining <= self.width * finest:
            # now or never: what is left goes straight down, on fewer levels if need be
            level = finest - math.ceil(finest / remaining)
            if level < finest - 1:
                self._skip(finest, level)
            finest_waiting = min(tile.level for tile in self.queue)
            pool = [waiting for waiting in self.queue.items() if waiting[0].level == finest_waiting]
            count = min(count, max(1, remaining // finest))
        return {tile: self.queue.pop(tile) for tile in self._best(pool, count)}

    def _best(self, pool: list[tuple[Tile, float]], count: int) -> list[Tile]:
        """The likeliest; of those that tie, the coarser, then the first in reading order."""
        pool.sort(key=lambda waiting: (-waiting[0].level, waiting[0].row, waiting[0].col))
        tiles = [tile for tile, _ in pool]
        values = [score for _, score in pool]
        scores = torch.tensor(values, dtype=torch.float64)
        # most pools are uneven from their first tiles on, so the others are seldom compared
        mean = math.fsum(values) / len(values)
        is_even = all(math.isclose(value, mean, rel_tol=1e-5) for value in values)
        if is_even and tiles[0].level == tiles[-1].level:
            return spread_tiles(tiles, count)
        first, *finer = self.all_looks
        finer_tiles = [tile for look in finer for tile in look.tiles]
        return self.diversity.choose(tiles, scores, count, finer_tiles, first.level)

    def looks(self) -> list[LevelLook]:
        """One look a level, coarse to fine, from all that was seen."""
        return [
            _merged([look for look in self.all_looks if look.level == level])
            for level in sorted({look.level for look in self.all_looks}, reverse=True)
        ]

    def _skip(self, finest: int, level: int) -> None:
        """Let tiles of ``level`` wait in place of all others, if the finest looks show any."""
        previous, self.queue = self.queue, {}
        for look in self.all_looks:
            if look.level == finest:
                self._queue_under(look, level)
        self.queue = self.queue or previous

    def _queue_under(self, look: LevelLook, level: int) -> None:
        candidates, masses = find_candidates(self.pyramid, look, level)
        self.queue.update(zip(candidates, masses.tolist(), strict=True))


class _SeenSoFar(Sequence[LevelLook]):
    """All looks, one a level: put together only for a rule that reads them, as few do."""

    def __init__(self, above: Sequence[LevelLook], search: _Search) -> None:
        self._above, self._search = above, search

    @cached_property
    def _looks(self) -> tuple[LevelLook, ...]:
        return (*self._above, *self._search.looks())

    def __len__(self) -> int:
        return len(self._looks)

    @overload
    def __getitem__(self, index: int) -> LevelLook: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[LevelLook]: ...

    def __getitem__(self, index: int | slice) -> LevelLook | Sequence[LevelLook]:
        return self._looks[index]


def _merged(looks: list[LevelLook]) -> LevelLook:
    """Looks at different tiles of one level as one."""
    if len(looks) == 1:
        return looks[0]
    return LevelLook(
        looks[0].level,
        tuple(sorted(tile for look in looks for tile in look.tiles)),
        TokenSet.concat([look.tokens for look in looks]),
        torch.cat([look.scores for look in looks]),
    )
