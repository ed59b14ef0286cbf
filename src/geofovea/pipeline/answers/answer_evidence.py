"""What an answer tells of where was looked: the tiles whose tokens were kept, and every look."""

from __future__ import annotations

import torch

from geofovea.pipeline.answers.answer import Evidence, Look
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid

__all__ = ["evidence_of", "record_of"]


def evidence_of(descent: Descent, kept: TokenSet, pyramid: Pyramid) -> list[Evidence]:
    """The tiles whose tokens were kept, from native to coarse, the best of a level first.

    Args:
        descent: Where was looked.
        kept: The tokens that reached the decoder.
        pyramid: Of the scene.
    """
    counts = torch.bincount(kept.tile_index, minlength=len(kept.tiles)).tolist()
    tokens = dict(zip(kept.tiles, counts, strict=True))
    items = []
    for look in descent.looks:
        scores = look.tile_scores
        total = sum(scores) or 1.0
        for tile, score in zip(look.tiles, scores, strict=True):
            if tile in tokens:
                box = pyramid.box_scene(tile)
                items.append(Evidence(tile, box, score / total, tokens[tile]))
    return sorted(items, key=lambda item: (item.tile.level, -item.score, item.tile))


def record_of(look: LevelLook, pyramid: Pyramid) -> Look:
    """A look without the features of its tokens, as an answer keeps it."""
    return Look(
        level=look.level,
        tiles=tuple(pyramid.box_scene(tile) for tile in look.tiles),
        token_boxes=look.tokens.boxes_scene.numpy(),
        token_scores=look.scores.numpy(),
    )
