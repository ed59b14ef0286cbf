"""A question that is not wanted any more: long work asks now and then whether to go on.

What is asked holds for the thread that works, so no function between a session and the loop that
writes an answer has to pass it on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["cancellable", "check_cancelled", "is_cancellable", "sleep", "wait_for"]

_SECONDS_BETWEEN_CHECKS = 0.1

_current: ContextVar[Callable[[], None] | None] = ContextVar("cancellation_check", default=None)


@contextmanager
def cancellable(check: Callable[[], None]) -> Iterator[None]:
    """Let work that this thread does inside the block end early.

    Args:
        check: Called between steps; it raises to end the work, and returns to let it go on.
    """
    token = _current.set(check)
    try:
        yield
    finally:
        _current.reset(token)


def is_cancellable() -> bool:
    """Whether somebody may end what this thread does."""
    return _current.get() is not None


def check_cancelled() -> None:
    """End this work if nobody wants it any more.

    Raises:
        CancelledError: If the question was canceled; whatever else the check raises.
    """
    check = _current.get()
    if check is not None:
        check()


def wait_for(event: threading.Event, seconds: float) -> bool:
    """Wait for an event, and end early if nobody wants this work any more.

    Args:
        event: What another thread sets.
        seconds: Longest wait.

    Returns:
        Whether it was set in time.

    Raises:
        CancelledError: If the question was canceled; whatever else the check raises.
    """
    if not is_cancellable():
        return event.wait(seconds)
    deadline = time.monotonic() + seconds
    while True:
        check_cancelled()
        remaining = deadline - time.monotonic()
        if event.wait(max(0.0, min(remaining, _SECONDS_BETWEEN_CHECKS))):
            return True
        if remaining <= 0:
            return False


def sleep(seconds: float) -> None:
    """Let time pass, and end early if nobody wants this work any more.

    Raises:
        CancelledError: If the question was canceled; whatever else the check raises.
    """
    wait_for(threading.Event(), seconds)
    check_cancelled()
