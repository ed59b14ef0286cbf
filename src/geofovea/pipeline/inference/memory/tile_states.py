"""What a decoder makes of one tile that it sees alone: keys and values of every layer.

Each tile is run by itself behind the words before the image. Its keys and values then depend on the
tile alone, so they serve every question and every set of tiles. That is not what the stock decoder
computes, where a tile also sees the tiles before it; what it costs in accuracy has to be measured
for a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.pipeline.inference.decoder.forward import forward
from geofovea.pipeline.inference.memory.rotation import unturned
from geofovea.pipeline.inference.prompts.batch import PromptBatch
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.regionfocus.cache_policies.base import CachePolicy, CacheView, StoredEntries

__all__ = ["TileStates", "WordStates", "tile_states", "word_states"]


@dataclass(frozen=True, slots=True, eq=False)
class WordStates:
    """Keys and values of words, exact.

    Attributes:
        keys: ``(layers, key_heads, s, head_dim)``, without positions.
        values: Likewise.
    """

    keys: Tensor
    values: Tensor

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return self.keys.nbytes + self.values.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class TileStates:
    """Keys and values of a tile's n vision tokens and of the words around them.

    Attributes:
        layers: The vision tokens in each layer, keys without positions.
        around: Words before and behind them, in this order.
        opening: How many of these stand before.
        count: Vision tokens.
    """

    layers: tuple[StoredEntries, ...]
    around: WordStates
    opening: int
    count: int

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return self.around.nbytes + sum(layer.nbytes for layer in self.layers)

    def keys(self, index: Tensor | None, layers: Sequence[int]) -> Tensor:
        """Keys of some vision tokens ``(layers, key_heads, k, head_dim)``, without positions.

        Args:
            index: int64 ``(k,)``, which of the n tokens; None takes all.
            layers: Numbers of the layers.
        """
        # one layer is read, as a rule, and need not be copied
        keys = [self.layers[number].restore()[0] for number in layers]
        restored = keys[0][None] if len(keys) == 1 else torch.stack(keys)
        return _chosen(restored, index).to(self.around.keys.dtype)

    def put_into(self, index: Tensor | None, keys: Tensor, values: Tensor) -> None:
        """Write some vision tokens, between the words around the tile, into the rows of a prompt.

        Args:
            index: int64 ``(k,)``, which of the n tokens; None takes all.
            keys: ``(depth, key_heads, opening + k + closing, head_dim)`` of the first layers; takes
                keys without positions.
            values: Likewise.
        """
        depth, opening = len(keys), self.opening
        pairs = zip(*(layer.restore() for layer in self.layers[:depth]), strict=True)
        words = self.around.keys, self.around.values
        for rows, own, vision in zip((keys, values), words, pairs, strict=True):
            chosen = _chosen(torch.stack(vision), index)
            end = opening + chosen.shape[2]
            rows[:, :, :opening] = own[:depth, :, :opening]
            rows[:, :, opening:end] = chosen
            rows[:, :, end:] = own[:depth, :, opening:]


def _chosen(states: Tensor, index: Tensor | None) -> Tensor:
    """Some of the tokens of ``(layers, key_heads, n, head_dim)``."""
    return states if index is None else states[:, :, index.to(states.device)]


def tile_states(
    decoder: Any,
    sequences: Sequence[PromptSequence],
    around: tuple[int, int],
    policy: CachePolicy,
) -> list[TileStates]:
    """Run tiles side by side, each in a prompt of its own.

    Args:
        decoder: The text model, with positions of one axis.
        sequences: A prompt for each tile, with this tile alone; what stands behind it is not run.
        around: Words before and behind the tokens of a tile.
        policy: How the keys and values of vision tokens are stored.
    """
    opening, closing = around
    spans = [(int(s.visual[0]) - opening, int(s.visual[-1]) + 1 + closing) for s in sequences]
    prompts = [s.until(end) for s, (_, end) in zip(sequences, spans, strict=True)]
    keys, values = _run(decoder, prompts)
    states = []
    for i, (sequence, (first, end)) in enumerate(zip(sequences, spans, strict=True)):
        positions = sequence.positions[0, first:end]
        own_keys = unturned(decoder, keys[:, i, :, first:end], positions)
        own_values = values[:, i, :, first:end]
        states.append(_stored(own_keys, own_values, opening, closing, policy))
    return states


def word_states(decoder: Any, sequence: PromptSequence, count: int) -> WordStates:
    """Keys and values of the first ``count`` words of a prompt."""
    keys, values = _run(decoder, [sequence.until(count)])
    return WordStates(
        unturned(decoder, keys[:, 0], sequence.positions[0, :count]), values[:, 0].clone()
    )


def _run(decoder: Any, prompts: Sequence[PromptSequence]) -> tuple[Tensor, Tensor]:
    """Keys and values ``(layers, b, key_heads, s, head_dim)`` of prompts, padded behind."""
    from transformers import DynamicCache

    cache = DynamicCache(config=decoder.config)
    forward(decoder, **PromptBatch.of(prompts).inputs(), cache=cache)
    return (
        torch.stack([layer.keys for layer in cache.layers]),
        torch.stack([layer.values for layer in cache.layers]),
    )


def _stored(
    keys: Tensor, values: Tensor, opening: int, closing: int, policy: CachePolicy
) -> TileStates:
    length, depth = keys.shape[2], len(keys)
    every = torch.arange(length, device=keys.device)
    vision = every[opening : length - closing]
    words = torch.cat([every[:opening], every[length - closing :]])
    layers = tuple(
        policy.store(CacheView(keys[i], values[i], vision, layer=i, depth=depth))
        for i in range(depth)
    )
    return TileStates(
        layers, WordStates(keys[:, :, words], values[:, :, words]), opening, len(vision)
    )
