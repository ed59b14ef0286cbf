"""What a device can do at best, and what the parts of an LVLM need at least.

Operations are floating-point ones, two for a multiplication with its addition; causal attention
counts the half that is not masked, grouped keys and values as few as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Floors", "Rates", "measure_rates", "wait_for"]


def wait_for(device: torch.device) -> None:
    """Return when the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True, slots=True)
class Rates:
    """Measured: operations a second in matrix products, bytes a second read and written."""

    operations: float
    bytes: float


def measure_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """Best of some products of square matrices, and of some copies of a large tensor."""
    on_gpu = device.type == "cuda"
    side, count = (8192, 2**30) if on_gpu else (768, 2**25)
    left, right = torch.randn(2, side, side, device=device).to(dtype)
    source = torch.empty(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = _best(lambda: torch.mm(left, right), device)
    copy = _best(lambda: target.copy_(source), device)
    return Rates(2 * side**3 / product, 2 * count / copy)


def _best(work: Callable[[], Any], device: torch.device, rounds: int = 8) -> float:
    times = []
    for _ in range(rounds):
        wait_for(device)
        start = time.perf_counter()
        work()
        wait_for(device)
        times.append(time.perf_counter() - start)
    return min(times)


class Floors:
    """Least seconds of each stage for one model on one device."""

    def __init__(self, model: Any, rates: Rates) -> None:
        """Take the sizes from the model's configuration."""
        self._rates = rates
        self._text, self._vision = model.config.text_config, model.config.vision_config
        self._layers_seen = self._vision.num_hidden_layers + 1 + model.config.vision_feature_layer
        decoder = model.model.language_model.layers.parameters()
        self._decoder_bytes = sum(p.nbytes for p in decoder)
        self._bytes_of_number = next(model.parameters()).element_size()
        self._weights = self._decoder_bytes + model.lm_head.weight.nbytes
        vision = [*model.model.vision_tower.parameters()]
        vision += model.model.multi_modal_projector.parameters()
        self._vision_bytes = sum(p.nbytes for p in vision)

    def read(self, tiles: int, tile_size: int) -> float:
        """The pixels of the tiles, once over the memory."""
        return tiles * tile_size**2 * 3 / self._rates.bytes

    def encode(self, tiles: int) -> float:
        """Tower (the layers that count) and projector."""
        v, d_text = self._vision, self._text.hidden_size
        d, patches = v.hidden_size, (v.image_size // v.patch_size) ** 2
        n = patches + 1
        layer = n * (4 * d * d + 2 * d * v.intermediate_size) + 2 * n * n * d
        stem = patches * 3 * v.patch_size**2 * d
        projector = patches * (d * d_text + d_text * d_text)
        macs = tiles * (stem + self._layers_seen * layer + projector)
        return self._slower(2 * macs, self._vision_bytes)

    def focus(self, lengths: list[int], layers: int) -> float:
        """The layers below the observed one, for each prompt that is scored."""
        share = layers / self._text.num_hidden_layers
        one = [
            self._slower(2 * self._layer_macs(n) * layers, self._decoder_bytes * share)
            for n in lengths
        ]
        return sum(one)

    def prefill(self, length: int) -> float:
        """All layers over a prompt, and the words for its last place."""
        t = self._text
        macs = self._layer_macs(length) * t.num_hidden_layers + t.hidden_size * t.vocab_size
        return self._slower(2 * macs, self._weights)

    def decode(self, length: int, steps: int) -> float:
        """All weights, keys and values, once a step."""
        t = self._text
        a_token = 2 * t.num_hidden_layers * self._keys_width() * self._bytes_of_number
        total = sum(self._weights + (length + step) * a_token for step in range(steps))
        return total / self._rates.bytes

    def _keys_width(self) -> int:
        t = self._text
        return t.num_key_value_heads * (t.hidden_size // t.num_attention_heads)

    def _layer_macs(self, n: int) -> float:
        t = self._text
        d = t.hidden_size
        a_token = 2 * d * d + 2 * d * self._keys_width() + 3 * d * t.intermediate_size
        return n * a_token + n * n * d

    def _slower(self, operations: float, moved: float) -> float:
        return max(operations / self._rates.operations, moved / self._rates.bytes)
