"""From pixel space to the ground: boxes of a scene as shapes on the map.

Corners are always converted by the scene's affine, control points or RPCs. Bounds are never used,
because those of a rotated scene contain places that it does not show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry import mapping

from geofovea.tiling.geo.geodesic import area_on_ground
from geofovea.tiling.geo.georeference import HasGeoreference
from geofovea.tiling.geo.outline import ring_scene
from geofovea.tiling.geo.shape_lonlat import cut_at_antimeridian, shape_lonlat
from geofovea.tiling.pyramid import Box

__all__ = [
    "area_m2",
    "crs_from_scene",
    "geometry_crs",
    "lonlat_from_scene",
    "polygon_lonlat",
    "polygon_scene",
    "scene_from_crs",
]

_EDGE_PARTS = 16
# How far a drawn edge may leave the true one: a quarter of a native pixel, or of a level pixel of
# a tile that is about a thousand of them wide.
_MAX_BEND_PIXELS = 0.25
_MAX_BEND_SHARE = 1 / 4096
_LONLAT_DIGITS = 9


def polygon_scene(box: Box) -> shapely.Polygon:
    """A box as a polygon in scene pixels (x right, y down)."""
    return shapely.box(*box.as_tuple())


def crs_from_scene(scene: HasGeoreference, points: ArrayLike) -> NDArray[np.float64] | None:
    """Move points ``(n, 2)`` of ``(x_scene, y_scene)`` into the scene's CRS.

    Returns:
        ``(n, 2)`` of ``(x_crs, y_crs)``, easting or longitude first; None without georeference.
    """
    return scene.georeference.crs_from_scene(_points(points))


def scene_from_crs(scene: HasGeoreference, points: ArrayLike) -> NDArray[np.float64] | None:
    """Move points ``(n, 2)`` of ``(x_crs, y_crs)`` to ``(x_scene, y_scene)``; inverse of the above.

    Returns:
        ``(n, 2)``, possibly outside the scene; None without georeference.
    """
    return scene.georeference.scene_from_crs(_points(points))


def geometry_crs(scene: HasGeoreference, box: Box) -> shapely.Polygon | None:
    """A box of scene pixels as a polygon in the scene's CRS; None without georeference.

    An affine keeps four corners. GCPs and RPCs bend edges, so those are followed in small steps.
    """
    parts = 1 if scene.georeference.kind == "affine" else _EDGE_PARTS
    ring_crs = crs_from_scene(scene, ring_scene(box, parts))
    if ring_crs is None or not np.isfinite(ring_crs).all():
        return None
    shape = shapely.Polygon(ring_crs)
    return shape if np.isfinite(shape.area) and shape.area > 0 else None


def lonlat_from_scene(scene: HasGeoreference, box: Box) -> Mapping[str, Any] | None:
    """A box of scene pixels as a GeoJSON geometry by RFC 7946.

    Longitude and latitude are WGS 84 degrees, exterior rings run counter-clockwise, curved edges
    are followed to a quarter of a native pixel or 1/4096 of the box, and a box over the
    antimeridian is cut into a MultiPolygon. A ring around a pole is closed over the pole.

    Returns:
        None without georeference or CRS, on another planet, or off the map; of a box that is partly
        off the map, the part on it.
    """
    return polygon_lonlat(scene, polygon_scene(box))


def polygon_lonlat(scene: HasGeoreference, polygon: shapely.Geometry) -> Mapping[str, Any] | None:
    """A polygon of scene pixels, or several, as a GeoJSON geometry; as of a box, see above.

    Args:
        scene: The scene.
        polygon: A valid ``Polygon`` or ``MultiPolygon``.
    """
    parts: list[shapely.Polygon] = []
    pieces = shapely.get_parts(polygon)
    for piece in pieces:
        x0, y0, x1, y1 = piece.bounds
        # half of what is allowed goes to each of the two steps
        tolerance = max(_MAX_BEND_PIXELS, _MAX_BEND_SHARE * max(x1 - x0, y1 - y0)) / 2
        shape = shape_lonlat(scene.georeference, piece, tolerance)
        if shape is None:
            continue
        shape = shape.simplify(tolerance * _degrees_per_pixel(shape, piece.area))
        parts += cut_at_antimeridian(shape if shape.is_valid else shape.buffer(0))
    if not parts:
        return None
    if len(pieces) > 1:
        parts = cut_at_antimeridian(shapely.union_all(parts))
    geometry = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    rounded = shapely.transform(geometry, lambda xy: np.round(xy, _LONLAT_DIGITS))
    result: Mapping[str, Any] = mapping(rounded)
    return result


def area_m2(scene: HasGeoreference, box: Box) -> float | None:
    """The area on the ground that a box of scene pixels covers, on the WGS 84 ellipsoid.

    It is measured in an equal-area projection of the box's outline, so it holds across the
    antimeridian and around a pole, and where the scene's own projection stretches areas.

    Returns:
        Square meters, of a box that is partly off the map those of the part on it; None without
        georeference or CRS, on another planet, or off the map.
    """
    return area_on_ground(scene, polygon_scene(box))


def _degrees_per_pixel(shape: shapely.Geometry, pixels: float) -> float:
    """The size of a native pixel in degrees of latitude, from the areas of a shape."""
    lat = shapely.get_coordinates(shape)[:, 1]
    width_parallel = np.cos(np.radians(np.abs(lat).mean()))
    return float((shape.area * max(width_parallel, 1e-3) / pixels) ** 0.5)


def _points(points: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(points, dtype=np.float64).reshape(-1, 2)
