"""A question that is not wanted any more: long work asks now and then whether to go on.

What is asked holds for the thread that works, so no function between a session and the loop that
writes an answer has to pass it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["cancellable", "check_cancelled"]

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


def check_cancelled() -> None:
    """End this work if nobody wants it any more.

    Raises:
        CancelledError: If the question was canceled; whatever else the check raises.
    """
    check = _current.get()
    if check is not None:
        check()
