"""Prompts side by side: what a decoder runs at once.

The shorter ones are padded behind. Attention is causal, so no token of a prompt sees padding, and
each is as it would be alone; only what follows the prompts needs a mask over it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.pipeline.inference.prompts.sight import NO_BLOCK
from geofovea.pipeline.system.device_memory import give_back, is_out_of_memory

__all__ = ["PromptBatch", "run_side_by_side"]

_MOST_PLACES = 16384
"""Places, padding included, that run at once: of a 7B host, keys and values of 0.9 GB."""
_LEAST_FILLED = 0.75

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class PromptBatch:
    """Some prompts of one kind of positions.

    Attributes:
        embedded: ``(b, s, d)``, zeros behind the shorter prompts.
        positions: int64 ``(b, s)``, or ``(3, b, s)`` for M-RoPE.
        lengths: Of each prompt.
        next_positions: int64 ``(b,)``, of the first word of each answer.
        visual: bool ``(b, s)``, where the vision tokens are; None unless there are deep features.
        deep: ``(layers, n, d)`` of all vision tokens, prompt by prompt, or None.
        blocks: int64 ``(b, s)``, which tokens see each other both ways; None where none do.
    """

    embedded: Tensor
    positions: Tensor
    lengths: tuple[int, ...]
    next_positions: Tensor
    visual: Tensor | None = None
    deep: Tensor | None = None
    blocks: Tensor | None = None

    @staticmethod
    def of(sequences: Sequence[PromptSequence]) -> PromptBatch:
        """Put prompts side by side; at least one."""
        first = sequences[0]
        device, lengths = first.embedded.device, tuple(len(each) for each in sequences)
        most = max(lengths)
        positions = [_padded(each.positions, most, -1) for each in sequences]
        visual = deep = None
        if any(each.deep is not None for each in sequences):
            visual = torch.zeros(len(sequences), most, dtype=torch.bool, device=device)
            for row, each in zip(visual, sequences, strict=True):
                row[each.visual.to(device)] = True
            deep = torch.cat([each.deep for each in sequences if each.deep is not None], dim=1)
        return PromptBatch(
            embedded=torch.cat([_padded(each.embedded, most, 1) for each in sequences]),
            positions=torch.cat(positions, dim=-2),
            lengths=lengths,
            next_positions=torch.tensor([s.next_position for s in sequences], device=device),
            visual=visual,
            deep=deep,
            blocks=_blocks(sequences, most, device),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def is_padded(self) -> bool:
        """Whether some prompt is shorter than others."""
        return len(set(self.lengths)) > 1

    @property
    def filled(self) -> Tensor:
        """int64 ``(b, s)``: 1 where a prompt is, 0 behind it."""
        device = self.embedded.device
        ends = torch.tensor(self.lengths, device=device)[:, None]
        return (torch.arange(self.embedded.shape[1], device=device) < ends).long()

    @property
    def last(self) -> Tensor:
        """int64 ``(b, 1)``: the place of the last token of each prompt."""
        return torch.tensor(self.lengths, device=self.embedded.device)[:, None] - 1

    def inputs(self, stored: int = 0) -> dict[str, Any]:
        """What a text model of ``transformers`` takes for all prompts, without the cache itself.

        Args:
            stored: Places before each prompt that a cache holds.
        """
        count, length = self.embedded.shape[:2]
        inputs: dict[str, Any] = {
            "inputs_embeds": self.embedded,
            "position_ids": self.positions,
            # all ones: padding behind is hidden by causality
            "attention_mask": torch.ones(
                (count, stored + length), dtype=torch.long, device=self.embedded.device
            ),
        }
        if self.deep is not None:
            inputs["visual_pos_masks"] = self.visual
            inputs["deepstack_visual_embeds"] = list(self.deep)
        return inputs


def _blocks(sequences: Sequence[PromptSequence], length: int, device: Any) -> Tensor | None:
    """Blocks ``(b, length)`` of prompts; padding is in none."""
    if all(each.blocks is None for each in sequences):
        return None
    blocks = torch.full((len(sequences), length), NO_BLOCK)
    for row, each in zip(blocks, sequences, strict=True):
        if each.blocks is not None:
            row[: len(each)] = each.blocks
    return blocks.to(device)


def _padded(values: Tensor, length: int, dim: int) -> Tensor:
    missing = length - values.shape[dim]
    if not missing:
        return values
    shape = list(values.shape)
    shape[dim] = missing
    return torch.cat([values, values.new_zeros(shape)], dim=dim)


def run_side_by_side(
    lengths: Sequence[int],
    run: Callable[[list[int]], list[Result]],
    *,
    together: bool = True,
) -> list[Result]:
    """Run prompts of like length together; where the device has too little memory, fewer.

    Args:
        lengths: Of the prompts.
        run: Makes one thing of each of the prompts whose indices it is given.
        together: Whether any may go together.

    Returns:
        What was made of each prompt.

    Raises:
        RuntimeError: If a single prompt does not fit; see ``is_out_of_memory``.
        MemoryError: Likewise.
    """
    results: dict[int, Result] = {}
    waiting = _alike(lengths) if together else [[i] for i in range(len(lengths))]
    while waiting:
        group = waiting.pop()
        try:
            results |= zip(group, run(group), strict=True)
        except (RuntimeError, MemoryError) as error:
            if len(group) == 1 or not is_out_of_memory(error):
                raise
            half = len(group) // 2
            waiting += [group[:half], group[half:]]
        else:
            continue
        # outside of the handler, whose traceback keeps the tensors of the failed run alive
        give_back()
    return [results[i] for i in range(len(lengths))]


def _alike(lengths: Sequence[int]) -> list[list[int]]:
    """Indices in groups of few padded places, longest first within each."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if groups:
            longest = lengths[groups[-1][0]]
            fits = longest * (len(groups[-1]) + 1) <= _MOST_PLACES
            if fits and lengths[index] >= _LEAST_FILLED * longest:
                groups[-1].append(index)
                continue
        groups.append([index])
    return groups
