"""A descent without its finest level in the sequence, beside the level above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.selection.places import look_at
from geofovea.regionfocus.token_children import children_of
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Tile

__all__ = ["WithoutFinest", "without_finest"]


@dataclass(frozen=True, slots=True, eq=False)
class WithoutFinest:
    """What is left of a descent, and what was taken out.

    Attributes:
        relevant: Ends one level coarser, with the tiles above those that were taken out.
        places: The same places in tiles of that level, each tile once.
        fine: The tokens that were taken out; None where there was no coarser level.
    """

    relevant: Descent
    places: tuple[tuple[Tile, ...], ...]
    fine: TokenSet | None


def without_finest(
    relevant: Descent, descent: Descent, places: Sequence[Sequence[Tile]] = ()
) -> WithoutFinest:
    """Take the finest level out, and put the tiles above it in its place.

    A token above fine ones gets the score of the best of them, if that is higher. Scores of a level
    are compared as shares of its best score.

    Args:
        relevant: What may reach the decoder; its finest level is taken out.
        descent: All that was seen, in which the tiles above are found.
        places: Tiles of the finest level by place.
    """
    finest = relevant.looks[-1]
    coarser = [look for look in descent.looks if look.level > finest.level]
    if len(relevant.looks) < 2 or not coarser:
        return WithoutFinest(relevant, tuple(map(tuple, places)), None)
    above = coarser[-1]
    tiles = {_above(tile, above.level) for tile in finest.tokens.tiles}
    parents = _raised(look_at(above, tiles), finest)
    others = tuple(look for look in relevant.looks[:-1] if look.level > above.level)
    whole_level = next((look for look in relevant.looks[:-1] if look.level == above.level), None)
    if whole_level is not None:
        # the map stays whole, also where nothing finer was seen
        parents = _raised(whole_level, finest)
    looks = (*others, parents) if len(parents.tokens) else relevant.looks[:-1]
    return WithoutFinest(
        Descent(looks, relevant.stopped), _places(places, looks[-1]), finest.tokens
    )


def _places(places: Sequence[Sequence[Tile]], parents: LevelLook) -> tuple[tuple[Tile, ...], ...]:
    """The places one level up; tiles that two of them share belong to the first."""
    tiles = set(parents.tokens.tiles)
    result = []
    for place in places:
        own = dict.fromkeys(_above(tile, parents.level) for tile in place)
        mine = tuple(tile for tile in own if tile in tiles)
        tiles -= set(mine)
        if mine:
            result.append(mine)
    return tuple(result)


def _raised(parents: LevelLook, finest: LevelLook) -> LevelLook:
    scores = _shares(parents.scores)
    above = children_of(parents.tokens, finest.tokens).parent
    has_parent = above >= 0
    best = scores.scatter_reduce(0, above[has_parent], _shares(finest.scores)[has_parent], "amax")
    return LevelLook(parents.level, parents.tiles, parents.tokens, best)


def _shares(scores: Tensor) -> Tensor:
    most = scores.max() if len(scores) else torch.zeros(())
    return scores / most if float(most) > 0 else scores


def _above(tile: Tile, level: int) -> Tile:
    step = level - tile.level
    return Tile(level, tile.row >> step, tile.col >> step)
