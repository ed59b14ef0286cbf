"""A prompt through a stock decoder whose vision tokens do what a layer method plans for them.

Decoders of LLaMA's kind, unpatched, one sequence at a time. A layer without a plan is the stock
layer, to the bit; in the others `planned_layer` computes what the plan leaves and nothing else.
Words between tiles are words: they run in every layer, and see all before them.

Words of the answer see the cache of each layer as the prompt filled it. Where vision tokens are
gone, they never were in the cache; heads that do not see them, and changes of attention, hold for
the answer, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.inference.attention.rows import merged_rotary, row_logits
from geofovea.pipeline.inference.attention.support import attention_window
from geofovea.pipeline.inference.decoder.forward import forward
from geofovea.pipeline.inference.decoder.layer_work import LayerWork, work_of
from geofovea.pipeline.inference.decoder.planned_layer import (
    Entries,
    can_plan_layers,
    planned_layer,
)
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.regionfocus.layer_plans.base import LayerMethod, LayerPlan

__all__ = ["PlannedRun", "Rows"]


class PlannedRun:
    """One prompt on its way through a decoder; `prefill` first, then `advance` token by token.

    Attributes:
        work: What each layer did for vision tokens in the prefill.
        plans: The plan of each layer.
        cache: Keys and values; layers differ in length where vision tokens are gone.
    """

    def __init__(
        self,
        decoder: Any,
        sequence: PromptSequence,
        method: LayerMethod,
        tiles: Tensor | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            decoder: The text model in evaluation mode.
            sequence: The prompt.
            method: Says what vision tokens do.
            tiles: int64 ``(n,)``, the tile of each vision token; None for one tile.

        Raises:
            ModelError: If the decoder's layers cannot be run by their projections, if its attention
                sees less than the prompt, or if tokens of this prompt see each other both ways.
        """
        from transformers import DynamicCache

        if not can_plan_layers(decoder):
            raise ModelError(
                f"no work can be skipped inside the layers of a {decoder.config.model_type!r} "
                "decoder; leave out skip=, or choose a model whose decoder is of LLaMA's, "
                "Mistral's, Qwen2's or Qwen3's kind, without experts"
            )
        window = attention_window(decoder)
        if window is not None and len(sequence) > window:
            raise ModelError(
                f"the decoder sees {window} tokens back, and a prompt of {len(sequence)} cannot be "
                "run layer by layer with full attention; set a smaller token budget"
            )
        if sequence.blocks is not None:
            raise ModelError(
                "vision tokens of this model see each other both ways, and a layer plan lets them "
                "see what stands before them; leave out skip="
            )
        self.cache = DynamicCache()
        self.work: list[LayerWork] = []
        self.plans: list[LayerPlan] = []
        self._decoder, self._sequence, self._method = decoder, sequence, method
        self._tiles = torch.zeros_like(sequence.visual) if tiles is None else tiles
        self._layers: list[Any] = list(decoder.layers)[: decoder.config.num_hidden_layers]
        self._entries: list[Entries] = []
        self._which: list[Tensor] = []
        self._next = sequence.next_position

    @property
    def tokens_by_layer(self) -> tuple[int, ...]:
        """Vision tokens whose keys and values each layer made."""
        return tuple(each.present for each in self.work)

    @property
    def tokens_beside(self) -> int:
        """Tokens that entered layers of the prompt without a place in its sequence."""
        added = [plan.added for plan in self.plans if plan.added is not None]
        return sum(int(each.any(1).sum()) for each in added)

    @torch.inference_mode()
    def prefill(self) -> Tensor:
        """Run the prompt; the normed state of its last token, ``(1, d)``."""
        rows = self._rows()
        for number, layer in enumerate(self._layers):
            plan = self._plan(number, layer, rows)
            if plan.is_gone:
                rows = self._kept(rows, rows.entries.words)
            self.plans.append(plan)
            self._entries.append(rows.entries)
            self._which.append(rows.which)
            heads = self._decoder.config.num_attention_heads
            self.work.append(work_of(plan, rows.entries, heads))
            rows = replace(rows, hidden=self._run_layer(number, rows, plan))
            rows = self._leave(number, rows, plan)
        state: Tensor = self._decoder.norm(rows.hidden[:, -1])
        return state

    def _rows(self) -> Rows:
        """What enters the first layer."""
        sequence = self._sequence
        hidden = sequence.embedded
        visual, positions = (
            each.to(hidden.device) for each in (sequence.visual, sequence.positions)
        )
        entries = Entries(hidden.shape[1], visual, self._tiles.to(hidden.device))
        which = torch.arange(hidden.shape[1], device=hidden.device)
        return Rows(hidden, positions, self._decoder.rotary_emb(hidden, positions), entries, which)

    def _kept(self, rows: Rows, stay: Tensor) -> Rows:
        """Some rows alone, int64 ascending; their positions are as before."""
        hidden, positions, entries = rows.hidden[:, stay], rows.positions[..., stay], rows.entries
        number = torch.full((entries.length,), -1, device=stay.device)
        number[entries.visual] = torch.arange(len(entries.visual), device=stay.device)
        of_visual = number[stay]
        is_visual = of_visual >= 0
        own = Entries(len(stay), is_visual.nonzero()[:, 0], entries.tiles[of_visual[is_visual]])
        rotary = self._decoder.rotary_emb(hidden, positions)
        return Rows(hidden, positions, rotary, own, rows.which[stay])

    def _run_layer(self, number: int, rows: Rows, plan: LayerPlan) -> Tensor:
        """States behind a layer, with what goes before and behind it."""
        hidden, visual = rows.hidden, rows.entries.visual
        if plan.added is not None:
            hidden = hidden.index_add(1, visual, plan.added[None].to(hidden))
        hidden = self._through(number, hidden, rows.rotary, plan, rows.entries)
        deep = self._sequence.deep
        if deep is not None and number < len(deep) and len(visual):
            own = deep[number][self._numbers(rows)]
            hidden = hidden.index_add(1, visual, own[None].to(hidden))
        return hidden

    def _numbers(self, rows: Rows) -> Tensor:
        """Which of the prompt's vision tokens are left."""
        places = rows.which[rows.entries.visual]
        return torch.searchsorted(self._sequence.visual.to(places.device), places)

    def _leave(self, number: int, rows: Rows, plan: LayerPlan) -> Rows:  # noqa: ARG002
        """What goes on to the next layer."""
        if plan.stays is None:
            return rows
        stays = rows.entries.visual[plan.stays.to(rows.which.device)]
        return self._kept(rows, torch.cat([rows.entries.words, stays]).sort().values)

    @torch.inference_mode()
    def advance(self, embedded: Tensor) -> Tensor:
        """Run one token of the answer ``(1, 1, d)``; its normed state, ``(1, d)``."""
        shape = (*self._sequence.positions.shape[:-1], 1)
        position = torch.full(shape, self._next, device=embedded.device)
        rotary, hidden = self._decoder.rotary_emb(embedded, position), embedded
        for number, plan in enumerate(self.plans):
            length = self.cache.get_seq_length(number) + 1
            entries = self._entries[number].with_answer(length)
            hidden = self._through(number, hidden, rotary, plan, entries)
        self._next += 1
        state: Tensor = self._decoder.norm(hidden[:, -1])
        return state

    def _plan(self, number: int, layer: Any, rows: Rows) -> LayerPlan:
        entries = rows.entries
        if not len(entries.visual):
            return LayerPlan()
        view = _View(
            number,
            len(self._layers),
            rows.hidden[0],
            entries.visual,
            entries.tiles,
            self._numbers(rows),
            layer,
            merged_rotary(layer, rows.rotary),
        )
        return self._method.plan(view)

    def _through(
        self,
        number: int,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        plan: LayerPlan,
        entries: Entries,
    ) -> Tensor:
        layer = self._layers[number]
        if plan.is_stock or plan.is_gone:
            # positions are not passed: flash attention would take gaps in them for borders
            output = forward(
                layer,
                hidden,
                attention_mask=_causal(hidden, layer),
                position_embeddings=rotary,
                cache=self.cache,
            )
            through: Tensor = output[0] if isinstance(output, tuple) else output
            return through
        own = merged_rotary(layer, rotary)
        return planned_layer(layer, number, hidden, own, plan, entries, self.cache)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The tokens on their way: ``which`` of the prompt they are, and what layers need of them."""

    hidden: Tensor
    positions: Tensor
    rotary: tuple[Tensor, Tensor]
    entries: Entries
    which: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """See `LayerView`."""

    layer: int
    depth: int
    hidden: Tensor
    visual: Tensor
    tiles: Tensor
    numbers: Tensor
    module: Any
    rotary: tuple[Tensor, Tensor]

    def attention(self, rows: Tensor) -> Tensor:
        length = len(self.hidden)
        logits = row_logits(self.module, self.hidden[None], self.rotary, rows[None], 0, length)[0]
        later = torch.arange(length, device=rows.device) > rows[:, None]
        weights: Tensor = logits.masked_fill(later, -torch.inf).softmax(-1)
        return weights


def _causal(hidden: Tensor, layer: Any) -> Tensor | None:
    """A mask (1, 1, s, s) for eager attention, which does not mask by itself."""
    length = hidden.shape[1]
    if length == 1 or layer.self_attn.config._attn_implementation != "eager":
        return None
    lowest = torch.finfo(hidden.dtype).min
    full = torch.full((length, length), lowest, dtype=hidden.dtype, device=hidden.device)
    return full.triu(1)[None, None]
