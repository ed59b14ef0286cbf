"""Keys and values of a prompt with room for its answer, so that no step copies what is there.

A stock ``DynamicCache`` joins the old keys and the new one into a new tensor, in every layer and at
every step: at 21,000 tokens of a 7B host that copies a gigabyte for each token of an answer, into
tensors of a size that the device's allocator has never seen. Here the room is taken once; a step
writes its own row. Attention is given the same numbers at the same places, so results do not
change, and as the length is exact, no mask over unused places is needed (a ``StaticCache`` needs
one).

A stock layer with a window keeps the last keys as a view of all of them, so that a long prompt
stays in memory as a whole; here what it sees no more is given back.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

__all__ = ["PreallocatedLayer", "WindowLayer", "filled_cache", "preallocated_cache"]


def preallocated_cache(config: Any, room: int) -> DynamicCache:
    """An empty cache for a decoder whose layers have room for ``room`` tokens, and grow beyond.

    Those with a window keep what stands in it and no more; other kinds stay as ``transformers``
    makes them.
    """
    cache = DynamicCache(config=config)
    cache.layers = [_own(layer, room) for layer in cache.layers]
    return cache


def _own(layer: Any, room: int) -> Any:
    # a subclass may keep other numbers than all keys and values
    if type(layer) is DynamicLayer:
        return PreallocatedLayer(room)
    if type(layer) is DynamicSlidingWindowLayer:
        return WindowLayer(layer.sliding_window)
    return layer


def filled_cache(config: Any, keys: Tensor, values: Tensor, count: int) -> DynamicCache:
    """A cache that holds keys and values in its first layers, and grows into what is behind them.

    Args:
        config: Of the decoder.
        keys: ``(depth, key_heads, places, head_dim)``, at their positions; the cache writes on
            behind the filled places.
        values: Likewise.
        count: Places that are filled, from the first on.
    """
    cache = preallocated_cache(config, keys.shape[2])
    for layer in range(len(keys)):
        own, pair = cache.layers[layer], (keys[layer, None], values[layer, None])
        if isinstance(own, PreallocatedLayer):
            own.adopt(*pair, count)
        else:
            own.update(*(states[:, :, :count] for states in pair))
    return cache


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]
    """A ``DynamicLayer`` whose ``keys`` and ``values`` are the filled part of larger tensors."""

    def __init__(self, room: int) -> None:
        """Take no memory yet: sizes, type and device come with the first keys."""
        super().__init__()
        self._room = room
        self._all_keys: Tensor | None = None
        self._all_values: Tensor | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Start empty; see the stock layer."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = key_states[..., :0, :], value_states[..., :0, :]
        self.is_initialized = True

    def adopt(self, keys: Tensor, values: Tensor, count: int) -> None:
        """Hold tensors ``(b, h, places, d)`` whose first ``count`` places are filled."""
        self.lazy_initialization(keys, values)
        self._all_keys, self._all_values = keys, values
        self.keys, self.values = keys[..., :count, :], values[..., :count, :]

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Append ``(b, h, m, d)`` keys and values; all of them, ``(b, h, n + m, d)``."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        self._all_keys = self._with_room(self._all_keys, self.keys, key_states, end)
        self._all_values = self._with_room(self._all_values, self.values, value_states, end)
        self._all_keys[..., start:end, :] = key_states
        self._all_values[..., start:end, :] = value_states
        self.keys, self.values = self._all_keys[..., :end, :], self._all_values[..., :end, :]
        return self.keys, self.values

    def _with_room(self, whole: Tensor | None, filled: Tensor, new: Tensor, end: int) -> Tensor:
        """A tensor that begins with ``filled`` and has ``end`` places at least: ``whole`` if so."""
        # reordering or repeating a cache puts other tensors into the stock attributes
        is_part = whole is not None and whole.data_ptr() == filled.data_ptr()
        if whole is not None and is_part and whole.shape[-2] >= end:
            return whole
        places = self._room if end <= self._room else 2 * end
        roomy = new.new_empty((*new.shape[:-2], places, new.shape[-1]))
        length = filled.shape[-2]
        roomy[..., :length, :] = filled
        return roomy


class WindowLayer(DynamicSlidingWindowLayer):  # type: ignore[misc]
    """A ``DynamicSlidingWindowLayer`` that keeps no memory of keys outside of its window."""

    keys: Tensor
    values: Tensor

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append ``(b, h, m, d)`` keys and values; those that the new ones see, as in the stock."""
        keys, values = super().update(key_states, value_states, *args, **kwargs)
        # a step of an answer leaves one place behind, and would pay a copy for it each time
        if keys.shape[-2] > self.keys.shape[-2] + 1:
            self.keys, self.values = self.keys.clone(), self.values.clone()
        return keys, values
