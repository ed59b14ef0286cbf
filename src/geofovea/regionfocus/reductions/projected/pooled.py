"""Averages over rectangles of the grid: what any reduction that merges has to beat.

`Pooled` is the plain baseline; several papers are barely better than it above a quarter of the
tokens. `M3` halves the grid again and again, as in "Matryoshka Multimodal Models" (repository
mu-cai/matryoshka-mm), whose models are trained with those scales; untrained it is a baseline too.

No signal, no question, no host: places on a grid are all they need. They act on projected tokens,
tile by tile. O(n d) time. Rectangles do not overlap, so the mass of the tokens is conserved. The
number of outputs is the largest that a grid of such rectangles allows, at most the budget; padding
and nodata leave holes, and a rectangle of holes gives no output.

`m3_scales` are the scales of the released code; `fixed` differs in that it takes any grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from geofovea.errors import GeometryError
from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.per_tile import PerTile
from geofovea.regionfocus.reductions.primitives.cells import HAS_CELLS, cells_of, even_cells
from geofovea.regionfocus.reductions.primitives.outputs import group_means, merged

__all__ = ["M3", "Pooled", "m3_scales", "pool_rectangles"]


def m3_scales(features: Tensor, side: int) -> dict[int, Tensor]:
    """The nested scales of a square grid: it is halved while its side is even, then averaged.

    Args:
        features: ``(side * side, d)``.
        side: Rows and columns.

    Returns:
        By number of tokens, float32 ``(tokens, d)``.

    Raises:
        GeometryError: If the tokens are not such a grid.
    """
    if side < 1 or len(features) != side * side:
        raise GeometryError(f"{len(features)} tokens are not a grid of {side} x {side}")
    level = features.detach().to(torch.float32).T.reshape(1, -1, side, side)
    scales = {side * side: level}
    while (now := level.shape[-1]) > 1:
        level = F.avg_pool2d(level, 2 if now % 2 == 0 else now)
        scales[level.shape[-1] ** 2] = level
    return {count: level[0].flatten(1).T for count, level in scales.items()}


def pool_rectangles(features: Tensor, cells: Tensor, rows: int, cols: int) -> TokenChoice:
    """Means over ``rows × cols`` rectangles of a grid; each stands at its middle member.

    Args:
        features: ``(n, d)``.
        cells: int64 ``(n, 2)``.
        rows: Rectangles from top to bottom.
        cols: From left to right.
    """
    groups = even_cells(cells, rows, cols)
    count = int(groups.max()) + 1
    centers = group_means(cells.to(torch.float32), groups, count)
    away = (cells - centers[groups]).square().sum(dim=1)
    # the first of those nearest to the center
    order = torch.argsort(away, stable=True)
    order = order[torch.argsort(groups[order], stable=True)]
    sizes = groups.bincount(minlength=count)
    position = order[sizes.cumsum(0) - sizes]
    return merged(features, position, group_means(features, groups, count), groups, {})


@dataclass(frozen=True, slots=True)
class Pooled(PerTile):
    """Means over as many equal rectangles as the budget holds, of about the shape of the grid."""

    name: ClassVar[str] = "pooled"
    merges: ClassVar[bool] = True
    requires_one_of: ClassVar[tuple[frozenset[str], ...]] = (HAS_CELLS,)

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        cells = cells_of(context)
        rows, cols = self._shape(*_extent(cells), k)
        return pool_rectangles(context.features, cells, rows, cols)

    def _shape(self, height: int, width: int, k: int) -> tuple[int, int]:
        """Rows and columns of rectangles, at most ``k`` of them."""
        even = min(height, max(1, int(math.sqrt(k * height / width))))
        # one row more may fill the budget better, or leave less of it unused
        return max(
            ((rows, min(width, k // rows)) for rows in {even, min(height, k, even + 1)}),
            key=lambda shape: (shape[0] * shape[1], -shape[0]),
        )


@dataclass(frozen=True, slots=True)
class M3(Pooled):
    """Means over the finest of the nested scales that the budget holds."""

    name: ClassVar[str] = "m3"

    def _shape(self, height: int, width: int, k: int) -> tuple[int, int]:
        """Sides halved, rounded up, until they fit."""
        while height * width > k:
            height, width = -(-height // 2), -(-width // 2)
        return height, width


def _extent(cells: Tensor) -> tuple[int, int]:
    height, width = (cells.amax(dim=0) - cells.amin(dim=0) + 1).tolist()
    return height, width
