"""Which tokens and tiles the published method (LRS-VQA) continues with; indices only.

Source: as in `published_geometry`. Local tokens are the row-major grid of a
level with one newline token at the end of each row. Two quirks are kept because the numbers depend
on them: newline tokens are always selected, so the last column of tiles always is too; and the
cropped grid with its newlines is stretched over the padded grid of tiles, so up to a third of the
tokens vote for a tile beside their own.

Complexity: O(n log n) for n tokens, without any pairwise table.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from geofovea.errors import BudgetError, GeometryError
from geofovea.regionfocus.rfm.published_geometry import TOKENS_PER_SIDE
from geofovea.regionfocus.scoring import top_indices

__all__ = ["KEPT_SHARE", "select_share", "tiles_of_tokens", "valid_tokens"]

KEPT_SHARE = 0.25
"""The share of valid tokens that is kept, newlines not counted; nothing else is ever used."""


def select_share(
    scores: Tensor, grid: tuple[int, int], valid: Tensor | None = None, share: float = KEPT_SHARE
) -> Tensor:
    """The best ``int(share · valid)`` tokens, and every newline token, valid or not.

    Args:
        scores: ``(n,)`` of a row-major grid.
        grid: ``(rows, columns)`` of the n tokens, newlines included.
        valid: bool ``(n,)``; None if all are.
        share: Of the valid tokens, newlines among them.

    Returns:
        int64 ``(k,)``, ascending.

    Raises:
        BudgetError: If the share is not between 0 and 1.
        GeometryError: If the scores do not fill the grid.
    """
    if not 0 <= share <= 1:
        raise BudgetError(f"a share of tokens lies between 0 and 1, got {share}")
    rows, cols = grid
    if len(scores) != rows * cols:
        raise GeometryError(f"a grid of {grid} needs {rows * cols} scores, got {len(scores)}")
    candidates = torch.arange(len(scores)) if valid is None else valid.nonzero()[:, 0].cpu()
    best = top_indices(scores.cpu()[candidates], int(len(candidates) * share))
    is_kept = torch.zeros(rows * cols, dtype=torch.bool)
    is_kept[candidates[best]] = True
    is_kept[cols - 1 :: cols] = True
    return is_kept.nonzero()[:, 0]


def tiles_of_tokens(index: Tensor, grid: tuple[int, int], blocks: tuple[int, int]) -> Tensor:
    """The tiles that selected tokens vote for, each once, row-major.

    Args:
        index: int64 ``(k,)``, of a row-major grid.
        grid: ``(rows, columns)`` of that grid, newlines included.
        blocks: ``(rows, columns)`` of tiles.

    Returns:
        int64 ``(m, 2)``: row and column of each.
    """
    rows = (index // grid[1]) * blocks[0] // grid[0]
    cols = (index % grid[1]) * blocks[1] // grid[1]
    has_vote = torch.zeros(blocks, dtype=torch.bool)
    has_vote[rows, cols] = True
    return has_vote.nonzero()


def valid_tokens(tiles: Sequence[tuple[int, int]], grid: tuple[int, int]) -> Tensor:
    """Which tokens of a cropped grid lie on encoded tiles; newlines always count.

    Args:
        tiles: ``(row, column)`` of the tiles that were encoded.
        grid: ``(rows, columns)`` of the tokens, newlines included.

    Returns:
        bool ``(rows · columns,)``.
    """
    is_valid = torch.zeros(grid, dtype=torch.bool)
    side = TOKENS_PER_SIDE
    for row, col in tiles:
        is_valid[row * side : (row + 1) * side, col * side : (col + 1) * side] = True
    is_valid[:, -1] = True
    return is_valid.flatten()
