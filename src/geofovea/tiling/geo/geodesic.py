"""Lengths, bearings and areas on the ground between places of a scene, on the WGS 84 ellipsoid.

Geodesics are those of Karney, J. Geodesy 87, 43-55 (2013), as PROJ computes them: exact for any two
points of the globe, across the antimeridian and near a pole. The projection of a scene plays no
part in them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from geofovea.tiling.geo.georeference import Georeference, HasGeoreference
from geofovea.tiling.geo.shape_lonlat import area_of, cut_at_antimeridian, shape_lonlat

if TYPE_CHECKING:
    import pyproj

__all__ = [
    "Displacement",
    "area_on_ground",
    "axes_on_ground",
    "displacement",
    "flat_around",
    "geodesic_pieces",
    "reach_m",
]

Point = tuple[float, float]

# areas want more points than drawings
_AREA_BEND_SHARE = 1 / 65536
_PARTS = 16


@dataclass(frozen=True, slots=True)
class Displacement:
    """The way from one point to another.

    Attributes:
        distance: Its length in meters; along the geodesic on the ground.
        bearing: Its direction where it begins, in degrees clockwise from north, in [0, 360).
        east: How much farther east the other point is, in meters along the mean parallel.
        north: How much farther north it is, in meters along a meridian.
    """

    distance: float
    bearing: float
    east: float
    north: float


def displacement(scene: HasGeoreference, start: Point, end: Point) -> Displacement | None:
    """The way between two points ``(x_scene, y_scene)``.

    East and north change their sign exactly where start and end change places.

    Returns:
        None where the scene has no place on the Earth, or a point none on the map.
    """
    lonlat = _lonlat(scene.georeference, (start, end))
    return None if lonlat is None else _way(*lonlat)


def axes_on_ground(
    georeference: Georeference, point: Point, step: float
) -> tuple[Displacement, Displacement] | None:
    """Where the axes of a picture lead on the ground: the ways of a step to the right and one up.

    Args:
        georeference: Of the scene.
        point: ``(x_scene, y_scene)`` where both begin.
        step: Their length in native pixels.

    Returns:
        None where the scene has no place on the Earth, or an end none on the map.
    """
    x, y = point
    lonlat = _lonlat(georeference, (point, (x + step, y), (x, y - step)))
    if lonlat is None:
        return None
    start, right, up = lonlat
    return _way(start, right), _way(start, up)


def _way(start: NDArray[np.float64], end: NDArray[np.float64]) -> Displacement:
    """The way between two points of the Earth, each ``(longitude, latitude)`` in degrees."""
    (lon0, lat0), (lon1, lat1) = start, end
    geod = _geod()
    azimuth, _, distance = geod.inv(lon0, lat0, lon1, lat1)
    turn = (lon1 - lon0 + 180) % 360 - 180
    middle = (lat0 + lat1) / 2
    _, _, along_parallel = geod.inv(-abs(turn) / 2, middle, abs(turn) / 2, middle)
    _, _, along_meridian = geod.inv(lon0, lat0, lon0, lat1)
    return Displacement(
        float(distance),
        float(azimuth) % 360,
        math.copysign(along_parallel, turn),
        math.copysign(along_meridian, lat1 - lat0),
    )


def reach_m(scene: HasGeoreference, point: Point, pixels: float) -> float | None:
    """How many meters some pixels are at a point, in the direction in which they are most.

    Returns:
        None where the scene has no place on the Earth there.
    """
    x, y = point
    # half to either side, so that no side of the point counts more
    ends = [((x - pixels / 2, y), (x + pixels / 2, y)), ((x, y - pixels / 2), (x, y + pixels / 2))]
    steps = [displacement(scene, *pair) for pair in ends]
    lengths = [step.distance for step in steps if step is not None]
    return max(lengths) if len(lengths) == len(ends) else None


def area_on_ground(scene: HasGeoreference, polygon: shapely.Geometry) -> float | None:
    """Square meters that a polygon of scene pixels, or several, cover on the ellipsoid.

    Returns:
        None without georeference or CRS, on another planet, or off the map; of what is partly off
        the map, the area on it.
    """
    total = 0.0
    for piece in shapely.get_parts(polygon):
        x0, y0, x1, y1 = piece.bounds
        tolerance = _AREA_BEND_SHARE * max(x1 - x0, y1 - y0)
        shape = shape_lonlat(scene.georeference, piece, tolerance)
        total += 0.0 if shape is None else area_of(cut_at_antimeridian(shape))
    return total or None


def flat_around(
    scene: HasGeoreference, center: Point, points: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Points of a scene in meters east and north of one of them: azimuthal equidistant.

    Shapes are compared there, because a pixel may be wider than high on the ground. Lengths are too
    large by less than one in 10,000 up to 100 km from the center.

    Args:
        scene: Where they lie.
        center: ``(x_scene, y_scene)``.
        points: ``(n, 2)`` of ``(x_scene, y_scene)``.

    Returns:
        ``(n, 2)`` of ``(east, north)``, NaN for points off the map; None where the scene has no
        place on the Earth, or the center none on the map.
    """
    lonlat = scene.georeference.lonlat_from_scene(np.vstack(([center], points)))
    if lonlat is None or not np.isfinite(lonlat[0]).all():
        return None
    flat = np.full((len(points), 2), np.nan)
    known = np.isfinite(lonlat[1:]).all(1)
    ends = lonlat[1:][known]
    starts = np.broadcast_to(lonlat[0], ends.shape)
    azimuth, _, distance = _geod().inv(starts[:, 0], starts[:, 1], ends[:, 0], ends[:, 1])
    angle = np.radians(azimuth)
    flat[known] = np.column_stack((distance * np.sin(angle), distance * np.cos(angle)))
    return flat


def geodesic_pieces(
    scene: HasGeoreference, start: Point, end: Point
) -> list[list[tuple[float, float]]] | None:
    """The geodesic between two points as lines of longitude and latitude, cut at ±180 degrees.

    Returns:
        One line, or two where it crosses the antimeridian; None without a place on the Earth.
    """
    lonlat = _lonlat(scene.georeference, (start, end))
    if lonlat is None:
        return None
    (lon0, lat0), (lon1, lat1) = lonlat
    points = _geod().npts(lon0, lat0, lon1, lat1, _PARTS - 1, initial_idx=0, terminus_idx=0)
    lon, lat = np.array(points).T
    lon = np.unwrap(lon, period=360)
    middle = 360 * round(float(lon[0]) / 360)
    line = shapely.LineString(np.column_stack((lon - middle, lat)))
    pieces = []
    for turn in (-360, 0, 360):
        part = line.intersection(shapely.box(turn - 180, -90, turn + 180, 90))
        for one in shapely.get_parts(part):
            if one.length > 0:
                pieces.append([(float(x) - turn, float(y)) for x, y in one.coords])
    return pieces or [[(float(x), float(y)) for x, y in line.coords]]


def _lonlat(georeference: Georeference, points: Sequence[Point]) -> NDArray[np.float64] | None:
    """``(n, 2)`` of longitude and latitude in degrees; None unless each point has both."""
    lonlat = georeference.lonlat_from_scene(np.array(points, dtype=np.float64))
    return lonlat if lonlat is not None and np.isfinite(lonlat).all() else None


@functools.cache
def _geod() -> pyproj.Geod:
    # here, because few questions measure anything
    import pyproj

    return pyproj.Geod(ellps="WGS84")
