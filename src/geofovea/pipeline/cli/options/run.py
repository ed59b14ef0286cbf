"""Command line options about runs of many items; ``batch`` and ``eval`` share them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from geofovea.errors import WorkersError
from geofovea.pipeline.runs.workers import EXECUTORS, Workers

__all__ = ["run_options"]

_CONFLICTS = {
    "count": "--workers goes with --executor processes or ray",
    "item_seconds": (
        "--item-seconds goes with --executor processes or ray: this process cannot end itself and "
        "go on; --seconds begins no further level after a time"
    ),
    "address": "--address goes with --executor ray",
}


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
        executor_name = executor or ("inline" if worker_count == 1 else "processes")
        try:
            workers = Workers(
                executor_name, worker_count, address, worker_cpus, worker_gpus, item_seconds
            )
        except WorkersError as error:
            raise click.UsageError(_CONFLICTS.get(error.field, str(error))) from error
        return command(workers=workers, **others)

    options = (
        click.option(
            "--executor",
            type=click.Choice(EXECUTORS),
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
