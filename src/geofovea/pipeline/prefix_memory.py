"""What the focus layers made of a prompt's beginning, for the next question about the same tiles.

Vision tokens stand before the question and attention is causal, so keys and values of all that
stands before the question do not depend on it. What is kept is compared with the new prompt number
by number before it is used, so nothing has to be promised about where tokens came from.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.pipeline.decoding import layer_input
from geofovea.pipeline.prompt_sequence import PromptSequence
from geofovea.pipeline.row_attention import pair_logits, rotated_keys, rotated_queries

__all__ = ["PrefixMemory", "can_reuse_prefix"]

_KEPT_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class _Prefix:
    """A prompt up to its last vision token, as the focus layers leave it.

    Attributes:
        embedded: ``(1, p, d)``, what it was made from.
        layers: Keys and values ``(1, key heads, p, head_dim)`` of each layer below the focus layer.
        keys: Of the vision tokens in the focus layer, ``(1, key heads, n, head_dim)``.
    """

    embedded: Tensor
    layers: tuple[tuple[Tensor, Tensor], ...]
    keys: Tensor

    @property
    def nbytes(self) -> int:
        pairs = sum(key.nbytes + value.nbytes for key, value in self.layers)
        return self.embedded.nbytes + self.keys.nbytes + pairs


class PrefixMemory:
    """A least-recently-used memory of prefixes, bounded in bytes, for one decoder.

    It is for prompts with the vision tokens before the question, at 1-D positions from 0 on without
    gaps, and for decoders whose layers all attend to everything before.
    """

    def __init__(self, decoder: Any, layer: int, limit_bytes: int = _KEPT_BYTES) -> None:
        """Start empty.

        Args:
            decoder: The text model.
            layer: Its focus layer, at least 1.
            limit_bytes: Most that is kept; a prefix above it is used once and forgotten.
        """
        self._decoder = decoder
        self._layer = layer
        self._limit = limit_bytes
        self._prefixes: OrderedDict[tuple[Any, ...], _Prefix] = OrderedDict()
        self.runs = 0

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return sum(prefix.nbytes for prefix in self._prefixes.values())

    def logits(self, sequence: PromptSequence) -> Tensor:
        """As ``last_row_logits`` has them, within rounding, float32 ``(heads, n)``."""
        length = int(sequence.visual[-1]) + 1
        prefix = self._prefix(sequence, length)
        cache = self._new_cache()
        for index, (keys, values) in enumerate(prefix.layers):
            cache.update(keys, values, index)
        hidden, rotary = self._run(sequence, slice(length, None), cache)
        layer = self._decoder.layers[self._layer]
        last = torch.full((1, 1), hidden.shape[1] - 1, device=hidden.device)
        queries = rotated_queries(layer, hidden, rotary, last)
        return pair_logits(queries, prefix.keys, layer.self_attn.scaling)[0, :, 0]

    def _prefix(self, sequence: PromptSequence, length: int) -> _Prefix:
        embedded = sequence.embedded[:, :length]
        # tells scenes apart as a rule; where it does not, the comparison does
        key = (length, *embedded[0, int(sequence.visual[0]), :4].tolist())
        kept = self._prefixes.get(key)
        if kept is not None and torch.equal(kept.embedded, embedded):
            self._prefixes.move_to_end(key)
            return kept
        self.runs += 1
        cache = self._new_cache()
        hidden, rotary = self._run(sequence, slice(0, length), cache)
        visual = sequence.visual.to(hidden.device)
        layer = self._decoder.layers[self._layer]
        keys = rotated_keys(layer, hidden, rotary, 0, length)[:, :, visual]
        below = cache.layers[: self._layer]
        made = _Prefix(embedded.clone(), tuple((x.keys, x.values) for x in below), keys)
        self._keep(key, made)
        return made

    def _keep(self, key: tuple[Any, ...], prefix: _Prefix) -> None:
        self._prefixes.pop(key, None)
        if prefix.nbytes > self._limit:
            return
        self._prefixes[key] = prefix
        while self.nbytes > self._limit:
            self._prefixes.popitem(last=False)

    def _new_cache(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache(config=self._decoder.config)

    def _run(
        self, sequence: PromptSequence, part: slice, cache: Any
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        embedded = sequence.embedded[:, part]
        seen = cache.get_seq_length() + embedded.shape[1]
        return layer_input(
            self._decoder,
            self._layer,
            {
                "inputs_embeds": embedded,
                "position_ids": sequence.positions[..., part],
                "attention_mask": torch.ones(1, seen, dtype=torch.long, device=embedded.device),
                "past_key_values": cache,
                "use_cache": True,
            },
        )


def can_reuse_prefix(decoder: Any, layer: int) -> bool:
    """Whether all layers of a decoder keep keys of everything before, and some lie below."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    layers = DynamicCache(config=decoder.config).layers
    return 0 < layer < len(layers) and all(type(kept) is DynamicLayer for kept in layers)
