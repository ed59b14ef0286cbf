"""The interface of all resamplers: a tile's grid of tokens becomes as many as are wanted.

A resampler acts between the projector and the decoder, after the last look. Its tokens have no
location finer than their cell, so the search uses the grid itself. It is a module with weights that
were trained beside one model; this folder knows no model.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from geofovea.errors import ModelError

__all__ = ["Resampler", "cells_by_output", "masked_mean"]


class Resampler(nn.Module):
    """Makes few tokens of the ``rows × cols`` tokens of a tile, in float32.

    Attributes:
        grid: ``(rows, cols)``.
    """

    name: ClassVar[str]
    reads_question: ClassVar[bool] = False

    def __init__(self, grid: tuple[int, int]) -> None:
        """Remember the grid.

        Raises:
            ModelError: If it has no cell.
        """
        super().__init__()
        if min(grid) < 1:
            raise ModelError(f"a tile has at least one token, got a grid of {grid}")
        self.grid = grid

    @property
    def cells(self) -> int:
        """Tokens of a whole tile."""
        return self.grid[0] * self.grid[1]

    @property
    @abstractmethod
    def counts(self) -> tuple[int, ...]:
        """The numbers of tokens that it can make of a tile, ascending, from 1 on."""

    @abstractmethod
    def members(self, count: int) -> Tensor:
        """The tokens that each output stands for, bool ``(count, cells)``."""

    @abstractmethod
    def forward(
        self, tokens: Tensor, visible: Tensor, count: int, question: Tensor | None = None
    ) -> Tensor:
        """Tokens ``(b, count, d)``; one that stands for nothing visible says nothing.

        Args:
            tokens: ``(b, cells, d)``, row-major.
            visible: bool ``(b, cells)``, at least one a tile.
            count: One of `counts`.
            question: ``(b, d)``, mean of its embeddings, where `reads_question`.
        """

    def largest(self, most: int) -> int:
        """The largest of `counts` that is at most ``most``; ``most`` is at least 1."""
        return max(count for count in self.counts if count <= most)


def cells_by_output(grid: tuple[int, int], rows: int, cols: int) -> Tensor:
    """Cells of each of equal rectangles in reading order, bool ``(rows * cols, cells)``.

    Cells are dealt as adaptive pooling deals them where they do not divide, without overlap.
    """
    row = torch.arange(grid[0]) * rows // grid[0]
    col = torch.arange(grid[1]) * cols // grid[1]
    label = (row[:, None] * cols + col).flatten()
    return label == torch.arange(rows * cols)[:, None]


def masked_mean(tokens: Tensor, visible: Tensor, members: Tensor) -> Tensor:
    """Means ``(b, count, d)`` of the visible ones among members; zero where none is.

    Args:
        tokens: ``(b, cells, d)``.
        visible: bool ``(b, cells)``.
        members: bool ``(count, cells)``.
    """
    weights = (members.to(visible.device)[None] & visible[:, None]).to(tokens.dtype)
    means: Tensor = weights @ tokens / weights.sum(-1, keepdim=True).clamp_min(1)
    return means
