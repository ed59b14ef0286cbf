"""Fine tokens from one place: what of a descent is worth showing to a decoder.

A descent keeps several places open until it has seen them from near. A decoder that is shown all of
them answers about any of them. So the finest tokens are taken from the best place alone, a cluster
of neighboring tiles, or from the best few where a question is about several; what was seen from
afar stays as the map around it.

A count over several places may not count an object twice at a seam. Two ways, by what a model can
tell:

* It gives boxes. Each tile is shown with a halo of its neighbors' ground, and a box counts for the
  tile whose core, half open, contains its center. Cores partition the plane, so every object has
  exactly one owner. The halo must be at least half of the longest object: then its owner sees it
  whole, and what a neighbor sees of it, cut off at that neighbor's halo, has its center outside
  of the neighbor's core.
* It gives a number alone. A number has no place, so no rule can tell which of its objects another
  number holds too. It must be asked about ground whose edges cut no object: `groups_of` makes
  groups of tiles that touch, one question each, and no two groups share a seam.

`groups_of` is what a count asks by. No host here gives boxes, so no command reaches the cores: they
are for programs that ask a detector tile by tile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import torch

from geofovea.errors import BudgetError, GeometryError
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.tiling.pyramid import Box, Tile

__all__ = [
    "Core",
    "best_places",
    "clusters",
    "concentrate",
    "cores_of",
    "groups_of",
    "look_at",
    "owned_boxes",
]


def clusters(scores: Mapping[Tile, float], reach: int = 1) -> list[tuple[Tile, ...]]:
    """Places among the tiles of one level, best first: what lies around one peak is one place.

    The best tile takes its neighbors, up to ``reach`` rows and columns away and all that are
    connected to it through them; then the best of the tiles that are left, and so on. Every tile
    belongs to one place, and no two tiles that touch belong to two, unless ``reach`` parts them.

    Args:
        scores: The score of each tile.
        reach: How far a place goes from its best tile.

    Returns:
        The tiles of each place in reading order.
    """
    return list(_places(scores, reach))


def _places(scores: Mapping[Tile, float], reach: int) -> Iterator[tuple[Tile, ...]]:
    """See `clusters`; whoever wants the best alone does not wait for the others."""
    remaining = dict(sorted(scores.items()))
    while remaining:
        peak = max(remaining, key=lambda tile: remaining[tile])
        place, edge = {peak}, [peak]
        while edge:
            around = _touching(edge.pop(), remaining)
            fresh = [t for t in around if t not in place and _distance(t, peak) <= reach]
            place.update(fresh)
            edge += fresh
        yield tuple(sorted(place))
        remaining = {tile: score for tile, score in remaining.items() if tile not in place}


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
    return tuple(islice(_places({t: scores[t] for t in finest.tokens.tiles}, reach), count))


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
    tiles = {tile for place in places for tile in place}
    return Descent((*descent.looks[:2], look_at(descent.looks[-1], tiles)), descent.stopped)


def look_at(look: LevelLook, tiles: Iterable[Tile]) -> LevelLook:
    """What a look shows of some of its tiles."""
    tile_set = set(tiles)
    inside = torch.tensor([tile in tile_set for tile in look.tokens.tiles], dtype=torch.bool)
    keep = inside[look.tokens.tile_index]
    tiles_look = tuple(tile for tile in look.tiles if tile in tile_set)
    return LevelLook(look.level, tiles_look, look.tokens.select(keep), look.scores[keep])


@dataclass(frozen=True, slots=True)
class Core:
    """The ground that one tile answers for, and the ground that is shown with it.

    Attributes:
        core: Half open; the cores of an area partition it.
        view: The core and a halo around it, clipped to the area.

    Raises:
        GeometryError: If the view does not hold the core.
    """

    core: Box
    view: Box

    def __post_init__(self) -> None:
        if self.core.share_inside(self.view) < 1:
            raise GeometryError(f"a view must hold its core, got {self}")

    def owns(self, box: Box) -> bool:
        """Whether the center of a box in scene pixels lies in the core."""
        x, y = box.center
        return self.core.x0 <= x < self.core.x1 and self.core.y0 <= y < self.core.y1


def cores_of(area: Box, side: float, halo: float) -> list[Core]:
    """Cut an area into cores of at most ``side``, each seen with a halo, in reading order.

    Args:
        area: In scene pixels.
        side: Longest side of a core in scene pixels.
        halo: Ground around a core in scene pixels; at least half of the longest object.

    Raises:
        GeometryError: If the side is not positive or the halo negative.
    """
    if not 0 < side < math.inf or not 0 <= halo < math.inf:
        raise GeometryError(f"cores need side > 0 and halo >= 0, got {side} and {halo}")
    xs, ys = _edges(area.x0, area.x1, side), _edges(area.y0, area.y1, side)
    cores = [Box(x0, y0, x1, y1) for y0, y1 in pairwise(ys) for x0, x1 in pairwise(xs)]
    return [Core(core, _grown(core, halo, area)) for core in cores]


def owned_boxes(cores: Sequence[Core], boxes_by_core: Sequence[Iterable[Box]]) -> list[Box]:
    """The boxes found in each view that its core owns: every object once.

    Args:
        cores: Of one area.
        boxes_by_core: For each core, the boxes that a model found in its view, in scene pixels.

    Raises:
        GeometryError: If there is not one collection of boxes for each core.
    """
    if len(cores) != len(boxes_by_core):
        raise GeometryError(f"{len(cores)} cores need as many findings, got {len(boxes_by_core)}")
    pairs = zip(cores, boxes_by_core, strict=True)
    return [box for core, boxes in pairs for box in boxes if core.owns(box)]


def groups_of(tiles: Iterable[Tile]) -> list[tuple[Tile, ...]]:
    """Groups of tiles of one level that touch, by side or corner; no two groups share a seam.

    Returns:
        The tiles of each group in reading order, groups in the order of their first tile.
    """
    return sorted(clusters(dict.fromkeys(tiles, 0.0), reach=1 << 62))


def _touching(tile: Tile, among: Mapping[Tile, float]) -> list[Tile]:
    return [
        Tile(tile.level, row, col)
        for row in range(max(0, tile.row - 1), tile.row + 2)
        for col in range(max(0, tile.col - 1), tile.col + 2)
        if Tile(tile.level, row, col) in among
    ]


def _distance(one: Tile, two: Tile) -> int:
    return max(abs(one.row - two.row), abs(one.col - two.col))


def _edges(start: float, end: float, side: float) -> list[float]:
    """Edges of equal parts of at most ``side``; the last is the end itself, to the bit."""
    parts = math.ceil((end - start) / side)
    return [start + (end - start) * i / parts for i in range(parts)] + [end]


def _grown(core: Box, halo: float, area: Box) -> Box:
    return Box(
        max(area.x0, core.x0 - halo),
        max(area.y0, core.y0 - halo),
        min(area.x1, core.x1 + halo),
        min(area.y1, core.y1 + halo),
    )
