"""Questions behind stored tiles: their own words alone run through the decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.pipeline.inference.attention.rows import pair_logits, rotated_queries
from geofovea.pipeline.inference.attention.support import has_dynamic_rope
from geofovea.pipeline.inference.decoder.run import DecoderRun, visit_layers
from geofovea.pipeline.inference.memory.assembly import (
    StoredPrefix,
    StoredTiles,
)
from geofovea.pipeline.inference.memory.rotation import turned, unturned
from geofovea.pipeline.inference.prompts.batch import PromptBatch

__all__ = ["StoredRun", "WordQueries", "query_logits", "word_queries"]


_LOOKS_AT_ONCE = 8
"""A query meets the keys of all these looks: more would cost more than they save."""


class StoredRun(DecoderRun):
    """One prompt whose beginning is stored."""

    def __init__(self, decoder: Any, prefix: StoredPrefix, answer: int = 16) -> None:
        """Prepare a run; `prefill` comes first.

        Args:
            decoder: The text model.
            prefix: The stored beginning, and the prompt.
            answer: Tokens beyond the prompt that memory is set aside for; more may follow.
        """
        tail = PromptBatch.of([prefix.tail])
        room = max(tail.lengths) + answer
        cache = prefix.cache(decoder, len(decoder.layers), room)
        super().__init__(decoder, tail, answer, cache=cache)
        self._stored = prefix.length


@dataclass(frozen=True, slots=True, eq=False)
class WordQueries:
    """What the last word of a question asks for in some layers, wherever it stands.

    Attributes:
        queries: ``(layers, heads, 1, head_dim)``, without positions.
        length: Words that were run behind the stored part.
    """

    queries: Tensor
    length: int


def word_queries(decoder: Any, layers: Sequence[int], prefix: StoredPrefix) -> WordQueries:
    """Queries of a prompt's last token in some layers.

    Only the words behind the stored part run, and only through the layers below the last one read.

    Args:
        decoder: The text model.
        layers: Numbers of the layers, ascending.
        prefix: The stored beginning, and the prompt.
    """
    # even where no layer runs, the cache says how much stands before the words
    tail = PromptBatch.of([prefix.tail])
    cache = prefix.cache(decoder, max(1, layers[-1]), max(tail.lengths))

    def read(number: int, hidden: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        last = tail.last.to(hidden.device)
        return rotated_queries(decoder.layers[number], hidden, rotary, last)[0]

    queries = torch.stack(visit_layers(decoder, layers, tail.inputs(prefix.length), read, cache))
    return WordQueries(unturned(decoder, queries, tail.positions[0, -1:]), tail.lengths[0])


def query_logits(
    decoder: Any, layers: Sequence[int], words: WordQueries, looks: Sequence[StoredTiles]
) -> list[Tensor]:
    """Scaled attention logits of a question's last word over vision tokens of stored tiles.

    Nothing runs: the queries meet the stored keys of these layers, as if the words stood behind the
    tiles of each look. A search makes its looks in small steps, so those of a step go together.

    Args:
        decoder: The text model.
        layers: Those of the queries.
        words: The queries.
        looks: What the words stand behind, each by itself.

    Returns:
        For each look float32 ``(layers, heads, n)``.
    """
    # where angles depend on the length of a prompt, each has its own
    at_once = 1 if has_dynamic_rope(decoder) else _LOOKS_AT_ONCE
    return [
        logits
        for start in range(0, len(looks), at_once)
        for logits in _logits_together(decoder, layers, words, looks[start : start + at_once])
    ]


def _logits_together(
    decoder: Any, layers: Sequence[int], words: WordQueries, looks: Sequence[StoredTiles]
) -> Iterator[Tensor]:
    """`query_logits` of a few looks: queries of each over the keys of all, and of these its own."""
    keys, places = zip(*(part for look in looks for part in look.vision_keys(layers)), strict=True)
    last = torch.tensor([look.length + words.length - 1 for look in looks])
    queries = turned(decoder, words.queries.expand(-1, -1, len(looks), -1), last)
    of_all = turned(decoder, torch.cat(keys, 2), torch.cat(places))
    logits = torch.stack([
        pair_logits(query[None], key[None], decoder.layers[number].self_attn.scaling)[0]
        for number, query, key in zip(layers, queries, of_all, strict=True)
    ])  # fmt: skip
    counts = [sum(rows.count for rows in look.tiles) for look in looks]
    return (own[:, :, i] for i, own in enumerate(torch.split(logits, counts, dim=-1)))
