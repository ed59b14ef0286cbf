"""A prompt through a decoder whose vision tokens may wait, and come back for a later word.

The prefill is that of `PlannedRun`, and the states of tokens that leave are kept. Each word of the
answer chooses its tokens again after the layers where tokens leave. If it needs a token in a layer
that this token never entered, the token runs beside the word from there on. So a token passes a
layer at most once, and the cache of a layer holds tokens out of order, each with its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.pipeline.inference.attention.rows import (
    layer_values,
    merged_rotary,
    pair_logits,
    rotated_keys,
    rotated_queries,
)
from geofovea.pipeline.inference.decoder.planned import PlannedRun, Rows
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.regionfocus.layer_plans.base import LayerMethod, LayerPlan
from geofovea.regionfocus.layer_plans.lazyllm import LazyLlm

__all__ = ["LazyRun", "planned_run"]


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    """What runs through a layer for one word: that word, last, and tokens that come back.

    Attributes:
        hidden: ``(1, r, d)``.
        places: int64 ``(r,)``, ascending: where they stand in the sequence.
    """

    hidden: Tensor
    places: Tensor


class LazyRun(PlannedRun):
    """See `PlannedRun`; tokens that leave behind a layer may come back.

    Attributes:
        waiting: For each layer, the states of tokens that have not entered it, by their place.
    """

    def __init__(
        self,
        decoder: Any,
        sequence: PromptSequence,
        method: LazyLlm,
        tiles: Tensor | None = None,
    ) -> None:
        """Prepare a run; see `PlannedRun`."""
        super().__init__(decoder, sequence, method, tiles)
        self._lazy = method
        self._positions = sequence.positions.to(sequence.embedded.device)
        self.waiting: list[dict[int, Tensor]] = [{} for _ in self._layers]
        self._is_pruned = False

    @torch.inference_mode()
    def advance(self, embedded: Tensor) -> Tensor:
        """See `PlannedRun`."""
        # also once all have come back: each word still sees what it wants, no more
        if not self._is_pruned:
            return super().advance(embedded)
        place = self._positions.shape[-1]
        following = self._positions.new_full((*self._positions.shape[:-1], 1), self._next)
        self._positions = torch.cat([self._positions, following], dim=-1)
        self._next += 1
        running = _Running(embedded, self._which[0].new_tensor([place]))
        is_seen = torch.ones(place + 1, dtype=torch.bool, device=embedded.device)
        for number in range(len(self._layers)):
            running, attention = self._run_lazily(number, running, is_seen)
            if self._lazy.share_behind(number, len(self._layers)):
                running = self._choose(number, running, is_seen, attention)
        state: Tensor = self._decoder.norm(running.hidden[:, -1])
        return state

    def _leave(self, number: int, rows: Rows, plan: LayerPlan) -> Rows:
        after = super()._leave(number, rows, plan)
        gone = ~torch.isin(rows.which, after.which)
        self._put(number + 1, rows.which[gone], rows.hidden[0, gone])
        self._is_pruned = self._is_pruned or bool(gone.any())
        return after

    def _put(self, number: int, places: Tensor, states: Tensor) -> None:
        for place, state in zip(places.tolist(), states, strict=True):
            self.waiting[number][place] = state

    def _run_lazily(
        self, number: int, running: _Running, is_seen: Tensor
    ) -> tuple[_Running, Tensor]:
        """Run a layer; what comes out, and the last row's attention to its entries, ``(s,)``."""
        layer, rows = self._layers[number], running.places
        rotary = self._decoder.rotary_emb(running.hidden, self._positions[..., rows])
        own = merged_rotary(layer, rotary)
        stored = self.cache.update(
            rotated_keys(layer, running.hidden, own, 0, len(rows)),
            layer_values(layer, running.hidden),
            number,
        )
        self._which[number] = which = torch.cat([self._which[number], rows])
        order = torch.arange(len(rows), device=rows.device)[None]
        queries = rotated_queries(layer, running.hidden, own, order)
        logits = pair_logits(queries, stored[0], layer.self_attn.scaling)[0]
        sees = is_seen[which] & (which <= rows[:, None])
        weights = logits.masked_fill(~sees, -torch.inf).softmax(-1)
        values = stored[1][0].repeat_interleave(len(weights) // stored[1].shape[1], 0)
        mixed = (weights.to(values.dtype) @ values).transpose(0, 1).flatten(1)[None]
        hidden = running.hidden + layer.self_attn.o_proj(mixed)
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        return _Running(self._with_deep(number, hidden, rows), rows), weights[:, -1].mean(0)

    def _choose(
        self, number: int, running: _Running, is_seen: Tensor, attention: Tensor
    ) -> _Running:
        """What runs on behind a layer for this word; changes ``is_seen``."""
        which = self._which[number]
        visual = self._sequence.visual.to(which.device)
        candidates = (torch.isin(which, visual) & is_seen[which]).nonzero()[:, 0]
        # in the order of the sequence, as in the prefill, so that ties fall alike
        candidates = candidates[which[candidates].argsort()]
        best = self._lazy.wanted(attention[candidates], number, len(self._layers))
        wanted = which[candidates[best]]
        is_seen[which[candidates]] = False
        is_seen[wanted] = True
        goes_on = is_seen[running.places]
        self._put(number + 1, running.places[~goes_on], running.hidden[0, ~goes_on])
        waiting = self.waiting[number + 1]
        back = [place for place in wanted.tolist() if place in waiting]
        states = [waiting.pop(place) for place in back]
        places = torch.cat([running.places[goes_on], running.places.new_tensor(back)])
        hidden = torch.cat([running.hidden[0, goes_on], *(state[None] for state in states)])
        order = places.argsort()
        return _Running(hidden[order][None], places[order])

    def _with_deep(self, number: int, hidden: Tensor, places: Tensor) -> Tensor:
        """States with the features that some families add behind early layers."""
        deep, visual = self._sequence.deep, self._sequence.visual.to(places.device)
        is_visual = torch.isin(places, visual)
        if deep is None or number >= len(deep) or not bool(is_visual.any()):
            return hidden
        own = deep[number][torch.searchsorted(visual, places[is_visual])]
        return hidden.index_add(1, is_visual.nonzero()[:, 0], own[None].to(hidden))


def planned_run(
    decoder: Any, sequence: PromptSequence, method: LayerMethod, tiles: Tensor | None = None
) -> PlannedRun:
    """The run that a method needs; see `PlannedRun`."""
    run = LazyRun if isinstance(method, LazyLlm) else PlannedRun
    return run(decoder, sequence, method, tiles)  # type: ignore[arg-type]
