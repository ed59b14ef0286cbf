"""Attention maps of several tiles, which never attend to each other: one block a tile, no zeros."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.errors import GeometryError

__all__ = ["TileMaps", "of_tokens", "run_of"]


@dataclass(frozen=True, slots=True, eq=False)
class TileMaps:
    """A block-diagonal map over n tokens that is never filled up with its zeros.

    A table of all pairs of a level's tokens would take gigabytes, and all of it but the blocks
    would be zero.

    Attributes:
        blocks: ``(heads, m, m)`` each; blocks and tokens come in the same order.
    """

    blocks: tuple[Tensor, ...]

    @classmethod
    def of(cls, blocks: Sequence[Tensor]) -> Tensor | TileMaps:
        """The map of some tiles, one after the other; that of a single one is its own block."""
        return blocks[0] if len(blocks) == 1 else cls(tuple(blocks))

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(heads, n, n)``."""
        n = sum(block.shape[-1] for block in self.blocks)
        return (self.blocks[0].shape[0] if self.blocks else 0, n, n)

    def within(self, index: Tensor) -> Tensor | TileMaps:
        """The map over some of the tokens, int64 ``(m,)``; those of a tile one after the other.

        Raises:
            GeometryError: If tokens of tiles alternate, for their blocks then lie in pieces.
        """
        sizes = torch.tensor([block.shape[-1] for block in self.blocks])
        ends = sizes.cumsum(0)
        block_of = torch.searchsorted(ends, index.cpu(), right=True)
        if bool((block_of.diff() < 0).any()):
            raise GeometryError(
                "maps of several tiles can be cut tile after tile only; sort the tokens by tile"
            )
        parts = []
        for number in sorted(set(block_of.tolist())):
            own = index.cpu()[block_of == number] - (ends[number] - sizes[number])
            parts.append(of_tokens(self.blocks[number], own))
        return TileMaps.of(parts) if parts else self.blocks[0][:, :0, :0]


def of_tokens(table: Tensor, index: Tensor) -> Tensor:
    """A map ``(heads, n, n)`` over some of its tokens, int64 ``(m,)``."""
    if (part := run_of(index)) is not None:
        return table[..., part, part]
    index = index.to(table.device)
    return table[..., index[:, None], index]


def run_of(index: Tensor) -> slice | None:
    """The slice that chooses the same as ``index``, if it counts up one by one.

    Tiles come one after the other, and a slice of a tensor is not copied.
    """
    if len(index) == 0 or index.device.type != "cpu":
        return None
    first, count = int(index[0]), len(index)
    is_run = int(index[-1]) - first == count - 1 and bool((index.diff() == 1).all())
    return slice(first, first + count) if is_run and first >= 0 else None
