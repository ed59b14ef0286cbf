"""Which tokens of the same level touch a token, and the largest values among them."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from geofovea.regionfocus.tokens import TokenSet

__all__ = ["largest_around", "neighbors_of"]

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
    neighbor_keys = _keys(cells[:, None] + steps, spans)
    places = torch.searchsorted(keys[order], neighbor_keys).clamp(max=max(0, len(keys) - 1))
    indices = order[places]
    return torch.where(keys[indices] == neighbor_keys, indices, -1)


def largest_around(values: Tensor, neighbors: Tensor, rank: int) -> Tensor:
    """The value that is number ``rank`` by size among the neighbors of each token.

    Args:
        values: ``(..., n)``, at least zero.
        neighbors: Of the n tokens; see `neighbors_of`.
        rank: 1 for the largest.

    Returns:
        ``(..., n)``. A token with fewer neighbors has the least of them; one without has its own.
    """
    largest = [torch.full_like(values, -1) for _ in range(rank)]
    # one neighbor at a time, because eight copies of hundreds of rows take too much memory
    for column in neighbors.to(values.device).unbind(1):
        beside = values[..., column].masked_fill(column < 0, -1)
        for place, value in enumerate(largest):
            largest[place] = torch.maximum(value, beside)
            beside = torch.minimum(value, beside)
    result = torch.where(largest[0] < 0, values, largest[0])
    for value in largest[1:]:
        result = torch.where(value < 0, result, value)
    return result


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
