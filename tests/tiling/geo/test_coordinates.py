"""Boxes land on the ground where rasterio and pyproj say they do."""

import json
import math

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import Affine, GCPTransformer, RPCTransformer

from geofovea.errors import GeometryError
from geofovea.tiling import (
    Box,
    area_m2,
    crs_from_scene,
    geometry_crs,
    lonlat_from_scene,
    open_scene,
    polygon_scene,
    scene_from_crs,
)
from geofovea.tiling.geo.georeference import Georeference


def turned(degrees, scale_x, scale_y, x, y):
    """An affine that scales, turns and moves."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return Affine(cos * scale_x, -sin * scale_y, x, sin * scale_x, cos * scale_y, y)


def moved(affine, points):
    a, b, c, d, e, f = tuple(affine)[:6]
    x, y = np.asarray(points, dtype=float).T
    return np.column_stack((a * x + b * y + c, d * x + e * y + f))


NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
SOUTH_UP = Affine(0.5, 0, 500_000, 0, 0.5, 5_400_000)
ROTATED = turned(30, 0.5, -0.5, 500_000, 5_400_000)
POINTS = np.array([[0, 0], [12.5, 3.25], [99, 79], [100, 80], [-5, 200]])


def signed_area(ring):
    x, y = np.array(ring).T
    return 0.5 * float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))


def rings_of(geojson):
    polygons = geojson["coordinates"]
    return [p[0] for p in ([polygons] if geojson["type"] == "Polygon" else polygons)]


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED])
def test_affine_coordinates_agree_with_rasterio_and_pyproj(make_tiled, texture, transform):
    scene = open_scene(make_tiled(texture(80, 100), transform=transform))
    expected = moved(transform, POINTS)
    assert crs_from_scene(scene, POINTS) == pytest.approx(expected, abs=1e-6)
    assert scene_from_crs(scene, expected) == pytest.approx(POINTS, abs=1e-6)
    assert scene.gsd_m == pytest.approx(0.5)
    box = Box(10, 20, 60, 40)
    assert geometry_crs(scene, box).area == pytest.approx(box.area * 0.25)
    to_wgs84 = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    corners = moved(transform, [(10, 20), (60, 20), (60, 40), (10, 40)])
    truth = shapely.Polygon([to_wgs84.transform(*c) for c in corners])
    shape = shapely.geometry.shape(lonlat_from_scene(scene, box))
    assert shape.symmetric_difference(truth).area < 1e-3 * truth.area


@settings(deadline=None, max_examples=80)
@given(
    st.floats(0, 360), st.floats(0.01, 100), st.sampled_from([-1, 1]),
    st.floats(-1e6, 1e6), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4),
)  # fmt: skip
def test_scene_to_crs_and_back_is_the_identity(angle, scale, flip, origin, x, y):
    affine = turned(angle, scale, scale * flip, origin, -origin)
    georeference = Georeference("affine", None, tuple(affine)[:6])
    point = np.array([[x, y]])
    back = georeference.scene_from_crs(georeference.crs_from_scene(point))
    assert back == pytest.approx(point, abs=1e-5)


def gcps_of(transform):
    nodes = [(col, row) for col in (0, 25, 50, 75, 100) for row in (0, 20, 40, 60, 80)]
    return [
        GroundControlPoint(row=row, col=col, x=x, y=y)
        for (col, row), (x, y) in zip(nodes, moved(transform, nodes).tolist(), strict=True)
    ]


def test_gcps_place_a_scene_as_rasterio_does(make_raster, texture):
    degrees = Affine(1e-4, 2e-5, 12.0, 2e-5, -1e-4, 48.0)
    gcps = gcps_of(degrees)
    scene = open_scene(make_raster(texture(80, 100), gcps=(gcps, "EPSG:4326")))
    assert (scene.georef, scene.crs_name, scene.transform) == ("gcps", "EPSG:4326", None)
    with GCPTransformer(gcps) as transformer:
        expected = transformer.xy(POINTS[:, 1], POINTS[:, 0], offset="ul")
    got = crs_from_scene(scene, POINTS)
    assert got == pytest.approx(np.column_stack(expected), abs=1e-9)
    assert scene_from_crs(scene, got) == pytest.approx(POINTS, abs=0.05)
    assert lonlat_from_scene(scene, scene.box)["type"] == "Polygon"
    meters = math.sqrt((1e-4 * 111_200) * (1e-4 * 74_630))
    assert scene.gsd_m == pytest.approx(meters, rel=0.03)


@pytest.mark.parametrize("flip", [1, -1])
def test_gcps_on_both_sides_of_the_antimeridian_place_a_scene_as_anywhere_else(
    make_raster, texture, flip
):
    scenes, start = [], 180 - flip * 0.004
    for lon in (start, 20.0):
        gcps = gcps_of(Affine(1e-4 * flip, 2e-5, lon, 2e-5, -1e-4, 48.0))
        for gcp in gcps:
            gcp.x -= 360 * (gcp.x > 180)
        path = make_raster(texture(80, 100), f"{lon}.tif", gcps=(gcps, "EPSG:4326"))
        scenes.append(open_scene(path))
    over, plain = scenes
    shift = np.array([start - 20, 0])
    expected = crs_from_scene(plain, POINTS)
    assert crs_from_scene(over, POINTS) == pytest.approx(expected + shift, abs=1e-7)
    for turn in (0, -360):
        points_crs = expected + shift + (turn, 0)
        assert scene_from_crs(over, points_crs) == pytest.approx(POINTS, abs=0.05)
    assert over.gsd_m == pytest.approx(plain.gsd_m, rel=1e-6)
    assert area_m2(over, over.box) == pytest.approx(area_m2(plain, plain.box), rel=1e-6)
    geometry = lonlat_from_scene(over, over.box)
    assert geometry["type"] == "MultiPolygon"
    lon = np.concatenate([np.array(part[0])[:, 0] for part in geometry["coordinates"]])
    assert (np.abs(lon) <= 180).all()
    assert (np.abs(lon) > 179.9).all()


@pytest.mark.parametrize("upright", [1, -1])
def test_four_corners_across_the_antimeridian_are_no_map_of_the_world(
    make_raster, texture, upright
):
    corners = []
    for row, col in ((0, 0), (0, 100), (80, 100), (80, 0)):
        lon, lat = 180.01 + upright * 1e-3 * (col - 50), 50 - upright * 1e-3 * (row - 40)
        lon -= 360 * (lon > 180)
        corners.append(GroundControlPoint(row=row, col=col, x=lon, y=lat))
    scene = open_scene(make_raster(texture(80, 100), gcps=(corners, "EPSG:4326")))
    assert crs_from_scene(scene, [[50, 40]]) == pytest.approx(np.array([[180.01, 50]]), abs=1e-6)
    assert scene.gsd_m == pytest.approx(89.3, abs=0.5)


def test_gcps_of_a_map_of_the_world_do_not_meet_at_the_antimeridian(make_raster, texture):
    corners = gcps_of(Affine(3.6, 0, -180, 0, -2.25, 90))
    scene = open_scene(make_raster(texture(80, 100), gcps=(corners, "EPSG:4326")))
    assert crs_from_scene(scene, [[50, 40]]) == pytest.approx(np.array([[0, 0]]), abs=0.01)


# GCPs are fitted once per direction and RPCs inverted to a tenth of a pixel
ROUND_TRIP_PIXELS = {"affine": 1e-3, "gcps": 2.0, "rpcs": 0.1}


def test_points_of_every_reference_raster_return_to_where_they_were(shared_raster):
    scene = open_scene(shared_raster, allow_vrt=True)
    points = np.array([[0.0, 0.0], [scene.width, 0.5 * scene.height], [3.25, 7.5]])
    there = crs_from_scene(scene, points)
    if scene.georef == "none":
        assert there is None
        return
    assert scene_from_crs(scene, there) == pytest.approx(
        points, abs=ROUND_TRIP_PIXELS[scene.georef]
    )
    if scene.georef == "rpcs":
        with rasterio.open(shared_raster) as dataset, RPCTransformer(dataset.rpcs) as transformer:
            heights = [dataset.rpcs.height_off] * len(points)
            expected = transformer.xy(points[:, 1], points[:, 0], zs=heights, offset="ul")
        assert there == pytest.approx(np.column_stack(expected), abs=1e-9)


def test_exterior_rings_are_counter_clockwise_and_closed(make_tiled, texture):
    for transform in (NORTH_UP, SOUTH_UP, ROTATED):
        scene = open_scene(make_tiled(texture(80, 100), transform=transform))
        geojson = json.loads(json.dumps(lonlat_from_scene(scene, Box(0, 0, 50, 50))))
        (ring,) = rings_of(geojson)
        assert ring[0] == ring[-1]
        assert signed_area(ring) > 0


def test_a_curved_edge_is_followed_to_a_quarter_of_a_pixel(make_tiled, texture):
    transform = Affine(3000, 0, 0, 0, -3000, 7_000_000)
    scene = open_scene(make_tiled(texture(80, 200), transform=transform))
    box = scene.box
    shape = shapely.geometry.shape(lonlat_from_scene(scene, box))
    assert len(shape.exterior.coords) > 8
    edge_crs = crs_from_scene(scene, [(x, 80) for x in np.linspace(0, 200, 401)])
    lon, lat = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True).transform(
        *edge_crs.T
    )
    distances = shapely.distance(shape.exterior, shapely.points(lon, lat))
    assert distances.max() < 0.5 * 3000 / 60_000


def test_a_box_over_the_antimeridian_is_cut_in_two(make_tiled, texture):
    transform = Affine(1000, 0, 650_000, 0, -1000, 5_700_000)
    scene = open_scene(make_tiled(texture(100, 200), crs="EPSG:32660", transform=transform))
    geojson = lonlat_from_scene(scene, scene.box)
    assert geojson["type"] == "MultiPolygon"
    shape = shapely.geometry.shape(geojson)
    assert shape.is_valid
    west, _, east, _ = shape.bounds
    assert (west, east) == (-180, 180)
    assert shape.area < 10
    assert all(signed_area(ring) > 0 for ring in rings_of(geojson))


def test_a_box_around_the_pole_covers_the_pole(make_tiled, texture):
    transform = Affine(10_000, 0, -500_000, 0, -10_000, 500_000)
    scene = open_scene(make_tiled(texture(100, 100), crs="EPSG:3413", transform=transform))
    shape = shapely.geometry.shape(lonlat_from_scene(scene, scene.box))
    assert shape.is_valid
    assert shape.covers(shapely.Point(10, 89.9))
    assert shape.covers(shapely.Point(-170, 89.9))
    assert shape.bounds[1] > 80


def test_longitudes_beyond_180_are_brought_home(make_tiled, texture):
    transform = Affine(0.1, 0, 185, 0, -0.1, 10)
    scene = open_scene(make_tiled(texture(64, 64), crs="EPSG:4326", transform=transform))
    bounds = shapely.geometry.shape(lonlat_from_scene(scene, scene.box)).bounds
    assert bounds == pytest.approx((-175, 3.6, -168.6, 10))


def test_without_a_georeference_there_is_pixel_space_only(make_raster, texture):
    for path in (
        make_raster(texture(20, 20), "scene.png", driver="PNG"),
        make_raster(texture(20, 20), "placeless.tif", crs="EPSG:32633"),
    ):
        scene = open_scene(path)
        assert (scene.georef, scene.transform, scene.gsd_m) == ("none", None, None)
        assert crs_from_scene(scene, POINTS) is None
        assert scene_from_crs(scene, POINTS) is None
        assert geometry_crs(scene, scene.box) is None
        assert lonlat_from_scene(scene, scene.box) is None
        assert polygon_scene(Box(1, 2, 3, 5)).bounds == (1, 2, 3, 5)


def test_an_affine_without_crs_gives_shapes_but_no_lonlat(make_raster, texture):
    scene = open_scene(make_raster(texture(20, 20), transform=ROTATED))
    assert (scene.georef, scene.crs_name, scene.gsd_m) == ("affine", None, None)
    assert geometry_crs(scene, scene.box).area == pytest.approx(100)
    assert lonlat_from_scene(scene, scene.box) is None


MARS = (
    'GEOGCS["GCS_Mars_2000_Sphere",DATUM["Mars_2000_(Sphere)",SPHEROID["Mars_2000_Sphere",'
    '3396190,0]],PRIMEM["Reference_Meridian",0],UNIT["degree",0.0174532925199433]]'
)


def test_another_planet_has_shapes_but_no_lonlat(make_tiled, texture):
    degrees = Affine(0.01, 0, 30, 0, -0.01, 10)
    scene = open_scene(make_tiled(texture(20, 20), crs=CRS.from_wkt(MARS), transform=degrees))
    assert scene.crs_name == "ESRI:104971"
    assert scene.gsd_m is None
    assert lonlat_from_scene(scene, scene.box) is None
    assert geometry_crs(scene, scene.box) is not None


def test_meters_per_pixel_come_from_degrees_and_feet_too(make_tiled, texture):
    degrees = Affine(1e-5, 0, 10, 0, -1e-5, 60)
    scene = open_scene(make_tiled(texture(20, 20), crs="EPSG:4326", transform=degrees))
    geod = pyproj.Geod(ellps="WGS84")
    area = abs(geod.polygon_area_perimeter([10, 11, 11, 10], [59.5, 59.5, 60.5, 60.5])[0])
    assert scene.gsd_m == pytest.approx(math.sqrt(area) * 1e-5, rel=1e-3)
    feet = open_scene(make_tiled(texture(20, 20), "feet.tif", crs="EPSG:2263"))
    assert feet.gsd_m == pytest.approx(0.5 * 0.3048, rel=1e-4)


def test_a_flat_affine_is_refused():
    with pytest.raises(GeometryError, match="inverse"):
        Georeference("affine", None, (1.0, 1.0, 0.0, 1.0, 1.0, 0.0))
