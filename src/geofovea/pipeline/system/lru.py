"""Tokens of the tiles used last, for the next question about the same scene."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from torch import Tensor

from geofovea.regionfocus.reductions.tile_signals import TileSignals, signal_bytes
from geofovea.tiling.machine.forks import ForkSafeLock

__all__ = ["TokenCache", "TokenEntry"]


@dataclass(frozen=True, slots=True, eq=False)
class TokenEntry:
    """What is kept of a tile.

    Attributes:
        features: Its vision tokens (n, d).
        shown: bool (n,), which of them show data.
        signals: What else the encoder showed of it.
        patches: Patches that entered the encoder, where it dropped some.
        patches_left: Those that left it.
    """

    features: Tensor
    shown: Tensor
    signals: TileSignals = field(default_factory=dict)
    patches: int = 0
    patches_left: int = 0

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return self.features.nbytes + signal_bytes(self.signals)


class TokenCache:
    """A least-recently-used cache, bounded in bytes. Threads may share it."""

    def __init__(self, limit_bytes: int) -> None:
        """Start empty."""
        self._limit = limit_bytes
        self._forget()
        self._lock = ForkSafeLock(self._forget)

    def _forget(self) -> None:
        self._bytes = 0
        self._entries: OrderedDict[Hashable, TokenEntry] = OrderedDict()

    def get(self, key: Hashable) -> TokenEntry | None:
        """What is kept of a tile, or None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def put(self, key: Hashable, entry: TokenEntry) -> TokenEntry:
        """Keep a tile, in place of what was kept of it, and forget the oldest beyond the limit.

        Returns:
            The entry as it is kept.
        """
        # a slice of a batch would keep the whole batch alive
        own = replace(entry, features=entry.features.clone())
        with self._lock:
            if (older := self._entries.pop(key, None)) is not None:
                self._bytes -= older.nbytes
            self._entries[key] = own
            self._bytes += own.nbytes
            while self._bytes > self._limit and len(self._entries) > 1:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.nbytes
        return own
