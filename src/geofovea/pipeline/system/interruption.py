"""Turns signals to end this process into an exception, at a moment that loses no data.

The first signal raises ``Interrupted``, or waits for the end of what is ``shielded``. From then on
signals have their default effect, so a second one ends the process at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = [
    "Interrupted",
    "ignore_signals",
    "interruptible",
    "renew",
    "shielded",
    "without_signals",
]

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_NUMBERS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        """Keep the number of the signal."""
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """What shells report of a process that this signal ended."""
        return 128 + self.number


class _Watch:
    """What is known of signals. Python runs their handlers in the main thread alone."""

    def __init__(self) -> None:
        self.is_on = False
        self.shields = 0
        self.pending: int | None = None

    def take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Handle the first signal."""
        for each in _NUMBERS:
            if signal.getsignal(each) == self.take:
                signal.signal(each, signal.SIG_DFL)
        self.pending = number
        self.tell()

    def tell(self) -> None:
        """Raise what is pending, unless something is shielded."""
        if self.pending is not None and not self.shields:
            number, self.pending = self.pending, None
            raise Interrupted(number)


_watch = _Watch()


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let signals raise ``Interrupted`` inside; the handlers of before come back at the end.

    A signal that is ignored stays so, as ``nohup`` and shells want it. In a thread other than the
    main one nothing changes.
    """
    if _watch.is_on or not _is_main():
        yield
        return
    before = {n: signal.getsignal(n) for n in _NUMBERS}
    watched = [n for n, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    _watch.is_on, _watch.pending = True, None
    try:
        for number in watched:
            signal.signal(number, _watch.take)
        yield
    finally:
        _watch.is_on = False
        for number in watched:
            signal.signal(number, before[number])


def renew() -> None:
    """Take the signals back from a library that has set handlers of its own."""
    if not _watch.is_on or not _is_main():
        return
    for number in _NUMBERS:
        if signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL, None):
            signal.signal(number, _watch.take)


@contextmanager
def shielded() -> Iterator[None]:
    """Let a signal wait for the end of what is inside."""
    if not _is_main():
        yield
        return
    _watch.shields += 1
    try:
        yield
    finally:
        _watch.shields -= 1
        _watch.tell()


@contextmanager
def without_signals() -> Iterator[None]:
    """Keep signals from this thread, and from processes that it starts until they take them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_signals() -> None:
    """Leave it to the process that started this one to end it."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _NUMBERS)
