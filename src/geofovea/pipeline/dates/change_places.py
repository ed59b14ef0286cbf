"""From differences of token cells to places: what stands out, and what touches is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from geofovea.pipeline.places.place import Place
from geofovea.tiling.pyramid import Box, Tile

__all__ = [
    "SEARCHED_TAIL_SHARE",
    "TAIL_SHARE",
    "Compared",
    "change_scores",
    "changed_places",
]

Numbers = NDArray[np.float64]

TAIL_SHARE = 0.25
"""Of the cells, where the tail of the unchanged ones is taken to begin."""

SEARCHED_TAIL_SHARE = 0.5
"""The same where differences led to most of the cells: up to a quarter of them may be changed."""

# what is below this share of a peak beside it is its halo
_PEAK_SHARE = 0.25
_FEWEST_CELLS = 100
LABEL = "change"


@dataclass(slots=True)
class Compared:
    """All cells that were compared.

    Attributes:
        boxes: Parts of float64 ``(n, 4)`` as x0, y0, x1, y1 in scene pixels.
        distances: Parts of float64 ``(n,)``, how far the dates lie apart.
        tiles: The tile of each cell.
        cut: Tiles that the border of the scene, or of the data at a date, cuts.
    """

    boxes: list[Numbers] = field(default_factory=list)
    distances: list[Numbers] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    cut: set[Tile] = field(default_factory=set)

    @property
    def count(self) -> int:
        """How many cells there are."""
        return len(self.tiles)

    def add(self, boxes: Numbers, distances: Numbers, tiles: Sequence[Tile]) -> None:
        """Add some cells."""
        self.boxes.append(boxes)
        self.distances.append(distances)
        self.tiles += tiles


def change_scores(
    distances: Numbers, usual: Numbers, family: int | None = None, tail: float = TAIL_SHARE
) -> Numbers:
    """How likely no cell of a scene without changes lies as far out as each of n, ``(n,)``.

    Distances of unchanged cells have a long tail, for materials and light differ from place to
    place. Beyond a high quantile a tail is close to exponential (peaks over threshold; Pickands,
    Annals of Statistics 3, 1975). Its scale comes from the median of what exceeds where it begins,
    so that changes in up to about half of the tail hardly move it. From the tail follows how many
    of all cells chance would put beyond a distance; the score is the probability that it puts none
    there. The scale is the largest that the sample leaves likely.

    Args:
        distances: float64 ``(n,)``.
        usual: float64 ``(m,)``, those that tell what is usual.
        family: Cells among which the largest were looked for; n if not given.
        tail: Share of the usual ones that lie in the tail.
    """
    start = float(np.quantile(usual, 1 - tail))
    # cells that do not differ belong to the tail, too: else a change among them measures itself
    tail_count = max(1, math.ceil(tail * len(usual)))
    excess = np.sort(usual)[-tail_count:] - start
    # the upper end of the interval of a median of so many
    rank = min(0.5 + 1 / math.sqrt(tail_count), 0.9)
    scale = float(np.quantile(excess.clip(min=0), rank)) / math.log(2)
    above = distances - start
    if scale <= 0:
        return np.where(above > 0, 1.0, 0.0)
    count = len(distances) if family is None else max(family, len(distances))
    expected = count * tail * np.exp(-np.clip(above, 0, None) / scale)
    scores: Numbers = np.exp(-expected) * (above > 0)
    return scores


def changed_places(
    compared: Compared, min_score: float, family: int | None = None, tail: float = TAIL_SHARE
) -> list[Place]:
    """The places whose cells stand out, the farthest out first; cells that touch are one place.

    Args:
        compared: The cells.
        min_score: The least score of a cell; see `change_scores`.
        family: Cells of all that could have been compared; those that were if not given.
        tail: Share of the cells that lie in the tail of the unchanged ones.
    """
    boxes, distances = np.concatenate(compared.boxes), np.concatenate(compared.distances)
    is_cut = np.array([tile in compared.cut for tile in compared.tiles])
    scores = np.zeros(len(distances))
    for group in (is_cut, ~is_cut):
        # padding shines into the tokens beside it: cut tiles have a tail of their own
        usual = distances[group] if int(group.sum()) >= _FEWEST_CELLS else distances
        scores[group] = change_scores(distances[group], usual, family or len(distances), tail)
    above = distances - np.median(distances)
    is_peak = above >= _PEAK_SHARE * _largest_of_tiles(above, compared.tiles)
    which = np.flatnonzero((scores >= min_score) & is_peak)
    if not len(which):
        return []
    cells = shapely.box(*boxes[which].T)
    # neighbors share their edge to the last bit, across tiles as within one
    parts = shapely.get_parts(shapely.union_all(cells))
    tree = shapely.STRtree(shapely.point_on_surface(cells))
    part_of, cell_of = tree.query(parts, predicate="intersects")
    places = []
    for number in range(len(parts)):
        own = which[cell_of[part_of == number]]
        own = own[above[own] >= _PEAK_SHARE * above[own].max()]
        places.append((float(above[own].max()), _place(own, boxes, scores, compared.tiles)))
    # scores of what is far out are all 1
    return [place for _, place in sorted(places, key=lambda p: (-p[0], p[1].box_scene))]


def _largest_of_tiles(above: Numbers, tiles: Sequence[Tile]) -> Numbers:
    """The largest number of each cell's tile: an encoder spreads a change over the tile."""
    numbers = {tile: number for number, tile in enumerate(dict.fromkeys(tiles))}
    tile_of = np.array([numbers[tile] for tile in tiles])
    largest = np.full(len(numbers), -np.inf)
    np.maximum.at(largest, tile_of, above)
    result: Numbers = largest[tile_of]
    return result


def _place(own: NDArray[np.intp], boxes: Numbers, scores: Numbers, tiles: Sequence[Tile]) -> Place:
    """One place of some cells."""
    low, high = boxes[own, :2], boxes[own, 2:]
    return Place(
        Box(*low.min(0).tolist(), *high.max(0).tolist()),
        float(scores[own].max()),
        0,
        LABEL,
        tuple(sorted({tiles[i] for i in own})),
        "tokens",
        float((high - low).max()),
    )
