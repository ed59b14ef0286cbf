"""One layer of a decoder by its own projections, without what a plan leaves out.

For layers of LLaMA's kind: a norm before attention and one before the feed-forward, each added to
what came in. Rows that do nothing are not computed. Vision tokens that see their own tile run tile
by tile, so no matrix is larger than a tile's; a word sees all before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.inference.attention.rows import pair_logits, rotate
from geofovea.pipeline.inference.attention.support import can_copy_layers
from geofovea.regionfocus.layer_plans.base import LayerPlan

__all__ = ["Entries", "can_plan_layers", "planned_layer", "visible"]


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """The tokens that a layer's attention can see.

    Attributes:
        length: Their number.
        visual: int64 ``(n,)``, ascending: the vision tokens among them.
        tiles: int64 ``(n,)``, the tile of each vision token.
    """

    length: int
    visual: Tensor
    tiles: Tensor

    @property
    def words(self) -> Tensor:
        """int64, ascending: the others."""
        every = torch.ones(self.length, dtype=torch.bool, device=self.visual.device)
        every[self.visual] = False
        return every.nonzero()[:, 0]

    def with_answer(self, length: int) -> Entries:
        """The same with words of an answer behind them."""
        return Entries(length, self.visual, self.tiles)


def can_plan_layers(decoder: Any) -> bool:
    """Whether its layers can be run by `planned_layer`."""
    # layers with experts choose their feed-forward token by token
    return can_copy_layers(decoder) and all(
        hasattr(layer.mlp, "gate_proj") and not hasattr(layer.mlp, "experts")
        for layer in decoder.layers
    )


def visible(rows: Tensor, keys: Tensor, plan: LayerPlan, entries: Entries) -> Tensor:
    """Which entries some rows see under a plan, before heads differ; bool ``(q, k)``.

    Args:
        rows: int64 ``(q,)``, places of the queries.
        keys: int64 ``(k,)``, places of the entries.
        plan: Of the layer.
        entries: All of its entries.
    """
    device = entries.visual.device
    number = torch.full((entries.length,), -1, device=device)
    number[entries.visual] = torch.arange(len(entries.visual), device=device)
    of_row, of_key = number[rows], number[keys]
    sees = keys <= rows[:, None]
    both = (of_row >= 0)[:, None] & (of_key >= 0)
    if plan.pairs is not None:
        sees = torch.where(both, plan.pairs.to(device)[of_row[:, None], of_key], sees)
    if plan.sees == "own_tile":
        sees &= ~both | (entries.tiles[of_row][:, None] == entries.tiles[of_key])
    if plan.later_words is not None:
        later = torch.isin(keys, plan.later_words.to(device))
        sees |= (of_row >= 0)[:, None] & later
    return sees


def planned_layer(
    layer: Any,
    number: int,
    hidden: Tensor,
    rotary: tuple[Tensor, Tensor],
    plan: LayerPlan,
    entries: Entries,
    cache: Any,
) -> Tensor:
    """Run tokens through a layer; keys and values of all of them go into the cache.

    Args:
        layer: A decoder layer of ``transformers``, see `can_plan_layers`.
        number: Its number.
        hidden: ``(1, r, d)``: the whole prompt, or the words that follow it.
        rotary: Cosines and sines ``(1, r, head_dim)`` of these.
        plan: What vision tokens do.
        entries: What the layer can see, these tokens included, which are the last of them.
        cache: Keys and values of earlier tokens.

    Returns:
        ``(1, r, d)``.
    """
    before = entries.length - hidden.shape[1]
    visual = entries.visual if before == 0 else entries.visual[:0]
    words = entries.words if before == 0 else torch.arange(hidden.shape[1], device=hidden.device)
    attention = _LayerAttention(layer.self_attn, number, plan, entries)
    source = hidden
    if plan.states is not None and len(visual):
        source = hidden.index_copy(1, visual, plan.states[None].to(hidden))
    normed = layer.input_layernorm(source)
    keys, values = attention.remember(normed, rotary, cache)
    rows = torch.arange(hidden.shape[1], device=hidden.device) if plan.attends else words
    mixed = attention.mixed(
        normed[:, rows], tuple(t[:, rows] for t in rotary), rows + before, keys, values
    )
    after = hidden.index_add(1, rows, layer.self_attn.o_proj(mixed))
    return _fed(layer, plan, after, normed, words, visual)


def _fed(
    layer: Any, plan: LayerPlan, states: Tensor, normed: Tensor, words: Tensor, visual: Tensor
) -> Tensor:
    """States behind the feed-forward of those tokens that pass it."""
    if plan.feeds is True and not plan.is_parallel:
        fed: Tensor = states + layer.mlp(layer.post_attention_layernorm(states))
        return fed
    of_words = layer.mlp(layer.post_attention_layernorm(states[:, words]))
    fed = states.index_add(1, words, of_words)
    if plan.feeds is False or not len(visual):
        return fed
    if plan.is_parallel:
        return fed.index_add(1, visual, layer.mlp(normed[:, visual]))
    own = layer.post_attention_layernorm(states[:, visual])
    units = plan.feeds
    return fed.index_add(1, visual, _some_units(layer.mlp, own, units))  # type: ignore[arg-type]


def _some_units(mlp: Any, states: Tensor, units: Tensor) -> Tensor:
    """A gated feed-forward with some of its units."""
    units = units.to(states.device)
    parts = []
    for projection in (mlp.gate_proj, mlp.up_proj):
        bias = None if projection.bias is None else projection.bias[units]
        parts.append(torch.nn.functional.linear(states, projection.weight[units], bias))
    inner = mlp.act_fn(parts[0]) * parts[1]
    down: Tensor = torch.nn.functional.linear(
        inner, mlp.down_proj.weight[:, units], mlp.down_proj.bias
    )
    return down


@dataclass(frozen=True, slots=True, eq=False)
class _LayerAttention:
    """The attention of a layer under a plan."""

    module: Any
    number: int
    plan: LayerPlan
    entries: Entries

    def remember(
        self, normed: Tensor, rotary: tuple[Tensor, Tensor], cache: Any
    ) -> tuple[Tensor, Tensor]:
        """Keys and values ``(key_heads, s, head_dim)`` of all entries."""
        keys = self._heads(self.module.k_proj(normed))
        if hasattr(self.module, "k_norm"):
            keys = self.module.k_norm(keys)
        turned = rotate(self.module, keys.transpose(1, 2), *rotary)
        values = self._heads(self.module.v_proj(normed)).transpose(1, 2)
        stored = cache.update(turned, values, self.number)
        return stored[0][0], stored[1][0]

    def mixed(
        self,
        normed: Tensor,
        rotary: tuple[Tensor, ...],
        rows: Tensor,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        """What attention puts out for some rows, ``(1, q, heads · head_dim)``."""
        queries = self._heads(self.module.q_proj(normed))
        if hasattr(self.module, "q_norm"):
            queries = self.module.q_norm(queries)
        turned = rotate(self.module, queries.transpose(1, 2), *rotary)[0]
        group = turned.shape[0] // keys.shape[0]
        # one key head for each query head, so that heads can be told apart
        keys, values = keys.repeat_interleave(group, 0), values.repeat_interleave(group, 0)
        mixed = torch.empty_like(turned)
        shaped = self._shaped(rows)
        plain = ~shaped
        if bool(plain.any()):
            mixed[:, plain] = self._plain_rows(turned[:, plain], keys, values, rows[plain])
        if bool(shaped.any()):
            mixed[:, shaped] = self._shaped_rows(turned[:, shaped], keys, values, rows[shaped])
        return mixed.transpose(0, 1).flatten(1)[None]

    def _plain_rows(self, queries: Tensor, keys: Tensor, values: Tensor, rows: Tensor) -> Tensor:
        """Attention ``(heads, q, head_dim)`` by a fused kernel, block by block."""
        attend = torch.nn.functional.scaled_dot_product_attention
        count, scale = len(rows), self.module.scaling
        if self._is_causal and int(rows[-1]) == count - 1:
            # the first rows of a prompt see themselves: no mask has to be made
            whole: Tensor = attend(
                queries[None],
                keys[None, :, :count],
                values[None, :, :count],
                is_causal=True,
                scale=scale,
            )
            return whole[0]
        mixed = torch.empty_like(queries)
        for heads, is_blind in self._head_sets(len(queries)):
            head = heads[:, None]
            for some, seen, mask in self._blocks(rows, is_blind=is_blind):
                mixed[head, some] = attend(
                    queries[head, some][None],
                    keys[head, seen][None],
                    values[head, seen][None],
                    attn_mask=mask,
                    scale=scale,
                )[0]
        return mixed

    @property
    def _is_causal(self) -> bool:
        """Whether a row sees all before it, in all heads."""
        plan = self.plan
        return (
            plan.sees == "causal"
            and plan.pairs is None
            and plan.later_words is None
            and not plan.blind_heads
        )

    def _heads(self, projected: Tensor) -> Tensor:
        return projected.view(*projected.shape[:2], -1, self.module.head_dim)

    def _head_sets(self, count: int) -> Iterator[tuple[Tensor, bool]]:
        """Heads that see vision, and those that do not."""
        every = torch.arange(count, device=self.entries.visual.device)
        blind = torch.isin(every, every.new_tensor(self.plan.blind_heads))
        if bool((~blind).any()):
            yield every[~blind], False
        if bool(blind.any()):
            yield every[blind], True

    def _shaped(self, rows: Tensor) -> Tensor:
        """Which rows are computed apart, bool ``(q,)``."""
        shaping = self.plan.shaping
        if shaping is None:
            return torch.zeros_like(rows, dtype=torch.bool)
        if shaping.rows == "all":
            return torch.ones_like(rows, dtype=torch.bool)
        if shaping.rows == "last":
            return rows == self.entries.length - 1
        behind = int(self.entries.visual[-1]) if len(self.entries.visual) else -1
        return rows > behind

    def _blocks(
        self, rows: Tensor, *, is_blind: bool
    ) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Rows that run together, by their number, the entries that they see, and a mask."""
        entries, plan = self.entries, self.plan
        of_row = torch.isin(rows, entries.visual)
        words = (~of_row).nonzero()[:, 0]
        keys = entries.words if is_blind else torch.arange(entries.length, device=rows.device)
        if len(words):
            yield words, keys, visible(rows[words], keys, plan, entries)
        if not bool(of_row.any()):
            return
        for own in self._tiles():
            some = torch.isin(rows, own).nonzero()[:, 0]
            if not len(some):
                continue
            near = torch.cat([entries.words, own]).sort().values
            mask = visible(rows[some], near, plan, entries)
            if is_blind:
                mask &= ~torch.isin(near, own) | (near == rows[some][:, None])
            used = mask.any(0)
            yield some, near[used], mask[:, used]

    def _tiles(self) -> list[Tensor]:
        """Vision tokens that run together."""
        if self.plan.sees != "own_tile":
            return [self.entries.visual]
        tiles = self.entries.tiles
        return [self.entries.visual[tiles == each] for each in torch.unique(tiles)]

    def _shaped_rows(self, queries: Tensor, keys: Tensor, values: Tensor, rows: Tensor) -> Tensor:
        shaping, entries = self.plan.shaping, self.entries
        if shaping is None:
            raise ModelError("no row of this layer is shaped")
        logits = pair_logits(queries[None], keys[None], self.module.scaling)[0]
        every = torch.arange(entries.length, device=rows.device)
        sees = visible(rows, every, self.plan, entries).expand(len(logits), -1, -1).clone()
        if self.plan.blind_heads:
            hidden = torch.isin(every, entries.visual) & (every != rows[:, None])
            sees[list(self.plan.blind_heads)] &= ~hidden
        if shaping.logits is not None:
            logits = shaping.logits(logits, entries.visual)
        weights = logits.masked_fill(~sees, -torch.inf).softmax(-1)
        if shaping.weights is not None:
            weights = shaping.weights(weights, entries.visual)
        return weights.to(values.dtype) @ values
