"""A prompt's beginning out of stored tiles, as a cache that the rest of the prompt runs behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.pipeline.inference.attention.kv_cache import filled_cache
from geofovea.pipeline.inference.memory.rotation import rotary_tables, rotated
from geofovea.pipeline.inference.memory.tile_states import TileStates, WordStates
from geofovea.pipeline.inference.prompts.embeds import PromptSequence

__all__ = ["StoredPrefix", "StoredTiles", "TileRows"]


@dataclass(frozen=True, slots=True, eq=False)
class TileRows:
    """Some vision tokens of one tile, in the order of a prompt.

    Attributes:
        states: The tile.
        index: int64 ``(k,)``, which of its tokens; None for all, in their order.
    """

    states: TileStates
    index: Tensor | None

    @property
    def count(self) -> int:
        """Vision tokens."""
        return self.states.count if self.index is None else len(self.index)

    @property
    def length(self) -> int:
        """Vision tokens, and the words around them."""
        return self.count + self.states.around.keys.shape[2]


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
        return self.words.keys.shape[2] + sum(rows.length for rows in self.tiles)

    def vision_keys(self, layers: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Keys of the vision tokens of each tile in some layers, and where they stand.

        Yields:
            ``(layers, key_heads, k, head_dim)`` without positions, and int64 ``(k,)``.
        """
        first = self.words.keys.shape[2]
        for rows in self.tiles:
            start = first + rows.states.opening
            yield rows.states.keys(rows.index, layers), torch.arange(start, start + rows.count)
            first += rows.length


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

    def cache(self, decoder: Any, depth: int, room: int = 0) -> Any:
        """What is stored, at its positions, as a cache of the first layers.

        Each tile is put into its place, and then the keys are turned layer by layer: nothing of the
        size of the cache is made in between, for fresh memory takes longer to come by than to fill.

        Args:
            decoder: The text model.
            depth: Of how many layers, from the first on.
            room: Places behind what is stored that memory is set aside for.
        """
        words, length = self.words, self.length
        heads, first, dim = words.keys.shape[1:]
        keys = words.keys.new_empty(depth, heads, length + room, dim)
        values = torch.empty_like(keys)
        keys[:, :, :first], values[:, :, :first] = words.keys[:depth], words.values[:depth]
        for rows in self.tiles:
            place = slice(first, first + rows.length)
            rows.states.put_into(rows.index, keys[:, :, place], values[:, :, place])
            first = place.stop
        tables = rotary_tables(decoder, words.keys, self.sequence.positions[0, :length])
        for number in range(depth):
            layer = keys[number : number + 1, :, :length]
            layer.copy_(rotated(decoder, layer, *tables))
        return filled_cache(decoder.config, keys, values, length)
