"""Who does the work: an executor has workers that take one item each, and deadlines for items."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from geofovea.errors import RunError
from geofovea.pipeline.runs.item import Item
from geofovea.pipeline.runs.outcome import Result

__all__ = ["Executor", "ItemDeadlines", "check_size"]


class Executor(AbstractContextManager["Executor"], Protocol):
    """Workers with numbers from 0; in a ``with`` statement they are there."""

    @property
    def size(self) -> int:
        """How many workers there are."""
        ...

    def give(self, worker: int, item: Item) -> None:
        """Hand an item to a worker that has none; does not wait for its answer."""
        ...

    def results(self) -> Iterator[tuple[int, Result]]:
        """Wait until some worker has come to an end, then tell which, and how.

        A worker that died, or was ended because its item took too long, is told as such and has to
        be replaced before it is given more.
        """
        ...

    def replace(self, worker: int) -> None:
        """Start a new worker in place of one that died."""
        ...

    def ready_result(self, worker: int, item: Item) -> Result | None:
        """What is there already of an item, where a run ends early; does not wait for more."""
        ...


class ItemDeadlines:
    """How long each worker has been at its item, where an item may take only so long."""

    def __init__(self, item_seconds: float | None = None) -> None:
        """Keep the limit.

        Args:
            item_seconds: The longest that an item may take; None for no limit.

        Raises:
            RunError: If the limit is not positive.
        """
        if item_seconds is not None and not 0 < item_seconds < math.inf:
            raise RunError(
                f"an item may take a positive number of seconds, got {item_seconds!r}; leave "
                "--item-timeout out for no limit"
            )
        self.item_seconds = item_seconds
        self._ends: dict[int, float] = {}

    def start(self, worker: int) -> None:
        """A worker begins with an item."""
        if self.item_seconds is not None:
            self._ends[worker] = time.monotonic() + self.item_seconds

    def stop(self, worker: int) -> None:
        """A worker has come to an end, whichever."""
        self._ends.pop(worker, None)

    def seconds_left(self, others: Iterable[float | None] = ()) -> float | None:
        """Until the first worker has had its time, or ``others`` theirs; None waits forever."""
        now = time.monotonic()
        waits = [end - now for end in self._ends.values()]
        waits += [seconds for seconds in others if seconds is not None]
        return max(0.0, min(waits)) if waits else None

    def overdue(self) -> list[int]:
        """The workers that have had their time."""
        now = time.monotonic()
        return [worker for worker, end in self._ends.items() if end <= now]


def check_size(workers: int) -> int:
    """A number of workers that is one.

    Raises:
        RunError: If there would be none.
    """
    if workers < 1:
        raise RunError(f"a run needs at least 1 worker, got {workers}")
    return workers
