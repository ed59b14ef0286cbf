"""A ring of pixels on the globe: edges bend, longitudes wrap, poles are points."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geofovea.tiling.geo.georeference import Georeference
from geofovea.tiling.pyramid import Box

__all__ = ["closed_over", "ring_lonlat", "ring_scene", "unrolled"]

Points = NDArray[np.float64]

_MAX_ROUNDS = 12
_MAX_POINTS = 4096
# nearer to a pole than this, in degrees (0.1 mm), a longitude says nothing
_AT_POLE = 1e-9
_INWARD = 1e-3


def ring_scene(box: Box, parts: int) -> Points:
    """The closed edge of a box ``(4 * parts + 1, 2)`` with every side cut into equal parts."""
    x0, y0, x1, y1 = box.as_tuple()
    corners = np.array([(x0, y0), (x0, y1), (x1, y1), (x1, y0), (x0, y0)], dtype=np.float64)
    along = np.arange(parts)[:, None] / parts
    sides = [(1 - along) * a + along * b for a, b in pairwise(corners)]
    return np.concatenate([*sides, corners[:1]])


def ring_lonlat(georeference: Georeference, ring_scene: Points, tolerance: float) -> Points | None:
    """A closed ring of scene pixels as an open ring of WGS 84 longitudes and latitudes.

    Args:
        georeference: Where the scene lies.
        ring_scene: ``(n, 2)``, counter-clockwise or not, with first and last point the same.
        tolerance: How far a straight edge between two points may leave the true one, in pixels.

    Returns:
        ``(m, 2)`` in degrees; longitudes jump by 360° where they will. None where the scene has no
        place on the Earth or a point is off the map.
    """
    scene = _with_poles(georeference, ring_scene)
    lonlat = _on_map(georeference, scene)
    if lonlat is None:
        return None
    for _ in range(_MAX_ROUNDS):
        middles = (scene[:-1] + scene[1:]) / 2
        true = _on_map(georeference, middles)
        if true is None:
            return None
        bent = np.flatnonzero(_bend_pixels(scene, lonlat, true) > tolerance)
        if not len(bent) or len(scene) + len(bent) > len(ring_scene) + _MAX_POINTS:
            break
        scene = np.insert(scene, bent + 1, middles[bent], axis=0)
        lonlat = np.insert(lonlat, bent + 1, true[bent], axis=0)
    return _with_pole_edges(georeference, scene, lonlat)


def unrolled(ring: Points) -> tuple[Points, int]:
    """An open ring closed, without jumps of longitude, and how often it goes around the globe."""
    closed = np.concatenate((ring, ring[:1]))
    lon = np.unwrap(closed[:, 0], period=360)
    turns = round((lon[-1] - lon[0]) / 360)
    return np.column_stack((lon, closed[:, 1])), turns


def closed_over(pole: float, ring: Points) -> Points:
    """A ring that goes around the globe, closed over the pole of a latitude.

    Args:
        pole: Its latitude, in the unit of the ring.
        ring: ``(n, 2)``, unrolled; the last point is the first, one turn on.
    """
    turn = np.array([ring[-1, 0] - ring[0, 0], 0.0])
    # from the point that is next to the pole the way to it crosses no other part of the ring
    nearest = int((ring[:-1, 1] * np.sign(pole)).argmax())
    rolled = np.concatenate((ring[nearest:-1], ring[:nearest] + turn, ring[nearest][None] + turn))
    ends = np.array([(rolled[-1, 0], pole), (rolled[0, 0], pole), rolled[0]])
    return np.concatenate((rolled, ends))


def _on_map(georeference: Georeference, points_scene: Points) -> Points | None:
    lonlat = georeference.lonlat_from_scene(points_scene)
    return lonlat if lonlat is not None and np.isfinite(lonlat).all() else None


def _bend_pixels(scene: Points, lonlat: Points, true_middles: Points) -> Points:
    """How far the true middle of each edge lies from the straight one, in scene pixels."""
    steps = _ground_steps(lonlat[:-1], lonlat[1:])
    away = _ground_steps(lonlat[:-1], true_middles) - steps / 2
    pixels = np.hypot(*(scene[1:] - scene[:-1]).T)
    # an edge that folds back on itself has no length to measure by
    degrees = np.maximum(np.hypot(*steps.T), np.hypot(*away.T))
    bends = np.hypot(*away.T) / np.maximum(degrees, 1e-300) * pixels
    at_pole = 90 - np.abs(lonlat[:, 1]) < _AT_POLE
    return np.where(at_pole[:-1] | at_pole[1:], 0.0, bends)


def _ground_steps(start: Points, end: Points) -> Points:
    """Steps in degrees, those of longitude the short way and as long as they are on the ground."""
    steps = end - start
    steps[:, 0] -= 360 * np.round(steps[:, 0] / 360)
    steps[:, 0] *= np.cos(np.radians((start[:, 1] + end[:, 1]) / 2))
    return steps


def _with_poles(georeference: Georeference, ring: Points) -> Points:
    """The ring with a point at every pole that lies on it: there the longitude jumps."""
    low, high = ring.min(0), ring.max(0)
    near = 1e-6 * (high - low).max()
    for pole in georeference.lonlat_of_pole():
        if not ((low - near < pole) & (pole < high + near)).all():
            continue
        steps = ring[1:] - ring[:-1]
        share = ((pole - ring[:-1]) * steps).sum(1) / np.maximum((steps**2).sum(1), 1e-300)
        share = np.clip(share, 0, 1)[:, None]
        distance = np.hypot(*(ring[:-1] + share * steps - pole).T)
        edge = int(distance.argmin())
        is_new = np.hypot(*(ring - pole).T).min() > near
        if distance[edge] < near and is_new:
            ring = np.insert(ring, edge + 1, pole, axis=0)
    return ring


def _with_pole_edges(georeference: Georeference, scene: Points, lonlat: Points) -> Points | None:
    """The open ring, with each single point at a pole drawn out into an edge along it.

    In longitude and latitude a pole is an edge, from the meridian on which the ring arrives to the
    one on which it leaves, on the side where the ring's inside is.
    """
    scene, ring = scene[:-1], lonlat[:-1]
    at_pole = 90 - np.abs(ring[:, 1]) < _AT_POLE
    single = at_pole & ~np.roll(at_pole, 1) & ~np.roll(at_pole, -1)
    if not single.any():
        return ring
    center = (scene.min(0) + scene.max(0)) / 2
    points: list[Points] = []
    for i, point in enumerate(ring):
        if not single[i]:
            points.append(point[None])
            continue
        inside = _on_map(georeference, (scene[i] + _INWARD * (center - scene[i]))[None])
        if inside is None:
            return None
        arriving, leaving = ring[i - 1], ring[(i + 1) % len(ring)]
        lons = (arriving[0], inside[0, 0], leaving[0])
        points.append(np.array([(lon, np.copysign(90.0, point[1])) for lon in lons]))
    return np.concatenate(points)
