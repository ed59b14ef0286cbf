"""The outline of a box of pixels on the globe: edges bend, longitudes wrap, poles are points."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geofovea.tiling.georeference import Georeference
from geofovea.tiling.pyramid import Box

__all__ = ["outline_lonlat", "ring_scene"]

Points = NDArray[np.float64]

_START_PARTS = 8
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


def outline_lonlat(georeference: Georeference, box: Box, tolerance: float) -> Points | None:
    """The edge of a box as a closed ring of WGS 84 longitudes and latitudes.

    Args:
        georeference: Where the scene lies.
        box: The box, in scene pixels.
        tolerance: How far a straight edge between two points may leave the true one, in pixels.

    Returns:
        ``(n, 2)`` in degrees without jumps of 360° in longitude, which may therefore lie beyond
        ±180; around a pole the ring is closed over it. None where the scene has no place on the
        Earth or a point is off the map.
    """
    scene = _with_poles(georeference, box, ring_scene(box, _START_PARTS))
    lonlat = georeference.lonlat_from_scene(scene)
    if lonlat is None:
        return None
    for _ in range(_MAX_ROUNDS):
        middles = (scene[:-1] + scene[1:]) / 2
        true = georeference.lonlat_from_scene(middles)
        if true is None:
            return None
        bent = np.flatnonzero(_bend_pixels(scene, lonlat, true) > tolerance)
        if not len(bent) or len(scene) + len(bent) > _MAX_POINTS:
            break
        scene = np.insert(scene, bent + 1, middles[bent], axis=0)
        lonlat = np.insert(lonlat, bent + 1, true[bent], axis=0)
    opened = _with_pole_edges(georeference, box, scene, lonlat)
    return None if opened is None else _unrolled(opened)


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


def _with_poles(georeference: Georeference, box: Box, ring: Points) -> Points:
    """The ring with a point at every pole that lies on it: there the longitude jumps."""
    x0, y0, x1, y1 = box.as_tuple()
    near = 1e-6 * max(box.width, box.height)
    for x, y in georeference.lonlat_of_pole():
        if not (x0 - near < x < x1 + near and y0 - near < y < y1 + near):
            continue
        pole = np.array([x, y])
        steps = ring[1:] - ring[:-1]
        share = ((pole - ring[:-1]) * steps).sum(1) / (steps**2).sum(1)
        share = np.clip(share, 0, 1)[:, None]
        distance = np.hypot(*(ring[:-1] + share * steps - pole).T)
        edge = int(distance.argmin())
        is_new = np.hypot(*(ring - pole).T).min() > near
        if distance[edge] < near and is_new:
            ring = np.insert(ring, edge + 1, pole, axis=0)
    return ring


def _with_pole_edges(
    georeference: Georeference, box: Box, scene: Points, lonlat: Points
) -> Points | None:
    """The open ring, with each single point at a pole drawn out into an edge along it.

    In longitude and latitude a pole is an edge, from the meridian on which the ring arrives to the
    one on which it leaves, on the side where the box lies.
    """
    scene, ring = scene[:-1], lonlat[:-1]
    at_pole = 90 - np.abs(ring[:, 1]) < _AT_POLE
    single = at_pole & ~np.roll(at_pole, 1) & ~np.roll(at_pole, -1)
    if not single.any():
        return ring
    centre = np.array(box.center)
    points: list[Points] = []
    for i, point in enumerate(ring):
        if not single[i]:
            points.append(point[None])
            continue
        inside = georeference.lonlat_from_scene((scene[i] + _INWARD * (centre - scene[i]))[None])
        if inside is None:
            return None
        arriving, leaving = ring[i - 1], ring[(i + 1) % len(ring)]
        lons = (arriving[0], inside[0, 0], leaving[0])
        points.append(np.array([(lon, np.copysign(90.0, point[1])) for lon in lons]))
    return np.concatenate(points)


def _unrolled(ring: Points) -> Points:
    """An open ring closed, without jumps of longitude; one around a pole is closed over it."""
    closed = np.concatenate((ring, ring[:1]))
    lon = np.unwrap(closed[:, 0], period=360)
    lat = closed[:, 1]
    if abs(lon[-1] - lon[0]) > 180:
        pole = 90.0 if lat.mean() > 0 else -90.0
        lon = np.concatenate((lon, [lon[-1], lon[0], lon[0]]))
        lat = np.concatenate((lat, [pole, pole, lat[0]]))
    return np.column_stack((lon, lat))
