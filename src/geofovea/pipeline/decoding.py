"""Prefill and decode on a stock text model, with explicit positions and an explicit mask of ones.

Without a mask, transformers 5 takes gaps in 1-D positions for the borders of packed samples and
lets tokens see their own side only, silently; with a mask of ones it does not, at no cost. Without
positions, Qwen-VL models fall back on what an earlier call left in the module.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from geofovea.pipeline.decoder_pruning import DecoderRun
from geofovea.pipeline.prompt_sequence import PromptSequence
from geofovea.pipeline.row_attention import merged_rotary, row_logits
from geofovea.regionfocus.reductions.decoder_stage import DecoderReduction

__all__ = ["PlainRun", "PrunedRun", "last_row_logits"]


class PlainRun:
    """One prompt on its way through a decoder that drops nothing."""

    def __init__(self, decoder: Any, sequence: PromptSequence) -> None:
        """Prepare a run; `prefill` comes first."""
        from transformers import DynamicCache

        self._decoder = decoder
        self._sequence = sequence
        self._cache = DynamicCache(config=decoder.config)
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
        seen = self._cache.get_seq_length() + count
        positions = torch.arange(self._next, self._next + count, device=device)
        shape = (*self._sequence.positions.shape[:-1], count)
        output = self._decoder(
            inputs_embeds=embedded,
            position_ids=positions.expand(shape),
            attention_mask=torch.ones(1, seen, dtype=torch.long, device=device),
            past_key_values=self._cache,
            use_cache=True,
        )
        self._next += count
        states: Tensor = output.last_hidden_state
        return states


class PrunedRun:
    """One prompt with compact positions of one axis, of which layers drop vision tokens."""

    def __init__(
        self, decoder: Any, sequence: PromptSequence, levels: Tensor, reduction: DecoderReduction
    ) -> None:
        """Prepare a run.

        Args:
            decoder: The text model.
            sequence: The prompt.
            levels: int64 (n,), level of each vision token.
            reduction: What drops them.
        """
        visual = sequence.visual.cpu()
        first, count = (int(visual[0]), int(visual[-1] - visual[0]) + 1) if len(visual) else (0, 0)
        # words between tiles lie in the image for the run, and are never dropped
        protected = torch.ones(count, dtype=torch.bool)
        protected[visual - first] = False
        level_of_place = torch.zeros(count, dtype=torch.int64)
        level_of_place[visual - first] = levels
        self._words = int(protected.sum())
        self._sequence = sequence
        self._run = DecoderRun(
            decoder,
            reduction=reduction,
            first=first,
            count=count,
            levels=level_of_place,
            protected=protected if self._words else None,
        )

    def prefill(self) -> Tensor:
        """Run the prompt; the last token's final state, ``(1, d)``."""
        return self._run.advance(self._sequence.embedded)

    def advance(self, embedded: Tensor) -> Tensor:
        """Run one token ``(1, 1, d)`` of the answer; its final state, ``(1, d)``."""
        return self._run.advance(embedded)

    @property
    def vision_lengths(self) -> tuple[int, ...]:
        """Vision tokens that ran through each layer in the prefill."""
        return tuple(length - self._words for length in self._run.vision_lengths)


def last_row_logits(decoder: Any, layer: int, sequence: PromptSequence) -> Tensor:
    """Scaled attention logits of the last token over the vision tokens, float32 ``(heads, n)``.

    Only the layers below ``layer`` run.
    """
    captured = _Captured()
    observed = decoder.layers[layer]
    hook = observed.register_forward_pre_hook(captured, with_kwargs=True)
    try:
        decoder(**_inputs(sequence), use_cache=False)
    except _LayerReached:
        pass
    finally:
        hook.remove()
    # a layer on another device gets its inputs there only after the hook
    device = observed.self_attn.k_proj.weight.device
    hidden = captured.hidden.to(device)
    cos, sin = merged_rotary(observed, captured.rotary)
    last = torch.full((1, 1), len(sequence) - 1, device=device)
    visual = sequence.visual.to(device)
    first, count = int(visual[0]), int(visual[-1] - visual[0]) + 1
    logits = row_logits(observed, hidden, (cos.to(device), sin.to(device)), last, first, count)
    return logits[0, :, 0, visual - first]


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
