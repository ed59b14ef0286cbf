"""What a published structure takes in memory, measured without its weights.

Models stand on the device ``meta`` or have few layers; every tensor that is alive is counted,
byte by byte. Attention counts as one fused kernel, as it is on a GPU.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from real_structures import Structure
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.inference.attention.block_masks import block_masks
from geofovea.pipeline.inference.attention.kv_cache import preallocated_cache
from geofovea.pipeline.inference.decoder.forward import forward

__all__ = ["bytes_of_a_prompt", "bytes_of_a_tile", "bytes_of_weights", "model_on_meta"]

_ON_META = ("llava", "llava_next", "llava_onevision", "internvl")
"""Families whose towers read back no number, so that they run where there are none."""


class _Alive(TorchDispatchMode):
    """Counts the bytes of tensors that were made inside and are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        old = {t.untyped_storage()._cdata for t in _tensors((args, kwargs))}
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in old and key not in self._sizes:
                self._sizes[key] = storage.nbytes()
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._gone, key)
        return result

    def _gone(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)


class _Fused(TorchFunctionMode):
    """Attention makes its result and nothing else."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is nn.functional.scaled_dot_product_attention:
            return torch.empty_like(args[0] if args else named["query"])
        return func(*args, **named)


def _tensors(values: Any) -> list[Tensor]:
    return [t for t in tree_leaves(values) if isinstance(t, Tensor)]


@contextmanager
def _counted() -> Iterator[_Alive]:
    with torch.inference_mode(), _Fused(), _Alive() as alive:
        yield alive


def model_on_meta(structure: Structure, layers: int | None = None) -> Any:
    """The stock class in bfloat16, without numbers."""
    config = structure.config(layers)
    # the window of a published Mistral is longer than any prompt here
    if config.text_config.model_type not in ("gemma2", "gemma3_text"):
        config.text_config.sliding_window = None
    with torch.device("meta"):
        model = getattr(transformers, FAMILIES[structure.family].model_class)(config)
    return model.to(torch.bfloat16).eval()


def bytes_of_weights(structure: Structure) -> tuple[int, int]:
    """Of all layers, from models of few and of one period more: in 16 bits, and quantized to four.

    A quantized parameter has four bits and a factor of 32 for 64 of them, in the modules that
    bitsandbytes replaces: all that are exactly ``nn.Linear``, but for the output matrix.
    """
    period, least = structure.period, _few_layers(structure)
    few, more = (_weights(model_on_meta(structure, n)) for n in (least, least + period))
    periods = (structure.text[2] - least) // period
    plain, quantized = (a + periods * (b - a) for a, b in zip(few, more, strict=True))
    return plain, quantized


def _few_layers(structure: Structure) -> int:
    """So many that every kind of layer is there, and no layer is alone."""
    return max(2, structure.period)


def _weights(model: Any) -> tuple[int, int]:
    total = sum(parameter.nbytes for parameter in model.parameters())
    replaced = [m.weight for m in model.modules() if type(m) is nn.Linear]
    numbers = sum(w.numel() for w in replaced if w is not model.lm_head.weight)
    return total, total - 2 * numbers + numbers // 2 + numbers // 64 * 4


def bytes_of_a_prompt(structure: Structure, tokens: int) -> tuple[int, int]:
    """Keys and values over all layers, and what the busiest layer takes besides.

    The prompt runs as a host runs it, nearly all of it tiles, with the masks of models in which
    tokens see tokens behind them.
    """
    model = model_on_meta(structure, structure.fewest_layers)
    family = FAMILIES[structure.family](model)
    decoder, places = family.decoder, torch.arange(tokens)
    positions = torch.arange(tokens, device="meta")
    blocks = family.sight.blocks(tokens, places, places // (family.grid[0] * family.grid[1]))
    cache = preallocated_cache(decoder.config, tokens)
    with _counted() as alive:
        embedded = torch.empty(1, tokens, structure.text[0], dtype=torch.bfloat16, device="meta")
        # a host passes a mask of ones where none is needed; here is no one that could be read
        mask = None
        if blocks is not None:
            mask = block_masks(decoder, blocks[None].to("meta"), embedded.dtype)
        forward(
            decoder,
            inputs_embeds=embedded,
            position_ids=positions.expand((1, tokens) if family.axes == 1 else (3, 1, tokens)),
            attention_mask=mask,
            cache=cache,
        )
    kept = _kept_by_layer(cache)
    of_kind = dict(zip(_kinds(decoder.config), kept, strict=True))
    kinds = _kinds(structure.config().text_config)
    return sum(of_kind[kind] for kind in kinds), alive.peak - sum(kept)


def _kinds(config: Any) -> list[str]:
    """The kind of each layer of a decoder."""
    kinds = getattr(config, "layer_types", None)
    return list(kinds or ["full_attention"] * config.num_hidden_layers)


def _kept_by_layer(cache: Any) -> list[int]:
    """Bytes of the tensors behind the keys and values of each layer; a view keeps all of one."""
    pairs = [
        (getattr(layer, "keys", None), getattr(layer, "values", None)) for layer in cache.layers
    ]
    return [sum(t.untyped_storage().nbytes() for t in pair if t is not None) for pair in pairs]


def bytes_of_a_tile(structure: Structure) -> int:
    """What encoding one tile takes besides the weights; its layers follow each other."""
    return _bytes_of_a_tile(structure.family, structure.vision, structure)


_measured: dict[tuple[str, str], int] = {}
"""By family and tower."""


def _bytes_of_a_tile(family: str, vision: str, structure: Structure) -> int:
    if (family, vision) not in _measured:
        model = model_on_meta(structure, 1) if family in _ON_META else _real_tower(structure)
        host = FAMILIES[family](model)
        side = host.tile_size
        device = next(host.vision.parameters()).device
        with _counted() as alive:
            host.encode(torch.full((1, 3, side, side), 0.1, dtype=torch.bfloat16, device=device))
        _measured[family, vision] = alive.peak
    return _measured[family, vision]


def _real_tower(structure: Structure) -> Any:
    """Three layers of the tower, all zeros, before next to no decoder."""
    config = structure.config(1)
    vision, text = config.vision_config, config.text_config
    for part, changes in (
        (vision, {"depth": 3, "num_hidden_layers": 3}),
        (vision, {"deepstack_visual_indexes": [0, 1, 2], "fullatt_block_indexes": [1]}),
        (text, {"intermediate_size": 64, "moe_intermediate_size": 64, "vocab_size": 512}),
        (text, {"num_experts": 2, "n_routed_experts": 2, "num_experts_per_tok": 1}),
    ):
        for name, value in changes.items():
            if hasattr(part, name):
                setattr(part, name, value)
    with torch.device("meta"):
        model = getattr(transformers, FAMILIES[structure.family].model_class)(config)
    # random numbers would cost more than the tile
    model = model.to(torch.bfloat16).eval().to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*model.model.parameters(), *model.model.buffers()):
            tensor.zero_()
    return model
