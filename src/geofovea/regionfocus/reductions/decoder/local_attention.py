"""YOPO's neighborhood: which vision tokens may attend to which, on the grid of a tile.

Source: YOPO, "Treat Visual Tokens as Text? But Your MLLM Only Needs Fewer Efforts to See".

Acts on attention masks (stage: attention) and removes no token: vision attends to vision only
within a square window. The released code simulates the saving by a mask, and so would this one; its
other savings (heads that ignore the picture, sparse feed-forward, late layers that skip it) change
the layers of a model and are not here. O(n²) in time and memory: at most 8,192 tokens, so tile by
tile.

No name of a reduction reaches this module: a mask saves nothing in a stock decoder, whose attention
still computes every pair. It stands here, compared with the released code, for a host whose
attention can skip pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geofovea.errors import BudgetError, GeometryError

__all__ = ["local_mask"]

_MOST_TOKENS = 8192


def local_mask(grid: tuple[int, int], window: int = 7) -> Tensor:
    """Which tokens of a row-major grid are neighbors.

    Args:
        grid: ``(rows, columns)``.
        window: Side of the square around each token, an odd number of tokens.

    Returns:
        bool ``(n, n)``, symmetric, True where both distances are at most ``window // 2``.

    Raises:
        GeometryError: If the window is not odd and positive, or the grid is empty.
        BudgetError: If the grid has more than 8,192 tokens.
    """
    rows, columns = grid
    if window < 1 or window % 2 == 0 or rows < 1 or columns < 1:
        raise GeometryError(
            f"a neighborhood needs an odd window and a grid of at least one token, got {window} "
            f"on {grid}"
        )
    if rows * columns > _MOST_TOKENS:
        raise BudgetError(
            f"a mask of all pairs takes at most {_MOST_TOKENS} tokens, a grid of {grid} has "
            f"{rows * columns}; make one for each tile"
        )
    place = torch.arange(rows * columns)
    row, column = place // columns, place % columns
    near_row = (row[:, None] - row).abs() <= window // 2
    return near_row & ((column[:, None] - column).abs() <= window // 2)
