"""From a tile that shows something to boxes: the token cells that the model attends to."""

from __future__ import annotations

import torch
from torch import Tensor

from geofovea.regionfocus.scoring import clean_scores
from geofovea.regionfocus.tokens import TokenSet, token_cells
from geofovea.tiling.pyramid import Box

__all__ = ["tile_box", "token_boxes", "token_error_px"]

# of the best score of a tile: a cell below it is background
_PEAK_SHARE = 0.25
# of the mass of the heaviest group: a lighter one is a stray cell
_GROUP_SHARE = 0.2


def token_boxes(
    tokens: TokenSet,
    scores: Tensor,
    grid: tuple[int, int],
    tile_size: int,
    count: int | None = None,
) -> list[Box]:
    """Boxes around the groups of touching cells that hold the scores of one tile.

    Args:
        tokens: n tokens of one tile.
        scores: ``(n,)``, at least zero.
        grid: ``(rows, columns)`` of the tokens of a tile.
        tile_size: Side of a tile in level pixels.
        count: How many things the model sees; the heaviest groups are taken. None takes every
            group that is not far lighter than the heaviest.

    Returns:
        Boxes in scene pixels, the heaviest group first; at least one where there is a token.
    """
    cleaned, _ = clean_scores(scores)
    cleaned = cleaned.clamp(min=0)
    bright = cleaned >= max(_PEAK_SHARE * float(cleaned.max()), 1e-30)
    cells = {
        (row, col): index
        for index, (row, col) in enumerate(token_cells(tokens, grid, tile_size).tolist())
        if bool(bright[index])
    }
    groups = _groups(cells)
    masses = [float(cleaned[group].sum()) for group in groups]
    order = sorted(range(len(groups)), key=lambda i: (-masses[i], groups[i][0]))
    chosen = [i for i in order if masses[i] >= _GROUP_SHARE * masses[order[0]]]
    if count is not None:
        chosen = chosen[: max(1, count)]
    return [_around(tokens.boxes_scene[groups[i]]) for i in chosen]


def tile_box(tokens: TokenSet) -> Box:
    """The box of all that a tile shows."""
    return _around(tokens.boxes_scene)


def token_error_px(tokens: TokenSet) -> float:
    """The longer side of the largest token in scene pixels."""
    boxes = tokens.boxes_scene
    return float((boxes[:, 2:] - boxes[:, :2]).max())


def _groups(cells: dict[tuple[int, int], int]) -> list[list[int]]:
    """Indices of cells that touch each other, at corners too."""
    waiting, groups = dict(cells), []
    while waiting:
        frontier, group = [next(iter(waiting))], []
        waiting_index = waiting.pop(frontier[0])
        group.append(waiting_index)
        while frontier:
            row, col = frontier.pop()
            for near in ((row + i, col + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
                if near in waiting:
                    group.append(waiting.pop(near))
                    frontier.append(near)
        groups.append(sorted(group))
    return groups


def _around(boxes: Tensor) -> Box:
    low, high = boxes[:, :2].amin(0), boxes[:, 2:].amax(0)
    corners = torch.cat([low, high]).tolist()
    return Box(*corners)
