"""Which tokens of a sample the model sees, and what can be answered from them.

At work the model sees what a descent and a reduction leave, so samples hide tokens too: some at
random, and in thinned samples as many as a reduction drops, but not those that are asked about.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.questions import Question
from geofovea.pipeline.training.lessons.dense_labels import TokenBoxes

__all__ = ["hide_some", "is_kept", "is_shown", "thin"]

_SHARE_OF_WHOLE_TILES = 0.7
_ENOUGH_OF_A_PLACE = 0.6
_ENOUGH_OF_THE_TOKENS = 0.8
_LEAST_SHARE = 0.03
_SHARE_EXEMPT = 0.35


def hide_some(rng: random.Random, boxes: Sequence[TokenBoxes], most: float) -> NDArray[np.bool_]:
    """Tokens on the scene without some that are hidden at random, fewer of the native ones.

    Args:
        rng: Decides which.
        boxes: Of the tokens of each tile.
        most: Largest share that is hidden.

    Returns:
        bool (n,), tile by tile.
    """
    on_scene = np.concatenate([b.on_scene for b in boxes])
    chance = np.random.default_rng(rng.getrandbits(32)).random(len(on_scene))
    exempt = [b.level == 0 and rng.random() < _SHARE_OF_WHOLE_TILES for b in boxes]
    survives = (chance >= rng.uniform(0, most)) | np.repeat(exempt, len(on_scene) // len(boxes))
    return np.asarray(on_scene & survives)


def thin(
    rng: random.Random,
    visible: NDArray[np.bool_],
    group: NDArray[np.int64],
    focus: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """What a reduction by focus might leave of visible tokens: a few, and what is asked about.

    Each level keeps a share of its own, drawn evenly on a logarithmic scale from 3 % to all. The
    tokens that a third of the questions point at stay; with those of all, a whole pad would.

    Args:
        rng: Decides which.
        visible: bool (n,).
        group: int64 (n,), the level of each token.
        focus: bool (q, n), tokens that each question points at.
    """
    draw = np.random.default_rng(rng.getrandbits(32))
    shares = np.exp(draw.uniform(math.log(_LEAST_SHARE), 0, int(group.max()) + 1))
    exempt = focus[draw.random(len(focus)) < _SHARE_EXEMPT].any(0)
    return np.asarray(visible & (exempt | (draw.random(len(visible)) < shares[group])))


def is_kept(
    visible: NDArray[np.bool_], before: NDArray[np.bool_], focus: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether each question still has the tokens that it points at.

    Args:
        visible: bool (n,), tokens after some were hidden.
        before: bool (n,), tokens before.
        focus: bool (q, n).

    Returns:
        bool (q,).
    """
    return np.asarray((focus & visible).sum(1) >= _ENOUGH_OF_THE_TOKENS * (focus & before).sum(1))


def is_shown(question: Question, boxes: Sequence[TokenBoxes], visible: NDArray[np.bool_]) -> bool:
    """Whether the visible tokens are enough for an answer: fine ones, if details are asked for."""
    is_coarse = question.category == "rural or urban" or len(question.places) > 1
    by_tile = list(zip(boxes, np.split(visible, len(boxes)), strict=True))
    for place in question.places:
        shares = [
            (b.overlap(place) * v).sum() / place.area
            for b, v in by_tile
            if is_coarse or b.level == 0
        ]
        if sum(shares) < _ENOUGH_OF_A_PLACE:
            return False
    return True
