"""What a bench of places missed, thing by thing, and what stands there that may be why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from geofovea.pipeline.evaluation.finds.item import Corners, FindItem
from geofovea.pipeline.places.confusion import box_pairs
from geofovea.pipeline.system.tables import markdown_table
from geofovea.tiling.pyramid import Box, Pyramid

__all__ = ["CAUSES", "Cause", "Miss", "misses_of", "misses_table"]

Cause = Literal["in another's place", "across a seam", "beside another", "alone"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
"""The first that applies is that of a miss."""

_HEADER = ("scene", "phrase", "way", "x0", "y0", "x1", "y1", "cause")


@dataclass(frozen=True, slots=True)
class Miss:
    """A thing that was not found.

    Attributes:
        item: Of the search.
        box: Corners of the thing, x0, y0, x1, y1 in scene pixels.
        cause: What stands there: ``in another's place`` if a place that is another thing's covers
            it as well, ``across a seam`` if tiles cut it, ``beside another`` if its tile holds a
            further thing of its kind, else ``alone``.
    """

    item: FindItem
    box: Corners
    cause: Cause


def misses_of(items: Sequence[FindItem], tile_size: int) -> list[Miss]:
    """The things that searches missed, search after search.

    Args:
        items: The searches.
        tile_size: Of native tiles in pixels.
    """
    return [miss for item in items for miss in _misses_of_one(item, tile_size)]


def misses_table(misses: Sequence[Miss], ways: Sequence[str]) -> str:
    """How many things each way missed by cause, and where each of them lies.

    Args:
        misses: Those of `misses_of`.
        ways: In the order of the table; those without a miss are left out.
    """
    counts = Counter((miss.item.way, miss.cause) for miss in misses)
    by_way = [
        [way, *(str(counts[way, cause]) for cause in CAUSES)]
        for way in ways
        if any(counts[way, cause] for cause in CAUSES)
    ]
    rows = [
        [
            str(miss.item.scene),
            miss.item.phrase,
            miss.item.way,
            *(f"{edge:.0f}" for edge in miss.box),
            miss.cause,
        ]
        for miss in misses
    ]
    parts = [markdown_table(["way", *CAUSES], by_way), markdown_table(list(_HEADER), rows)]
    return "\n\n".join(parts) + "\n"


def _misses_of_one(item: FindItem, tile_size: int) -> list[Miss]:
    boxes, things = ([Box(*corners) for corners in each] for each in (item.boxes, item.truth))
    pyramid = Pyramid(item.side, item.side, tile_size)
    found = set(box_pairs(boxes, things).values())
    tiles = [pyramid.tiles_over(0, thing) for thing in things]
    misses = []
    for number, thing in enumerate(things):
        if number in found:
            continue
        cause: Cause = "alone"
        if box_pairs(boxes, [thing]):
            cause = "in another's place"
        elif len(tiles[number]) > 1:
            cause = "across a seam"
        elif any(tiles[number][0] in other for i, other in enumerate(tiles) if i != number):
            cause = "beside another"
        misses.append(Miss(item, item.truth[number], cause))
    return misses
