"""Rows of attention of many questions about the same vision tokens, for what one question costs.

Vision tokens stand before the question and attention is causal, so what they become in a layer does
not depend on what is asked. They run through the layers once; the questions, padded behind, run as
a batch that sees their keys and values. All tensors are linear in the number of vision tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.inference.attention.rows import pair_logits, rotated_keys, rotated_queries
from geofovea.pipeline.inference.decoder.forward import forward
from geofovea.pipeline.inference.decoder.inputs import DecoderInput
from geofovea.pipeline.system.model_lock import lock_of

__all__ = ["PromptPack", "SharedPrefix", "layer_rows", "pack_prompts", "with_linear_attention"]


@dataclass(frozen=True, slots=True, eq=False)
class PromptPack:
    """Prompts of q questions that share all up to the last vision token.

    Attributes:
        prefix: ``(1, p, d)``, what they share.
        tails: ``(q, t, d)``, the rest of each, padded behind.
        lengths: int64 ``(q,)``, tokens of each tail.
        image: Places of the vision tokens.
    """

    prefix: Tensor
    tails: Tensor
    lengths: Tensor
    image: slice

    @property
    def key_mask(self) -> Tensor:
        """Which keys of a row are no padding, bool ``(q, p + t)``."""
        within = torch.arange(self.tails.shape[1], device=self.lengths.device)
        of_tail = within < self.lengths[:, None]
        return torch.cat([of_tail.new_ones(len(of_tail), self.prefix.shape[1]), of_tail], 1)

    def to(self, dtype: torch.dtype) -> PromptPack:
        """The same prompts in another precision."""
        return replace(self, prefix=self.prefix.to(dtype), tails=self.tails.to(dtype))


def pack_prompts(inputs: Sequence[DecoderInput], dtype: torch.dtype) -> list[PromptPack]:
    """All prompts in one pack if they share their prefix, else each in one of its own; in order.

    Args:
        inputs: At least one.
        dtype: What the packs are converted to.
    """
    ends = [prompt.first + prompt.count for prompt in inputs]
    first = inputs[0].embeds[:, : ends[0]]
    if any(not torch.equal(x.embeds[:, :end], first) for x, end in zip(inputs, ends, strict=True)):
        return [_packed([prompt], dtype) for prompt in inputs]
    return [_packed(inputs, dtype)]


def _packed(inputs: Sequence[DecoderInput], dtype: torch.dtype) -> PromptPack:
    end = inputs[0].first + inputs[0].count
    tails = [prompt.embeds[0, end:].to(dtype) for prompt in inputs]
    return PromptPack(
        prefix=inputs[0].embeds[:, :end].to(dtype),
        tails=torch.nn.utils.rnn.pad_sequence(tails, batch_first=True),
        lengths=torch.tensor([len(tail) for tail in tails], device=tails[0].device),
        image=slice(inputs[0].first, end),
    )


def layer_rows(
    layers: Sequence[Any], rotary: Any, pack: PromptPack, indices: Collection[int]
) -> dict[int, Tensor]:
    """Attention logits of the last prompt token, in some layers.

    Layers behind the last wanted one are not run, and of that one only queries and keys are.

    Args:
        layers: Decoder layers of ``transformers``, in the order in which they run.
        rotary: Their rotary embedding, as a decoder holds it.
        pack: The prompts.
        indices: Indices into ``layers``.

    Returns:
        For each wanted layer, float32 ``(q, heads, p + t)``, before mask and softmax.
    """
    shared, tails = pack.prefix, pack.tails
    before, length = shared.shape[1], tails.shape[1]
    places = torch.arange(before + length, device=shared.device)[None]
    rotary_shared = rotary(shared, places[:, :before])
    tail_rotary = rotary(tails, places[:, before:].expand(len(tails), -1))
    mask = _tail_mask(before, tails)
    rows = {}
    for index in range(max(indices) + 1):
        layer = layers[index]
        if index in indices:
            query = rotated_queries(layer, tails, tail_rotary, pack.lengths[:, None] - 1)
            keys = (
                rotated_keys(layer, shared, rotary_shared, 0, before),
                rotated_keys(layer, tails, tail_rotary, 0, length),
            )
            scaling = layer.self_attn.scaling
            rows[index] = torch.cat([pair_logits(query, k, scaling) for k in keys], -1)[:, :, 0]
        if index < max(indices):
            memory = SharedPrefix()
            shared = _through(layer, shared, rotary_shared, None, memory)
            tails = _through(layer, tails, tail_rotary, mask, memory)
    return rows


def _through(
    layer: Any,
    hidden: Tensor,
    rotary: tuple[Tensor, Tensor],
    mask: Tensor | None,
    memory: SharedPrefix,
) -> Tensor:
    output = forward(layer, hidden, attention_mask=mask, position_embeddings=rotary, cache=memory)
    through: Tensor = output[0] if isinstance(output, tuple) else output
    return through


class SharedPrefix:
    """Stands where layers expect a cache: keeps the first keys and values, shows them to the next.

    A stock cache would hold the prefix once per question, and layers that were copied together
    would need new numbers in it.
    """

    def __init__(self) -> None:
        self._prefix: tuple[Tensor, Tensor] | None = None

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Keep the first keys and values; later ones come behind those."""
        if self._prefix is None:
            self._prefix = keys, values
            return keys, values
        old_keys, old_values = (states.expand(len(keys), -1, -1, -1) for states in self._prefix)
        return torch.cat([old_keys, keys], 2), torch.cat([old_values, values], 2)


def _tail_mask(before: int, tails: Tensor) -> Tensor:
    """What is added for questions to see the prefix and themselves, ``(1, 1, t, p + t)``.

    Padding stands behind a question, where causality hides it.
    """
    length = tails.shape[1]
    mask = tails.new_zeros(length, before + length)
    lowest = torch.finfo(tails.dtype).min
    mask[:, before:] = torch.full_like(mask[:, before:], lowest).triu(1)
    return mask[None, None]


@contextmanager
def with_linear_attention(decoder: Any, length: int) -> Iterator[None]:
    """Let a decoder's layers attend without a matrix of all pairs, then as before.

    Args:
        decoder: A text model of ``transformers``.
        length: Tokens of the longest prompt.

    Raises:
        ModelError: If some layer sees fewer tokens back than the prompt has.
    """
    config = decoder.config
    window = getattr(config, "sliding_window", None)
    if window is not None and length > window:
        raise ModelError(
            f"the decoder sees {window} tokens back, a prompt of {length} cannot be run layer by "
            "layer; show fewer tiles"
        )
    # whoever else asks this decoder meanwhile must not meet another kernel
    with lock_of(decoder):
        kernel = config._attn_implementation
        config._attn_implementation = "sdpa"
        try:
            yield
        finally:
            config._attn_implementation = kernel
