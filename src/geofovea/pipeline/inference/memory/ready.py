"""A bounded cache of keys and values that were restored from few bits, for the next look."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from geofovea.pipeline.inference.memory.tile_states import TileStates
from geofovea.regionfocus.cache_policies.base import ExactEntries, StoredEntries
from geofovea.tiling.machine.lru import LruCache

__all__ = ["ReadyStates"]


class ReadyStates:
    """Restored keys and values within a number of bytes; those read longest ago go first.

    A question looks at a tile in one layer and answers from it in all, and the next one looks at
    many of the same tiles: each is restored once as long as there is room.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Start empty.

        Args:
            limit_bytes: Most bytes of what is restored.
        """
        self._restored: LruCache[StoredEntries, tuple[Tensor, Tensor]] = LruCache(
            limit_bytes, lambda pair: sum(states.nbytes for states in pair)
        )

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return self._restored.nbytes

    def of(self, entries: StoredEntries) -> tuple[Tensor, Tensor]:
        """What `StoredEntries.restore` gives."""
        pair = self._restored.get(entries)
        return self._restored.put(entries, entries.restore()) if pair is None else pair

    def behind(self, states: TileStates) -> TileStates:
        """A tile that restores through here; one that is exact stays as it is."""
        layers = tuple(
            layer if isinstance(layer, ExactEntries) else _ReadyEntries(layer, self)
            for layer in states.layers
        )
        return replace(states, layers=layers)


@dataclass(frozen=True, slots=True, eq=False)
class _ReadyEntries:
    """Entries of one layer of a tile that are looked up before they are restored."""

    entries: StoredEntries
    ready: ReadyStates

    @property
    def nbytes(self) -> int:
        """See ``StoredEntries``."""
        return self.entries.nbytes

    def restore(self) -> tuple[Tensor, Tensor]:
        """See ``StoredEntries``."""
        return self.ready.of(self.entries)
