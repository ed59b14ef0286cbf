"""Cooperative pieces of work: each runs until it needs something, then all needs are met at once.

A piece is ordinary code that calls a function for what it needs and gets it as the return value, so
the same code runs alone and beside others. Each has a thread of its own, but only one of them runs
at any time, in a fixed order: nothing in them has to be safe for threads, and a run is repeatable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

from geofovea.pipeline.system.failure import failure_of

__all__ = ["run_together"]

Need = TypeVar("Need")
Result = TypeVar("Result")
End = TypeVar("End")


def run_together(
    works: Sequence[Callable[[Callable[[Need], Result]], End]],
    serve: Callable[[list[Need]], Mapping[int, Result | Exception]],
) -> list[End | Exception]:
    """Run pieces of work to their ends.

    Args:
        works: Each is called once, with the function by which it asks for what it needs.
        serve: Called when every piece that has not ended waits, with their needs in the order of
            the pieces: answers some of them, at least one, by index. The others wait on. An
            exception among the answers is raised where it was asked for.

    Returns:
        What became of each piece; the exception that ended it, where one did.
    """
    members: list[_Member[Need, Result, End]] = [_Member(work) for work in works]
    try:
        for member in members:
            member.start()
        while waiting := [member for member in members if not member.has_ended]:
            results = serve([member.need for member in waiting])
            for index in sorted(results):
                waiting[index].go_on(results[index])
    finally:
        # an interrupt, or a failure of what serves: nobody may wait forever
        for member in members:
            member.leave()
    return [member.end for member in members]


class _RunIsOver(BaseException):
    """Unwinds a piece of work that is waited for no more."""


class _Member(Generic[Need, Result, End]):
    """One piece of work and its thread."""

    need: Need
    end: End | Exception

    def __init__(self, work: Callable[[Callable[[Need], Result]], End]) -> None:
        self.has_ended = False
        self._results: SimpleQueue[Result | BaseException] = SimpleQueue()
        self._turn: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread = Thread(target=self._live, args=(work,), daemon=True)

    def start(self) -> None:
        """Let it run until it waits or ends."""
        self._thread.start()
        self._wait()

    def go_on(self, result: Result | Exception) -> None:
        """Give it what it waits for, and let it run on."""
        self._results.put(result)
        self._wait()

    def leave(self) -> None:
        """End it where it waits."""
        if self._thread.is_alive():
            self._results.put(_RunIsOver())
            self._thread.join()

    def _wait(self) -> None:
        failure = self._turn.get()
        if failure is not None:
            # no failure of one piece: an interrupt
            raise failure

    def _live(self, work: Callable[[Callable[[Need], Result]], End]) -> None:
        failure: BaseException | None = None
        try:
            self.end = work(self._ask)
        except _RunIsOver:
            return
        except BaseException as error:
            try:
                self.end = failure_of(error)
            except BaseException as interrupt:
                failure = interrupt
        self.has_ended = True
        self._turn.put(failure)

    def _ask(self, need: Need) -> Result:
        self.need = need
        self._turn.put(None)
        result: Any = self._results.get()
        if isinstance(result, BaseException):
            raise result
        reply: Result = result
        return reply
