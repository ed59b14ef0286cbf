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
        own = sum(rows.count + rows.states.around.keys.shape[2] for rows in self.tiles)
        return self.words.keys.shape[2] + own

    def vision_keys(self, layers: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Keys of the vision tokens of each tile in some layers, and where they stand.

        Yields:
            ``(layers, key_heads, k, head_dim)`` without positions, and int64 ``(k,)``.
        """
        first = self.words.keys.shape[2]
        for rows in self.tiles:
            start = first + rows.states.opening
            yield rows.states.keys(rows.index, layers), torch.arange(start, start + rows.count)
            first += rows.count + rows.states.around.keys.shape[2]


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

        Each tile is put into its place as soon as its keys are turned: nothing of the length of
        the prompt is made in between, for fresh memory takes longer to come by than to fill.

        Args:
            decoder: The text model.
            depth: Of how many layers, from the first on.
            room: Places behind what is stored that memory is set aside for.
        """
        words = self.words
        heads, _, dim = words.keys.shape[1:]
        keys = words.keys.new_empty(depth, heads, self.length + room, dim)
        values = torch.empty_like(keys)
        tables = rotary_tables(decoder, words.keys, self.sequence.positions[0, : self.length])
        parts = ((words.keys[:depth], words.values[:depth]),) if words.keys.shape[2] else ()
        first = 0
        for own_keys, own_values in (
            *parts,
            *(rows.states.rows(rows.index, depth) for rows in self.tiles),
        ):
            place = slice(first, first + own_keys.shape[2])
            keys[:, :, place] = rotated(decoder, own_keys, *(each[:, place] for each in tables))
            values[:, :, place] = own_values
            first = place.stop
        return filled_cache(decoder.config, keys, values, first)
