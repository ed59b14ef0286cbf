"""Where the vision tokens of tiles stand, one tile after the other, and the words around them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["TileRuns"]


@dataclass(frozen=True, slots=True, eq=False)
class TileRuns:
    """Places counted from the first tile on, as int64 tensors on the host.

    Attributes:
        tile: ``(n,)``, the number of each token's tile.
        tokens: ``(n,)``, where each token stands.
        opening: ``(k, o)``, where the words before each of k tiles stand.
        closing: ``(k, c)``, where those behind each of them stand.
    """

    tile: Tensor
    tokens: Tensor
    opening: Tensor
    closing: Tensor

    @staticmethod
    def of(counts: Tensor, opening: int, closing: int) -> TileRuns:
        """Runs of ``counts`` tokens ``(k,)`` with so many words before and behind each."""
        numbers = torch.arange(len(counts))
        tile = numbers.repeat_interleave(counts)
        ends = counts.cumsum(0) + numbers * (opening + closing) + opening
        starts = ends - counts
        return TileRuns(
            tile,
            torch.arange(len(tile)) + tile * (opening + closing) + opening,
            (starts - opening)[:, None] + torch.arange(opening),
            ends[:, None] + torch.arange(closing),
        )

    def __len__(self) -> int:
        """All places."""
        return len(self.tokens) + self.opening.numel() + self.closing.numel()
