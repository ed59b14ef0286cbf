"""Command line options about runs of many items; ``batch`` and ``eval`` share them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from geofovea.pipeline.runs.executor import Crew
    from geofovea.pipeline.runs.item import Work

__all__ = ["COMPANY", "Workers", "run_options"]

_EXECUTORS = ("inline", "processes", "ray")
# what is answered and not yet written down is lost when a run is killed
COMPANY = 8
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
        UsageError: If two of them contradict each other.
    """

    executor: str = "inline"
    count: int = 1
    address: str | None = None
    cpus: float = 0.5
    gpus: float = 0.0
    item_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.executor == "inline" and self.count > 1:
            raise click.UsageError("--workers goes with --executor processes or ray")
        if self.executor == "inline" and self.item_seconds is not None:
            raise click.UsageError(
                "--item-seconds goes with --executor processes or ray: this process cannot end "
                "itself and go on; --seconds begins no further level after a time"
            )
        if self.executor != "ray" and self.address is not None:
            raise click.UsageError("--address goes with --executor ray")

    @property
    def threads(self) -> int | None:
        """Threads of torch in each, so that several share the cores; None for its own choice."""
        from geofovea.tiling.machine.cores import usable_cores

        return None if self.count == 1 else max(1, usable_cores() // self.count)

    @property
    def company(self) -> int:
        """How many questions about a scene each may answer together; a limit on time is of one."""
        return COMPANY if self.item_seconds is None else 1

    def crew(self, work: Work) -> Crew:
        """They, with what they are to do; nothing is started yet.

        Raises:
            RunError: If the time of an item is impossible.
            MissingExtraError: If Ray is not installed.
        """
        if self.executor == "ray":
            from geofovea.pipeline.runs.ray_executor import RayCrew

            return RayCrew(
                self.count,
                work,
                address=self.address,
                cpus=self.cpus,
                gpus=self.gpus,
                item_seconds=self.item_seconds,
            )
        if self.executor == "processes":
            from geofovea.pipeline.runs.process_executor import ProcessCrew

            return ProcessCrew(self.count, work, item_seconds=self.item_seconds)
        from geofovea.pipeline.runs.executor import InProcessCrew

        return InProcessCrew(work)


def run_options(command: Callable[..., Any]) -> Any:
    """Add all of them.

    The verb gets ``workers``, and ``retry_failed``, ``max_failures``, ``replace`` and ``wait``.
    """

    @wraps(command)
    def run(
        *,
        executor: str | None,
        worker_count: int,
        address: str | None,
        worker_cpus: float,
        worker_gpus: float,
        item_seconds: float | None,
        **others: Any,
    ) -> Any:
        chosen = executor or ("inline" if worker_count == 1 else "processes")
        workers = Workers(chosen, worker_count, address, worker_cpus, worker_gpus, item_seconds)
        return command(workers=workers, **others)

    options = (
        click.option(
            "--executor",
            type=click.Choice(_EXECUTORS),
            help="Who works: this process, or, from 2 workers on, processes of their own; or Ray.",
        ),
        click.option(
            "--workers", "worker_count", type=click.IntRange(1), default=1, show_default=True
        ),
        click.option("--address", help="Ray cluster to join; a local one is started if unset."),
        click.option("--worker-cpus", type=click.FloatRange(0), default=0.5, show_default=True),
        click.option("--worker-gpus", type=click.FloatRange(0), default=0.0, show_default=True),
        click.option(
            "--item-seconds",
            type=float,
            help="Kill a worker that is longer at one question, and go on; no limit if unset.",
        ),
        click.option("--retry-failed", is_flag=True, help="Ask again what failed before."),
        click.option(
            "--max-failures", type=click.IntRange(1), help="Stop after so many failed items."
        ),
        click.option(
            "--replace", is_flag=True, help="Write over results of another configuration."
        ),
        click.option("--wait", is_flag=True, help="Wait for another run in this folder to end."),
    )
    wrapped: Any = run
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped
