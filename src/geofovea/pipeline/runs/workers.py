"""Who does the work of a run, as values that agree with each other."""

from __future__ import annotations

from dataclasses import dataclass

from geofovea.errors import WorkersError
from geofovea.pipeline.runs.executors.base import Executor
from geofovea.pipeline.runs.executors.in_process import InProcessExecutor
from geofovea.pipeline.runs.executors.processes import ProcessExecutor
from geofovea.pipeline.runs.executors.ray import RayExecutor
from geofovea.pipeline.runs.item import Work
from geofovea.tiling.machine.cores import usable_cores

__all__ = ["BATCH_QUESTIONS", "EXECUTORS", "Workers"]

EXECUTORS = ("inline", "processes", "ray")
"""This process, processes of their own, Ray actors."""

# what is answered and not yet written down is lost when a run is killed
BATCH_QUESTIONS = 8
"""How many questions about a scene are answered together."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Who does the work of a run.

    Attributes:
        executor: ``inline``, ``processes`` or ``ray``.
        count: How many there are; one inline.
        address: A Ray cluster to join.
        cpus: CPUs that a Ray worker asks for.
        gpus: GPUs likewise.
        item_seconds: The longest that an item may take, which takes a worker that can be killed.

    Raises:
        WorkersError: If two of them contradict each other.
    """

    executor: str = "inline"
    count: int = 1
    address: str | None = None
    cpus: float = 0.5
    gpus: float = 0.0
    item_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise WorkersError("executor", f"an executor is one of {', '.join(EXECUTORS)}")
        if self.executor == "inline" and self.count > 1:
            raise WorkersError("count", f"this process is one worker, got count={self.count}")
        if self.executor == "inline" and self.item_seconds is not None:
            raise WorkersError(
                "item_seconds", "this process cannot end itself over an item and go on"
            )
        if self.executor != "ray" and self.address is not None:
            raise WorkersError("address", f"{self.executor} workers join no cluster")

    @property
    def threads(self) -> int | None:
        """Threads of torch in each, so that several share the cores; None for its own choice."""
        return None if self.count == 1 else max(1, usable_cores() // self.count)

    @property
    def batch_size(self) -> int:
        """How many questions about a scene each may answer together; a limit on time is of one."""
        return BATCH_QUESTIONS if self.item_seconds is None else 1

    def executor_of(self, work: Work) -> Executor:
        """What has them do a work; nothing is started yet.

        Raises:
            RunError: If the time of an item is impossible.
            MissingExtraError: If Ray is not installed.
        """
        if self.executor == "ray":
            return RayExecutor(
                self.count,
                work,
                address=self.address,
                cpus=self.cpus,
                gpus=self.gpus,
                item_seconds=self.item_seconds,
            )
        if self.executor == "processes":
            return ProcessExecutor(self.count, work, item_seconds=self.item_seconds)
        return InProcessExecutor(work)
