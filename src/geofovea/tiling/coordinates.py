"""The edge of pixel space: boxes of a scene as shapes on the ground.

Corners always go through the scene's affine, control points or RPCs. Bounds are never used: those
of a rotated scene contain places that it does not show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from rasterio.warp import transform as warp_transform
from shapely.geometry import mapping
from shapely.geometry.polygon import orient

from geofovea.tiling.outline import outline_lonlat, ring_scene
from geofovea.tiling.pyramid import Box
from geofovea.tiling.scene import Scene

__all__ = [
    "area_m2",
    "crs_from_scene",
    "geometry_crs",
    "lonlat_from_scene",
    "polygon_scene",
    "scene_from_crs",
]

_EDGE_PARTS = 16
# How far a drawn edge may leave the true one: a quarter of a native pixel, or of a level pixel of
# a tile that is about a thousand of them wide.
_MAX_BEND_PIXELS = 0.25
_MAX_BEND_SHARE = 1 / 4096
# areas want more points than drawings
_AREA_BEND_SHARE = 1 / 65536
_LONLAT_DIGITS = 9
_WGS84 = "EPSG:4326"
# equal areas on the ellipsoid, and straight where meridians and parallels are
_EQUAL_AREA = "+proj=cea +ellps=WGS84"
_METRES_PER_DEGREE_EAST = 6378137.0 * np.pi / 180


def polygon_scene(box: Box) -> shapely.Polygon:
    """A box as a polygon in scene pixels (x right, y down)."""
    return shapely.box(*box.as_tuple())


def crs_from_scene(scene: Scene, points: ArrayLike) -> NDArray[np.float64] | None:
    """Move points ``(n, 2)`` of ``(x_scene, y_scene)`` into the scene's CRS.

    Returns:
        ``(n, 2)`` of ``(x_crs, y_crs)``, easting or longitude first; None without georeference.
    """
    return scene.georeference.crs_from_scene(_points(points))


def scene_from_crs(scene: Scene, points: ArrayLike) -> NDArray[np.float64] | None:
    """Move points ``(n, 2)`` of ``(x_crs, y_crs)`` to ``(x_scene, y_scene)``; inverse of the above.

    Returns:
        ``(n, 2)``, possibly outside the scene; None without georeference.
    """
    return scene.georeference.scene_from_crs(_points(points))


def geometry_crs(scene: Scene, box: Box) -> shapely.Polygon | None:
    """A box of scene pixels as a polygon in the scene's CRS; None without georeference.

    An affine keeps four corners. GCPs and RPCs bend edges, so those are followed in small steps.
    """
    parts = 1 if scene.georef == "affine" else _EDGE_PARTS
    ring_crs = crs_from_scene(scene, ring_scene(box, parts))
    if ring_crs is None or not np.isfinite(ring_crs).all():
        return None
    return shapely.Polygon(ring_crs)


def lonlat_from_scene(scene: Scene, box: Box) -> Mapping[str, Any] | None:
    """A box of scene pixels as a GeoJSON geometry by RFC 7946.

    Longitude and latitude are WGS 84 degrees, exterior rings run counter-clockwise, curved edges
    are followed to a quarter of a native pixel or 1/4096 of the box, and a box over the
    antimeridian is cut into a MultiPolygon. A ring around a pole is closed over the pole.

    Returns:
        None without georeference or CRS, on another planet, or where the CRS cannot be inverted.
    """
    # half of what is allowed goes to each of the two steps
    tolerance = max(_MAX_BEND_PIXELS, _MAX_BEND_SHARE * max(box.width, box.height)) / 2
    ring = outline_lonlat(scene.georeference, box, tolerance)
    if ring is None:
        return None
    shape = shapely.Polygon(ring)
    shape = shape.simplify(tolerance * _degrees_per_pixel(ring, box))
    if not shape.is_valid:
        shape = shape.buffer(0)
    parts = _cut_at_antimeridian(shape)
    if not parts:
        return None
    geometry = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    rounded = shapely.transform(geometry, lambda xy: np.round(xy, _LONLAT_DIGITS))
    result: Mapping[str, Any] = mapping(rounded)
    return result


def area_m2(scene: Scene, box: Box) -> float | None:
    """The area on the ground that a box of scene pixels covers, on the WGS 84 ellipsoid.

    It is measured in an equal-area projection of the box's outline, so it holds across the
    antimeridian and around a pole, and where the scene's own projection stretches areas.

    Returns:
        Square metres; None without georeference or CRS, on another planet, or where the CRS cannot
        be inverted.
    """
    tolerance = _AREA_BEND_SHARE * max(box.width, box.height)
    ring = outline_lonlat(scene.georeference, box, tolerance)
    if ring is None:
        return None
    _, north = warp_transform(_WGS84, _EQUAL_AREA, np.zeros(len(ring)), ring[:, 1])
    metres = np.column_stack((ring[:, 0] * _METRES_PER_DEGREE_EAST, north))
    # far from the origin the products that make an area would lose its digits
    return float(shapely.Polygon(metres - metres.mean(axis=0)).area)


def _degrees_per_pixel(ring: NDArray[np.float64], box: Box) -> float:
    """The size of a native pixel in degrees of latitude, from the areas of ring and box."""
    width_parallel = np.cos(np.radians(np.abs(ring[:, 1]).mean()))
    return float((shapely.Polygon(ring).area * max(width_parallel, 1e-3) / box.area) ** 0.5)


def _points(points: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(points, dtype=np.float64).reshape(-1, 2)


def _cut_at_antimeridian(shape: shapely.Geometry) -> list[shapely.Polygon]:
    west, _, east, _ = shape.bounds
    pieces = []
    for turn in range(int((west + 180) // 360), int(-((180 - east) // 360)) + 1):
        world = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        piece = shape if world.covers(shape) else shape.intersection(world)
        shift = np.array([-360.0 * turn, 0.0])
        for part in shapely.get_parts(shapely.transform(piece, lambda xy, s=shift: xy + s)):
            if isinstance(part, shapely.Polygon) and part.area > 0:
                pieces.append(part)
    # a ring around a pole is closed on some meridian, which is no edge
    whole = shapely.union_all(pieces) if len(pieces) > 1 else shapely.MultiPolygon(pieces)
    return [orient(part, sign=1.0) for part in shapely.get_parts(whole)]
