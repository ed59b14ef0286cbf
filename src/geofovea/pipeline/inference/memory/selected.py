"""A question after stored tiles, each word of which chooses the entries that it reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.inference.attention.rows import merged_rotary, rotated_queries
from geofovea.pipeline.inference.attention.support import attention_window
from geofovea.pipeline.inference.decoder.planned_layer import (
    Entries,
    can_plan_layers,
    planned_layer,
)
from geofovea.pipeline.inference.memory.assembly import StoredPrefix
from geofovea.pipeline.inference.memory.behind import StoredRun
from geofovea.regionfocus.cache_policies.base import CachePolicy, CacheView
from geofovea.regionfocus.layer_plans.base import LayerPlan, Shaping

__all__ = ["SelectiveRun"]

_WINDOW = 8
"""Last words of a prompt whose attention says which entries stay."""


class SelectiveRun(StoredRun):
    """One prompt whose beginning is stored, and read by a policy.

    Each word of the question and of the answer attends to the vision entries that the policy
    chooses for it, in each layer. Entries that it drops behind the question are gone for the words
    of the answer.

    Attributes:
        entries_read: Vision entries that words attended to, over all layers and words.
    """

    def __init__(
        self, decoder: Any, prefix: StoredPrefix, policy: CachePolicy, answer: int = 16
    ) -> None:
        """Prepare a run; `prefill` comes first.

        Args:
            decoder: The text model.
            prefix: The stored beginning, and the prompt.
            policy: Says which entries are read.
            answer: See `StoredRun`.

        Raises:
            ModelError: If the decoder's layers cannot be run by their projections, or see less than
                the prompt.
        """
        window = attention_window(decoder)
        if not can_plan_layers(decoder) or (window is not None and window < len(prefix.sequence)):
            raise ModelError(
                f"{policy.name} needs a LLaMA, Qwen2 or Qwen3 decoder without experts whose layers "
                f"see the whole prompt; the {decoder.config.model_type!r} decoder of this model is "
                f"not one: leave {policy.name} out of policy="
            )
        super().__init__(decoder, prefix, answer)
        self._policy = policy
        self.entries_read = 0
        visual = prefix.sequence.visual.to(prefix.sequence.embedded.device)
        self._visual = [visual] * len(decoder.layers)

    def prefill(self) -> Tensor:
        """See `StoredRun`."""
        tail = self._prompts
        hidden = self._through(tail.embedded, tail.positions, drops=self._policy.needs_question)
        return hidden[:, -1]

    def _run(self, embedded: Tensor) -> Tensor:
        count = embedded.shape[1]
        positions = self._next + torch.arange(count, device=embedded.device)
        states = self._through(embedded, positions, drops=False)
        self._next = self._next + count
        return states

    def _through(self, hidden: Tensor, positions: Tensor, *, drops: bool) -> Tensor:
        """Normed states of words behind all layers, ``(1, m, d)``."""
        rotary = self._decoder.rotary_emb(hidden, positions.to(hidden.device))
        plan = LayerPlan(shaping=Shaping("all", logits=self._chosen))
        for number, layer in enumerate(self._decoder.layers):
            before, own = hidden, merged_rotary(layer, rotary)
            visual = self._visual[number]
            length = self._cache.get_seq_length(number) + hidden.shape[1]
            entries = Entries(length, visual, torch.zeros_like(visual))
            hidden = planned_layer(layer, number, hidden, own, plan, entries, self._cache)
            if drops:
                self._drop(number, layer, before, own)
        states: Tensor = self._decoder.norm(hidden)
        return states

    def _chosen(self, logits: Tensor, visual: Tensor) -> Tensor:
        """Logits ``(heads, m, s)`` without those of vision entries that are not read."""
        of_vision = logits[:, :, visual]
        sees = self._policy.sees(of_vision)
        if sees is None:
            self.entries_read += logits.shape[1] * len(visual)
            return logits
        self.entries_read += int(sees.sum())
        return logits.index_copy(2, visual, of_vision.masked_fill(~sees, -torch.inf))

    def _drop(self, number: int, layer: Any, hidden: Tensor, rotary: tuple[Tensor, Tensor]) -> None:
        """Leave in the cache of a layer what the policy keeps for the answer."""
        stored = self._cache.layers[number]
        length, count = stored.keys.shape[2], hidden.shape[1]
        rows = torch.arange(max(0, count - _WINDOW), count, device=hidden.device)
        view = CacheView(
            stored.keys[0],
            stored.values[0],
            self._visual[number],
            rotated_queries(layer, hidden, rotary, rows[None])[0],
            rows + length - count,
            number,
            len(self._decoder.layers),
        )
        indices = self._policy.keep(view).to(hidden.device)
        by_head = indices if indices.ndim == 2 else indices[None]
        # where heads keep entries of their own, as many of them are vision tokens in each
        first, where = by_head[0], by_head[None, :, :, None]
        shape = (1, stored.keys.shape[1], len(first), stored.keys.shape[3])
        stored.keys = stored.keys.gather(2, where.expand(shape))
        stored.values = stored.values.gather(2, where.expand(shape))
        self._visual[number] = torch.isin(first, view.visual).nonzero()[:, 0]
