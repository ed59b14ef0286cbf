"""What a stock CLIP vision encoder attends to, listened to while it runs.

Hooks see the input of each layer's attention; queries and keys are projected again and the wanted
rows of the softmax made of them, for the fused kernels give none away. The encoder's own output is
what it would be without hooks. Values are those of whole vision tokens: attention to a token of
``pool × pool`` patches is that to all of them, attention from it the mean of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.system.model_lock import ThisThread
from geofovea.regionfocus.reductions.tile_signals import TileSignals

__all__ = ["CLIP_SIGNALS", "SignalRecorder", "gray_entropy", "pooled_mean", "recording"]

CLIP_SIGNALS = frozenset({"cls_attention", "received", "attention", "keys", "encoder_hidden"})
"""What an encoder with a class token shows."""

_MOST_PATCHES = 8192
"""Above this, one head's attention of one tile would take more than 268 MB."""


@dataclass(eq=False)
class SignalRecorder:
    """Collects signals of one batch of tiles.

    Attributes:
        signals: Some of `CLIP_SIGNALS`.
        side: Tokens along a side of a tile.
        pool: Patches along a side of a token.
        last: The layer whose output the tokens are made of; `keys` and `attention` are its own.
    """

    signals: frozenset[str]
    side: int
    pool: int
    last: int
    _by_layer: dict[str, dict[int, Tensor]] = field(default_factory=dict)
    _whole: dict[str, Tensor] = field(default_factory=dict)

    def record(self, number: int, attention: Any, hidden: Tensor) -> None:
        """Take the signals from a layer's attention and its normed input (b, m, d)."""
        is_last = number == self.last
        wants_map = "received" in self.signals or ("attention" in self.signals and is_last)
        if not (wants_map or "cls_attention" in self.signals or is_last):
            return
        queries, keys = (
            project(hidden).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2).float()
            for project in (attention.q_proj, attention.k_proj)
        )
        if "cls_attention" in self.signals:
            row = (queries[:, :, :1] @ keys.transpose(2, 3) * attention.scale).softmax(-1)
            self._keep("cls_attention", number, self._of_keys(row[:, :, 0, 1:]))
        if wants_map:
            self._record_maps(number, queries, keys, attention.scale)
        if "keys" in self.signals and is_last:
            self._whole["keys"] = pooled_mean(keys.mean(1)[:, 1:], self.side, self.pool)

    def show_hidden(self, hidden: Tensor) -> None:
        """Take the encoder's output (b, patches, d) before the projector."""
        if "encoder_hidden" in self.signals:
            self._whole["encoder_hidden"] = pooled_mean(hidden, self.side, self.pool)

    def tiles(self, count: int) -> list[TileSignals]:
        """The signals of each of ``count`` tiles."""
        return [
            {name: table[i].clone() for name, table in self._whole.items()}
            | {
                name: {layer: table[i].clone() for layer, table in tables.items()}
                for name, tables in self._by_layer.items()
            }
            for i in range(count)
        ]

    def _record_maps(self, number: int, queries: Tensor, keys: Tensor, scale: float) -> None:
        if keys.shape[2] > _MOST_PATCHES:
            raise ModelError(
                f"the attention map of {keys.shape[2]} patches does not fit, at most "
                f"{_MOST_PATCHES} do; choose a reduction that needs the class token's row only, "
                "such as fastervlm"
            )
        received, maps = [], []
        # tile by tile: a batch of whole maps would take gigabytes
        for query, key in zip(queries, keys, strict=True):
            table = (query @ key.transpose(1, 2) * scale).softmax(-1)
            received.append(table.mean((0, 1))[1:])
            if "attention" in self.signals and number == self.last:
                to_tokens = self._of_keys(table[:, 1:, 1:])
                square = (self.side, self.pool, self.side, self.pool)
                grouped = to_tokens.reshape(len(table), *square, -1).mean((2, 4))
                maps.append(grouped.flatten(1, 2))
        if "received" in self.signals:
            self._keep("received", number, self._of_keys(torch.stack(received)))
        if maps:
            self._keep("attention", number, torch.stack(maps))

    def _of_keys(self, patches: Tensor) -> Tensor:
        """Attention (..., patches) to whole tokens (..., tokens)."""
        square = (self.side, self.pool, self.side, self.pool)
        tokens: Tensor = patches.reshape(*patches.shape[:-1], *square).sum((-3, -1)).flatten(-2)
        return tokens

    def _keep(self, name: str, layer: int, table: Tensor) -> None:
        self._by_layer.setdefault(name, {})[layer] = table.cpu()


@contextmanager
def recording(tower: Any, recorder: SignalRecorder) -> Iterator[None]:
    """Let a recorder watch a ``CLIPVisionModel`` that this thread runs, up to its last layer."""
    layers = getattr(tower, "vision_model", tower).encoder.layers
    thread = ThisThread()

    def hook(number: int) -> Any:
        def record(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            if not thread.is_here:
                return
            recorder.record(number, module, args[0] if args else kwargs["hidden_states"])

        return record

    handles = [
        layer.self_attn.register_forward_pre_hook(hook(number), with_kwargs=True)
        for number, layer in enumerate(layers[: recorder.last + 1])
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def pooled_mean(patches: Tensor, side: int, pool: int) -> Tensor:
    """Means of ``pool × pool`` patches: (b, patches, d) to (b, side², d)."""
    square = patches.reshape(len(patches), side, pool, side, pool, -1)
    tokens: Tensor = square.mean((2, 4)).flatten(1, 2)
    return tokens


def gray_entropy(rgb: NDArray[np.uint8], side: int) -> Tensor:
    """Entropy in bits of the gray levels of each token's pixels.

    Args:
        rgb: (T, T, 3).
        side: Tokens along a side of the tile.

    Returns:
        float32 (side²,), row-major, 0 to 8.
    """
    weights = np.array([0.299, 0.587, 0.114])  # luma of ITU-R BT.601
    gray = np.rint(rgb @ weights).astype(np.int64)
    step = len(gray) // side
    blocks = gray.reshape(side, step, side, step).transpose(0, 2, 1, 3).reshape(side * side, -1)
    counts = np.apply_along_axis(np.bincount, 1, blocks, minlength=256)
    shares = counts / blocks.shape[1]
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return torch.from_numpy(-(shares * logs).sum(1)).float()
