"""Prefill that drops vision tokens between layers, and decoding from what it leaves.

Any stock decoder of LLaMA's or Qwen2's kind (``layers``, ``norm``, ``rotary_emb`` with positions of
one dimension; see ``row_attention``), unpatched, one sequence at a time. The layers are run one by
one; before those that a reduction asked for, it chooses among the vision tokens, and the sequence
really gets shorter: every layer's cache holds only the tokens that ran through it. Attention is
causal over what is left, so no mask is needed, and no full attention matrix is ever made (but by
``eager`` attention itself, which is refused for long sequences).

Positions. ``original``: survivors keep theirs, and the first generated token gets the one after the
prompt, in every layer. ``contiguous``: survivors are numbered anew from 0, and a generated token's
position in a layer is the number of tokens in that layer's cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.inference.attention.rows import (
    layer_values,
    pair_logits,
    rotated_keys,
    rotated_queries,
)
from geofovea.pipeline.inference.attention.support import can_run_layers, sight
from geofovea.pipeline.inference.decoder.forward import forward
from geofovea.pipeline.inference.decoder.watched_layer import watched
from geofovea.regionfocus.reductions.base import Kept
from geofovea.regionfocus.reductions.decoder.base import (
    DecoderReduction,
    sequence_after,
    summed,
)

__all__ = ["DecoderRun", "Drop"]

_MOST_EAGER = 8192
"""Above this, one head's attention weights would take more than 268 MB."""
_MOST_LOGITS = 1 << 24
"""Attention logits that are held at once while many rows are averaged: 64 MiB."""


@dataclass(frozen=True, slots=True, eq=False)
class Drop:
    """What one step of a reduction did.

    Attributes:
        layer: It happened before this layer.
        stayed: int64 ``(k,)``, the prompt's vision tokens that stayed, or stand for others,
            counted from 0, on the host.
        kept: The reduction's answer.
    """

    layer: int
    stayed: Tensor
    kept: Kept


