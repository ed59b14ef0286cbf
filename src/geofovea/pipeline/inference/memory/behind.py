"""Questions behind stored tiles: their own words alone run through the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from geofovea.pipeline.inference.attention.rows import pair_logits, rotated_queries
from geofovea.pipeline.inference.decoder.run import DecoderRun, visit_layers
from geofovea.pipeline.inference.memory.assembly import StoredPrefix, filled_cache
from geofovea.pipeline.inference.prompts.batch import PromptBatch

__all__ = ["StoredRun", "stored_row_logits"]


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
        super().__init__(decoder, tail, answer)
        room = max(tail.lengths) + answer
        keys, values = prefix.states(decoder, len(decoder.layers))
        self._cache = filled_cache(decoder, keys, values, room)
        self._stored = prefix.length


def stored_row_logits(decoder: Any, layers: Sequence[int], prefix: StoredPrefix) -> Tensor:
    """Scaled attention logits of a prompt's last token over its vision tokens.

    Only the words behind the stored part run, and only through the layers below the last one read.

    Args:
        decoder: The text model.
        layers: Numbers of the layers, ascending.
        prefix: The stored beginning, and the prompt.

    Returns:
        float32 ``(layers, heads, n)``.
    """
    depth = layers[-1]
    keys, values = prefix.states(decoder, depth + 1)
    cache = filled_cache(decoder, keys[:depth], values[:depth])
    tail = PromptBatch.of([prefix.tail])
    inputs = tail.inputs(prefix.length)
    visual = prefix.sequence.visual.to(keys.device)

    def read(number: int, hidden: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        module = decoder.layers[number]
        queries = rotated_queries(module, hidden, rotary, tail.last.to(hidden.device))
        own = keys[number][None][:, :, visual]
        return pair_logits(queries, own, module.self_attn.scaling)[0, :, 0]

    return torch.stack(visit_layers(decoder, layers, inputs, read, cache))
