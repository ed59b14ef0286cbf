"""Where an answer was read from, and where the model looked, in scene pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from geofovea.regionfocus.scoring import mass_collector
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["Evidence", "Look", "evidence_of", "record_of"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One region that the answer was read from.

    Attributes:
        tile: Its address in the pyramid.
        box_scene: What it shows, in scene pixels.
        score: The share of its level's attention that fell on it, in [0, 1].
        tokens: How many of its vision tokens reached the decoder.
        attention: How often the attention of an average pixel of the scene one of its pixels got;
            1 is the average. It can be compared between levels; None where it is not known.
    """

    tile: Tile
    box_scene: Box
    score: float
    tokens: int
    attention: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was looked at on one level, for pictures and maps.

    Attributes:
        level: The level.
        tiles: Boxes of the tiles in scene pixels.
        token_boxes: Boxes of their tokens, float64 (n, 4) as x0, y0, x1, y1 in scene pixels.
        token_scores: Their scores, float32 (n,); comparable within the level only.
        addresses: The tiles, in the order of their boxes.
    """

    level: int
    tiles: tuple[Box, ...]
    token_boxes: NDArray[np.float64]
    token_scores: NDArray[np.float32]
    addresses: tuple[Tile, ...] = ()


def evidence_of(descent: Descent, tokens: TokenSet, pyramid: Pyramid) -> list[Evidence]:
    """The tiles whose tokens were kept, from native to coarse, the best of a level first.

    Args:
        descent: Where was looked.
        tokens: The tokens that reached the decoder.
        pyramid: Of the scene.
    """
    counts = torch.bincount(tokens.tile_index, minlength=len(tokens.tiles)).tolist()
    token_counts = dict(zip(tokens.tiles, counts, strict=True))
    items, area = [], pyramid.width * pyramid.height
    for look, mass in zip(descent.looks, _masses(descent, pyramid), strict=True):
        scores = look.tile_scores
        total = sum(scores) or 1.0
        for tile, score in zip(look.tiles, scores, strict=True):
            if tile in token_counts:
                box, share = pyramid.box_scene(tile), score / total
                attention = share * mass * area / box.area
                items.append(Evidence(tile, box, share, token_counts[tile], attention))
    return sorted(items, key=lambda item: (item.tile.level, -item.score, item.tile))


def _masses(descent: Descent, pyramid: Pyramid) -> list[float]:
    """The share of all attention that led to each look; 1 where a look saw the whole scene.

    A look below the first that was scored saw some places alone. What it distributes among them is
    what the look before it saw there.
    """
    masses, tokens_mass = list[float](), None
    for number, look in enumerate(descent.looks):
        led = 1.0
        if number > 1 and tokens_mass is not None:
            before = descent.looks[number - 1].tokens
            led = float(mass_collector(before, look.tiles, pyramid)(tokens_mass).sum())
        total = float(look.scores.sum(dtype=torch.float64))
        if total > 0:
            tokens_mass = look.scores.to(torch.float64) * (led / total)
        else:
            tokens_mass = torch.full((len(look.tokens),), led / max(1, len(look.tokens)))
        masses.append(led)
    return masses


def record_of(look: LevelLook, pyramid: Pyramid) -> Look:
    """A look without the features of its tokens, as an answer keeps it."""
    return Look(
        level=look.level,
        tiles=tuple(pyramid.box_scene(tile) for tile in look.tiles),
        token_boxes=look.tokens.boxes_scene.numpy(),
        token_scores=look.scores.numpy(),
        addresses=tuple(look.tiles),
    )
