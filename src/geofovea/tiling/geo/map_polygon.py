"""Converts a polygon on a map into the pixels of a scene: edges are followed, longitudes wrap.

An edge between two vertices is straight in the CRS of the polygon, and bent in the scene. So the
polygon is cut to the neighborhood of the scene first, and its edges are then followed to a
fraction of a pixel. Where the scene's CRS cannot say where a vertex lies, or tears the polygon, the
scene is asked the other way round: which of its cells lie in the polygon.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from geofovea.errors import GeometryError
from geofovea.tiling.geo.georeference import Georeference
from geofovea.tiling.geo.ground import moved, turn_of
from geofovea.tiling.geo.outline import closed_over, ring_scene
from geofovea.tiling.pyramid import Box

__all__ = ["MapPolygon"]

Points = NDArray[np.float64]

_EDGE_PARTS = 32
_MAX_BEND_PIXELS = 0.25
_MAX_BEND_SHARE = 1 / 65536
_MAX_ROUNDS = 14
_MARGIN = 0.02
_SAMPLES = 16
_CELLS = 512


class MapPolygon:
    """A polygon in a CRS, over a scene that has a place on the ground."""

    def __init__(self, shape: shapely.Geometry, crs: CRS) -> None:
        """Keep it.

        Args:
            shape: A valid ``Polygon`` or ``MultiPolygon``, easting or longitude first.
            crs: Of its coordinates.
        """
        self._shape = shape
        self._crs = crs
        self._turn = turn_of(crs)

    def on_scene(self, georeference: Georeference, box_scene: Box) -> shapely.Geometry:
        """The part of the polygon around a scene, in its pixels.

        Args:
            georeference: Of the scene; it names a CRS.
            box_scene: The whole scene.

        Raises:
            GeometryError: If nothing of the scene has a place in the CRS of the polygon.
        """
        if georeference.crs is None:
            raise GeometryError("the scene names no CRS to place the polygon by")
        pieces = self._pieces(self._neighborhood(georeference, box_scene))
        followed = _Followed(self._crs, georeference.crs, georeference, box_scene)
        placed = [followed.polygon(piece) for piece in pieces]
        if any(polygon is None for polygon in placed):
            return self._by_cells(georeference, box_scene)
        return shapely.union_all([polygon for polygon in placed if polygon is not None])

    def _on_map(self, georeference: Georeference, points_scene: Points) -> Points:
        """Points of the scene in the polygon's CRS; NaN where they have no place."""
        points_crs = georeference.crs_from_scene(points_scene)
        if points_crs is None or georeference.crs is None:
            return np.full(points_scene.shape, np.nan)
        return moved(georeference.crs, self._crs, _within_poles(georeference.crs, points_crs))

    def _neighborhood(self, georeference: Georeference, box: Box) -> Points | None:
        """Bounds ``(2, 2)`` of the scene in the polygon's CRS; None where a part has no place."""
        ring = self._on_map(georeference, ring_scene(box, 4 * _SAMPLES))
        along = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
        grid = np.array([(u * box.x1, v * box.y1) for u in along for v in along])
        inner = self._on_map(georeference, grid)
        if not (np.isfinite(ring).all() and np.isfinite(inner).all()):
            return None
        goes_around = False
        if self._turn is not None:
            ring[:, 0] = np.unwrap(ring[:, 0], period=self._turn)
            goes_around = abs(ring[-1, 0] - ring[0, 0]) > self._turn / 2
            turns = np.round((ring[:, 0].mean() - inner[:, 0]) / self._turn)
            inner[:, 0] += turns * self._turn
        points = np.concatenate((ring, inner))
        bounds = np.array([points.min(0), points.max(0)])
        bounds += np.array([[-1.0], [1.0]]) * _MARGIN * (bounds[1] - bounds[0])
        if self._turn is not None:
            poles = georeference.lonlat_of_pole()
            inside = (poles >= (box.x0, box.y0)) & (poles <= (box.x1, box.y1))
            if goes_around or inside.all(1).any():
                _grow_to_poles(bounds, self._turn, inner[:, 1], ring[:, 1])
            if bounds[1, 0] - bounds[0, 0] > self._turn:
                bounds[:, 0] = bounds[:, 0].mean() + np.array((-0.5, 0.5)) * self._turn
            bounds[:, 1] = bounds[:, 1].clip(-self._turn / 4, self._turn / 4)
        return bounds

    def _pieces(self, bounds: Points | None) -> list[shapely.Polygon]:
        """The polygons within bounds, each turn of the globe by itself."""
        if bounds is None:
            return _polygons(self._shape)
        (west, south), (east, north) = bounds
        turns = [0]
        if self._turn is not None:
            x0, _, x1, _ = self._shape.bounds
            first = np.floor((west - x1) / self._turn)
            turns = list(range(int(first), int(np.ceil((east - x0) / self._turn)) + 1))
        pieces = []
        for turn in turns:
            shift = np.array([turn * (self._turn or 0.0), 0.0])
            shape = shapely.transform(self._shape, lambda xy, s=shift: xy + s)
            if not shapely.box(west, south, east, north).covers(shapely.box(*shape.bounds)):
                shape = shapely.clip_by_rect(shape, west, south, east, north)
            pieces += _polygons(shape if shape.is_valid else shapely.make_valid(shape))
        return pieces

    def _by_cells(self, georeference: Georeference, box: Box) -> shapely.Geometry:
        """The cells of the scene whose middles lie in the polygon."""
        cols, rows = (max(1, min(_CELLS, round(side))) for side in (box.width, box.height))
        x_scene, y_scene = np.linspace(0, box.x1, cols + 1), np.linspace(0, box.y1, rows + 1)
        middles_scene = np.meshgrid(
            (x_scene[:-1] + x_scene[1:]) / 2, (y_scene[:-1] + y_scene[1:]) / 2
        )
        points_map = self._on_map(
            georeference, np.column_stack([each.ravel() for each in middles_scene])
        )
        is_finite = np.isfinite(points_map).all(1)
        if not is_finite.any():
            raise GeometryError(
                "the scene has no place in the CRS of the polygon: check the CRS of both"
            )
        shapely.prepare(self._shape)
        inside = np.zeros(len(points_map), bool)
        for turn in (-1, 0, 1) if self._turn is not None else (0,):
            x_map = points_map[is_finite, 0] + turn * (self._turn or 0.0)
            inside[is_finite] |= shapely.contains_xy(self._shape, x_map, points_map[is_finite, 1])
        row, col = np.argwhere(inside.reshape(rows, cols)).T
        return shapely.union_all(
            shapely.box(x_scene[col], y_scene[row], x_scene[col + 1], y_scene[row + 1])
        )


