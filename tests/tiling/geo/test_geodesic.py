"""Ways and areas on the ground are those of pyproj, across the antimeridian and at a pole too."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geofovea.tiling.geo.geodesic import (
    area_on_ground,
    axes_on_ground,
    displacement,
    geodesic_pieces,
    reach_m,
)
from geofovea.tiling.geo.georeference import Georeference
from geofovea.tiling.geo.ground import crs_of, place_wkt
from geofovea.tiling.pyramid import Box

GEOD = pyproj.Geod(ellps="WGS84")


@dataclass
class Ground:
    """What lies somewhere on the ground, without pixels."""

    georeference: Georeference
    path: str = "toy"
    box: Box = field(default_factory=lambda: Box(0, 0, 1000, 1000))


def placed(crs, *affine):
    return Ground(Georeference("affine", place_wkt(crs_of(crs)), affine))


UTM = placed("EPSG:32633", 0.5, 0, 500_000, 0, -0.5, 5_400_000)
DEGREES = placed("EPSG:4326", 0.001, 0, 10, 0, -0.001, 50)
DATELINE = placed("EPSG:4326", 0.001, 0, 179.5, 0, -0.001, -16)
# the same ground, turned by 90 degrees in the picture: x goes south
TURNED = placed("EPSG:4326", 0, 0.001, 10, -0.001, 0, 50)
NOWHERE = Ground(Georeference())

inside = st.tuples(st.integers(0, 1000), st.integers(0, 1000))


def test_a_known_way_has_its_known_length():
    # one degree of the equator is 111,319.491 m on WGS 84
    equator = placed("EPSG:4326", 0.001, 0, 0, 0, -0.001, 0)
    way = displacement(equator, (0, 0), (1000, 0))
    assert way.distance == pytest.approx(111_319.491, abs=0.001)
    assert (way.bearing, way.east, way.north) == pytest.approx((90, 111_319.491, 0), abs=0.001)


@pytest.mark.parametrize(
    ("ground", "right", "up"), [(UTM, 90, 0), (DEGREES, 90, 0), (TURNED, 180, 270)]
)
def test_the_axes_of_a_picture_lead_where_pyproj_says(ground, right, up):
    axes = axes_on_ground(ground.georeference, (500, 500), 10)
    assert [axis.bearing % 360 for axis in axes] == pytest.approx([right, up % 360], abs=0.5)
    ends = ((510, 500), (500, 490))
    assert axes == tuple(displacement(ground, (500, 500), end) for end in ends)
    assert axes_on_ground(NOWHERE.georeference, (500, 500), 10) is None


def test_the_projection_plays_no_part():
    # 500 m of Web Mercator at 60 degrees north are half of that on the ground
    mercator = placed("EPSG:3857", 1, 0, 0, 0, -1, 8_399_737.89)
    way = displacement(mercator, (0, 0), (500, 0))
    assert way.distance == pytest.approx(250.8, rel=0.002)


@given(inside, inside)
def test_a_way_is_that_of_pyproj(start, end):
    if start == end:
        return
    way = displacement(UTM, start, end)
    there = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)
    a, b = (there.transform(500_000 + x / 2, 5_400_000 - y / 2) for x, y in (start, end))
    azimuth, _, distance = GEOD.inv(*a, *b)
    assert way.distance == pytest.approx(distance, abs=1e-4)
    assert math.cos(math.radians(way.bearing - azimuth)) == pytest.approx(1, abs=1e-6)


@given(inside, inside)
def test_east_and_north_change_sign_with_the_direction(start, end):
    for ground in (UTM, DEGREES, DATELINE):
        there, back = displacement(ground, start, end), displacement(ground, end, start)
        assert there.distance == pytest.approx(back.distance, abs=1e-6)
        assert (there.east, there.north) == pytest.approx((-back.east, -back.north), abs=1e-6)


@given(inside, inside)
def test_north_is_that_of_the_ground_and_not_the_top_of_the_picture(start, end):
    way = displacement(TURNED, start, end)
    # x goes south there, and y goes east
    assert math.copysign(1, way.north) == math.copysign(1, start[0] - end[0]) or not way.north
    assert math.copysign(1, way.east) == math.copysign(1, end[1] - start[1]) or not way.east


def test_a_way_over_the_antimeridian_is_the_short_one():
    way = displacement(DATELINE, (0, 0), (1000, 0))
    _, _, distance = GEOD.inv(179.5, -16, -179.5, -16)
    assert way.distance == pytest.approx(distance)
    assert way.east > 0
    pieces = geodesic_pieces(DATELINE, (0, 0), (1000, 0))
    assert [piece[0][0] for piece in pieces] == pytest.approx([179.5, -180])
    assert [piece[-1][0] for piece in pieces] == pytest.approx([180, -179.5])
    assert all(-180 <= x <= 180 for piece in pieces for x, _ in piece)


def test_a_line_is_a_geodesic():
    (piece,) = geodesic_pieces(DEGREES, (0, 0), (1000, 1000))
    length = sum(GEOD.inv(*a, *b)[2] for a, b in pairwise(piece))
    assert length == pytest.approx(displacement(DEGREES, (0, 0), (1000, 1000)).distance, rel=1e-9)


def test_an_area_is_that_of_pyproj():
    square = shapely.box(100, 100, 300, 200)
    area, _ = GEOD.geometry_area_perimeter(shapely.box(10.1, 49.8, 10.3, 49.9).segmentize(0.001))
    # edges of the box are parallels, and those of pyproj are geodesics
    assert area_on_ground(DEGREES, square) == pytest.approx(abs(area), rel=1e-4)
    both = shapely.MultiPolygon([square, shapely.box(500, 500, 600, 600)])
    assert area_on_ground(DEGREES, both) > area_on_ground(DEGREES, square)


def test_pixels_reach_as_far_as_in_the_direction_in_which_they_reach_farthest():
    tall = placed("EPSG:32633", 0.5, 0, 500_000, 0, -2, 5_400_000)
    assert reach_m(tall, (500, 500), 10) == pytest.approx(20, rel=1e-3)


def test_what_has_no_place_on_the_ground_has_no_ways():
    mars = placed("ESRI:104971", 0.001, 0, 10, 0, -0.001, 50)
    for ground in (NOWHERE, mars):
        assert displacement(ground, (0, 0), (1, 1)) is None
        assert geodesic_pieces(ground, (0, 0), (1, 1)) is None
        assert area_on_ground(ground, shapely.box(0, 0, 1, 1)) is None
        assert reach_m(ground, (0, 0), 1) is None
