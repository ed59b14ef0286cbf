"""Ray actors that work, on this machine or on a cluster; each holds a model of its own.

Actors are asked one item at a time by the process that holds the journal, which alone writes. Ray
itself retries nothing: what was lost with an actor or its node is told here and asked again.

Actors ask for half a CPU each by default. Ray gives out CPUs as it is told, not as they are used:
actors that ask for all of them would starve whatever else the cluster has to schedule, and actors
that ask for more than there is would never start, which is refused here before it hangs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from types import TracebackType
from typing import Any, Self

from geofovea.errors import MissingExtraError, RunError
from geofovea.pipeline.runs.executors.base import ItemDeadlines, check_size
from geofovea.pipeline.runs.item import Item, Work, Worker
from geofovea.pipeline.runs.outcome import (
    Answered,
    Failed,
    Halted,
    Result,
    TimedOut,
    WorkerDied,
    carry_out,
    in_one_line,
)
from geofovea.pipeline.system import interruption

__all__ = ["RayExecutor"]

_START_SECONDS = 300


class _Actor:
    """What lives in an actor; its class is handed to Ray when an executor starts."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._worker: Worker | None = None

    def open(self) -> str:
        """Open the work; what went wrong, empty if nothing did."""
        try:
            self._worker = self._work.open()
        except Exception as error:  # told as the answer to the first item
            return in_one_line(error)
        return ""

    def answer(self, group: str, payload: Mapping[str, Any]) -> Answered | Failed | Halted:
        """Answer one item."""
        if self._worker is None:
            return Halted("the work of this actor is not open")
        return carry_out(self._worker, group, payload)


