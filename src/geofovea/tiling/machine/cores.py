"""The cores that this process may use, which a container or a scheduler can make fewer."""

from __future__ import annotations

import os

from geofovea.tiling.machine.container_limits import container_limits

__all__ = ["MOST_THREADS", "usable_cores"]

MOST_THREADS = 4096
"""How many threads a model may be told to use; torch fails at numbers of many digits."""


def usable_cores() -> int:
    """How many cores' worth of time this process may have, at least one."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, container_limits().cores or cores))
