"""What a run over an archive may spend, and what it has spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from geofovea._arguments import is_number, is_whole, shown
from geofovea.errors import BudgetError

__all__ = ["Allowance", "IndexBudget"]


@dataclass(frozen=True, slots=True)
class IndexBudget:
    """What one run of ``build_index`` may spend; None for no limit.

    Attributes:
        tiles: Tiles that are read.
        seconds: Time from the first scene on. The tiles at hand are still finished.
        megabytes: Size of the vectors that are written, in 10^6 bytes.

    Raises:
        BudgetError: If a limit is not positive.
    """

    tiles: int | None = None
    seconds: float | None = None
    megabytes: float | None = None

    def __post_init__(self) -> None:
        for name in ("tiles", "seconds", "megabytes"):
            value = getattr(self, name)
            # part of a tile is never read
            is_meant = is_whole(value, 1) if name == "tiles" else is_number(value) and value > 0
            if value is not None and not is_meant:
                what = "a whole number of at least 1" if name == "tiles" else "a positive number"
                raise BudgetError(
                    f"{name}={shown(value)} is not a budget: it needs {what}; leave it out for no "
                    "limit"
                )


@dataclass(slots=True)
class Allowance:
    """A budget that is used up.

    Attributes:
        budget: What there was.
        tiles: Tiles read so far.
        bytes_written: Of vectors.
        stopped: The limit that was reached: ``tiles``, ``seconds``, ``megabytes``; empty if none.
    """

    budget: IndexBudget
    now: Callable[[], float] = time.monotonic
    tiles: int = 0
    bytes_written: int = 0
    stopped: str = ""
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.now()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return self.now() - self._started

    def tiles_of(self, wanted: int) -> int:
        """How many of some tiles may be read now; where not all, ``stopped`` says why."""
        limits = self.budget
        if limits.seconds is not None and self.seconds >= limits.seconds:
            self.stopped = "seconds"
        elif limits.megabytes is not None and self.bytes_written >= limits.megabytes * 1e6:
            self.stopped = "megabytes"
        if self.stopped:
            return 0
        count = wanted if limits.tiles is None else min(wanted, limits.tiles - self.tiles)
        if count < wanted:
            self.stopped = "tiles"
        return count
