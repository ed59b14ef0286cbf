"""Prefill and decode on a stock text model, with explicit positions and an explicit mask of ones.

Without a mask, transformers 5 takes gaps in 1-D positions for the borders of packed samples and
lets tokens see their own side only, silently; with a mask of ones it does not, at no cost. Without
positions, Qwen-VL models fall back on what an earlier call left in the module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy, deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from geofovea.pipeline.inference.attention.backend import unplanned_attention
from geofovea.pipeline.inference.attention.block_masks import block_masks
from geofovea.pipeline.inference.attention.kv_cache import preallocated_cache
from geofovea.pipeline.inference.attention.rows import merged_rotary, row_logits
from geofovea.pipeline.inference.decoder.forward import forward
from geofovea.pipeline.inference.decoder.recorded_steps import RecordedSteps
from geofovea.pipeline.inference.prompts.batch import PromptBatch
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.pipeline.system.model_lock import ThisThread

__all__ = ["DecoderRun", "Visit", "last_row_logits", "visit_layers"]


class DecoderRun:
    """Some prompts on their way through a decoder that drops nothing."""

    def __init__(
        self,
        decoder: Any,
        prompts: PromptBatch,
        answer: int = 16,
        recorded: RecordedSteps | None = None,
        cache: Any = None,
    ) -> None:
        """Prepare a run; `prefill` comes first.

        Args:
            decoder: The text model.
            prompts: One prompt, or several side by side.
            answer: Tokens beyond them that memory is set aside for; more may follow, but not where
                steps are recorded.
            recorded: Steps that are replayed; None runs each of them.
            cache: What stands before the prompts; None for nothing.
        """
        self._decoder = decoder
        self._prompts = prompts
        if cache is None:
            cache = preallocated_cache(decoder.config, max(prompts.lengths) + answer)
        self._cache = cache
        self._stored = 0
        self._next = prompts.next_positions[:, None]
        self._answer, self._recorded = answer, recorded
        self._replayed: Callable[[Tensor], Tensor] | None = None

    def prefill(self) -> Tensor:
        """Run the prompts; the state of the last token of each, ``(b, d)``."""
        output = forward(
            self._decoder, **_inputs(self._decoder, self._prompts, self._stored), cache=self._cache
        )
        return _at_last(output.last_hidden_state, self._prompts)

    def advance(self, embedded: Tensor) -> Tensor:
        """Run one token of each answer, ``(b, 1, d)``; its state, ``(b, d)``."""
        # behind a stored prompt more is in the cache than these prompts tell
        whole = self._cache.get_seq_length() == self._prompts.embedded.shape[1]
        if self._recorded is not None and whole:
            positions = self._next.expand(*self._prompts.positions.shape[:-1], 1)
            self._replayed = self._recorded.behind(
                self._cache, self._prompts.filled, positions, self._answer
            )
            # asked once: the record goes on by itself
            self._recorded = None
        if self._replayed is not None:
            with unplanned_attention():
                return self._replayed(embedded)
        return self._run(embedded)[:, -1]

    def peek(self, embedded: Tensor) -> Tensor:
        """States ``(m, d)`` of tokens ``(1, m, d)`` behind one prompt, forgotten again."""
        # a layer that sees a window cannot be cropped, but no layer changes what it held in place,
        # except for linear ones, which hold a state
        layers, before = [_remembered(layer) for layer in self._cache.layers], self._next
        states = self._run(embedded)[0]
        self._cache.layers, self._next = layers, before
        return states

    def _run(self, embedded: Tensor) -> Tensor:
        count, device = embedded.shape[1], embedded.device
        positions = self._next if count == 1 else self._next + torch.arange(count, device=device)
        shape = (*self._prompts.positions.shape[:-1], count)
        # each step has another number of keys, however long the prompt
        with unplanned_attention():
            output = forward(
                self._decoder,
                inputs_embeds=embedded,
                position_ids=positions.expand(shape),
                attention_mask=self._mask(count),
                cache=self._cache,
            )
        self._next = self._next + count
        states: Tensor = output.last_hidden_state
        return states

    def _mask(self, count: int) -> Tensor | None:
        """What hides the padding between a prompt and its answer, int64 ``(b, seen + count)``."""
        # behind a cache no gap is looked for, and one token may see all: a mask of ones would only
        # be read back from the device, at every step, to find that it hides nothing
        if count == 1 and not self._prompts.is_padded:
            return None
        filled = self._prompts.filled
        answered = self._cache.get_seq_length() + count - filled.shape[1]
        return torch.cat([filled, filled.new_ones(len(filled), answered)], dim=1)


def last_row_logits(
    decoder: Any, layers: Sequence[int], sequences: Sequence[PromptSequence]
) -> list[Tensor]:
    """Scaled attention logits of a prompt's last token over its vision tokens.

    All layers are read in one pass, and only those below the last of them run.

    Args:
        decoder: The text model.
        layers: Numbers of the layers, ascending.
        sequences: Prompts, which run side by side.

    Returns:
        For each prompt, float32 ``(layers, heads, n)``.
    """
    prompts = PromptBatch.of(sequences)
    places = [each.visual for each in sequences]
    first = min(int(visual[0]) for visual in places)
    count = max(int(visual[-1]) for visual in places) + 1 - first

    def read(number: int, hidden: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        last = prompts.last.to(hidden.device)
        return row_logits(decoder.layers[number], hidden, rotary, last, first, count)[:, :, 0]

    logits = visit_layers(decoder, layers, _inputs(decoder, prompts), read)
    # layers may stand on several devices
    rows = torch.stack([each.to(logits[-1].device) for each in logits], 1)
    return [
        row[:, :, (visual - first).to(row.device)] for row, visual in zip(rows, places, strict=True)
    ]


def _remembered(layer: Any) -> Any:
    """A layer of a cache as it is now."""
    return deepcopy(layer) if hasattr(layer, "recurrent_states") else copy(layer)


def _inputs(decoder: Any, prompts: PromptBatch, stored: int = 0) -> dict[str, Any]:
    """What a decoder takes for prompts, with masks where tokens see tokens behind them."""
    inputs = prompts.inputs(stored)
    if prompts.blocks is not None:
        inputs["attention_mask"] = block_masks(decoder, prompts.blocks, prompts.embedded.dtype)
    return inputs


def _at_last(states: Tensor, prompts: PromptBatch) -> Tensor:
    """States ``(b, d)`` of the last token of each prompt among those of all, ``(b, s, d)``."""
    if not prompts.is_padded:
        return states[:, -1]
    places = prompts.last.to(states.device)[..., None]
    return states.gather(1, places.expand(-1, -1, states.shape[-1]))[:, 0]


Visit = Callable[[int, Tensor, tuple[Tensor, Tensor]], Tensor]
"""Makes something of what a layer gets: its number, hidden states (b, s, d), cosines and sines."""


def visit_layers(
    decoder: Any,
    layers: Sequence[int],
    inputs: dict[str, Any],
    visit: Visit,
    cache: Any = None,
) -> list[Tensor]:
    """Make something of what some layers would get; only those below the last of them run.

    Args:
        decoder: The text model.
        layers: Numbers of the layers, ascending.
        inputs: Of the decoder, by name.
        visit: Called once for each of the layers, on the layer's device.
        cache: What the layers below read and fill, if any.

    Returns:
        What was made at each of the layers.
    """
    observers = [_Observer(decoder.layers[i], i, visit, is_last=i == layers[-1]) for i in layers]
    hooks = [each.layer.register_forward_pre_hook(each, with_kwargs=True) for each in observers]
    try:
        forward(decoder, **inputs, cache=cache)
    except _LayerReached:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return [each.result for each in observers]


class _LayerReached(Exception):  # noqa: N818 - control flow, not an error
    """Raised by a hook to leave the decoder before the layer runs."""


class _Observer:
    """A forward pre-hook that visits a layer's input and may stop the decoder, on one thread."""

    result: Tensor

    def __init__(self, layer: Any, number: int, visit: Visit, *, is_last: bool) -> None:
        self.layer = layer
        self._number, self._visit, self._is_last = number, visit, is_last
        self._thread = ThisThread()

    def __call__(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self._thread.is_here:
            return
        hidden = args[0] if args else kwargs["hidden_states"]
        # a layer on another device gets its inputs there only after the hook
        device = next(self.layer.parameters()).device
        cos, sin = merged_rotary(self.layer, kwargs["position_embeddings"])
        rotary = (cos.to(device), sin.to(device))
        self.result = self._visit(self._number, hidden.to(device), rotary)
        if self._is_last:
            raise _LayerReached
