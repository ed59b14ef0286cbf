"""A region of a scene: the polygon that a question is restricted to, in scene pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from geofovea._arguments import shown
from geofovea.errors import GeometryError
from geofovea.tiling.geo.georeference import HasGeoreference
from geofovea.tiling.geo.ground import crs_of, turn_of
from geofovea.tiling.geo.map_polygon import MapPolygon
from geofovea.tiling.geo.outline import ring_scene
from geofovea.tiling.geo.ring_thinning import thinned
from geofovea.tiling.pyramid import Box

__all__ = [
    "PIXELS",
    "AmbiguousRegionError",
    "OutsideSceneError",
    "Region",
    "checked_region",
    "region_caution",
    "region_from_crs",
]

PIXELS = "pixels"
"""In place of a CRS: the numbers are scene pixels, and somebody has said so."""

_HOW_TO_SAY = "crs='pixels', or crs= and a CRS such as EPSG:4326"
_EDGE_PARTS = 32
# an overlap that is thinner than this, in pixels, is a common edge
_INSET = 1e-6
_THIN_PIXELS = 0.25


class OutsideSceneError(GeometryError):
    """A polygon that a scene does not show."""


class AmbiguousRegionError(GeometryError):
    """The coordinates of a polygon may be pixels or places on the ground, and no CRS says which."""


@dataclass(frozen=True, slots=True)
class Region:
    """A polygon, or several, in scene pixels (x right, y down).

    Attributes:
        geometry: A valid shapely ``Polygon`` or ``MultiPolygon`` with an area.

    Raises:
        GeometryError: If it is something else.

    Examples:
        >>> region = geofovea.Region(shapely.box(0, 0, 100, 100))
        >>> region.overlaps(geofovea.Box(50, 50, 200, 200))
        True
        >>> region.overlap_mask([[50, 50, 200, 200], [100, 0, 200, 100]])
        array([ True, False])
    """

    geometry: shapely.Geometry

    def __post_init__(self) -> None:
        shape = self.geometry
        if not isinstance(shape, (shapely.Polygon, shapely.MultiPolygon)):
            text = shapely.to_wkt(shape)[:80] if isinstance(shape, shapely.Geometry) else shape
            raise GeometryError(f"a region is a polygon with an area, got {text!s:.80}")
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

    @classmethod
    def from_crs(cls, scene: HasGeoreference, geometry: shapely.Geometry, crs: Any) -> Region:
        """The part of a scene that a polygon on the ground covers.

            scene = geofovea.open_scene("scene.tif")
            fields = geopandas.read_file("fields.gpkg")
            region = geofovea.Region.from_crs(scene, fields.geometry[0], fields.crs)

        Args:
            scene: The scene.
            geometry: A shapely ``Polygon`` or ``MultiPolygon``, ``(x, y)`` with easting or
                longitude first.
            crs: Its CRS: ``"EPSG:4326"``, WKT, or an object of pyproj or rasterio; or ``"pixels"``.

        Raises:
            GeometryError: If it is not a valid polygon, the scene has no georeference to place it
                by, or it lies outside the scene.
        """
        return region_from_crs(scene, geometry, crs)

    def overlaps(self, box: Box) -> bool:
        """Whether it shares area with a box; a common edge alone is none."""
        return bool(self.overlap_mask(np.array([box.as_tuple()]))[0])

    def overlap_mask(self, boxes_scene: ArrayLike) -> NDArray[np.bool_]:
        """Which of the boxes ``(n, 4)``, as x0, y0, x1, y1, share area with it; bool ``(n,)``."""
        x0, y0, x1, y1 = np.asarray(boxes_scene, dtype=np.float64).reshape(-1, 4).T
        # what meets the inside of a box shares area with it; to meet is what geometries are
        # prepared for, so that the time hardly grows with their vertices
        inset = np.minimum(_INSET, np.minimum(x1 - x0, y1 - y0) / 4)
        inner = shapely.box(x0 + inset, y0 + inset, x1 - inset, y1 - inset)
        meets: NDArray[np.bool_] = shapely.intersects(self.geometry, inner)
        return meets


def checked_region(region: Region | None) -> Region | None:
    """The region itself.

    Raises:
        GeometryError: If it is something else, such as a polygon without a CRS.
    """
    value: object = region
    if value is None or isinstance(value, Region):
        return region
    if hasattr(value, "union_all"):
        # a GeoSeries or a GeoDataFrame, of many rows and lines
        raise GeometryError(
            f"region is a geofovea.Region, got a {type(value).__name__}; make one of all its "
            "polygons with geofovea.Region.from_crs(scene, frame.union_all(), frame.crs)"
        )
    raise GeometryError(
        f"region is a geofovea.Region, got {' '.join(shown(value).split())}; make one of a "
        "polygon on the ground with geofovea.Region.from_crs(scene, polygon, crs), or of one in "
        "pixels with geofovea.Region(polygon)"
    )


def region_from_crs(scene: HasGeoreference, geometry: shapely.Geometry, crs: Any) -> Region:
    """Bring a polygon from a CRS into a scene, cut off at the scene's edge.

    Edges are straight in ``crs`` and followed in the scene; longitudes are the same a turn on. Of
    thousands of vertices, those that no pixel shows are left out.

    Args:
        scene: The scene.
        geometry: Polygon or MultiPolygon, ``(x, y)`` with easting or longitude first.
        crs: Anything that rasterio accepts as a CRS, or ``PIXELS``. None means that it is unknown:
            coordinates are then scene pixels, unless they could also be places on the ground.

    Raises:
        GeometryError: If it is not a valid polygon, the scene has no georeference to place it by,
            it lies outside the scene, or it has no CRS and may be meant on the ground.
    """
    shape = shapely.force_2d(geometry) if isinstance(geometry, shapely.Geometry) else geometry
    Region(shape)
    if crs is None:
        _check_pixels(scene, shape)
    in_pixels = crs is None or crs == PIXELS
    inside = shape if in_pixels else _into_scene(scene, shape, crs)
    inside = thinned(_clipped(inside, scene.box), _THIN_PIXELS)
    inside = _clipped(inside, scene.box, exactly=True)
    parts = [p for p in shapely.get_parts(inside) if isinstance(p, shapely.Polygon) and p.area > 0]
    if not parts and crs == PIXELS:
        raise OutsideSceneError(
            f"the polygon lies outside the scene {scene.path}: its pixels are x 0 to "
            f"{scene.box.x1} and y 0 to {scene.box.y1}"
        )
    if not parts:
        raise OutsideSceneError(
            f"the polygon lies outside the scene {scene.path}: check its CRS, or leave it out"
            if not in_pixels or scene.georeference.crs is None
            else f"the polygon lies outside the scene {scene.path}; its file names no CRS, so its "
            f"numbers were taken for pixels: say what they are with {_HOW_TO_SAY}"
        )
    return Region(parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts))


def region_caution(scene: HasGeoreference, region: Region, crs: Any) -> tuple[str, ...]:
    """A warning about a polygon that was taken for pixels because its CRS is unknown."""
    if crs is not None or scene.georeference.crs is None:
        return ()
    x0, y0, x1, y1 = (round(float(v), 2) for v in region.geometry.bounds)
    return (
        f"the polygon has no CRS and the scene has one: its numbers were taken for pixels, x "
        f"{x0:g} to {x1:g}, y {y0:g} to {y1:g}; say what they are with {_HOW_TO_SAY}",
    )


def _check_pixels(scene: HasGeoreference, shape: shapely.Geometry) -> None:
    """Refuse numbers without a CRS that are places on the ground that the scene shows."""
    if scene.georeference.crs is None:
        return
    points_scene = ring_scene(scene.box, _EDGE_PARTS)
    x0, y0, x1, y1 = shape.bounds
    grounds = [scene.georeference.crs_from_scene(points_scene)]
    # no degrees are larger
    if max(abs(x0), abs(x1)) <= 360 and max(abs(y0), abs(y1)) <= 90:
        grounds.append(scene.georeference.lonlat_from_scene(points_scene))
    for points in grounds:
        if points is None or not np.isfinite(points).any():
            continue
        low, high = np.nanmin(points, 0), np.nanmax(points, 0)
        if x0 < high[0] and x1 > low[0] and y0 < high[1] and y1 > low[1]:
            raise AmbiguousRegionError(
                f"the polygon has no CRS, and its numbers (x {x0:g} to {x1:g}, y {y0:g} to {y1:g}) "
                f"may be places on the ground of the scene {scene.path} or pixels of it: say what "
                f"they are with {_HOW_TO_SAY}"
            )


def _clipped(shape: shapely.Geometry, box: Box, *, exactly: bool = False) -> shapely.Geometry:
    """A shape within a box: fast and perhaps not valid, or exactly."""
    frame = shapely.box(*box.as_tuple())
    if frame.covers(shapely.box(*shape.bounds)) and (shape.is_valid or not exactly):
        return shape
    if not exactly:
        return shapely.clip_by_rect(shape, *box.as_tuple())
    return shapely.intersection(shape if shape.is_valid else shapely.make_valid(shape), frame)


def _into_scene(scene: HasGeoreference, shape: shapely.Geometry, crs: Any) -> shapely.Geometry:
    if scene.georeference.kind == "none" or scene.georeference.crs is None:
        raise GeometryError(
            f"the polygon has a CRS and the scene {scene.path} has no georeference: give polygons "
            "in pixels, in a file without CRS"
        )
    try:
        source = crs_of(crs)
    except ValueError as error:
        raise GeometryError(f"the CRS of the polygon is not understood: {error}") from error
    if not (source.is_geographic or source.is_projected or source == scene.georeference.crs):
        raise GeometryError(
            "the CRS of the polygon is a grid of its own, and does not say where it lies on the "
            f"Earth; say what its coordinates are with {_HOW_TO_SAY}"
        )
    turn = turn_of(source)
    if turn is not None and np.abs(np.array(shape.bounds)[1::2]).min() > turn / 4:
        raise OutsideSceneError(
            f"the polygon lies outside what its CRS can show, and the scene {scene.path}: check "
            "its CRS, or leave it out"
        )
    return MapPolygon(shape, source).on_scene(scene.georeference, scene.box)
