"""What a forked child must make anew: locks, and data that other threads were changing.

Of all threads of a process, only the one that forks lives on in the child. A lock that another
thread held stays locked there forever, and what it guarded may be half changed. So every lock of
this package is made here, or by a function that is registered here.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["ForkSafeLock", "in_every_child", "renew_after_fork"]

Owner = TypeVar("Owner")

_always: list[Callable[[], None]] = []
_registered: dict[int, tuple[weakref.ref[Any], Callable[[Any], None]]] = {}


def in_every_child(renew: Callable[[], None]) -> None:
    """Call a function of a module in every child of a fork; it must not wait for anything."""
    _always.append(renew)


def renew_after_fork(owner: Owner, renew: Callable[[Owner], None]) -> None:
    """Call ``renew(owner)`` in every child of a fork, for as long as the owner lives.

    Args:
        owner: What holds locks, or work of other threads.
        renew: Makes them anew; it must not wait for anything.
    """
    number = id(owner)
    reference = weakref.ref(owner, lambda _: _registered.pop(number, None))
    _registered[number] = reference, renew


def _renew_all() -> None:
    for renew_module in _always:
        renew_module()
    for reference, renew in list(_registered.values()):
        owner = reference()
        if owner is not None:
            renew(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


class ForkSafeLock:
    """A lock for ``with`` that its holder may take again, and that no child inherits as held."""

    def __init__(self, forget: Callable[[], None] | None = None) -> None:
        """Make an open lock.

        Args:
            forget: Called in a child of a fork at which another thread held the lock: it drops
                what the lock guards, which may be half changed.
        """
        self._lock = threading.RLock()
        self._forget = forget
        renew_after_fork(self, ForkSafeLock._renew)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _renew(self) -> None:
        # the thread that forked may hold it, and will let go of it
        if self._lock.acquire(blocking=False):
            self._lock.release()
            return
        self._lock = threading.RLock()
        if self._forget is not None:
            self._forget()
