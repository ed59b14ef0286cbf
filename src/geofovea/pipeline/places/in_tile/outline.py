"""From a tile that shows something to boxes: the token cells that the model attends to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from geofovea.regionfocus.scoring import clean_scores
from geofovea.regionfocus.tokens import TokenSet, token_cells
from geofovea.tiling.pyramid import Box

__all__ = ["faint_boxes", "tile_box", "token_boxes", "token_error_px"]

# of the best score of a tile: a cell below it is background
_PEAK_SHARE = 0.25
# a cell below it is no trace of a further thing, and so many groups of a tile are asked about
_FAINT_SHARE = 0.05
_MOST_FAINT = 8
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
    groups = _ranked_groups(tokens, scores, grid, tile_size, _PEAK_SHARE)
    chosen = [box for box, mass in groups if mass >= _GROUP_SHARE * groups[0][1]]
    return chosen if count is None else chosen[: max(1, count)]


def faint_boxes(
    tokens: TokenSet,
    scores: Tensor,
    grid: tuple[int, int],
    tile_size: int,
    known: Sequence[Box],
) -> list[Box]:
    """Boxes around further groups, also faint ones, that share nothing with those that are known.

    One thing may draw most of the attention to a tile. Whether a faint group is another one has to
    be asked.

    Args:
        tokens: n tokens of one tile.
        scores: ``(n,)``, at least zero.
        grid: ``(rows, columns)`` of the tokens of a tile.
        tile_size: Side of a tile in level pixels.
        known: Those of ``token_boxes``.

    Returns:
        Boxes in scene pixels, the heaviest group first; a few at most.
    """
    groups = _ranked_groups(tokens, scores, grid, tile_size, _FAINT_SHARE)
    others = [box for box, _ in groups if not any(box.intersection(each) for each in known)]
    return others[:_MOST_FAINT]


def _ranked_groups(
    tokens: TokenSet, scores: Tensor, grid: tuple[int, int], tile_size: int, share: float
) -> list[tuple[Box, float]]:
    """Boxes of groups of touching cells with at least a share of the best score, and their mass."""
    cleaned, _ = clean_scores(scores)
    cleaned = cleaned.clamp(min=0)
    bright = cleaned >= max(share * float(cleaned.max()), 1e-30)
    cells = {
        (row, col): index
        for index, (row, col) in enumerate(token_cells(tokens, grid, tile_size).tolist())
        if bool(bright[index])
    }
    groups = [(group, float(cleaned[group].sum())) for group in _groups(cells)]
    ordered = sorted(groups, key=lambda each: (-each[1], each[0][0]))
    return [(_around(tokens.boxes_scene[group]), mass) for group, mass in ordered]


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