class RayExecutor:
    """Workers in Ray actors."""

    def __init__(
        self,
        workers: int,
        work: Work,
        *,
        address: str | None = None,
        cpus: float = 0.5,
        gpus: float = 0.0,
        start_seconds: float = _START_SECONDS,
        item_seconds: float | None = None,
    ) -> None:
        """Say what will be done; nothing is started yet.

        Args:
            workers: How many actors.
            work: What they do. GeoFovea has to be installed on every node.
            address: A cluster to join, ``auto`` for the one of this machine; None starts one.
            cpus: CPUs that an actor asks Ray for.
            gpus: GPUs likewise.
            start_seconds: How long an actor may take to be scheduled and to load its model.
            item_seconds: An actor that is longer at an item is killed. None waits forever.

        Raises:
            RunError: If there would be no worker, or no time.
            MissingExtraError: If Ray is not installed.
        """
        self.size = check_size(workers)
        self._deadlines = ItemDeadlines(item_seconds)
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("ray", "ray", "--executor ray") from error
        self._ray = ray
        self._work = work
        self._address = address
        self._resources = {"num_cpus": cpus, "num_gpus": gpus}
        self._start_seconds = start_seconds
        self._actors: list[Any] = []
        self._opening: dict[int, Any] = {}
        self._pending: dict[Any, tuple[int, bool]] = {}
        self._items: dict[int, Item] = {}
        self._owns_cluster = False
        self._redirection: AbstractContextManager[Any] = nullcontext()

    def __enter__(self) -> Self:
        # Ray tells of dead workers on standard output, where results for machines go
        self._redirection = redirect_stdout(sys.stderr)
        self._redirection.__enter__()
        try:
            self._join()
        except BaseException:
            self._leave()
            raise
        return self

    def _join(self) -> None:
        if not self._ray.is_initialized():
            try:
                self._ray.init(
                    address=self._address,
                    include_dashboard=None if self._address else False,
                    log_to_driver=False,
                    logging_level="ERROR",
                )
            except (ConnectionError, OSError, RuntimeError, ValueError) as error:
                raise RunError(f"no Ray cluster at {self._address!r}: {error}") from error
            self._owns_cluster = True
            interruption.renew()  # Ray would end this process by itself
        self._check_resources()
        for number in range(self.size):
            self._actors.append(None)
            self.replace(number)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    def give(self, worker: int, item: Item) -> None:
        """See ``Executor``."""
        self._items[worker] = item
        if worker in self._opening:
            self._pending[self._opening[worker]] = (worker, False)
        else:
            self._ask(worker)

    def results(self) -> Iterator[tuple[int, Result]]:
        """See ``Executor``."""
        results: list[tuple[int, Result]] = []
        began = time.monotonic()
        while not results:
            opening = any(not is_answer for _, is_answer in self._pending.values())
            starts = [began + self._start_seconds - time.monotonic()] if opening else []
            ready, _ = self._ray.wait(
                list(self._pending), timeout=self._deadlines.seconds_left(starts)
            )
            if opening and not ready and time.monotonic() - began >= self._start_seconds:
                raise RunError(
                    f"a Ray actor was not ready after {self._start_seconds:.0f} s: each asks for "
                    f"{self._resources}, free is {self._ray.available_resources()}; ask for fewer "
                    "workers, or for less with --worker-cpus and --worker-gpus"
                )
            for reference in ready:
                worker, is_answer = self._pending.pop(reference)
                result = self._receive(worker, reference, is_answer)
                if result is not None:
                    self._ended(worker)
                    results.append((worker, result))
            for worker in self._deadlines.overdue():
                self._ray.kill(self._actors[worker])
                self._pending = {r: who for r, who in self._pending.items() if who[0] != worker}
                self._ended(worker)
                results.append((worker, TimedOut(self._deadlines.item_seconds or 0.0)))
        yield from results

    def replace(self, worker: int) -> None:
        """See ``Executor``."""
        # no restarts and no retries by Ray: whoever holds the journal decides what is done again
        options = {**self._resources, "max_restarts": 0, "max_task_retries": 0}
        self._actors[worker] = self._ray.remote(_Actor).options(**options).remote(self._work)
        self._opening[worker] = self._actors[worker].open.remote()

    def ready_result(self, worker: int, item: Item) -> Result | None:  # noqa: ARG002
        """See ``Executor``."""
        references = [ref for ref, who in self._pending.items() if who == (worker, True)]
        ready, _ = self._ray.wait(references, timeout=0) if references else ([], [])
        return self._receive(worker, ready[0], is_answer=True) if ready else None

    def _ask(self, worker: int) -> None:
        item = self._items[worker]
        reference = self._actors[worker].answer.remote(item.group, dict(item.payload))
        self._pending[reference] = (worker, True)
        self._deadlines.start(worker)

    def _ended(self, worker: int) -> None:
        del self._items[worker]
        self._deadlines.stop(worker)

    def _receive(self, worker: int, reference: Any, is_answer: bool) -> Result | None:
        try:
            value = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._opening.pop(worker, None)
            return WorkerDied(f"Ray: {type(error).__name__}", is_answer)
        if is_answer:
            result: Result = value
            return result
        del self._opening[worker]
        if value:
            return Halted(value)
        self._ask(worker)
        return None

    def _check_resources(self) -> None:
        """Refuse what could never be scheduled; actors would wait for it without a word."""
        there = self._ray.cluster_resources()
        for name, each in (
            ("CPU", self._resources["num_cpus"]),
            ("GPU", self._resources["num_gpus"]),
        ):
            if each * self.size > there.get(name, 0):
                raise RunError(
                    f"{self.size} Ray workers with {each:g} {name} each need "
                    f"{each * self.size:g}, the cluster has {there.get(name, 0):g}: ask for fewer "
                    f"workers, or for less with --worker-{name.lower()}s"
                )

    def _leave(self) -> None:
        for actor in self._actors:
            if actor is not None:
                self._ray.kill(actor)
        self._actors, self._pending, self._items, self._opening = [], {}, {}, {}
        if self._owns_cluster:
            self._ray.shutdown()
            self._owns_cluster = False
        self._redirection.__exit__(None, None, None)
