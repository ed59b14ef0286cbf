"""The edge of pixel space: boxes of a scene as shapes on the ground.

Corners always go through the scene's affine, control points or RPCs. Bounds are never used: those
of a rotated scene contain places that it does not show.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry import mapping
from shapely.geometry.polygon import orient

from geofovea.tiling.pyramid import Box
from geofovea.tiling.scene import Scene

__all__ = [
    "crs_from_scene",
    "geometry_crs",
    "lonlat_from_scene",
    "polygon_scene",
    "scene_from_crs",
]

_EDGE_PARTS = 16
# a straight edge may leave the true one by this share of a native pixel
_MAX_BEND_PIXELS = 0.25
_LONLAT_DIGITS = 9


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
    ring_crs = crs_from_scene(scene, _ring_scene(box, parts))
    if ring_crs is None or not np.isfinite(ring_crs).all():
        return None
    return shapely.Polygon(ring_crs)


def lonlat_from_scene(scene: Scene, box: Box) -> Mapping[str, Any] | None:
    """A box of scene pixels as a GeoJSON geometry by RFC 7946.

    Longitude and latitude are WGS 84 degrees, exterior rings run counter-clockwise, curved edges
    are followed to a quarter of a native pixel, and a box over the antimeridian is cut into a
    MultiPolygon. A ring around a pole is closed over the pole.

    Returns:
        None without georeference or CRS, on another planet, or where the CRS cannot be inverted.
    """
    ring = scene.georeference.lonlat_from_scene(_ring_scene(box, _EDGE_PARTS))
    if ring is None:
        return None
    unrolled = _unrolled(ring)
    shape = shapely.Polygon(unrolled)
    # the size of a native pixel in degrees, from the area of the box
    pixel_degrees = (shape.area / box.area) ** 0.5
    shape = shape.simplify(_MAX_BEND_PIXELS * pixel_degrees)
    if not shape.is_valid:
        shape = shape.buffer(0)
    parts = _cut_at_antimeridian(shape)
    if not parts:
        return None
    geometry = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    rounded = shapely.transform(geometry, lambda xy: np.round(xy, _LONLAT_DIGITS))
    result: Mapping[str, Any] = mapping(rounded)
    return result


def _points(points: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(points, dtype=np.float64).reshape(-1, 2)


def _ring_scene(box: Box, parts: int) -> NDArray[np.float64]:
    """The closed edge of a box with every side cut into equal parts."""
    x0, y0, x1, y1 = box.as_tuple()
    corners = np.array([(x0, y0), (x0, y1), (x1, y1), (x1, y0), (x0, y0)], dtype=np.float64)
    along = np.arange(parts)[:, None] / parts
    sides = [(1 - along) * a + along * b for a, b in pairwise(corners)]
    return np.concatenate([*sides, corners[:1]])


def _unrolled(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes without jumps of 360°; a ring that went around a pole is closed over it."""
    lon = np.unwrap(ring[:, 0], period=360)
    lat = ring[:, 1]
    if abs(lon[-1] - lon[0]) > 180:
        pole = 90.0 if lat.mean() > 0 else -90.0
        lon = np.concatenate((lon, [lon[-1], lon[0], lon[0]]))
        lat = np.concatenate((lat, [pole, pole, lat[0]]))
    return np.column_stack((lon, lat))


def _cut_at_antimeridian(shape: shapely.Geometry) -> list[shapely.Polygon]:
    west, _, east, _ = shape.bounds
    pieces = []
    for turn in range(int((west + 180) // 360), int(-((180 - east) // 360)) + 1):
        world = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        piece = shape if world.covers(shape) else shape.intersection(world)
        shift = np.array([-360.0 * turn, 0.0])
        for part in shapely.get_parts(shapely.transform(piece, lambda xy, s=shift: xy + s)):
            if isinstance(part, shapely.Polygon) and part.area > 0:
                pieces.append(orient(part, sign=1.0))
    return pieces
