"""A region of a scene: the polygon that a question is restricted to, in scene pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform as warp_transform

from geofovea.errors import GeometryError
from geofovea.tiling.coordinates import scene_from_crs
from geofovea.tiling.pyramid import Box
from geofovea.tiling.scene import Scene

__all__ = ["Region", "region_from_crs"]

# a straight edge of a map is followed in so many steps where another CRS would bend it
_EDGE_PARTS = 32


@dataclass(frozen=True, slots=True)
class Region:
    """A polygon, or several, in scene pixels (x right, y down).

    Attributes:
        geometry: A valid shapely ``Polygon`` or ``MultiPolygon`` with an area.

    Raises:
        GeometryError: If it is something else.
    """

    geometry: shapely.Geometry

    def __post_init__(self) -> None:
        shape = self.geometry
        if not isinstance(shape, (shapely.Polygon, shapely.MultiPolygon)):
            told = shapely.to_wkt(shape)[:80] if isinstance(shape, shapely.Geometry) else shape
            raise GeometryError(f"a region is a polygon with an area, got {told!s:.80}")
        # before the area, which is 0 where the loops of a ring that crosses itself cancel out
        if not shape.is_empty and not shape.is_valid:
            raise GeometryError(
                f"the polygon of a region is not valid: {shapely.is_valid_reason(shape)}; mend it, "
                "for example with shapely.make_valid"
            )
        if not shape.area > 0:
            raise GeometryError(
                f"a region is a polygon with an area, got {shapely.to_wkt(shape)[:80]}"
            )
        shapely.prepare(shape)

    def overlaps(self, box: Box) -> bool:
        """Whether it shares area with a box; a common edge alone is none."""
        return bool(self.overlap_mask(np.array([box.as_tuple()]))[0])

    def overlap_mask(self, boxes_scene: ArrayLike) -> NDArray[np.bool_]:
        """Which of the boxes ``(n, 4)``, as x0, y0, x1, y1, share area with it; bool ``(n,)``."""
        corners = np.asarray(boxes_scene, dtype=np.float64).reshape(-1, 4)
        boxes = shapely.box(*corners.T)
        meets: NDArray[np.bool_] = shapely.intersects(self.geometry, boxes)
        # most boxes are far away or inside; only those on the edge need the exact answer
        on_edge = np.flatnonzero(meets & ~shapely.contains(self.geometry, boxes))
        meets[on_edge] = shapely.area(shapely.intersection(self.geometry, boxes[on_edge])) > 0
        return meets


def region_from_crs(scene: Scene, geometry: shapely.Geometry, crs: Any) -> Region:
    """Bring a polygon from a CRS into a scene, cut off at the scene's edge.

    Args:
        scene: The scene.
        geometry: Polygon or MultiPolygon, ``(x, y)`` with easting or longitude first.
        crs: Anything that rasterio takes as a CRS; None means that it is in scene pixels.

    Raises:
        GeometryError: If it is no valid polygon, the scene has no georeference to place it by, or
            it lies outside the scene.
    """
    shape = shapely.force_2d(geometry) if isinstance(geometry, shapely.Geometry) else geometry
    Region(shape)
    inside = _into_scene(scene, shape, crs) if crs is not None else shape
    inside = shapely.intersection(shapely.make_valid(inside), shapely.box(*scene.box.as_tuple()))
    parts = [p for p in shapely.get_parts(inside) if isinstance(p, shapely.Polygon) and p.area > 0]
    if not parts:
        raise GeometryError(
            f"the polygon lies outside the scene {scene.path}: check its CRS, or leave it out"
        )
    return Region(parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts))


def _into_scene(scene: Scene, shape: shapely.Geometry, crs: Any) -> shapely.Geometry:
    if scene.crs is None:
        raise GeometryError(
            f"the polygon has a CRS and the scene {scene.path} has no georeference: give polygons "
            "in pixels, in a file without CRS"
        )
    try:
        source = CRS.from_user_input(crs)
    except CRSError as error:
        raise GeometryError(f"the CRS of the polygon is not understood: {error}") from error
    x0, y0, x1, y1 = shape.bounds
    shape = shapely.segmentize(shape, max(x1 - x0, y1 - y0) / _EDGE_PARTS)

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        try:
            placed = points
            if source != scene.crs:
                placed = np.column_stack(warp_transform(source, scene.crs, *points.T))
            moved = scene_from_crs(scene, placed)
        except (RasterioError, CPLE_BaseError):
            # metres in a file that says degrees are no latitudes at all
            moved = None
        if moved is None or not np.isfinite(moved).all():
            raise GeometryError(
                f"the polygon lies outside what the CRS of the scene {scene.path} can show: check "
                "its CRS, or leave it out"
            )
        return moved

    return shapely.transform(shape, move)
