"""What was used last, within a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from geofovea.tiling.machine.forks import ForkSafeLock

__all__ = ["LruCache"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LruCache(Generic[Key, Value]):
    """A least-recently-used cache, bounded in bytes. Threads may share it.

    An array or a tensor that is a slice keeps alive all that it is a slice of: copy it before you
    put it in.
    """

    def __init__(self, limit_bytes: int, size: Callable[[Value], int]) -> None:
        """Start empty.

        Args:
            limit_bytes: Most bytes that the cache holds. It holds no value that is larger.
            size: Bytes of a value, always the same for one.
        """
        self._limit_bytes = limit_bytes
        self._size = size
        self._forget()
        self._lock = ForkSafeLock(self._forget)

    def _forget(self) -> None:
        self.nbytes = 0
        # least recently used first
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Value]:
        """The values, least recently used first; none of them counts as used."""
        with self._lock:
            return iter(list(self._values.values()))

    def get(self, key: Key) -> Value | None:
        """The value under a key, or None."""
        with self._lock:
            # a key is hashed as seldom as can be: those of tiles take longer than all the rest
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: Key, value: Value) -> Value:
        """Hold a value in place of the earlier one, and forget those unused for longest.

        Returns:
            The value, whether the cache has room for it or not.
        """
        with self._lock:
            if key in self._values:
                self.nbytes -= self._size(self._values.pop(key))
            if self._size(value) <= self._limit_bytes:
                self._values[key] = value
                self.nbytes += self._size(value)
            while self.nbytes > self._limit_bytes:
                self.nbytes -= self._size(self._values.popitem(last=False)[1])
        return value
