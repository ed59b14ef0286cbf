"""Which tokens of the same level touch a token, and the largest values among them."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from geofovea.regionfocus.tokens import TokenSet

__all__ = ["neighbors_of", "two_largest_around"]

_STEPS = tuple(step for step in product((-1, 0, 1), repeat=2) if step != (0, 0))


def neighbors_of(tokens: TokenSet) -> Tensor:
    """Indices of the tokens around each token, int64 ``(n, 8)``; -1 where there is none.

    Neighbors share an edge or a corner on the grid of their level, also across tiles.
    """
    cells = _cells(tokens)
    steps = torch.tensor([(0, *step) for step in _STEPS])
    spans = (cells.amax(0) + 3 if len(cells) else cells.new_ones(3)).tolist()
    keys = _keys(cells, spans)
    order = keys.argsort()
    wanted = _keys(cells[:, None] + steps, spans)
    places = torch.searchsorted(keys[order], wanted).clamp(max=max(0, len(keys) - 1))
    indices = order[places]
    return torch.where(keys[indices] == wanted, indices, -1)


def two_largest_around(values: Tensor, neighbors: Tensor) -> tuple[Tensor, Tensor]:
    """The largest and the second largest value among the neighbors of each token.

    Args:
        values: ``(..., n)``, at least zero.
        neighbors: Of the n tokens; see `neighbors_of`.

    Returns:
        Both ``(..., n)``. A token without neighbors has its own value for both; with a single one,
        the second is the first.
    """
    first = torch.full_like(values, -1)
    second = first.clone()
    # one neighbor at a time, because eight copies of hundreds of rows take too much memory
    for column in neighbors.to(values.device).unbind(1):
        beside = values[..., column].masked_fill(column < 0, -1)
        second = torch.maximum(second, torch.minimum(first, beside))
        first = torch.maximum(first, beside)
    first = torch.where(first < 0, values, first)
    return first, torch.where(second < 0, first, second)


def _cells(tokens: TokenSet) -> Tensor:
    """Level, row and column of each token on the grid of its level, int64 ``(n, 3)``."""
    levels, boxes = tokens.levels, tokens.boxes_scene
    cells = torch.zeros(len(tokens), 3, dtype=torch.int64)
    cells[:, 0] = levels
    for level in levels.unique().tolist():  # type: ignore[no-untyped-call]
        members = levels == level
        # only those at the edge of the scene are clipped
        size = (boxes[members, 2:] - boxes[members, :2]).amax(0)
        cells[members, 1:] = (boxes[members, :2] / size).round().long().flip(1)
    return cells


def _keys(cells: Tensor, spans: list[int]) -> Tensor:
    level, row, col = (cells + torch.tensor([0, 1, 1])).unbind(-1)
    return (level * spans[1] + row) * spans[2] + col
