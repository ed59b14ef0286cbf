"""What the focus layers made of a prompt's beginning, for the next question about the same tiles.

Vision tokens stand before the question and attention is causal, so keys and values of all that
stands before the question do not depend on it. What is kept is compared with the new prompt number
by number before it is used, so nothing has to be promised about where tokens came from.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.pipeline.inference.attention.rows import pair_logits, rotated_keys, rotated_queries
from geofovea.pipeline.inference.attention.support import can_batch
from geofovea.pipeline.inference.decoder.run import Visit, visit_layers
from geofovea.pipeline.inference.prompts.batch import PromptBatch
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.tiling.machine.lru import LruCache

__all__ = ["PrefixCache", "can_reuse_prefix"]

_CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class _Prefix:
    """A prompt up to its last vision token, as the focus layers leave it.

    Attributes:
        embedded: ``(1, p, d)``, what it was made from.
        layers: Keys and values ``(1, key heads, p, head_dim)`` of each layer below the last focus
            layer.
        keys: Of the vision tokens in each focus layer, ``(1, key heads, n, head_dim)``.
    """

    embedded: Tensor
    layers: tuple[tuple[Tensor, Tensor], ...]
    keys: tuple[Tensor, ...]

    @property
    def nbytes(self) -> int:
        pairs = sum(key.nbytes + value.nbytes for key, value in self.layers)
        return self.embedded.nbytes + sum(key.nbytes for key in self.keys) + pairs


class PrefixCache:
    """A least-recently-used memory of prefixes, bounded in bytes, for one decoder.

    It is for prompts with the vision tokens before the question, at 1-D positions from 0 on without
    gaps, and for decoders whose layers all attend to everything before.
    """

    def __init__(
        self, decoder: Any, layers: Sequence[int], limit_bytes: int = _CACHE_BYTES
    ) -> None:
        """Start empty.

        Args:
            decoder: The text model.
            layers: Its focus layers, ascending; the last is at least 1.
            limit_bytes: Most that is kept; a prefix above it is used once and forgotten.
        """
        self._decoder = decoder
        self._layers = tuple(layers)
        self._prefixes: LruCache[Hashable, _Prefix] = LruCache(
            limit_bytes, lambda prefix: prefix.nbytes
        )
        self.runs = 0

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return self._prefixes.nbytes

    def logits(self, sequences: Sequence[PromptSequence]) -> list[Tensor]:
        """As ``last_row_logits`` has them, within rounding, float32 ``(layers, heads, n)`` each.

        Prompts that begin alike have their ends run side by side behind one beginning.
        """
        prefixes: list[_Prefix] = []
        for each in sequences:
            begins = each.embedded[:, : int(each.visual[-1]) + 1]
            # one that is too large to be kept serves the prompts beside it all the same
            at_hand = (prefix for prefix in prefixes if torch.equal(prefix.embedded, begins))
            prefixes.append(next(at_hand, None) or self._prefix(each, begins))
        logits: dict[int, Tensor] = {}
        for prefix in {id(prefix): prefix for prefix in prefixes}.values():
            alike = [i for i, other in enumerate(prefixes) if other is prefix]
            logits |= zip(alike, self._behind(prefix, [sequences[i] for i in alike]), strict=True)
        return [logits[i] for i in range(len(sequences))]

    def _behind(self, prefix: _Prefix, sequences: Sequence[PromptSequence]) -> Tensor:
        """Logits ``(b, layers, heads, n)`` of prompts that begin with a prefix."""
        tails = PromptBatch.of([each.behind(prefix.embedded.shape[1]) for each in sequences])
        cache = self._new_cache()
        for index, (keys, values) in enumerate(prefix.layers):
            shape = (len(tails), -1, -1, -1)
            cache.update(keys.expand(shape), values.expand(shape), index)

        def read(number: int, hidden: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
            layer = self._decoder.layers[number]
            queries = rotated_queries(layer, hidden, rotary, tails.last.to(hidden.device))
            keys = prefix.keys[self._layers.index(number)]
            return pair_logits(queries, keys, layer.self_attn.scaling)[:, :, 0]

        logits = self._run(tails, cache, read)
        return torch.stack([each.to(logits[-1].device) for each in logits], 1)

    def _prefix(self, sequence: PromptSequence, embedded: Tensor) -> _Prefix:
        length = embedded.shape[1]
        # tells scenes apart as a rule; where it does not, the comparison does
        key = (length, *embedded[0, int(sequence.visual[0]), :4].tolist())
        entry = self._prefixes.get(key)
        if entry is not None and torch.equal(entry.embedded, embedded):
            return entry
        self.runs += 1
        cache = self._new_cache()

        def read(number: int, hidden: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
            keys = rotated_keys(self._decoder.layers[number], hidden, rotary, 0, length)
            return keys[:, :, sequence.visual.to(hidden.device)]

        keys = tuple(self._run(PromptBatch.of([sequence.until(length)]), cache, read))
        below = cache.layers[: self._layers[-1]]
        entry = _Prefix(embedded.clone(), tuple((x.keys, x.values) for x in below), keys)
        return self._prefixes.put(key, entry)

    def _new_cache(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache(config=self._decoder.config)

    def _run(self, prompts: PromptBatch, cache: Any, read: Visit) -> list[Tensor]:
        inputs = prompts.inputs(cache.get_seq_length())
        return visit_layers(self._decoder, self._layers, inputs, read, cache)


def can_reuse_prefix(decoder: Any, layer: int) -> bool:
    """Whether all layers of a decoder keep keys of everything before, and some lie below."""
    return 0 < layer < len(decoder.layers) and can_batch(decoder)
