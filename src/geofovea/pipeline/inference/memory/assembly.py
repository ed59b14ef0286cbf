"""A prompt's beginning out of stored tiles, as a cache that the rest of the prompt runs behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.pipeline.inference.attention.kv_cache import preallocated_cache
from geofovea.pipeline.inference.memory.rotation import turned
from geofovea.pipeline.inference.memory.tile_states import TileStates, WordStates
from geofovea.pipeline.inference.prompts.embeds import PromptSequence

__all__ = ["StoredPrefix", "StoredTiles", "TileRows", "filled_cache"]


@dataclass(frozen=True, slots=True, eq=False)
class TileRows:
    """Some vision tokens of one tile, in the order of a prompt.

    Attributes:
        states: The tile.
        index: int64 ``(k,)``, which of its tokens.
    """

    states: TileStates
    index: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class StoredTiles:
    """The words before the image, and the tiles of a prompt.

    Attributes:
        words: The words before the first tile.
        tiles: The tiles, in the order of the prompt.
    """

    words: WordStates
    tiles: Sequence[TileRows]

    @property
    def length(self) -> int:
        """Places of the prompt that are stored."""
        own = sum(len(rows.index) + rows.states.around.keys.shape[2] for rows in self.tiles)
        return self.words.keys.shape[2] + own

    def vision_keys(self, layers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Keys of the vision tokens in some layers, and where they stand.

        Returns:
            ``(layers, key_heads, n, head_dim)`` without positions, and int64 ``(n,)``.
        """
        keys, places, first = [], [], self.words.keys.shape[2]
        for rows in self.tiles:
            keys.append(rows.states.keys(rows.index, layers))
            count, around = len(rows.index), rows.states.around.keys.shape[2]
            places.append(torch.arange(count) + first + rows.states.opening)
            first += count + around
        return torch.cat(keys, 2), torch.cat(places)


@dataclass(frozen=True, slots=True, eq=False)
class StoredPrefix(StoredTiles):
    """Stored tiles, and the prompt that begins with them.

    Attributes:
        sequence: The whole prompt; of what is stored only its positions are used.
    """

    sequence: PromptSequence

    @property
    def tail(self) -> PromptSequence:
        """What has to be run."""
        return self.sequence.behind(self.length)

    def states(self, decoder: Any, depth: int) -> tuple[Tensor, Tensor]:
        """Keys at their positions and values, each ``(depth, key_heads, s, head_dim)``.

        Args:
            decoder: The text model.
            depth: Of how many layers, from the first on.
        """
        parts = [(self.words.keys[:depth], self.words.values[:depth])]
        parts += [rows.states.rows(rows.index, depth) for rows in self.tiles]
        keys, values = (torch.cat(part, dim=2) for part in zip(*parts, strict=True))
        return turned(decoder, keys, self.sequence.positions[0, : self.length]), values


def filled_cache(decoder: Any, keys: Tensor, values: Tensor, room: int = 0) -> Any:
    """A cache that holds keys and values in its first layers.

    Args:
        decoder: The text model.
        keys: At their positions, ``(depth, key_heads, s, head_dim)``.
        values: Likewise.
        room: Places behind them that memory is set aside for.
    """
    cache = preallocated_cache(decoder.config, keys.shape[2] + room)
    for layer, pair in enumerate(zip(keys, values, strict=True)):
        cache.update(*(states[None] for states in pair), layer)
    return cache
