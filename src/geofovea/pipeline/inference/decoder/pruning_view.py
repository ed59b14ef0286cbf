"""What a reduction inside a decoder is shown: the sequence that is left, and its layers at work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from geofovea.errors import ModelError
from geofovea.pipeline.inference.attention.rows import (
    layer_values,
    merged_rotary,
    pair_logits,
    rotate,
    rotated_keys,
    rotated_queries,
)
from geofovea.pipeline.system.model_lock import ThisThread
from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.decoder.base import (
    DecoderReduction,
    DecoderView,
    Sublayer,
    sequence_after,
)
from geofovea.regionfocus.reductions.primitives.sums import summed

__all__ = ["PrunedSequence", "PruningView", "watched"]

_MOST_LOGITS = 1 << 24
"""Attention logits that are held at once while many rows are averaged: 64 MiB."""


@contextmanager
def watched(layer: Any, view: DecoderView, reduction: DecoderReduction | None) -> Iterator[None]:
    """Show a reduction what the two sublayers of a layer do, while this thread runs the layer.

    Args:
        layer: A decoder layer of ``transformers``.
        view: The sequence before the layer; see `DecoderReduction.watch`.
        reduction: None watches nothing.
    """
    handles = [] if reduction is None else _hook(layer, view, reduction)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(layer: Any, view: DecoderView, reduction: DecoderReduction) -> list[RemovableHandle]:
    """Hooks at both ends of each sublayer; what other threads run, they pass over."""
    thread = ThisThread()
    entered: dict[Sublayer, Tensor] = {}

    def enter(sublayer: Sublayer) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if thread.is_here:
                entered[sublayer] = args[0] if args else kwargs["hidden_states"]

        return hook

    def show(sublayer: Sublayer) -> Any:
        def hook(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
            if thread.is_here:
                after = output[0] if isinstance(output, tuple) else output
                reduction.watch(view, sublayer, entered.pop(sublayer)[0], after[0])

        return hook

    handles = []
    for sublayer, first, last in _sublayers(layer):
        handles.append(first.register_forward_pre_hook(enter(sublayer), with_kwargs=True))
        handles.append(last.register_forward_hook(show(sublayer)))
    return handles


def _sublayers(layer: Any) -> tuple[tuple[Sublayer, nn.Module, nn.Module], ...]:
    """Each sublayer by name, with the module that it enters and the one that ends it."""
    attention, feed_forward = layer.self_attn, layer.mlp
    # a norm behind a sublayer makes what is added to the residual
    return (
        ("attention", attention, getattr(layer, "post_self_attn_layernorm", attention)),
        ("feed_forward", feed_forward, getattr(layer, "post_mlp_layernorm", feed_forward)),
    )


class PrunedSequence:
    """What is left of the prompt, and all that has to be cut together."""

    def __init__(
        self,
        decoder: Any,
        embedded: Tensor,
        first: int,
        count: int,
        carried: Mapping[str, Tensor],
        protected: Tensor | None,
        positions: Tensor | None = None,
        deep: Tensor | None = None,
    ) -> None:
        """Begin with the whole prompt.

        Args:
            decoder: The text model.
            embedded: The prompt, ``(1, s, d)``.
            first: Place of the first vision token.
            count: Vision tokens, one after the other.
            carried: What reductions may ask for, ``(count,)`` each.
            protected: bool ``(count,)``, vision tokens that are never chosen from nor counted.
            positions: int64 ``(1, s)``, or ``(3, 1, s)`` for M-RoPE; None counts from 0.
            deep: ``(layers, n, d)``, what the first layers add to each of the n vision tokens that
                are not protected.
        """
        device = embedded.device
        self.decoder = decoder
        self.layers = list(decoder.layers)
        self.embedded = embedded[0]
        self.hidden = embedded
        if positions is None:
            positions = torch.arange(embedded.shape[1], device=device)[None]
        self.positions = positions.to(device)
        self.rotary = self._rotary()
        candidates = torch.arange(count, device=device)
        if protected is not None:
            candidates = candidates[~protected.to(device)]
        # numbers of the vision tokens in the image, and their places in the sequence
        self.identity = candidates
        self.visual = candidates + first
        self.prompt_visual = self.visual
        self.text = torch.arange(first + count, embedded.shape[1], device=device)
        self.prompt_text = self.text
        self.carried = {name: of.to(device)[candidates] for name, of in carried.items()}
        self.deep = deep
        self.past: dict[int, tuple[Tensor, tuple[Tensor, Tensor]]] = {}

    def shorten(self, selection: TokenChoice, *, contiguous: bool) -> None:
        """Drop, or merge, what the reduction says."""
        device = self.hidden.device
        index = selection.index.to(device)
        if selection.features is not None:
            merged = self.hidden.clone()
            merged[0, self.visual[index]] = selection.features.to(device, merged.dtype)
            self.hidden = merged
        if len(index) == len(self.visual) and selection.features is None:
            return
        length = self.hidden.shape[1]
        stays = sequence_after(length, self.visual, index)
        place = torch.full((length,), -1, dtype=torch.int64, device=device)
        place[stays] = torch.arange(len(stays), device=device)
        self.hidden = self.hidden[:, stays]
        self.positions = self.positions[..., stays]
        if contiguous:
            self.positions = torch.arange(len(stays), device=device).expand_as(self.positions)
        self.rotary = self._rotary()
        self.identity = self.identity[index]
        self.visual, self.text = place[self.visual[index]], place[self.text]
        self.carried = {
            name: values[index.to(values.device)] for name, values in self.carried.items()
        }
        if self.deep is not None:
            self.deep = self.deep[:, index.to(self.deep.device)]
        if selection.sizes is not None:
            self.carried["sizes"] = selection.sizes.to(device)
        # rows of earlier layers would be over another sequence
        self.past.clear()

    def add_deep(self, layer: int) -> None:
        """Add what belongs behind a layer to the vision tokens that are left."""
        if self.deep is None:
            return
        added = self.deep[layer].to(self.hidden.device, self.hidden.dtype)
        self.hidden = self.hidden.clone()
        self.hidden[0, self.visual] += added
        if layer + 1 == len(self.deep):
            self.deep = None

    def remember(self, layer: int, reach: int) -> None:
        """Keep the inputs of the last layers, as far back as the reduction looks."""
        if reach:
            self.past[layer] = (self.hidden, self.rotary)
            self.past.pop(layer - reach, None)

    def _rotary(self) -> tuple[Tensor, Tensor]:
        rotary: tuple[Tensor, Tensor] = self.decoder.rotary_emb(self.hidden, self.positions)
        return rotary


@dataclass(eq=False)
class PruningView:
    """The `DecoderView` of a sequence before a layer; rows are made when they are asked for."""

    sequence: PrunedSequence
    layer: int
    depth: int
    _keys: dict[int, Tensor] = field(default_factory=dict)

    @property
    def original(self) -> int:
        """Vision tokens of the prompt."""
        return len(self.sequence.prompt_visual)

    @property
    def hidden(self) -> Tensor:
        """What enters the layer, ``(s, d)``."""
        return self.sequence.hidden[0]

    @property
    def visual(self) -> Tensor:
        """Places of the vision tokens that are left."""
        return self.sequence.visual

    @property
    def text(self) -> Tensor:
        """Places of the words behind the image."""
        return self.sequence.text

    @cached_property
    def embedded_visual(self) -> Tensor:
        """The vision tokens of the prompt, ``(n, d)``."""
        return self.sequence.embedded[self.sequence.prompt_visual]

    @cached_property
    def embedded_text(self) -> Tensor:
        """The words behind the image, ``(t, d)``."""
        return self.sequence.embedded[self.sequence.prompt_text]

    @property
    def carried(self) -> dict[str, Tensor]:
        """What is known of each vision token that is left."""
        return self.sequence.carried

    def rows(self, queries: Tensor, back: int = 0) -> Tensor:
        """Rows of attention, ``(heads, q, s)``, of this layer or of one before it."""
        length = self._entering(back)[1][0].shape[1]
        return self._rows(queries, back, length)

    def mean_rows(self, queries: Tensor, back: int = 0) -> Tensor:
        """Their mean over heads and queries, ``(s,)``, a bounded number of rows at once."""
        layer, (hidden, _) = self._entering(back)
        heads = layer.self_attn.q_proj.out_features // layer.self_attn.head_dim
        block = max(1, _MOST_LOGITS // (heads * hidden.shape[1]))
        total = torch.zeros(hidden.shape[1], device=hidden.device)
        for some in torch.split(queries, block) if len(queries) else ():
            # nothing behind the last of them is seen
            length = int(some.max()) + 1
            total[:length] += summed(self._rows(some, back, length), (0, 1))
        mean: Tensor = total / (heads * max(1, len(queries)))
        return mean

    def _rows(self, queries: Tensor, back: int, length: int) -> Tensor:
        """`rows` over the first ``length`` tokens, which hold all that the queries see."""
        layer, (hidden, rotary) = self._entering(back)
        places = queries.to(hidden.device)
        rotated = rotated_queries(layer, hidden, rotary, places[None])
        keys = self._rotated(back)[:, :, :length]
        logits = pair_logits(rotated, keys, layer.self_attn.scaling)[0]
        later = torch.arange(length, device=hidden.device) > places[:, None]
        return logits.masked_fill_(later, -torch.inf).softmax(-1)

    def nearness(self, queries: Tensor) -> Tensor:
        """See ``DecoderView``; by the model's own frequencies, and the positions that are left."""
        layer, (hidden, (cos, sin)) = self._entering(0)
        dim = layer.self_attn.head_dim
        ones = torch.ones(1, 1, hidden.shape[1], dim, device=hidden.device)
        turned = rotate(layer.self_attn, ones, cos.float(), sin.float())[0, 0]
        products = turned[queries.to(turned.device)] @ turned.T
        # some decoders scale their tables
        kernel: Tensor = products * (sqrt(dim) / turned[0].square().sum())
        return kernel

    def keys(self) -> Tensor:
        """Rotated keys of the layer, the mean of its heads, ``(s, head_dim)``."""
        return self._rotated(0)[0].float().mean(0)

    def values(self) -> Tensor:
        """Values of the layer, float32."""
        return layer_values(self.sequence.layers[self.layer], self.sequence.hidden)[0].float()

    def _rotated(self, back: int) -> Tensor:
        if back not in self._keys:
            layer, (hidden, rotary) = self._entering(back)
            self._keys[back] = rotated_keys(layer, hidden, rotary, 0, hidden.shape[1])
        return self._keys[back]

    def _entering(self, back: int) -> tuple[Any, tuple[Tensor, tuple[Tensor, Tensor]]]:
        number = self.layer - back
        if back and number not in self.sequence.past:
            raise ModelError(
                f"rows of layer {number} are gone before layer {self.layer}: either the "
                "reduction's reach is too short, or tokens were dropped in between; space its "
                "steps further"
            )
        layer = self.sequence.layers[number]
        now = (self.sequence.hidden, self.sequence.rotary)
        hidden, rotary = self.sequence.past[number] if back else now
        return layer, (hidden, merged_rotary(layer, rotary))
