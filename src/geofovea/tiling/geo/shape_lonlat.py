"""Polygons of scene pixels as shapes in longitude and latitude, and their areas on the ground."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.polygon import orient

from geofovea.tiling.geo.georeference import Georeference
from geofovea.tiling.geo.outline import closed_over, ring_lonlat, unrolled

__all__ = ["area_of", "cut_at_antimeridian", "shape_lonlat"]

Points = NDArray[np.float64]

_EDGE_PARTS = 16
_INSIDE = 4
# what is off the map is cut off in cells of this share of a box
_CELLS = 128
_AXIS_M, _ECCENTRICITY = 6378137.0, 0.0818191908426215


def shape_lonlat(
    georeference: Georeference, polygon: shapely.Polygon, tolerance: float
) -> shapely.Geometry | None:
    """A polygon of scene pixels as a shape in WGS 84 degrees.

    Args:
        georeference: Where the scene lies.
        polygon: Valid, in scene pixels.
        tolerance: How far a straight edge may leave the true one, in pixels.

    Returns:
        A shape without jumps of 360° in longitude, which may therefore lie beyond ±180; see
        `cut_at_antimeridian`. Of a polygon that is partly off the map, the part on it. None where
        nothing is, or the scene has no place on the Earth.
    """
    if georeference.lonlat_from_scene(np.zeros((1, 2))) is None:
        return None
    shape = _with_holes(georeference, polygon, tolerance)
    if shape is None:
        on_map = [
            _with_holes(georeference, part, tolerance) for part in _on_map(georeference, polygon)
        ]
        parts = [cut_at_antimeridian(part) for part in on_map if part is not None]
        shape = shapely.union_all([one for some in parts for one in some])
    return None if shape.is_empty else shape


def _with_holes(
    georeference: Georeference, polygon: shapely.Polygon, tolerance: float
) -> shapely.Geometry | None:
    shape = _filled(georeference, polygon.exterior, tolerance)
    if shape is None or not polygon.interiors:
        return shape
    holes = [_filled(georeference, ring, tolerance) for ring in polygon.interiors]
    # each ring has turns of its own; at home they can be taken from one another
    parts = [part for hole in holes if hole is not None for part in cut_at_antimeridian(hole)]
    whole = shapely.MultiPolygon(cut_at_antimeridian(shape))
    return shapely.difference(whole, shapely.union_all(parts))


def _filled(
    georeference: Georeference, ring: shapely.LinearRing, tolerance: float
) -> shapely.Geometry | None:
    """What a ring of pixels encloses on the globe; None if part of the ring is off the map.

    A ring on a globe has two sides. Its own points do not tell which one is the inside, but points
    from within it do.
    """
    low, high = np.array(ring.bounds[:2]), np.array(ring.bounds[2:])
    dense_ring = shapely.segmentize(ring, float((high - low).max()) / _EDGE_PARTS)
    lonlat = ring_lonlat(georeference, shapely.get_coordinates(dense_ring), tolerance)
    if lonlat is None:
        return None
    inside = georeference.lonlat_from_scene(_points_inside(shapely.Polygon(ring)))
    if inside is None:
        return None
    closed, turns = unrolled(lonlat)
    if turns:
        sides = [shapely.Polygon(closed_over(pole, closed)) for pole in (90.0, -90.0)]
    else:
        sides = [shapely.Polygon(closed)]
    sides = [side if side.is_valid else shapely.buffer(side, 0) for side in sides]
    if not turns:
        if sides[0].is_empty:
            return sides[0]
        if 2 * _hits(sides[0], inside) >= len(inside):
            return sides[0]
        west, _, east, _ = sides[0].bounds
        center = (west + east) / 2
        globe = shapely.box(center - 180, -90, center + 180, 90)
        sides.append(shapely.difference(globe, sides[0]))
    return max(sides, key=lambda side: _hits(side, inside))


def _points_inside(polygon: shapely.Polygon) -> Points:
    """Some points ``(n, 2)`` well inside a polygon."""
    x0, y0, x1, y1 = polygon.bounds
    along = (np.arange(_INSIDE) + 0.5) / _INSIDE
    grid = np.array([(x0 + u * (x1 - x0), y0 + v * (y1 - y0)) for u in along for v in along])
    inside = grid[shapely.contains_xy(polygon, *grid.T)]
    if len(inside):
        return np.asarray(inside, np.float64)
    return np.array(polygon.representative_point().coords, np.float64)


def _hits(shape: shapely.Geometry, lonlat: Points) -> int:
    """How many of some points a shape holds, whatever the turns of both."""
    points = lonlat[np.isfinite(lonlat).all(1)]
    if shape.is_empty:
        return 0
    west, _, east, _ = shape.bounds
    first = np.ceil((west - points[:, 0]) / 360) * 360
    is_hit = np.zeros(len(points), bool)
    for turn in range(1 + int((east - west) // 360)):
        is_hit |= shapely.intersects_xy(shape, points[:, 0] + first + 360 * turn, points[:, 1])
    return int(is_hit.sum())


def _on_map(georeference: Georeference, polygon: shapely.Polygon) -> list[shapely.Polygon]:
    """The parts of a polygon that are on the map, in whole cells of a grid over it."""
    x0, y0, x1, y1 = polygon.bounds
    xs, ys = np.linspace(x0, x1, _CELLS + 1), np.linspace(y0, y1, _CELLS + 1)
    nodes = np.column_stack([plane.ravel() for plane in np.meshgrid(xs, ys)])
    lonlat = georeference.lonlat_from_scene(nodes)
    if lonlat is None or not np.isfinite(lonlat).any():
        return []
    is_finite = np.isfinite(lonlat).all(1).reshape(len(ys), len(xs))
    cells = is_finite[:-1, :-1] & is_finite[1:, :-1] & is_finite[:-1, 1:] & is_finite[1:, 1:]
    boxes = [
        shapely.box(xs[first], ys[row], xs[last], ys[row + 1])
        for row, line in enumerate(cells)
        for first, last in _runs(line)
    ]
    clipped = shapely.intersection(shapely.union_all(boxes), polygon)
    parts = shapely.get_parts(clipped)
    return [part for part in parts if isinstance(part, shapely.Polygon) and part.area > 0]


def _runs(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and end of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], line, [False]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def cut_at_antimeridian(shape: shapely.Geometry) -> list[shapely.Polygon]:
    """The parts of a shape within ±180 degrees, their exterior rings counter-clockwise."""
    if shape.is_empty or not np.isfinite(shape.bounds).all():
        return []
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
    parts = [part for part in shapely.get_parts(whole) if part.area > 0]
    return [orient(part, sign=1.0) for part in parts]


def area_of(parts: list[shapely.Polygon]) -> float:
    """Square meters of parts in degrees, on the WGS 84 ellipsoid."""
    total = 0.0
    for part in parts:
        # far from the origin the products that make an area would lose its digits
        middle = _equal_area(np.array([part.bounds[:2], part.bounds[2:]])).mean(0)
        total += shapely.transform(part, lambda xy, m=middle: _equal_area(xy) - m).area
    return float(total)


def _equal_area(lonlat: Points) -> Points:
    """Meters of the cylindrical projection that keeps areas: Lambert's, on the ellipsoid."""
    e, sine = _ECCENTRICITY, np.sin(np.radians(lonlat[:, 1]))
    zone = sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e
    return np.column_stack((np.radians(lonlat[:, 0]), (1 - e**2) / 2 * zone)) * _AXIS_M
