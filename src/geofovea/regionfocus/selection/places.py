"""Fine tokens from one place: what of a descent is worth showing to a decoder.

A descent keeps several places open until it has seen them from near. A decoder that is shown all of
them answers about any of them. So the finest tokens are taken from the best place alone, a cluster
of neighbouring tiles, or from the best few where a question is about several; what was seen from
afar stays as the map around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from geofovea.errors import BudgetError
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.tiling.pyramid import Tile

__all__ = ["best_places", "clusters", "concentrate", "look_at"]


def clusters(scores: Mapping[Tile, float], reach: int = 1) -> list[tuple[Tile, ...]]:
    """Places among the tiles of one level, best first: what lies around one peak is one place.

    The best tile takes its neighbours, up to ``reach`` rows and columns away and all that are
    connected to it through them; then the best of the tiles that are left, and so on. Every tile
    belongs to one place, and no two tiles that touch belong to two, unless ``reach`` parts them.

    Args:
        scores: The score of each tile.
        reach: How far a place goes from its best tile.

    Returns:
        The tiles of each place in reading order.
    """
    left = dict(sorted(scores.items()))
    places = []
    while left:
        peak = max(left, key=lambda tile: left[tile])
        place, edge = {peak}, [peak]
        while edge:
            around = _touching(edge.pop(), left)
            fresh = [t for t in around if t not in place and _distance(t, peak) <= reach]
            place.update(fresh)
            edge += fresh
        places.append(tuple(sorted(place)))
        left = {tile: score for tile, score in left.items() if tile not in place}
    return places


def best_places(descent: Descent, count: int = 1, reach: int = 1) -> tuple[tuple[Tile, ...], ...]:
    """The best clusters of the finest level, best first; none where only the start was seen.

    Raises:
        BudgetError: If there is no place to keep.
    """
    if count < 1:
        raise BudgetError(f"concentrating needs at least 1 place to keep, got {count}")
    if len(descent.looks) < 3:
        return ()
    finest = descent.looks[-1]
    scores = dict(zip(finest.tiles, finest.tile_scores, strict=True))
    return tuple(clusters({t: scores[t] for t in finest.tokens.tiles}, reach)[:count])


def concentrate(descent: Descent, places: Sequence[Sequence[Tile]]) -> Descent:
    """A descent without what would distract from some places of its finest level.

    Overview and first scored level stay whole, for they are the map. Of the finest level the
    places stay. The levels between served to find the way and are dropped.

    Args:
        descent: What was seen.
        places: Tiles of each place, from `best_places`; without any, all stays.
    """
    if not places:
        return descent
    chosen = {tile for place in places for tile in place}
    return Descent((*descent.looks[:2], look_at(descent.looks[-1], chosen)), descent.stopped)


def look_at(look: LevelLook, tiles: Iterable[Tile]) -> LevelLook:
    """What a look shows of some of its tiles."""
    wanted = set(tiles)
    inside = torch.tensor([tile in wanted for tile in look.tokens.tiles], dtype=torch.bool)
    keep = inside[look.tokens.tile_index]
    chosen = tuple(tile for tile in look.tiles if tile in wanted)
    return LevelLook(look.level, chosen, look.tokens.select(keep), look.scores[keep])


def _touching(tile: Tile, among: Mapping[Tile, float]) -> list[Tile]:
    return [
        Tile(tile.level, row, col)
        for row in range(max(0, tile.row - 1), tile.row + 2)
        for col in range(max(0, tile.col - 1), tile.col + 2)
        if Tile(tile.level, row, col) in among
    ]


def _distance(one: Tile, two: Tile) -> int:
    return max(abs(one.row - two.row), abs(one.col - two.col))
