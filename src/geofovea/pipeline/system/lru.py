"""What was used last, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from geofovea.tiling.machine.forks import ForkSafeLock

__all__ = ["ByteLru"]

Value = TypeVar("Value")


class ByteLru(Generic[Value]):
    """A least-recently-used cache, bounded in bytes. Threads may share it.

    A tensor that is a slice keeps alive all that it is a slice of: whoever puts one in copies it.
    """

    def __init__(self, limit_bytes: int, size: Callable[[Value], int]) -> None:
        """Start empty.

        Args:
            limit_bytes: Most that is kept; the newest value is kept whatever it takes.
            size: Bytes of a value.
        """
        self._limit = limit_bytes
        self._size = size
        self._forget()
        self._lock = ForkSafeLock(self._forget)

    def _forget(self) -> None:
        self._bytes = 0
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def nbytes(self) -> int:
        """Memory that its values take."""
        return self._bytes

    def get(self, key: Hashable) -> Value | None:
        """What is kept under a key, or None."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: Hashable, value: Value) -> Value:
        """Keep a value, in place of what was kept there, and forget the oldest beyond the limit.

        Returns:
            The value.
        """
        with self._lock:
            self._drop(key)
            self._values[key] = value
            self._bytes += self._size(value)
            while self._bytes > self._limit and len(self._values) > 1:
                self._drop(next(iter(self._values)))
        return value

    def drop(self, key: Hashable) -> None:
        """Keep nothing under a key."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        if (value := self._values.pop(key, None)) is not None:
            self._bytes -= self._size(value)
