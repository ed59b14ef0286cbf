"""One layer of a real model's shape, random weights, and the processor time that it takes.

A layer of Qwen2-7B stands for the 28 of its decoder, a layer of CLIP-L/14 at 336 pixels for the 23
that run before LLaVA takes its features. Lengths that were not run are taken at the rate, in
operations a second, of the measured lengths around them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, Qwen2Config, Qwen2Model
from transformers.models.clip.modeling_clip import CLIPEncoderLayer
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

WIDTH, LAYERS = 3584, 28
SHAPE = {
    "hidden_size": WIDTH,
    "intermediate_size": 18944,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "num_hidden_layers": LAYERS,
    "vocab_size": 32,
}
ENCODER_LAYERS, PATCHES = 23, 576
_ROWS = 4096
"""Tokens that the wide feed-forward part sees at once; it treats each by itself."""


class InRows(nn.Module):
    """A module that treats every token by itself, run over some tokens at a time."""

    def __init__(self, module: nn.Module) -> None:
        """Wrap a module over ``(1, s, d)``."""
        super().__init__()
        self.module = module

    def forward(self, hidden: Tensor) -> Tensor:
        """The module's output over all tokens."""
        return torch.cat([self.module(part) for part in hidden.split(_ROWS, dim=1)], dim=1)


class DecoderTimes:
    """Processor seconds of the decoder of Qwen2-7B over prompts of some lengths."""

    def __init__(self, dtype: torch.dtype) -> None:
        """Make the layer and run it once over a few tokens."""
        torch.manual_seed(0)
        layer: Any = Qwen2DecoderLayer(Qwen2Config(**SHAPE, attn_implementation="sdpa"), 0)
        layer.mlp = InRows(layer.mlp)
        self._layer = layer.eval().to(dtype)
        self._dtype = dtype
        self.measured: dict[int, float] = {}
        self._run(16)

    def measure(self, tokens: int) -> float:
        """Seconds of one layer over so many tokens; known ones are not run again."""
        if tokens not in self.measured:
            self.measured[tokens] = self._run(tokens)
        return self.measured[tokens]

    def prefill(self, lengths: Sequence[int]) -> float:
        """Seconds of a decoder whose layers see so many tokens, one number a layer."""
        return sum(self._layer_seconds(length) for length in lengths)

    @torch.inference_mode()
    def _run(self, tokens: int) -> float:
        hidden = torch.randn(1, tokens, WIDTH, dtype=self._dtype)
        angles = torch.rand(1, tokens, WIDTH // SHAPE["num_attention_heads"])
        rotary = (angles.cos().to(self._dtype), angles.sin().to(self._dtype))
        started = time.process_time()
        self._layer(hidden, position_embeddings=rotary)
        return time.process_time() - started

    def _layer_seconds(self, tokens: int) -> float:
        if tokens in self.measured:
            return self.measured[tokens]
        sizes = sorted(self.measured)
        below = max((n for n in sizes if n < tokens), default=sizes[0])
        above = min((n for n in sizes if n > tokens), default=sizes[-1])
        rates = [layer_operations(n) / self.measured[n] for n in (below, above)]
        between = 0.0
        if above > below:
            between = math.log(tokens / below) / math.log(above / below)
        return layer_operations(tokens) / (rates[0] * (1 - between) + rates[1] * between)


def layer_operations(n: float) -> float:
    """Floating-point operations of one layer over n tokens: matrices, and causal attention."""
    keys = WIDTH * SHAPE["num_key_value_heads"] // SHAPE["num_attention_heads"]
    matrices = WIDTH * (2 * WIDTH + 2 * keys) + 3 * WIDTH * SHAPE["intermediate_size"]
    return 2 * n * matrices + 2 * n * n * WIDTH


def thin_decoder(dtype: torch.dtype) -> Any:
    """A decoder with the attention of Qwen2-7B and hardly any feed-forward part, one layer."""
    thin = {**SHAPE, "intermediate_size": 64, "num_hidden_layers": 1}
    return Qwen2Model(Qwen2Config(**thin, attn_implementation="sdpa")).eval().to(dtype)


def encoder_layers(dtype: torch.dtype) -> list[Any]:
    """The layers of CLIP-L that run, all of them one and the same."""
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_attention_heads=16,
        num_hidden_layers=24,
        attn_implementation="sdpa",
    )
    return [CLIPEncoderLayer(config).eval().to(dtype)] * ENCODER_LAYERS


def processor_seconds(work: Callable[[], object]) -> float:
    """Processor time of this process that some work takes."""
    started = time.process_time()
    work()
    return time.process_time() - started
