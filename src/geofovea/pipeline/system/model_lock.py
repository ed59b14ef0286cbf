"""One thread at a time in a model: what lets any number of threads ask one host.

A forward pass leaves things in its modules while it runs (hooks, tables of positions, settings of
attention), so two of them at once would hear and change each other's. Whoever runs a model holds
its lock, and calls nothing under it that waits for another thread. Loading a model changes what
torch makes by default, for all threads: all others stand still for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from weakref import WeakKeyDictionary

from geofovea.tiling.machine.forks import ForkSafeLock

__all__ = ["LOADING", "HasModelLock", "ThisThread", "lock_of", "models_at_rest", "one_at_a_time"]

LOADING = ForkSafeLock()
"""Held by whoever looks for a model among those that are loaded, and loads it if it is not."""

Params = ParamSpec("Params")
Value = TypeVar("Value")


class HasModelLock(Protocol):
    """What runs a model.

    Attributes:
        model_lock: That of the model; see `lock_of`.
        threads: Of torch that it computes with; None leaves what is set.
    """

    model_lock: ForkSafeLock
    threads: int | None


Runner = TypeVar("Runner", bound=HasModelLock)

_locks: WeakKeyDictionary[Any, ForkSafeLock] = WeakKeyDictionary()
_making = ForkSafeLock()


def lock_of(model: Any) -> ForkSafeLock:
    """The lock of a model, known by its decoder: hosts that share a decoder share the lock."""
    with _making:
        if model not in _locks:
            _locks[model] = ForkSafeLock()
        return _locks[model]


def one_at_a_time(
    run: Callable[Concatenate[Runner, Params], Value],
) -> Callable[Concatenate[Runner, Params], Value]:
    """A method of what runs a model, under the lock of that and with its number of threads."""
    from geofovea.pipeline.system.torch_threads import using_threads

    @wraps(run)
    def locked(self: Runner, *args: Params.args, **kwargs: Params.kwargs) -> Value:
        with self.model_lock, using_threads(self.threads):
            return run(self, *args, **kwargs)

    # mypy takes a wrapped method for one whose first argument may be named
    return locked  # type: ignore[return-value]


@contextmanager
def models_at_rest() -> Iterator[None]:
    """Let no model run, and no other be loaded, while one is."""
    with LOADING, ExitStack() as stack:
        with _making:
            locks = list(_locks.values())
        for lock in locks:
            stack.enter_context(lock)
        yield


class ThisThread:
    """Tells the thread that made it from others, for hooks on modules that others may run too."""

    def __init__(self) -> None:
        self._owner = threading.current_thread()

    @property
    def is_here(self) -> bool:
        """Whether the calling thread is the one that made this."""
        return threading.current_thread() is self._owner
