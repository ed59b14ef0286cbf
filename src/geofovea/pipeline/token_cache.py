"""Tokens of the tiles used last, for the next question about the same scene."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor

from geofovea.tiling.pyramid import Tile

__all__ = ["TokenCache", "TokenEntry"]


@dataclass(frozen=True, slots=True, eq=False)
class TokenEntry:
    """What is kept of a tile.

    Attributes:
        features: Its vision tokens (n, d).
        shown: bool (n,), which of them show data.
    """

    features: Tensor
    shown: Tensor


class TokenCache:
    """A least-recently-used cache, bounded in bytes of features."""

    def __init__(self, limit_bytes: int) -> None:
        """Start empty."""
        self._limit = limit_bytes
        self._bytes = 0
        self._entries: OrderedDict[Tile, TokenEntry] = OrderedDict()

    def get(self, tile: Tile) -> TokenEntry | None:
        """What is kept of a tile, or None."""
        entry = self._entries.get(tile)
        if entry is not None:
            self._entries.move_to_end(tile)
        return entry

    def put(self, tile: Tile, entry: TokenEntry) -> None:
        """Keep a tile that is not kept yet, and forget the oldest ones beyond the limit."""
        # a slice of a batch would keep the whole batch alive
        own = TokenEntry(entry.features.clone(), entry.shown)
        self._entries[tile] = own
        self._bytes += own.features.nbytes
        while self._bytes > self._limit and len(self._entries) > 1:
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= oldest.features.nbytes
