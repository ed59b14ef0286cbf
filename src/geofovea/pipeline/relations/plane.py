"""Numbers between located places: of the ground where it is known, else of the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from geofovea.pipeline.answers.features import is_on_ground
from geofovea.pipeline.answers.measurement import LocatedPlace, Quantity
from geofovea.pipeline.relations.vocabulary import COMPASS, PICTURE, UNITS
from geofovea.tiling.geo.geodesic import (
    Displacement,
    Point,
    area_on_ground,
    displacement,
    flat_around,
    reach_m,
)
from geofovea.tiling.scene import Scene

__all__ = ["NORTH_AT_TOP", "Plane", "certainty"]

NORTH_AT_TOP = (
    "the scene does not say where it lies: north is taken to be at the top of the picture"
)

_LEAST_CORNERS = 3
# what an error of 19 in 20 is in standard deviations of a normal distribution
_DEVIATIONS = 1.96
# In sides of a token. A token joins from some share of it on that the place covers: nobody knows
# which, and where it is not a half, the outline lies inside or outside of the edge by up to half a
# token (variance 1/12). It does so at every edge, and for every place that one model outlines.
_COMMON_ERROR = _DEVIATIONS * math.sqrt(1 / 12)
# An edge along the grid falls anywhere into its tokens as a whole.
_EDGE_ERROR = _DEVIATIONS * math.sqrt(1 / 12)
# All along an outline, four such edges average out (variance 1/48), others more so; but single
# tokens join or stay out, and that is as much again by half (of 60 places in synthetic scenes).
_OUTLINE_ERROR = _DEVIATIONS * math.sqrt(1 / 32)
# What is narrower than this many tokens, beside an outline that is wider, is a few tokens too many.
_NARROW, _MOST_NARROW = 1.5, 0.3
# Chosen on simulated boxes at all angles: by so many steps their sides come out too long.
_STEPS = 3.0


def certainty(margin: float, error: float) -> float:
    """How likely a number keeps its sign, in [0.5, 1], if its errors are normal.

    Args:
        margin: The number.
        error: What it is wrong by at most in 19 of 20 cases.
    """
    if error <= 0:
        return 1.0
    return 0.5 * (1 + math.erf(abs(margin) / error * _DEVIATIONS / math.sqrt(2)))


@dataclass(frozen=True, slots=True)
class Plane:
    """Where numbers are measured.

    Attributes:
        scene: The scene.
        is_on_ground: Whether they are meters on the ground; else they are pixels, and the picture
            is taken to have north at its top.
    """

    scene: Scene
    is_on_ground: bool

    @classmethod
    def of(cls, scene: Scene, places: Sequence[LocatedPlace]) -> Plane:
        """The ground, if the scene says where it lies and all places are on its map."""
        known = is_on_ground(scene) and all(
            displacement(scene, place.center, place.center) is not None for place in places
        )
        return cls(scene, known)

    @property
    def unit(self) -> str:
        """Of lengths."""
        return "m" if self.is_on_ground else "px"

    def way(self, start: Point, end: Point) -> Displacement:
        """The way between two points of the scene."""
        found = displacement(self.scene, start, end) if self.is_on_ground else None
        if found is not None:
            return found
        east, north = end[0] - start[0], start[1] - end[1]
        bearing = math.degrees(math.atan2(east, north)) % 360
        return Displacement(math.hypot(east, north), bearing, east, north)

    def error(self, *places: LocatedPlace) -> float:
        """By how much a way between the centers of places may be wrong."""
        return math.hypot(*(self.length_of(place, place.center_error) for place in places))

    def gap_error(self, one: LocatedPlace, two: LocatedPlace) -> float:
        """By how much a way between the nearest edges of two places may be wrong."""
        tokens = [self.length_of(place, place.token_side) for place in (one, two)]
        start, end = shapely.get_coordinates(shapely.shortest_line(one.region, two.region))
        x, y = abs(end - start)
        # from corner to corner, two edges of each place count
        corner = float((x + y) / math.hypot(x, y)) if x + y else 1.0
        common = corner * _COMMON_ERROR * sum(tokens)
        edges = math.hypot(common, *(_EDGE_ERROR * side for side in tokens))
        joined = [
            self.length_of(
                place, math.hypot(math.sqrt(place.region.area) * place.area_doubt, place.drift)
            )
            for place in (one, two)
        ]
        return math.hypot(edges, *joined)

    def length_of(self, place: LocatedPlace, pixels: float) -> float:
        """Some pixels at a place in the unit of the plane."""
        meters = reach_m(self.scene, place.center, pixels) if self.is_on_ground else None
        return pixels if meters is None else meters

    def along(self, direction: str, start: LocatedPlace, end: LocatedPlace) -> float:
        """How far ``end`` lies from ``start`` in a direction; negative on the other side.

        Between two main directions, it is the smaller of the two ways: what is northeast is both
        north and east. Left, right, above and below are those of the picture, in pixels.
        """
        if direction in PICTURE:
            x, y = PICTURE[direction]
            (x0, y0), (x1, y1) = start.center, end.center
            return x * (x1 - x0) + y * (y1 - y0)
        way = self.way(start.center, end.center)
        east, north = COMPASS[direction]
        parts = [
            math.copysign(1, sign) * part
            for sign, part in ((east, way.east), (north, way.north))
            if sign
        ]
        return min(parts)

    def position(self, direction: str, start: LocatedPlace, end: LocatedPlace) -> float:
        """How far ``end`` lies from ``start`` on a line in a direction, to order places by.

        Between two main directions, it is the way on the diagonal. `along` would not do: its
        smaller part orders places differently from every start.
        """
        if direction in PICTURE:
            return self.along(direction, start, end)
        way = self.way(start.center, end.center)
        east, north = COMPASS[direction]
        return east * way.east + north * way.north

    def error_along(self, direction: str, *places: LocatedPlace) -> float:
        """By how much `along` may be wrong."""
        if direction in PICTURE:
            return math.hypot(*(place.center_error for place in places))
        return self.error(*places)

    def gap(self, one: LocatedPlace, two: LocatedPlace) -> float:
        """The way between the nearest points of two outlines; 0 where they touch."""
        line = shapely.shortest_line(one.region, two.region)
        ends = [(float(x), float(y)) for x, y in shapely.get_coordinates(line)]
        middle = (ends[0][0] + ends[1][0]) / 2, (ends[0][1] + ends[1][1]) / 2
        flat = [self._flat(middle, place.region) for place in (one, two)]
        if not all(np.isfinite(points).all() for points in flat):
            return self.way(*ends).distance
        shapes = [
            shapely.transform(place.region, lambda _, points=points: points)
            for place, points in zip((one, two), flat, strict=True)
        ]
        return float(shapes[0].distance(shapes[1]))

    def size(self, measure: str, place: LocatedPlace) -> Quantity:
        """The area, length or width of a place.

        Length and width are the sides of the smallest rectangle around its outline, without single
        tokens that stand out of it.
        """
        if measure == "area":
            return self._area(place)
        value, steps = self._side(measure, place, _without_spurs(place))
        spur = abs(value - self._side(measure, place, place.region)[0])
        token = self.length_of(place, place.token_side)
        # two edges bound it, and both are wrong in the same way
        common, edges = 2 * _COMMON_ERROR * token, math.sqrt(2) * _EDGE_ERROR * token
        # land that joined on one side makes it longer by its whole share
        doubt = value * place.area_doubt
        own = math.hypot(max(edges + steps, spur), doubt)
        return Quantity(measure, value, math.hypot(common, own), self.unit, common)

    def _side(
        self, measure: str, place: LocatedPlace, shape: shapely.Geometry
    ) -> tuple[float, float]:
        """The longer or the shorter side of the smallest rectangle around a shape.

        And how much too long it is at most: an outline of tokens that runs across their grid has
        steps, and the rectangle lies on them.
        """
        flat = self._flat(place.center, shape.convex_hull)
        known = flat[np.isfinite(flat).all(1)]
        if len(known) < _LEAST_CORNERS:
            known = shapely.get_coordinates(shape) * self.length_of(place, 1.0)
        ring = shapely.get_coordinates(shapely.MultiPoint(known).minimum_rotated_rectangle)
        ways = np.diff(ring[:3], axis=0)
        sides = np.hypot(*ways.T)
        token = self.length_of(place, place.token_side)
        steps = _STEPS * token * (np.abs(ways).sum(1) / sides - 1)
        which = int(sides.argmax() if measure == "length" else sides.argmin())
        return float(sides[which]), float(steps[which])

    def _flat(self, center: Point, shape: shapely.Geometry) -> NDArray[np.float64]:
        """The vertices of a shape in the unit of the plane, ``(n, 2)``; NaN where off the map.

        On the ground a pixel need not be a square, so angles and nearest points are other ones.
        """
        points = shapely.get_coordinates(shape)
        flat = flat_around(self.scene, center, points) if self.is_on_ground else None
        return points if flat is None else flat

    def _area(self, place: LocatedPlace) -> Quantity:
        """The error is two thirds of a token all along the outline, and what of it is in doubt."""
        pixels = place.region.area
        meters = area_on_ground(self.scene, place.region) if self.is_on_ground else None
        along = place.region.length * place.token_side
        common = along * _COMMON_ERROR
        error = math.hypot(common, along * _OUTLINE_ERROR, pixels * place.area_doubt)
        area = Quantity("area", pixels, error, "px²", common)
        return area if meters is None else replace(area.times(meters / pixels), unit="m²")

    def in_unit(self, quantity: Quantity, symbol: str = "") -> Quantity:
        """The same number in a unit; in the one that people would use if none is named."""
        if quantity.unit not in UNITS:
            return quantity
        symbol = symbol or _natural(quantity)
        return replace(quantity.times(UNITS[quantity.unit].size / UNITS[symbol].size), unit=symbol)


def _without_spurs(place: LocatedPlace) -> shapely.Geometry:
    """An outline without what stands out of it narrowly; all of it where all of it is narrow."""
    half = place.token_side * _NARROW / 2
    opened = place.region.buffer(-half, join_style="mitre").buffer(half, join_style="mitre")
    is_most = opened.area >= (1 - _MOST_NARROW) * place.region.area
    return opened if is_most else place.region


def _natural(quantity: Quantity) -> str:
    value = abs(quantity.value)
    if UNITS[quantity.unit].power == 1:
        return "km" if value >= 1e3 else "m"
    steps = (("km²", 1e6), ("ha", 1e4))
    return next((symbol for symbol, size in steps if value >= size), "m²")
