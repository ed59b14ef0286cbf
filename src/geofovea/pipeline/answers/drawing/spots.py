"""The spots in the evidence that attention points to, where it points anywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geofovea.pipeline.answers.drawing.places import Place, bounds_of, touching
from geofovea.pipeline.answers.evidence import Look
from geofovea.tiling.pyramid import Box

__all__ = ["spots_of"]

_HELD = 0.5
_MOST_TOKENS = 4
_MARGIN_TOKENS = 0.6


def spots_of(looks: Sequence[Look], place: Place) -> list[Box]:
    """Boxes around the few tokens that hold half of the attention inside a place.

    A token may show a part of what answers only, so each box has a margin around it.

    Args:
        looks: Where the model looked, coarse to fine.
        place: Tiles that reached the decoder.

    Returns:
        The strongest first; none where more than four tokens share that half, for attention that
        is spread points to nothing.
    """
    look = next((each for each in reversed(looks) if each.level == place.level), None)
    if look is None or not len(look.token_scores):
        return []
    inside = _inside(look, place)
    boxes, scores = look.token_boxes[inside], look.token_scores[inside].astype(np.float64)
    order = np.argsort(-scores, kind="stable")
    held = np.cumsum(scores[order])
    if not len(held) or held[-1] <= 0:
        return []
    count = 1 + int(np.searchsorted(held, _HELD * held[-1]))
    if count > min(_MOST_TOKENS, len(held) // 4):
        return []
    strongest = [Box(*(float(c) for c in corners)) for corners in boxes[order[:count]]]
    return [_grown(bounds_of(group), group[0].width) for group in touching(strongest)]


def _inside(look: Look, place: Place) -> np.ndarray:
    """Which tokens have their middle in a tile of a place, bool (n,)."""
    x = (look.token_boxes[:, 0] + look.token_boxes[:, 2]) / 2
    y = (look.token_boxes[:, 1] + look.token_boxes[:, 3]) / 2
    inside = np.zeros(len(x), bool)
    for box in place.boxes:
        inside |= (x >= box.x0) & (x < box.x1) & (y >= box.y0) & (y < box.y1)
    return inside


def _grown(box: Box, token_side: float) -> Box:
    by = _MARGIN_TOKENS * token_side
    return Box(box.x0 - by, box.y0 - by, box.x1 + by, box.y1 + by)
