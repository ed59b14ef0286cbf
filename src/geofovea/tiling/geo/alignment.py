"""Two scenes laid on each other by the ground: where a pixel of one lies in the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from geofovea.errors import AlignmentError
from geofovea.tiling.geo.georeference import HasGeoreference
from geofovea.tiling.geo.ground import crs_from_lonlat, turn_of
from geofovea.tiling.geo.outline import ring_scene
from geofovea.tiling.pyramid import Box

__all__ = ["Alignment", "align"]

Points = NDArray[np.float64]

_EDGE_PARTS = 32
_GRID_SIDE = 65
# a pixel to the right and one down
_STEPS = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where pixels of a reference scene lie in another scene.

    Attributes:
        reference: The scene whose grid is used.
        other: The scene that is read onto it.
        by: ``ground`` by their georeferences; ``pixels`` where one has none and both have one size.
        overlap: The share of the reference that the other scene covers, in (0, 1].
        warnings: What a careful reader should know.
    """

    reference: HasGeoreference
    other: HasGeoreference
    by: Literal["ground", "pixels"]
    overlap: float = 1.0
    warnings: tuple[str, ...] = ()

    def other_from_reference(self, points: Points) -> Points:
        """Move points ``(n, 2)`` of ``(x, y)`` in reference pixels to pixels of the other scene.

        Returns:
            ``(n, 2)``, possibly outside the other scene; NaN where a point has no place in it.
        """
        if self.by == "pixels":
            return points
        return _by_ground(self.reference, self.other, points)

    @property
    def pixel_size(self) -> float:
        """How many pixels of the reference a pixel of the other scene spans, at its widest."""
        points = self.reference.box.center + _STEPS
        moved = self.other_from_reference(points)
        if not np.isfinite(moved).all():
            return 1.0
        columns = np.stack((moved[1] - moved[0], moved[2] - moved[0]), axis=1)
        narrowest = float(np.linalg.svd(columns, compute_uv=False)[-1])
        return 1 / narrowest if narrowest > 0 else math.inf

    def box_of_other(self, box: Box) -> Box | None:
        """The box of the other scene that holds a box of the reference; None where it has none."""
        ring = self.other_from_reference(ring_scene(box, _EDGE_PARTS))
        ring = ring[np.isfinite(ring).all(1)]
        if not len(ring):
            return None
        (x0, y0), (x1, y1) = ring.min(0).tolist(), ring.max(0).tolist()
        return Box(x0, y0, x1, y1).intersection(self.other.box) if x0 < x1 and y0 < y1 else None


def align(reference: HasGeoreference, other: HasGeoreference) -> Alignment:
    """Lay one scene on the grid of another.

    Args:
        reference: The scene whose grid is used.
        other: The scene that is read onto it.

    Raises:
        AlignmentError: If they share no ground, or one has no georeference and their sizes differ.
    """
    reason = _why_not_by_ground(reference, other)
    if reason:
        return _by_size(reference, other, reason)
    overlap = _overlap(Alignment(reference, other, "ground"))
    if overlap <= 0:
        raise AlignmentError(
            f"{other.path!r} and {reference.path!r} share no ground: compare scenes of one place "
            "(geofovea info shows where a scene lies)"
        )
    return Alignment(reference, other, "ground", overlap)


def _why_not_by_ground(first: HasGeoreference, second: HasGeoreference) -> str:
    """Why two scenes cannot be aligned by the ground, in words; empty if they can."""
    for scene in (first, second):
        if scene.georeference.kind == "none":
            return f"{scene.path!r} does not say where it lies"
    wkts = [scene.georeference.crs_wkt for scene in (first, second)]
    if wkts[0] == wkts[1]:
        return ""
    for scene in (first, second):
        if scene.georeference.crs is None:
            return f"{scene.path!r} names no coordinate reference system"
        if not scene.georeference.is_on_earth:
            return f"{scene.path!r} has a coordinate reference system that is not on the Earth"
    return ""


def _by_size(reference: HasGeoreference, other: HasGeoreference, reason: str) -> Alignment:
    sizes = [(int(s.box.width), int(s.box.height)) for s in (reference, other)]
    if sizes[0] != sizes[1]:
        (width, height), (width_other, height_other) = sizes
        raise AlignmentError(
            f"{reason}, and the scenes have different sizes ({width} x {height} and "
            f"{width_other} x {height_other} pixels), so they cannot be aligned: give both a "
            "georeference, or bring them to one size"
        )
    return Alignment(
        reference,
        other,
        "pixels",
        warnings=(
            f"{reason}: the scenes were aligned pixel by pixel, because they have the same size; "
            "what moved may be a shift between the pictures",
        ),
    )


def _by_ground(reference: HasGeoreference, other: HasGeoreference, points: Points) -> Points:
    source, target = reference.georeference, other.georeference
    nowhere = np.full(points.shape, np.nan)
    if source.crs_wkt == target.crs_wkt:
        points_crs = source.crs_from_scene(points)
    else:
        lonlat = source.lonlat_from_scene(points)
        if lonlat is None or target.crs is None:
            return nowhere
        points_crs = crs_from_lonlat(target.crs, lonlat)
    if points_crs is None:
        return nowhere
    placed = target.scene_from_crs(_near_center(other, points_crs))
    return nowhere if placed is None else placed


def _near_center(scene: HasGeoreference, points_crs: Points) -> Points:
    """Longitudes by whole turns as near as they can be to the center of a scene."""
    georeference = scene.georeference
    turn = turn_of(georeference.crs) if georeference.crs is not None else None
    if turn is None:
        return points_crs
    center = georeference.crs_from_scene(np.array([scene.box.center]))
    if center is None or not np.isfinite(center).all():
        return points_crs
    turns = np.round((center[0, 0] - points_crs[:, 0]) / turn)
    return np.column_stack((points_crs[:, 0] + turn * turns, points_crs[:, 1]))


def _overlap(alignment: Alignment) -> float:
    """The share of the reference that lies on the other scene, in [0, 1]."""
    box, other = alignment.reference.box, alignment.other.box
    ring = alignment.other_from_reference(ring_scene(box, _EDGE_PARTS))
    if np.isfinite(ring).all():
        outline = shapely.Polygon(ring)
        if outline.is_valid and outline.area > 0:
            common = outline.intersection(shapely.box(*other.as_tuple())).area
            return min(1.0, float(common / outline.area))
    # an outline that leaves the map: by points instead
    steps = (np.arange(_GRID_SIDE) + 0.5) / _GRID_SIDE
    grid = np.stack(np.meshgrid(steps * box.width, steps * box.height), -1).reshape(-1, 2)
    x, y = alignment.other_from_reference(grid).T
    with np.errstate(invalid="ignore"):
        inside = (x >= 0) & (y >= 0) & (x < other.width) & (y < other.height)
    return float(inside.mean())
