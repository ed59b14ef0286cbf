"""Steps of a decoder that are recorded once, as a CUDA graph, and replayed with one launch each.

A step behind a prompt of a 7B host asks a GPU for about a thousand launches, all of them from
Python; replayed, it asks for one. What is recorded may not change: keys and values have a fixed
room that is kept from one question to the next, a mask hides the places that are not filled yet,
and nothing is read back from the device. Only the contents of some small inputs change.

The mask has its price: with it, torch's attention expands grouped keys and values. Behind long
prompts that costs more than launches, so steps behind more than `MOST_PLACES` places stay as they
are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from geofovea.errors import ModelError
from geofovea.pipeline.inference.attention.support import can_batch
from geofovea.pipeline.inference.decoder.forward import recordable
from geofovea.pipeline.system.cancellation import check_cancelled

__all__ = ["MOST_PLACES", "RecordedSteps", "Step", "record_cuda_graph"]

MOST_PLACES = 8192
"""Places of a prompt and its answer above which steps are not recorded: by arithmetic."""

_GRAIN = 1024
_MOST_RECORDS = 2

Step = Callable[[], Tensor]
"""Reads its inputs where they are, and gives states ``(b, d)``."""


def record_cuda_graph(step: Step, device: torch.device) -> Step:
    """Run a step twice unrecorded, for kernels to be chosen, and record it.

    Args:
        step: What is done; it may wait for nothing.
        device: A CUDA device.

    Returns:
        What replays it; its result is overwritten by the next replay.
    """
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(2):
            step()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # other threads may go on to ask for memory
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = step()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


class RecordedSteps:
    """Steps of one decoder, for prompts of any length up to `MOST_PLACES`."""

    def __init__(
        self, decoder: Any, record: Callable[[Step, torch.device], Step] = record_cuda_graph
    ) -> None:
        """Prepare; nothing is recorded before the first answer.

        Args:
            decoder: The text model.
            record: Makes of a step what is called in its place.

        Raises:
            ModelError: If its layers see windows, or its positions depend on the length of a
                prompt, so that no two steps are alike.
        """
        if not can_batch(decoder):
            raise ModelError(
                f"the steps of a {decoder.config.model_type!r} decoder with windows or dynamic "
                "positions differ from each other and cannot be recorded; leave out compile_decode"
            )
        self._decoder, self._record = decoder, record
        self._records: dict[tuple[int, ...], _Record] = {}

    def behind(
        self, cache: DynamicCache, filled: Tensor, positions: Tensor, answer: int
    ) -> Callable[[Tensor], Tensor] | None:
        """What runs one more token of each answer, behind prompts that have run.

        Args:
            cache: Their keys and values.
            filled: int64 ``(b, s)``, 0 where a prompt is padded.
            positions: int64, of the next token: ``(b, 1)``, or ``(3, b, 1)`` for M-RoPE.
            answer: Tokens of the longest answer.

        Returns:
            From embedded tokens ``(b, 1, d)`` to states ``(b, d)``; None for too long prompts.
        """
        room = -(-(filled.shape[1] + answer) // _GRAIN) * _GRAIN
        if room > MOST_PLACES:
            return None
        key = (*positions.shape, room)
        if key not in self._records:
            if len(self._records) >= _MOST_RECORDS:
                # keys, values and a graph: those that were made first
                del self._records[next(iter(self._records))]
            self._records[key] = _Record(self._decoder, cache, positions, room, self._record)
        return self._records[key].begin(cache, filled, positions)


@dataclass(eq=False)
class _Place:
    """Where the next keys and values go, int64 ``(1,)``."""

    index: Tensor


class _FixedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of a fixed room; a step writes its place, and all places are given out."""

    def __init__(self, keys: Tensor, values: Tensor, room: int, place: _Place) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        # zeros, for what is hidden is still multiplied by nothing
        self.keys = keys.new_zeros((*keys.shape[:2], room, keys.shape[-1]))
        self.values = values.new_zeros((*values.shape[:2], room, values.shape[-1]))
        self._place = place

    def fill(self, keys: Tensor, values: Tensor) -> None:
        """Take those of a prompt, ``(b, h, s, d)``."""
        self.keys[:, :, : keys.shape[2]] = keys
        self.values[:, :, : values.shape[2]] = values

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Write one place; all ``(b, h, room, d)``."""
        self.keys.index_copy_(2, self._place.index, key_states)
        self.values.index_copy_(2, self._place.index, value_states)
        return self.keys, self.values


class _Record:
    """One recorded step: the tensors that it reads and writes, and what replays it."""

    def __init__(
        self,
        decoder: Any,
        cache: DynamicCache,
        positions: Tensor,
        room: int,
        record: Callable[[Step, torch.device], Step],
    ) -> None:
        device, count = positions.device, positions.shape[-2]
        self._place = _Place(torch.zeros(1, dtype=torch.int64, device=device))
        self._positions = torch.zeros_like(positions, memory_format=torch.contiguous_format)
        self._mask = torch.zeros(count, 1, 1, room, dtype=torch.bool, device=device)
        weight = next(decoder.parameters())
        self._embedded = torch.zeros(
            count, 1, decoder.config.hidden_size, dtype=weight.dtype, device=device
        )
        self._cache = DynamicCache(config=decoder.config)
        self._cache.layers = [
            _FixedLayer(layer.keys, layer.values, room, self._place) for layer in cache.layers
        ]
        self._run = recordable(decoder, self._cache)
        self._device, self._record = device, record
        self._replay: Step | None = None

    def begin(
        self, cache: DynamicCache, filled: Tensor, positions: Tensor
    ) -> Callable[[Tensor], Tensor]:
        """Take the keys and values of prompts; what runs one more token of each answer."""
        for own, layer in zip(self._cache.layers, cache.layers, strict=True):
            own.fill(layer.keys, layer.values)
        self._mask.zero_()
        self._mask[:, 0, 0, : filled.shape[1]] = filled.bool()
        self._positions.copy_(positions)
        self._place.index.fill_(filled.shape[1])
        return self._advance

    def _advance(self, embedded: Tensor) -> Tensor:
        check_cancelled()
        self._embedded.copy_(embedded)
        self._mask.index_fill_(3, self._place.index, True)
        if self._replay is None:
            self._replay = self._record(self._step, self._device)
        states = self._replay().clone()
        self._place.index += 1
        self._positions += 1
        return states

    def _step(self) -> Tensor:
        output = self._run(
            inputs_embeds=self._embedded,
            position_ids=self._positions,
            attention_mask=self._mask,
        )
        states: Tensor = output.last_hidden_state
        return states[:, -1]
