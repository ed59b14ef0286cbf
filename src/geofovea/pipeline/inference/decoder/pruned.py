"""Prefill that drops vision tokens between layers, and decoding from what it leaves.

Any stock decoder of LLaMA's, Qwen's or GLM-V's kind (``layers``, ``norm``, ``rotary_emb``; see
`attention.support`), unpatched, one sequence at a time. Layers are run one by one; before those
that a reduction asked for, it chooses among the vision tokens, and the sequence really gets
shorter: every layer's cache holds only the tokens that ran through it. Attention is causal over
what is left, so no mask is needed, and no full attention matrix is ever made (but by ``eager``
attention itself, which is refused for long sequences).

Positions. ``original``: survivors keep theirs, and the first generated token gets the one after the
prompt, in every layer. ``contiguous``: survivors are numbered anew from 0, and a generated token's
position in a layer is the number of tokens in that layer's cache. Only a prompt that counts its
tokens one by one is numbered anew: the row and column that M-RoPE gives a token, or the gap that an
earlier choice left before it, would be lost, so in any other prompt survivors keep their positions.

DeepStack (Qwen3-VL) adds features to the vision tokens behind each of the first layers: to those
that are left there. A token that stands for several gets its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.inference.attention.support import attention_window, can_run_layers
from geofovea.pipeline.inference.decoder.forward import forward
from geofovea.pipeline.inference.decoder.pruning_view import PrunedSequence, PruningView, watched
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.decoder.base import (
    DecoderReduction,
)
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["Drop", "Places", "PrunedRun", "pruned_run", "vision_lengths"]

_MOST_EAGER = 8192
"""Above this, one head's attention weights would take more than 268 MB."""


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
    kept: TokenChoice


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The positions of a prompt.

    Attributes:
        ids: int64 ``(1, s)``, or ``(3, 1, s)`` for M-RoPE.
        next: Of the first word of the answer.
    """

    ids: Tensor
    next: int

    @property
    def is_compact(self) -> bool:
        """Whether they count from 0, in every row."""
        length = self.ids.shape[-1]
        counted = torch.arange(length, device=self.ids.device)
        return self.next == length and torch.equal(self.ids, counted.expand_as(self.ids))


class PrunedRun:
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
        places: Places | None = None,
        deep: Tensor | None = None,
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
            places: Positions of the prompt; None counts from 0.
            deep: ``(layers, n, d)``, what the first layers add to each of the n vision tokens that
                are not protected.

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
        self._places, self._deep = places, deep
        self._next = 0
        self._is_contiguous = (
            reduction is not None
            and reduction.positions == "contiguous"
            and (places is None or places.is_compact)
        )
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
        sequence = self._sequence(embedded)
        reduction, depth = self._reduction, len(self._layers)
        acting = frozenset(reduction.layers(depth) if reduction and self._count else ())
        to_watch = reduction.watched(depth) if reduction and self._count else frozenset()
        reach = reduction.reach if reduction else 0
        for number, layer in enumerate(self._layers):
            view = PruningView(sequence, number, depth)
            if reduction and number in acting and len(sequence.visual):
                self._drop(sequence, reduction, view)
                view = PruningView(sequence, number, depth)
            sequence.remember(number, reach)
            with watched(layer, view, reduction if number in to_watch else None):
                sequence.hidden = self._through(layer, sequence.hidden, sequence.rotary)
            sequence.add_deep(number)
            self.lengths.append(sequence.hidden.shape[1])
        self._next = length if self._places is None else self._places.next
        return sequence.hidden

    def _sequence(self, embedded: Tensor) -> PrunedSequence:
        return PrunedSequence(
            self._decoder,
            embedded,
            self._first,
            self._count,
            self._carried,
            self._protected,
            None if self._places is None else self._places.ids,
            self._deep,
        )

    def _drop(
        self, sequence: PrunedSequence, reduction: DecoderReduction, view: PruningView
    ) -> None:
        """Let the reduction drop vision tokens before the layer of a view."""
        before, selection = len(sequence.visual), reduction.reduce(view)
        sequence.shorten(selection, contiguous=self._is_contiguous)
        if len(sequence.visual) < before:
            self.drops.append(Drop(view.layer, sequence.identity.cpu(), selection))

    def _generate(self, embedded: Tensor) -> Tensor:
        self._check_window(max(self.cache.get_seq_length(0), self._next) + 1)
        hidden, rotary, position_of_rotary = embedded, None, -1
        shape = (1, 1) if self._places is None else (*self._places.ids.shape[:-1], 1)
        for number, layer in enumerate(self._layers):
            position = self.cache.get_seq_length(number) if self._is_contiguous else self._next
            if rotary is None or position != position_of_rotary:
                where = torch.full(shape, position, device=embedded.device)
                rotary, position_of_rotary = self._decoder.rotary_emb(embedded, where), position
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
        window = attention_window(self._decoder)
        if window is not None and length > window:
            raise ModelError(
                f"the decoder sees {window} tokens back, {length} cannot be run layer by layer "
                "with full attention; set a smaller token budget"
            )


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


def pruned_run(
    decoder: Any, sequence: PromptSequence, tokens: TokenSet, reduction: DecoderReduction
) -> PrunedRun:
    """The run of a prompt.

    Args:
        decoder: The text model.
        sequence: The prompt.
        tokens: Its vision tokens.
        reduction: What drops them.
    """
    visual = sequence.visual.cpu()
    first, count = (int(visual[0]), int(visual[-1] - visual[0]) + 1) if len(visual) else (0, 0)
    # words between tiles lie in the image for the run, and are never dropped
    protected = torch.ones(count, dtype=torch.bool)
    protected[visual - first] = False
    carried = {"levels": tokens.levels}
    if tokens.importance is not None:
        carried["importance"] = tokens.importance
    for name, values in carried.items():
        carried[name] = values.new_zeros(count)
        carried[name][visual - first] = values
    return PrunedRun(
        decoder,
        reduction=reduction,
        first=first,
        count=count,
        carried=carried,
        protected=protected if bool(protected.any()) else None,
        places=Places(sequence.positions, sequence.next_position),
        deep=sequence.deep,
    )


def vision_lengths(run: PrunedRun, sequence: PromptSequence) -> tuple[int, ...]:
    """Vision tokens that ran through each layer, without the words between tiles."""
    words = int(sequence.visual[-1] - sequence.visual[0]) + 1 - len(sequence.visual)
    return tuple(length - words for length in run.vision_lengths)
