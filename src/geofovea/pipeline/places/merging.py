"""One place instead of several: what is cut at a seam, or seen in tiles that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import shapely

from geofovea.pipeline.places.place import Place
from geofovea.tiling.pyramid import Box

__all__ = ["COMMON_SHARE", "SEAM_PX", "merge_places"]

COMMON_SHARE = 0.5
"""Of the smaller of two boxes: those that share it are of one thing."""

# boxes of neighboring tiles share their edge to the last bit; a spoken box ends a pixel before it
SEAM_PX = 1.5
"""How far from a seam a box still reaches it."""


def merge_places(places: Sequence[Place]) -> list[Place]:
    """Places without duplicates, the surest first.

    Two places are one if they have the same label, come from different tiles, and either share half
    of the smaller box, or touch along half of the shorter side, as what a seam cuts does. Places of
    one tile stay apart: the model saw them beside each other. Whole tiles stay apart, too: where in
    them something is, nobody knows.

    The result does not depend on the order, and merging it again changes nothing.
    """
    merged = list(places)
    while True:
        groups = _groups(merged)
        if len(groups) == len(merged):
            return sorted(merged, key=_rank)
        merged = [_joined([merged[i] for i in group]) for group in groups]


def _rank(place: Place) -> tuple[object, ...]:
    return -place.score, place.label, place.box_scene, place.level, place.evidence


def _groups(places: Sequence[Place]) -> list[list[int]]:
    """Indices of places that are one, directly or through others."""
    parent = list(range(len(places)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for one, other in _neighbors(places):
        if _are_one(places[one], places[other]):
            parent[root(one)] = root(other)
    groups: dict[int, list[int]] = {}
    for index in range(len(places)):
        groups.setdefault(root(index), []).append(index)
    return list(groups.values())


def _neighbors(places: Sequence[Place]) -> list[tuple[int, int]]:
    """Pairs of places whose boxes lie within a seam of each other."""
    if len(places) < 2:
        return []
    boxes = shapely.box(*np.array([p.box_scene.as_tuple() for p in places], dtype=float).T)
    tree = shapely.STRtree(boxes)
    pairs = tree.query(boxes, predicate="dwithin", distance=2 * SEAM_PX)
    return [(int(i), int(j)) for i, j in pairs.T if i < j]


def _are_one(one: Place, other: Place) -> bool:
    if one.label != other.label or set(one.evidence) & set(other.evidence):
        return False
    a, b = one.box_scene, other.box_scene
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    if width > 0 and height > 0 and width * height >= COMMON_SHARE * min(a.area, b.area):
        return True
    if "tile" in (one.outline, other.outline):
        return False
    along_x = abs(height) <= SEAM_PX and width >= COMMON_SHARE * min(a.width, b.width)
    along_y = abs(width) <= SEAM_PX and height >= COMMON_SHARE * min(a.height, b.height)
    return along_x or along_y


def _joined(group: Sequence[Place]) -> Place:
    """One place around several, as sure as the surest."""
    if len(group) == 1:
        return group[0]
    best = min(group, key=_rank)
    boxes = [place.box_scene for place in group]
    around = Box(
        min(b.x0 for b in boxes),
        min(b.y0 for b in boxes),
        max(b.x1 for b in boxes),
        max(b.y1 for b in boxes),
    )
    return replace(
        best,
        box_scene=around,
        level=min(place.level for place in group),
        evidence=tuple(sorted({tile for place in group for tile in place.evidence})),
        error_px=max(place.error_px for place in group),
    )