class _Followed:
    """Follows the edges of polygons from a CRS into the pixels of a scene."""

    def __init__(self, source: CRS, target: CRS, georeference: Georeference, box: Box) -> None:
        self._source, self._target = source, target
        self._georeference = georeference
        # longitudes of an affine go on as its pixels do; models bring them home themselves
        self._turn = turn_of(target) if georeference.transform else None
        self._tolerance = max(_MAX_BEND_PIXELS, _MAX_BEND_SHARE * max(box.width, box.height))
        self._box = box

    def polygon(self, polygon: shapely.Polygon) -> shapely.Geometry | None:
        """One polygon in pixels, wherever the scene shows it; None where it cannot be placed."""
        rings = []
        for ring in (polygon.exterior, *polygon.interiors):
            ring_target = self._ring(ring)
            if ring_target is None:
                return None
            rings.append(ring_target)
        exterior, *holes = rings
        if self._turn is None:
            return _mended(shapely.Polygon(exterior, holes))
        middle = (exterior[:, 0].min() + exterior[:, 0].max()) / 2
        for hole in holes:
            own = (hole[:, 0].min() + hole[:, 0].max()) / 2
            hole[:, 0] += self._turn * np.round((middle - own) / self._turn)
        return self._turned(_mended(shapely.Polygon(exterior, holes)), self._turn)

    def _turned(self, shape: shapely.Geometry, one_turn: float) -> shapely.Geometry | None:
        """A shape in longitudes and latitudes in pixels, on each turn that the scene shows."""
        corners = self._georeference.crs_from_scene(ring_scene(self._box, 1))
        if corners is None:
            return None
        west, east = corners[:, 0].min(), corners[:, 0].max()
        x0, _, x1, _ = shape.bounds
        first = int(np.ceil((west - x1) / one_turn))
        last = int(np.floor((east - x0) / one_turn))
        placed = []
        for turn in range(first, last + 1):
            shift = np.array([turn * one_turn, 0.0])
            placed.append(shapely.transform(shape, lambda xy, s=shift: self._pixels(xy + s)))
        return shapely.union_all([_mended(one) for one in placed])

    def _ring(self, ring: shapely.LinearRing) -> Points | None:
        """A closed ring in pixels, or in the longitudes of the scene where it has any."""
        x0, y0, x1, y1 = ring.bounds
        source = shapely.get_coordinates(
            shapely.segmentize(ring, max(x1 - x0, y1 - y0) / _EDGE_PARTS)
        )
        target = self._moved(source)
        fresh = np.ones(len(source) - 1, bool)
        for _ in range(_MAX_ROUNDS):
            if not np.isfinite(target).all():
                return None
            edges = np.flatnonzero(fresh)
            middles = (source[edges] + source[edges + 1]) / 2
            true = self._moved(middles)
            if not np.isfinite(true).all():
                return None
            is_bent = self._bend_pixels(target[edges], target[edges + 1], true) > self._tolerance
            bent = edges[is_bent]
            if not len(bent):
                break
            source = np.insert(source, bent + 1, middles[is_bent], axis=0)
            target = np.insert(target, bent + 1, true[is_bent], axis=0)
            fresh = np.zeros(len(source) - 1, bool)
            at = bent + np.arange(len(bent))
            fresh[at] = fresh[at + 1] = True
        else:
            # an edge that does not become straight is torn by the scene's CRS
            return None
        if self._turn is None:
            return target
        inside = shapely.Polygon(ring).representative_point()
        return _closed(target, self._turn, self._moved(np.array(inside.coords)))

    def _moved(self, source: Points) -> Points:
        target = moved(self._source, self._target, _within_poles(self._source, source))
        return target if self._turn is not None else self._pixels(target)

    def _pixels(self, points_target: Points) -> Points:
        points_scene = self._georeference.scene_from_crs(points_target)
        return np.full(points_target.shape, np.nan) if points_scene is None else points_scene

    def _bend_pixels(self, start: Points, end: Points, true: Points) -> Points:
        step, away = end - start, true - start
        if self._turn is not None:
            step[:, 0] -= self._turn * np.round(step[:, 0] / self._turn)
            away -= step / 2
            away[:, 0] -= self._turn * np.round(away[:, 0] / self._turn)
            # no bend has a place of its own, only a length
            away = self._pixels(start + away) - self._pixels(start)
        else:
            away -= step / 2
        bends: Points = np.hypot(*away.T)
        return bends


