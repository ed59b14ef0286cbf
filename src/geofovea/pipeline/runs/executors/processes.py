"""Worker processes on this machine; one that dies is replaced.

Processes are spawned, not forked: torch and GDAL have threads, and a fork of those may hang. Each
is asked through a pipe of its own, so that the death of one is noticed at once, with the item that
it had, and touches no other. When this process is killed, the workers end at once, whatever they
are at: nobody would hear what they found. A worker that does not come to an end within the time of
an item is killed: nothing else ends a read or a call that never returns.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self

from geofovea.pipeline.runs.executors.base import ItemDeadlines, check_size
from geofovea.pipeline.runs.item import Item, Work
from geofovea.pipeline.runs.outcome import (
    Halted,
    Result,
    TimedOut,
    WorkerDied,
    carry_out,
    in_one_line,
)
from geofovea.pipeline.system.interruption import ignore_signals, without_signals

__all__ = ["ProcessExecutor"]

_READY = "ready"
_FAREWELL_SECONDS = 10

_Pipe = connection.Connection


@dataclass(slots=True)
class _Member:
    process: SpawnProcess
    pipe: _Pipe
    is_ready: bool = False
    has_item: bool = False


class ProcessExecutor:
    """Workers in processes of their own."""

    def __init__(self, workers: int, work: Work, *, item_seconds: float | None = None) -> None:
        """Say what will be done; nothing is started yet.

        Args:
            workers: How many processes.
            work: What they do.
            item_seconds: A worker that is longer at an item is killed; opening the work does not
                count. None waits forever.

        Raises:
            RunError: If there would be no worker, or no time.
        """
        self.size = check_size(workers)
        self._deadlines = ItemDeadlines(item_seconds)
        self._work = work
        self._members: list[_Member] = []
        self._results: list[tuple[int, Result]] = []

    def __enter__(self) -> Self:
        self._members = [self._started() for _ in range(self.size)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for member in self._members:
            if error is not None or member.has_item:
                member.process.kill()
            member.pipe.close()
        for member in self._members:
            member.process.join(_FAREWELL_SECONDS)
            _bury(member.process)
        self._members = []

    @property
    def pids(self) -> list[int]:
        """Process numbers of the workers, in their order."""
        return [member.process.pid or 0 for member in self._members]

    def give(self, worker: int, item: Item) -> None:
        """See ``Executor``."""
        member = self._members[worker]
        member.has_item = True
        # that it is dead already is told by results()
        with suppress(OSError):
            member.pipe.send((item.group, dict(item.payload)))
        if member.is_ready:
            self._deadlines.start(worker)

    def results(self) -> Iterator[tuple[int, Result]]:
        """See ``Executor``."""
        while not self._results:
            # the end of a pipe is readable too, so nothing else need be waited for
            busy = [m.pipe for m in self._members if m.has_item]
            ready = connection.wait(busy, self._deadlines.seconds_left())
            for number, member in enumerate(self._members):
                if member.pipe in ready:
                    result = self._receive(number, member)
                    if result is not None:
                        self._ended(number)
                        self._results.append((number, result))
            for number in self._deadlines.overdue():
                if self._members[number].pipe.poll():
                    continue
                self._members[number].process.kill()
                self._ended(number)
                self._results.append((number, TimedOut(self._deadlines.item_seconds or 0.0)))
        results, self._results = self._results, []
        yield from results

    def ready_result(self, worker: int, item: Item) -> Result | None:  # noqa: ARG002
        """See ``Executor``."""
        result = dict(self._results).get(worker)
        member = self._members[worker]
        while result is None and member.has_item and member.pipe.poll():
            result = self._receive(worker, member)
        return result

    def replace(self, worker: int) -> None:
        """See ``Executor``."""
        gone = self._members[worker]
        gone.pipe.close()
        _bury(gone.process)
        self._members[worker] = self._started()

    def _ended(self, worker: int) -> None:
        self._members[worker].has_item = False
        self._deadlines.stop(worker)

    def _started(self) -> _Member:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._work), daemon=True)
        # a signal to the whole group is for this process; the worker ignores it as soon as it can
        with without_signals():
            process.start()
        # as long as we hold their end open, we would never see it closed
        theirs.close()
        return _Member(process, ours)

    def _receive(self, worker: int, member: _Member) -> Result | None:
        try:
            message = member.pipe.recv()
        except (EOFError, OSError):
            member.process.join(_FAREWELL_SECONDS)
            return WorkerDied(_how_it_ended(member.process.exitcode), member.is_ready)
        if message == _READY:
            member.is_ready = True
            self._deadlines.start(worker)
            return None
        result: Result = message
        return result


def _bury(process: SpawnProcess) -> None:
    """End a process for good, unless the kernel holds it: a read of a dead network disk may."""
    process.kill()
    process.join(_FAREWELL_SECONDS)
    if not process.is_alive():
        process.close()


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"


def _end_with_parent() -> None:
    """Wait for the death of the process that holds the journal, and follow it.

    A closed pipe is noticed between two items only; a worker in an endless one would stay forever.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _serve(pipe: _Pipe, work: Work) -> None:
    """The life of a worker: open the work, answer items until the pipe closes."""
    # Ctrl-C goes to all processes of a terminal, and a batch system ends all of a job: the one that
    # holds the journal decides
    ignore_signals()
    threading.Thread(target=_end_with_parent, name="geofovea-end", daemon=True).start()
    # EOFError: no more items. OSError: nobody listens any more.
    with suppress(EOFError, OSError), pipe:
        try:
            worker = work.open()
        except Exception as error:  # told as the answer to the first item
            pipe.send(Halted(in_one_line(error)))
            return
        pipe.send(_READY)
        while True:
            group, payload = pipe.recv()
            pipe.send(carry_out(worker, group, payload))
