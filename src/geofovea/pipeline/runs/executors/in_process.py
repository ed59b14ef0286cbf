"""The executor that is this process alone."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from geofovea.errors import RunError
from geofovea.pipeline.runs.executors.base import Executor
from geofovea.pipeline.runs.executors.processes import ProcessExecutor
from geofovea.pipeline.runs.item import Item, Work, Worker
from geofovea.pipeline.runs.outcome import Result, carry_out

__all__ = ["InProcessExecutor"]


class InProcessExecutor:
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

    def apart(self) -> Executor:
        """An executor of one that does the same in a process of its own, which may die."""
        return ProcessExecutor(1, self._work)

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
        """See ``Executor``."""
        self._item = item

    def results(self) -> Iterator[tuple[int, Result]]:
        """See ``Executor``."""
        item, self._item = self._item, None
        if self._worker is None or item is None:
            raise RunError(
                "an executor is used in a with statement, and given an item before it is asked"
            )
        self._last = (item, carry_out(self._worker, item.group, item.payload))
        yield 0, self._last[1]

    def replace(self, worker: int) -> None:  # noqa: ARG002
        """See ``Executor``; this process cannot outlive itself."""
        raise RunError("the process of a run cannot be replaced by itself")

    def ready_result(self, worker: int, item: Item) -> Result | None:  # noqa: ARG002
        """See ``Executor``: an answer that was not handed over, or that came along with another."""
        if self._last is not None and self._last[0] is item:
            return self._last[1]
        remembers = getattr(self._worker, "remembers", None)
        if self._worker is None or remembers is None or not remembers(item.group, item.payload):
            return None
        return carry_out(self._worker, item.group, item.payload)
