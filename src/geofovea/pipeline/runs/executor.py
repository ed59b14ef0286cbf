"""Who does the work: a crew of workers that take one item each. This process alone is one.

The crews of processes and of Ray actors are in ``process_crew`` and ``ray_crew``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from geofovea.errors import RunError
from geofovea.pipeline.runs.item import Item, Result, Work, Worker, carry_out

__all__ = ["Crew", "InProcessCrew", "ItemClock", "check_size"]


class Crew(AbstractContextManager["Crew"], Protocol):
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

    def known(self, worker: int, item: Item) -> Result | None:
        """What is there already of an item, where a run ends early; does not wait for more."""
        ...


class InProcessCrew:
    """One worker: this process. What kills it ends the run; the journal keeps what was answered.

    A run that finds items over which an earlier one died works in ``apart`` instead.
    """

    size = 1

    def __init__(self, work: Work) -> None:
        """Say what will be done; nothing is loaded yet."""
        self._work = work
        self._worker: Worker | None = None
        self._item: Item | None = None
        self._last: tuple[Item, Result] | None = None

    def apart(self) -> Crew:
        """A crew of one that does the same in a process of its own, which may die."""
        from geofovea.pipeline.runs.process_executor import ProcessCrew

        return ProcessCrew(1, self._work)

    def __enter__(self) -> Self:
        self._worker = self._work.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._worker = None

    def give(self, worker: int, item: Item) -> None:  # noqa: ARG002
        """See ``Crew``."""
        self._item = item

    def results(self) -> Iterator[tuple[int, Result]]:
        """See ``Crew``."""
        item, self._item = self._item, None
        if self._worker is None or item is None:
            raise RunError(
                "a crew is used in a with statement, and given an item before it is asked"
            )
        self._last = (item, carry_out(self._worker, item.group, item.payload))
        yield 0, self._last[1]

    def replace(self, worker: int) -> None:  # noqa: ARG002
        """See ``Crew``; this process cannot outlive itself."""
        raise RunError("the process of a run cannot be replaced by itself")

    def known(self, worker: int, item: Item) -> Result | None:  # noqa: ARG002
        """See ``Crew``: an answer that was not handed over, or that came along with another."""
        if self._last is not None and self._last[0] is item:
            return self._last[1]
        remembers = getattr(self._worker, "remembers", None)
        if self._worker is None or remembers is None or not remembers(item.group, item.payload):
            return None
        return carry_out(self._worker, item.group, item.payload)


class ItemClock:
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
                "--item-seconds out for no limit"
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
        """Until the first worker has had its time, or ``others`` theirs; None waits for ever."""
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
