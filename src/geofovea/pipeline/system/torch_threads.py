"""How many threads torch computes with while a model of ours runs: few for a small model.

A thread that waits for its turn at a busy core holds up all that compute with it, and those that
wait for it spin, unless told to sleep (see ``geofovea._waiting``). On two cores with a load of ten,
a question to the embedded model took 3.3 s by the clock with one thread, 3.2 s with two that sleep
and 31 s with two that spin. So a model gets as many threads as its work is worth, and no more than
there are cores. A number that was given, or set with OMP_NUM_THREADS, is not questioned.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from geofovea._arguments import is_whole, shown
from geofovea.errors import ModelError
from geofovea.tiling.machine.cores import MOST_THREADS, usable_cores
from geofovea.tiling.machine.forks import ForkSafeLock, in_every_child

__all__ = ["set_threads", "share_cores", "threads_for", "using_threads"]

PARAMETERS_A_THREAD = 30_000_000
"""A model of fewer gets one thread: layers of one so small fit the cache of a core."""

_CHOSEN_BY_USER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class _Here(threading.local):
    depth = 0


_here = _Here()
_lock = ForkSafeLock()
_inside = 0
_outside = 0
_share: int | None = None


def threads_for(model: Any) -> int:
    """How many threads a model gets unless told otherwise, at least one.

    Args:
        model: A torch module.
    """
    own: int = _outside if _inside else torch.get_num_threads()
    if any(os.environ.get(name) for name in _CHOSEN_BY_USER):
        return max(1, own)
    most = min(own, usable_cores(), _share or own)
    parameters: int = sum(value.numel() for value in model.parameters())
    return max(1, min(most, parameters // PARAMETERS_A_THREAD))


def set_threads(host: Any, threads: int | None) -> None:
    """Let a host compute with so many threads from now on; None chooses anew.

    Raises:
        ModelError: If there would be none.
    """
    if threads is not None and not is_whole(threads, 1, MOST_THREADS):
        raise ModelError(
            f"threads={shown(threads)} is not a number of threads: a model computes with 1 to "
            f"{MOST_THREADS}"
        )
    if hasattr(host, "threads"):
        # kept, because what a model was given before says nothing about its size
        if not hasattr(host, "_threads_by_size"):
            host._threads_by_size = host.threads
        host.threads = host._threads_by_size if threads is None else threads


def share_cores(threads: int) -> None:
    """Let models that are loaded from now on, and torch, use no more threads: others work too."""
    global _share
    _share = threads
    torch.set_num_threads(threads)


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads here; whoever leaves last puts torch back as it was.

    Args:
        count: None changes nothing.
    """
    if count is None:
        yield
        return
    before = torch.get_num_threads()
    _enter(before)
    # a switch takes half a millisecond of CPU
    if before != count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        after = _leave(before)
        if torch.get_num_threads() != after:
            torch.set_num_threads(after)


def _enter(before: int) -> None:
    global _inside, _outside
    with _lock:
        if not _inside:
            _outside = before
        _inside += 1
    _here.depth += 1


def _leave(before: int) -> int:
    """How many threads there are to be from now on."""
    global _inside
    _here.depth -= 1
    with _lock:
        _inside = max(0, _inside - 1)
        # a thread that began among others never saw how it was before them
        return before if _here.depth else _outside


def _alone_after_fork() -> None:
    """The threads that OpenMP keeps are not in the child, and it would wait for them forever."""
    global _inside, _outside
    _inside, _outside = min(_inside, _here.depth), 1
    if "torch" in sys.modules:
        torch.set_num_threads(1)


in_every_child(_alone_after_fork)
