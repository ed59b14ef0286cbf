"""Prefill and decode on a stock text model, with explicit positions and an explicit mask of ones.

Without a mask, transformers 5 takes gaps in 1-D positions for the borders of packed samples and
lets tokens see their own side only, silently; with a mask of ones it does not, at no cost. Without
positions, Qwen-VL models fall back on what an earlier call left in the module.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from geofovea.pipeline.prompt_sequence import PromptSequence
from geofovea.pipeline.roomy_cache import roomy_cache
from geofovea.pipeline.row_attention import merged_rotary, row_logits

__all__ = ["PlainRun", "last_row_logits", "layer_input"]


class PlainRun:
    """One prompt on its way through a decoder that drops nothing."""

    def __init__(self, decoder: Any, sequence: PromptSequence, answer: int = 16) -> None:
        """Prepare a run; `prefill` comes first.

        Args:
            decoder: The text model.
            sequence: The prompt.
            answer: Tokens beyond it that memory is set aside for; more may follow.
        """
        self._decoder = decoder
        self._sequence = sequence
        self._cache = roomy_cache(decoder.config, len(sequence) + answer)
        self._next = sequence.next_position

    def prefill(self) -> Tensor:
        """Run the prompt; the last token's final state, ``(1, d)``."""
        output = self._decoder(
            **_inputs(self._sequence), past_key_values=self._cache, use_cache=True
        )
        last: Tensor = output.last_hidden_state[:, -1]
        return last

    def advance(self, embedded: Tensor) -> Tensor:
        """Run one token ``(1, 1, d)`` of the answer; its final state, ``(1, d)``."""
        return self._run(embedded)[:, -1]

    def try_out(self, embedded: Tensor) -> Tensor:
        """Final states ``(m, d)`` of tokens ``(1, m, d)`` that are forgotten again."""
        states, count = self._run(embedded)[0], embedded.shape[1]
        self._cache.crop(-count)
        self._next -= count
        return states

    def _run(self, embedded: Tensor) -> Tensor:
        count, device = embedded.shape[1], embedded.device
        positions = torch.arange(self._next, self._next + count, device=device)
        shape = (*self._sequence.positions.shape[:-1], count)
        # behind a cache no gap is looked for, and one token may see all: a mask of ones would only
        # be read back from the device, at every step, to find that it hides nothing
        seen = self._cache.get_seq_length() + count
        mask = None if count == 1 else torch.ones(1, seen, dtype=torch.long, device=device)
        output = self._decoder(
            inputs_embeds=embedded,
            position_ids=positions.expand(shape),
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
        )
        self._next += count
        states: Tensor = output.last_hidden_state
        return states


def last_row_logits(decoder: Any, layer: int, sequence: PromptSequence) -> Tensor:
    """Scaled attention logits of the last token over the vision tokens, float32 ``(heads, n)``.

    Only the layers below ``layer`` run.
    """
    inputs = _inputs(sequence) | {"use_cache": False}
    hidden, (cos, sin) = layer_input(decoder, layer, inputs)
    observed, device = decoder.layers[layer], hidden.device
    last = torch.full((1, 1), len(sequence) - 1, device=device)
    visual = sequence.visual.to(device)
    first, count = int(visual[0]), int(visual[-1] - visual[0]) + 1
    logits = row_logits(observed, hidden, (cos, sin), last, first, count)
    return logits[0, :, 0, visual - first]


def layer_input(
    decoder: Any, layer: int, inputs: dict[str, Any]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """What a layer would get: hidden states (1, s, d), cosines and sines; only those below run.

    Args:
        decoder: The text model.
        layer: Number of the layer.
        inputs: Of the decoder, by name.
    """
    captured = _Captured()
    observed = decoder.layers[layer]
    hook = observed.register_forward_pre_hook(captured, with_kwargs=True)
    try:
        decoder(**inputs)
    except _LayerReached:
        pass
    finally:
        hook.remove()
    # a layer on another device gets its inputs there only after the hook
    device = observed.self_attn.k_proj.weight.device
    cos, sin = merged_rotary(observed, captured.rotary)
    return captured.hidden.to(device), (cos.to(device), sin.to(device))


def _inputs(sequence: PromptSequence) -> dict[str, Any]:
    device = sequence.embedded.device
    inputs: dict[str, Any] = {
        "inputs_embeds": sequence.embedded,
        "position_ids": sequence.positions,
        "attention_mask": torch.ones(1, len(sequence), dtype=torch.long, device=device),
    }
    if sequence.deep is not None:
        places = torch.zeros(1, len(sequence), dtype=torch.bool, device=device)
        places[0, sequence.visual] = True
        inputs |= {
            "visual_pos_masks": places,
            "deepstack_visual_embeds": list(sequence.deep),
        }
    return inputs


class _LayerReached(Exception):  # noqa: N818 - control flow, not an error
    """Raised by a hook to leave the decoder before the layer runs."""


class _Captured:
    """A forward pre-hook that keeps a layer's input and stops the decoder."""

    hidden: Tensor
    rotary: tuple[Tensor, Tensor]

    def __call__(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.hidden = args[0] if args else kwargs["hidden_states"]
        self.rotary = kwargs["position_embeddings"]
        raise _LayerReached
