"""Where tokens stand on a grid, for rules about neighbors, crops, rows and cells."""

from __future__ import annotations

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext

__all__ = ["HAS_CELLS", "cells_of", "even_cells"]

HAS_CELLS = frozenset({"grid", "cells", "boxes_scene"})
"""Fields of a context of which `cells_of` needs one."""


def cells_of(context: TokenContext) -> Tensor:
    """Row and column of each token, int64 ``(n, 2)`` on the host.

    From the cells or the grid of the context, or from the corners of the boxes of one tile, so that
    tokens that were left out (nodata, protected ones) leave holes instead of moving the others.

    Raises:
        ModelError: If the context has none of these.
    """
    if context.cells is not None:
        return context.cells.cpu()
    if context.grid is not None:
        index = torch.arange(len(context.features))
        return torch.stack([index // context.grid[1], index % context.grid[1]], dim=1)
    if context.boxes_scene is None:
        raise ModelError(
            "a rule about neighbors needs the grid, the cells or the boxes of the tokens; "
            "give one of them, or choose a reduction that needs none, such as divprune"
        )
    corners = context.boxes_scene[:, [1, 0]].cpu()
    return torch.stack([_steps(axis) for axis in corners.T], dim=1)


def _steps(starts: Tensor) -> Tensor:
    """Places ``(n,)`` on an axis in steps of the nearest two, int64 from 0 on.

    Ranks would close up where a whole row or column is missing.
    """
    own: Tensor = torch.unique(starts)
    if len(own) < 2:
        return torch.zeros(len(starts), dtype=torch.int64)
    steps: Tensor = (starts - own[0]) / own.diff().min()
    return steps.round().long()


def even_cells(cells: Tensor, rows: int, cols: int) -> Tensor:
    """Label tokens by the ``rows × cols`` rectangles into which their grid is cut evenly.

    Rectangles that hold no token have no label.

    Args:
        cells: int64 ``(n, 2)``.
        rows: At least 1; as many as there are at most.
        cols: The same.

    Returns:
        int64 ``(n,)``, labels from 0 on without gaps, in reading order of the rectangles.
    """
    low = cells.amin(dim=0)
    extent = cells.amax(dim=0) - low + 1
    parts = torch.minimum(torch.tensor([rows, cols]), extent)
    row, col = ((cells - low) * parts // extent).T
    label: Tensor = (row * parts[1] + col).unique(return_inverse=True)[1]
    return label