def _grow_to_poles(bounds: Points, turn: float, lat_inside: Points, lat_edge: Points) -> None:
    """Let bounds of longitudes and latitudes reach over the pole that a scene holds."""
    middle = bounds[:, 0].mean()
    bounds[:, 0] = middle - turn / 2, middle + turn / 2
    is_north = lat_inside.max() > lat_edge.max()
    is_south = lat_inside.min() < lat_edge.min()
    if not (is_north or is_south):
        is_north = bounds[:, 1].mean() > 0
        is_south = not is_north
    if is_north:
        bounds[1, 1] = turn / 4
    if is_south:
        bounds[0, 1] = -turn / 4


def _closed(target: Points, turn: float, inside: Points) -> Points:
    """A ring of longitudes without jumps; around a pole, closed over the one on its inside."""
    target = target.copy()
    target[:, 0] = np.unwrap(target[:, 0], period=turn)
    if abs(target[-1, 0] - target[0, 0]) < turn / 2:
        return target
    low = target[:, 0].min()
    lon = low + (inside[0, 0] - low) % turn
    sides = [closed_over(pole, target) for pole in (turn / 4, -turn / 4)]
    is_north = shapely.intersects_xy(_mended(shapely.Polygon(sides[0])), lon, inside[0, 1])
    return sides[0] if is_north else sides[1]


def _within_poles(crs: CRS, points: Points) -> Points:
    """Points whose latitudes, if they have any, end at the poles."""
    turn = turn_of(crs)
    if turn is None:
        return points
    return np.column_stack((points[:, 0], points[:, 1].clip(-turn / 4, turn / 4)))


def _mended(shape: shapely.Geometry) -> shapely.Geometry:
    return shape if shape.is_valid else shapely.make_valid(shape)


def _polygons(shape: shapely.Geometry) -> list[shapely.Polygon]:
    parts = shapely.get_parts(shapely.get_parts(shape))
    return [part for part in parts if isinstance(part, shapely.Polygon) and part.area > 0]
