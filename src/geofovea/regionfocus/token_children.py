"""Which token of a coarser level each fine token lies under, and in which quarter of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.regionfocus.tokens import TokenSet

__all__ = ["QUARTERS", "Children", "children_of"]

QUARTERS = 4
"""Children of a token one level coarser: top left, top right, bottom left, bottom right."""

_ROWS = 1024
"""Fine tokens that are compared with all coarse ones at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Children:
    """Where m fine tokens lie.

    Attributes:
        parent: int64 ``(m,)``, the coarse token above each one; -1 where there is none.
        quarter: int64 ``(m,)``, 0 to 3 in reading order.
    """

    parent: Tensor
    quarter: Tensor


def children_of(coarse: TokenSet, fine: TokenSet) -> Children:
    """Find for each fine token the finest coarser one whose box holds its center.

    Of a token one level coarser, four children fill the quarters. If a level was skipped, a quarter
    holds several.

    Args:
        coarse: n tokens, of any levels.
        fine: m tokens.
    """
    parents = [_parents(coarse, fine, start) for start in range(0, len(fine), _ROWS)]
    parent = torch.cat(parents) if parents else torch.zeros(0, dtype=torch.int64)
    return Children(parent, _quarters(coarse, fine, parent))


def _parents(coarse: TokenSet, fine: TokenSet, start: int) -> Tensor:
    some = slice(start, start + _ROWS)
    boxes, levels = fine.boxes_scene[some], fine.levels[some]
    if not len(coarse):
        return torch.full((len(boxes),), -1)
    center = ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, None]
    corner, end = coarse.boxes_scene[:, :2], coarse.boxes_scene[:, 2:]
    holds = ((corner <= center) & (center < end)).all(2)
    holds &= coarse.levels > levels[:, None]
    # tokens of one level do not overlap, so the lowest level is one token
    beyond = int(coarse.levels.max()) + 1
    level, parent = torch.where(holds, coarse.levels, beyond).min(1)
    return torch.where(level < beyond, parent, -1)


def _quarters(coarse: TokenSet, fine: TokenSet, parent: Tensor) -> Tensor:
    """By corners, for boxes at the edge of a scene are clipped at their other side."""
    if not len(coarse) or not len(fine):
        return torch.zeros(len(fine), dtype=torch.int64)
    middle = (_unit(coarse) * 2.0 ** coarse.levels[:, None])[parent] / 2
    offset = fine.boxes_scene[:, :2] - coarse.boxes_scene[parent, :2]
    # edges are computed tile by tile, so they may differ in the last bits
    right, below = (offset >= middle * (1 - 1e-6)).long().unbind(1)
    return right + 2 * below


def _unit(tokens: TokenSet) -> Tensor:
    """Width and height of a whole token at level 0, float64 ``(2,)``."""
    sides = tokens.boxes_scene[:, 2:] - tokens.boxes_scene[:, :2]
    whole: Tensor = (sides / 2.0 ** tokens.levels[:, None]).amax(0)
    return whole