class DecoderRun:
    """One sequence on its way through a decoder; `advance` first with the prompt, then by token.

    Attributes:
        lengths: Tokens that ran through each layer in the prefill; their sum is its work in
            token-layers.
        drops: What the reduction did, step by step.
        cache: Keys and values; layers differ in length.
    """

    def __init__(
        self,
        decoder: Any,
        *,
        reduction: DecoderReduction | None = None,
        first: int = 0,
        count: int = 0,
        carried: Mapping[str, Tensor] | None = None,
        protected: Tensor | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            decoder: The decoder in evaluation mode, such as ``model.model`` of a
                ``Qwen2ForCausalLM``.
            reduction: What drops vision tokens; None drops none.
            first: Place of the first vision token in the prompt.
            count: Vision tokens, one after the other.
            carried: What reductions may ask for, ``(count,)`` each; see `DecoderView`.
            protected: bool ``(count,)``, vision tokens that are never chosen from nor counted.

        Raises:
            ModelError: If the decoder's attention cannot be run layer by layer.
        """
        from transformers import DynamicCache

        if not can_run_layers(decoder):
            raise ModelError(
                f"the layers of a {decoder.config.model_type!r} decoder cannot be run one by one; "
                "choose a reduction that acts before the decoder"
            )
        self.cache = DynamicCache()
        self.lengths: list[int] = []
        self.drops: list[Drop] = []
        self._decoder = decoder
        self._layers: list[Any] = list(decoder.layers)[: decoder.config.num_hidden_layers]
        self._reduction = reduction
        self._first, self._count = first, count
        self._carried, self._protected = carried or {}, protected
        self._next = 0
        self._is_eager = _kernel(decoder.config) == "eager"

    @property
    def vision_lengths(self) -> tuple[int, ...]:
        """Vision tokens that ran through each layer in the prefill."""
        text = self.lengths[0] - self._count if self.lengths else 0
        return tuple(length - text for length in self.lengths)

    @torch.inference_mode()
    def advance(self, embedded: Tensor) -> Tensor:
        """Run the prompt ``(1, s, d)``, or later one token ``(1, 1, d)``, through all layers.

        Returns:
            The last token's final normed state, ``(1, d)``.

        Raises:
            ModelError: If there is more than one sequence, a later call brings more than one
                token, or the prompt does not fit the attention of the decoder.
        """
        if embedded.shape[0] != 1 or (self.lengths and embedded.shape[1] != 1):
            raise ModelError(
                "a run takes one prompt (1, s, d) and then one token (1, 1, d) at a time, got "
                f"{tuple(embedded.shape)}"
            )
        hidden = self._generate(embedded) if self.lengths else self._prefill(embedded)
        final: Tensor = self._decoder.norm(hidden[:, -1])
        return final

    def _prefill(self, embedded: Tensor) -> Tensor:
        length = embedded.shape[1]
        self._check(length)
        sequence = _Sequence(self, embedded)
        reduction, depth = self._reduction, len(self._layers)
        acting = frozenset(reduction.layers(depth) if reduction and self._count else ())
        to_watch = reduction.watched(depth) if reduction and self._count else frozenset()
        reach = reduction.reach if reduction else 0
        for number, layer in enumerate(self._layers):
            view = _View(sequence, number, depth)
            if reduction and number in acting and len(sequence.visual):
                before, kept = len(sequence.visual), reduction.reduce(view)
                sequence.shorten(kept, contiguous=reduction.positions == "contiguous")
                if len(sequence.visual) < before:
                    self.drops.append(Drop(number, sequence.identity.cpu(), kept))
                view = _View(sequence, number, depth)
            sequence.remember(number, reach)
            with watched(layer, view, reduction if number in to_watch else None):
                sequence.hidden = self._through(layer, sequence.hidden, sequence.rotary)
            self.lengths.append(sequence.hidden.shape[1])
        self._next = length
        return sequence.hidden

    def _generate(self, embedded: Tensor) -> Tensor:
        self._check_window(self._next + 1)
        hidden, rotary, known = embedded, None, -1
        is_contiguous = self._reduction is not None and self._reduction.positions == "contiguous"
        for number, layer in enumerate(self._layers):
            position = self.cache.get_seq_length(number) if is_contiguous else self._next
            if rotary is None or position != known:
                where = torch.tensor([[position]], device=embedded.device)
                rotary, known = self._decoder.rotary_emb(embedded, where), position
            hidden = self._through(layer, hidden, rotary)
        self._next += 1
        return hidden

    def _through(self, layer: Any, hidden: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        mask = _causal(hidden) if self._is_eager and hidden.shape[1] > 1 else None
        # positions are not passed: flash attention would take gaps in them for borders of samples
        output = forward(
            layer, hidden, attention_mask=mask, position_embeddings=rotary, cache=self.cache
        )
        through: Tensor = output[0] if isinstance(output, tuple) else output
        return through

    def _check(self, length: int) -> None:
        if not 0 <= self._first <= self._first + self._count <= length:
            raise ModelError(
                f"{self._count} vision tokens from place {self._first} on do not lie in a prompt "
                f"of {length}"
            )
        if self._reduction and self._count and self._first + self._count == length:
            raise ModelError(
                "a reduction inside the decoder listens to what follows the image, and nothing "
                "does; put the question behind the image"
            )
        if self._is_eager and length > _MOST_EAGER:
            raise ModelError(
                f"eager attention makes a matrix of {length}²; above {_MOST_EAGER} tokens call "
                "set_attn_implementation('sdpa') on the model"
            )
        self._check_window(length)

    def _check_window(self, length: int) -> None:
        window = sight(self._decoder)
        if window is not None and length > window:
            raise ModelError(
                f"the decoder sees {window} tokens back, {length} cannot be run layer by layer "
                "with full attention; set a smaller token budget"
            )


class _Sequence:
    """What is left of the prompt, and all that has to be cut together."""

    def __init__(self, run: DecoderRun, embedded: Tensor) -> None:
        device, first, count = embedded.device, run._first, run._count
        self.decoder: Any = run._decoder
        self.layers = run._layers
        self.embedded = embedded[0]
        self.hidden = embedded
        self.positions = torch.arange(embedded.shape[1], device=device)[None]
        self.rotary = self._rotary()
        candidates = torch.arange(count, device=device)
        if run._protected is not None:
            candidates = candidates[~run._protected.to(device)]
        # numbers of the vision tokens in the image, and their places in the sequence
        self.identity = candidates
        self.visual = candidates + first
        self.prompt_visual = self.visual
        self.text = torch.arange(first + count, embedded.shape[1], device=device)
        self.prompt_text = self.text
        self.carried = {name: of.to(device)[candidates] for name, of in run._carried.items()}
        self.past: dict[int, tuple[Tensor, tuple[Tensor, Tensor]]] = {}

    def shorten(self, kept: Kept, *, contiguous: bool) -> None:
        """Drop, or merge, what the reduction says."""
        device = self.hidden.device
        index = kept.index.to(device)
        if kept.features is not None:
            merged = self.hidden.clone()
            merged[0, self.visual[index]] = kept.features.to(device, merged.dtype)
            self.hidden = merged
        if len(index) == len(self.visual) and kept.features is None:
            return
        length = self.hidden.shape[1]
        stays = sequence_after(length, self.visual, index)
        place = torch.full((length,), -1, dtype=torch.int64, device=device)
        place[stays] = torch.arange(len(stays), device=device)
        self.hidden = self.hidden[:, stays]
        self.positions = self.positions[:, stays]
        if contiguous:
            self.positions = torch.arange(len(stays), device=device)[None]
        self.rotary = self._rotary()
        self.identity = self.identity[index]
        self.visual, self.text = place[self.visual[index]], place[self.text]
        self.carried = {
            name: values[index.to(values.device)] for name, values in self.carried.items()
        }
        if kept.sizes is not None:
            self.carried["sizes"] = kept.sizes.to(device)
        # rows of earlier layers would be over another sequence
        self.past.clear()

    def remember(self, layer: int, reach: int) -> None:
        """Keep the inputs of the last layers, as far back as the reduction looks."""
        if reach:
            self.past[layer] = (self.hidden, self.rotary)
            self.past.pop(layer - reach, None)

    def _rotary(self) -> tuple[Tensor, Tensor]:
        rotary: tuple[Tensor, Tensor] = self.decoder.rotary_emb(self.hidden, self.positions)
        return rotary


@dataclass(eq=False)
class _View:
    """The `DecoderView` of a sequence before a layer; rows are made when they are asked for."""

    sequence: _Sequence
    layer: int
    depth: int
    _keys: dict[int, Tensor] = field(default_factory=dict)

    @property
    def original(self) -> int:
        return len(self.sequence.prompt_visual)

    @property
    def hidden(self) -> Tensor:
        return self.sequence.hidden[0]

    @property
    def visual(self) -> Tensor:
        return self.sequence.visual

    @property
    def text(self) -> Tensor:
        return self.sequence.text

    @cached_property
    def embedded_visual(self) -> Tensor:
        return self.sequence.embedded[self.sequence.prompt_visual]

    @cached_property
    def embedded_text(self) -> Tensor:
        return self.sequence.embedded[self.sequence.prompt_text]

    @property
    def carried(self) -> dict[str, Tensor]:
        return self.sequence.carried

    def rows(self, queries: Tensor, back: int = 0) -> Tensor:
        length = self._entering(back)[1][0].shape[1]
        return self._rows(queries, back, length)

    def mean_rows(self, queries: Tensor, back: int = 0) -> Tensor:
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
        found = rotated_queries(layer, hidden, rotary, places[None])
        keys = self._rotated(back)[:, :, :length]
        logits = pair_logits(found, keys, layer.self_attn.scaling)[0]
        later = torch.arange(length, device=hidden.device) > places[:, None]
        return logits.masked_fill_(later, -torch.inf).softmax(-1)

    def keys(self) -> Tensor:
        return self._rotated(0)[0].float().mean(0)

    def values(self) -> Tensor:
        return layer_values(self.sequence.layers[self.layer], self.sequence.hidden)[0].float()

    def _rotated(self, back: int) -> Tensor:
        if back not in self._keys:
            layer, (hidden, rotary) = self._entering(back)
            self._keys[back] = rotated_keys(layer, hidden, rotary, 0, hidden.shape[1])
        return self._keys[back]

    def _entering(self, back: int) -> tuple[Any, tuple[Tensor, tuple[Tensor, Tensor]]]:
        layer = self.layer - back
        if back == 0:
            return self.sequence.layers[layer], (self.sequence.hidden, self.sequence.rotary)
        if layer not in self.sequence.past:
            raise ModelError(
                f"rows of layer {layer} are gone before layer {self.layer}: either the reduction's "
                "reach is too short, or tokens were dropped in between; space its steps further"
            )
        return self.sequence.layers[layer], self.sequence.past[layer]


def _causal(hidden: Tensor) -> Tensor:
    """An additive mask (1, 1, s, s) for attention that does not mask by itself."""
    length = hidden.shape[1]
    lowest = torch.finfo(hidden.dtype).min
    full = torch.full((length, length), lowest, dtype=hidden.dtype, device=hidden.device)
    return full.triu(1)[None, None]


def _kernel(config: Any) -> str:
    kernel = str(getattr(config, "_attn_implementation", "eager"))
    if kernel in ("eager", "sdpa") or kernel.startswith("flash_attention"):
        return kernel
    raise ModelError(
        f"attention {kernel!r} needs a mask of its own kind and cannot be run layer by layer; call "
        "set_attn_implementation('sdpa') on the model"
    )
