"""Which kernels compute attention on a GPU: none that has to be planned anew for each length.

On Hopper and on data-center Blackwell, torch with cuDNN above 9.15 (its wheels from 2.11 on) gives
attention to cuDNN first. cuDNN builds a plan for every shape that a thread has not seen, the number
of keys included, and that takes the CPU tens of milliseconds: an answer, whose keys grow by one a
token, pays it at each step, and so do a look and a prompt of a length that was never asked before.
Flash attention, next in torch's order, has no plans, and splits the keys of a single query among
the processors.

A plan is worth its time where attention itself takes longer than that: cuDNN's kernel computes a
prompt of 20,000 tokens about a tenth of a second sooner.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from geofovea.tiling.machine.forks import ForkSafeLock, in_every_child

__all__ = ["WORTH_A_PLAN", "unplanned_attention"]

WORTH_A_PLAN = 8192
"""Tokens of a prompt above which a plan gains more than it costs: by arithmetic, not measured."""

_lock = ForkSafeLock()
_inside = 0
_was_enabled = True


@contextmanager
def unplanned_attention(longest: int = 0) -> Iterator[None]:
    """Leave out cuDNN while models run here, in any thread; a context manager and a decorator.

    The switch is one for the whole process: whoever comes first turns it off, and whoever leaves
    last puts it back to what it was.

    Args:
        longest: Tokens of the longest prompt that is run; above `WORTH_A_PLAN`, nothing is changed.
    """
    if longest > WORTH_A_PLAN:
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _was_enabled
    with _lock:
        if not _inside:
            _was_enabled = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
            torch.backends.cuda.enable_cudnn_sdp(False)
        _inside += 1


def _leave() -> None:
    global _inside
    with _lock:
        # a thread that forked in there leaves it once more in the child
        if _inside:
            _inside -= 1
            if not _inside:
                torch.backends.cuda.enable_cudnn_sdp(_was_enabled)


def _forget_others() -> None:
    """In a child of a fork no other thread is left to put the switch back."""
    global _inside
    if _inside:
        torch.backends.cuda.enable_cudnn_sdp(_was_enabled)
    _inside = 0


in_every_child(_forget_others)
