"""Command line options about runs of many items; ``batch`` and ``eval`` share them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from geofovea.errors import WorkersError
from geofovea.pipeline.cli.options.grouped import in_group, with_options
from geofovea.pipeline.cli.options.shared import FiniteRange
from geofovea.pipeline.runs.workers import EXECUTORS, Workers

__all__ = ["run_options"]

_CONFLICTS = {
    "count": "--workers goes with --executor processes or ray",
    "item_seconds": (
        "--item-timeout goes with --executor processes or ray: this process cannot end itself and "
        "go on; --timeout begins no further level after a time"
    ),
    "address": "--address goes with --executor ray",
}


_option = in_group("Run options")
_OPTIONS = (
    _option(
        "--workers",
        "worker_count",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        is_common=True,
        help="Number of worker processes.",
    ),
    _option(
        "--executor",
        type=click.Choice(EXECUTORS),
        help=(
            "Where to run: in this process, in worker processes (default with --workers > 1), "
            "or on Ray."
        ),
    ),
    _option("--address", help="Ray cluster to join. Default: start a local one."),
    _option(
        "--worker-cpus",
        type=FiniteRange(0),
        default=0.5,
        show_default=True,
        goes_with=["--executor ray"],
        help="CPUs of a worker on Ray.",
    ),
    _option(
        "--worker-gpus",
        type=FiniteRange(0),
        default=0.0,
        show_default=True,
        goes_with=["--executor ray"],
        help="GPUs of a worker on Ray.",
    ),
    _option(
        "--item-timeout",
        "item_seconds",
        earlier=["--item-seconds"],
        type=float,
        help="End a worker that takes longer for one question, in seconds, and go on.",
    ),
    _option("--retry-failed", is_flag=True, help="Ask again what failed before."),
    _option("--max-failures", type=click.IntRange(1), help="Stop after this many failures."),
    _option(
        "--overwrite",
        "replace",
        earlier=["--replace"],
        is_flag=True,
        help="Replace results that were made with other settings.",
    ),
    _option("--wait", is_flag=True, help="Wait for another run in this folder to end."),
)


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

    return with_options(run, _OPTIONS)
