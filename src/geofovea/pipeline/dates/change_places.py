"""From differences of token cells to places: what stands out, and what touches is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from geofovea.pipeline.places.place import Place
from geofovea.tiling.pyramid import Box, Tile

__all__ = ["Compared", "change_scores", "changed_places"]

Numbers = NDArray[np.float64]

_NORMAL_SPREAD = 1.4826
_PEAK_SHARE = 0.25
LABEL = "change"


@dataclass(slots=True)
class Compared:
    """All cells that were compared.

    Attributes:
        boxes: Parts of float64 ``(n, 4)`` as x0, y0, x1, y1 in scene pixels.
        distances: Parts of float64 ``(n,)``, how far the dates lie apart.
        tiles: The tile of each cell.
        is_usual: Parts of bool ``(n,)``, which cells tell what is usual.
    """

    boxes: list[Numbers] = field(default_factory=list)
    distances: list[Numbers] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    is_usual: list[NDArray[np.bool_]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many cells there are."""
        return len(self.tiles)

    def add(
        self,
        boxes: Numbers,
        distances: Numbers,
        tiles: Sequence[Tile],
        *,
        is_usual: bool = True,
    ) -> None:
        """Add some cells; those to which differences led do not tell what is usual."""
        self.is_usual.append(np.full(len(tiles), is_usual))
        self.boxes.append(boxes)
        self.distances.append(distances)
        self.tiles += tiles


def change_scores(distances: Numbers, usual: Numbers) -> Numbers:
    """How surely each of n distances is no usual one, ``(n,)`` in [0, 1).

    ``z² / (1 + z²)`` of the number ``z`` of usual spreads above the median; 0 below it. The usual
    spread is the median deviation from the median, scaled to that of a normal distribution, so that
    changes in less than half of the cells do not pull it along.

    Args:
        distances: float64 ``(n,)``.
        usual: float64 ``(m,)``, those of places that were not looked at for their difference.
    """
    middle = np.median(usual)
    spread = _NORMAL_SPREAD * np.median(np.abs(usual - middle))
    above = np.clip(distances - middle, 0, None)
    if spread <= 0:
        return np.where(above > 0, 1 - 1e-6, 0.0)
    squares = np.square(above / spread)
    scores: Numbers = squares / (1 + squares)
    return scores


def changed_places(compared: Compared, min_score: float) -> list[Place]:
    """The places whose cells stand out, the surest first; cells that touch are one place.

    Args:
        compared: The cells.
        min_score: The least score of a cell.
    """
    boxes = np.concatenate(compared.boxes)
    distances, is_usual = np.concatenate(compared.distances), np.concatenate(compared.is_usual)
    usual = distances[is_usual] if is_usual.any() else distances
    scores = change_scores(distances, usual)
    which = np.flatnonzero(scores >= min_score)
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
        # an encoder spreads a change over the tile: what is far below the peak is its halo
        above = distances[own] - np.median(usual)
        own = own[above >= _PEAK_SHARE * above.max()]
        low, high = boxes[own, :2], boxes[own, 2:]
        places.append(
            Place(
                Box(*low.min(0).tolist(), *high.max(0).tolist()),
                float(scores[own].max()),
                0,
                LABEL,
                tuple(sorted({compared.tiles[i] for i in own})),
                "tokens",
                float((high - low).max()),
            )
        )
    return sorted(places, key=lambda place: (-place.score, place.box_scene))
