"""Positions, pixel sizes and areas on the ground agree with rasterio and pyproj, file by file."""

import math

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine, GCPTransformer, RPCTransformer

from geofovea.tiling import (
    Box,
    area_m2,
    crs_from_scene,
    lonlat_from_scene,
    open_scene,
    scene_from_crs,
)
from geofovea.tiling.geo.georeference import Georeference

GEOD = pyproj.Geod(ellps="WGS84")


def oracle(path):
    """``(to_crs, pyproj CRS)`` of a file, by rasterio alone; the CRS may be None."""
    with rasterio.open(path) as dataset:
        if not dataset.transform.is_identity:
            affine, wkt = dataset.transform, dataset.crs and dataset.crs.to_wkt()
            return lambda x, y: np.array([affine @ pair for pair in zip(x, y, strict=True)]).T, wkt
        gcps, crs = dataset.gcps
        if gcps:

            def by_gcps(x, y):
                with GCPTransformer(gcps) as transformer:
                    return np.array(transformer.xy(y, x, offset="ul"))

            return by_gcps, crs.to_wkt()
        if dataset.rpcs:
            rpcs = dataset.rpcs

            def by_rpcs(x, y):
                with RPCTransformer(rpcs) as transformer:
                    heights = [rpcs.height_off] * len(x)
                    return np.array(transformer.xy(y, x, zs=heights, offset="ul"))

            return by_rpcs, "EPSG:4326"
    return None, None


def to_lonlat(wkt):
    return pyproj.Transformer.from_crs(pyproj.CRS.from_user_input(wkt), "EPSG:4326", always_xy=True)


def edge(box, parts=400):
    """The closed edge of a box, finely cut."""
    corners = [(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)]
    sides = zip(corners, [*corners[1:], corners[0]], strict=True)
    return np.concatenate([np.linspace(a, b, parts, endpoint=False) for a, b in sides]).T


def true_area(transformer, to_crs, box, parts=4000):
    """Geodesic area of a finely cut edge."""
    lon, lat = transformer.transform(*to_crs(*edge(box, parts)))
    return abs(GEOD.polygon_area_perimeter(lon, lat)[0])


def test_every_reference_raster_lies_where_rasterio_and_pyproj_put_it(shared_raster):
    if shared_raster.name.startswith("corrupt"):
        pytest.skip("damaged on purpose")
    scene = open_scene(shared_raster, allow_vrt=True)
    to_crs, wkt = oracle(shared_raster)
    box = Box(0.2 * scene.width, 0.3 * scene.height, 0.5 * scene.width, 0.9 * scene.height)
    if to_crs is None:
        assert scene.georef == "none"
        assert crs_from_scene(scene, edge(box).T) is None
        assert (scene.gsd_m, area_m2(scene, box)) == (None, None)
        assert lonlat_from_scene(scene, box) is None
        return
    points = edge(box)
    assert crs_from_scene(scene, points.T) == pytest.approx(to_crs(*points).T, rel=1e-12, abs=1e-9)
    if wkt is None:
        assert (scene.gsd_m, area_m2(scene, box), lonlat_from_scene(scene, box)) == (None,) * 3
        return
    transformer = to_lonlat(wkt)
    lon, lat = transformer.transform(*to_crs(*points))
    drawn = shapely.geometry.shape(lonlat_from_scene(scene, box))
    assert drawn.is_valid
    # a pixel at the center, by geodesics
    x, y = scene.box.center
    pixel = true_area(transformer, to_crs, Box(x - 5, y - 5, x + 5, y + 5), 4) / 100
    assert scene.gsd_m == pytest.approx(math.sqrt(pixel), rel=0.051)
    meters = GEOD.inv(lon, lat, *nearest_on(drawn, lon, lat))[2]
    allowed = max(0.3, 0.0003 * max(box.width, box.height)) * max(scene.gsd_m, side_of(scene, box))
    assert np.max(meters) < allowed
    assert area_m2(scene, box) == pytest.approx(true_area(transformer, to_crs, box), rel=1e-4)


def side_of(scene, box):
    """Meters per pixel of a box on the whole."""
    return math.sqrt(area_m2(scene, box) / box.area)


def nearest_on(shape, lon, lat):
    """The nearest points of a shape's edge, by degrees; the antimeridian cut does not matter."""
    lon = np.asarray(lon)
    rings = shapely.boundary(shape)
    best = []
    for turn in (-360, 0, 360):
        points = shapely.points(lon + turn, lat)
        lines = shapely.shortest_line(points, rings)
        ends = shapely.get_coordinates(lines).reshape(-1, 2, 2)[:, 1]
        best.append((shapely.length(lines), ends))
    choice = np.argmin([length for length, _ in best], axis=0)
    ends = np.stack([end for _, end in best])[choice, np.arange(len(lon))]
    return ends[:, 0], ends[:, 1]


@settings(deadline=None, max_examples=100)
@given(
    st.tuples(*[st.floats(-50, 50)] * 4),
    st.tuples(st.floats(-1e6, 1e6), st.floats(-1e7, 1e7)),
    st.tuples(st.floats(-5e4, 5e4), st.floats(-5e4, 5e4)),
)
def test_any_affine_leads_there_and_back(linear, origin, point):
    a, b, d, e = linear
    assume(abs(a * e - b * d) > 0.01)
    georeference = Georeference("affine", None, (a, b, origin[0], d, e, origin[1]))
    there = georeference.crs_from_scene(np.array([point]))
    assert there == pytest.approx(np.array([Affine(a, b, origin[0], d, e, origin[1]) @ point]))
    condition = np.linalg.cond([[a, b], [d, e]])
    back = georeference.scene_from_crs(there)
    assert back == pytest.approx(np.array([point]), abs=1e-7 * condition)


@settings(deadline=None, max_examples=30)
@given(
    st.floats(-60, 60), st.floats(0, 360), st.floats(0.1, 50), st.sampled_from([-1, 1]),
    st.floats(-0.4, 0.4),
)  # fmt: skip
def test_turned_sheared_and_flipped_boxes_have_their_area(lat, turn, scale, flip, shear):
    crs = CRS.from_epsg(32633 if lat >= 0 else 32733)
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs.to_wkt(), always_xy=True).transform(15, lat)
    linear = (
        Affine.rotation(turn) @ Affine(1, shear, 0, 0, 1, 0) @ Affine.scale(scale, flip * scale)
    )
    affine = Affine.translation(x, y) @ linear
    georeference = Georeference("affine", crs.to_wkt(), tuple(affine)[:6])
    scene = SceneStandIn(georeference)
    box = Box(-300, -100, 200, 400)
    to_crs = lambda x, y: np.array([affine @ p for p in zip(x, y, strict=True)]).T  # noqa: E731
    truth = true_area(to_lonlat(crs.to_wkt()), to_crs, box, 50)
    assert area_m2(scene, box) == pytest.approx(truth, rel=1e-6)
    # meters of the projection are a little short on the central meridian
    assert georeference.gsd_m(0, 0) ** 2 == pytest.approx(truth / box.area, rel=2e-3)
    ring = np.array(lonlat_from_scene(scene, box)["coordinates"][0])
    assert np.sum(ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1]) > 0


class SceneStandIn:
    """All that coordinates ask of a scene, for affines that need no file."""

    def __init__(self, georeference):
        self.georeference = georeference
        self.georef = georeference.kind


def placed(crs, affine):
    wkt = CRS.from_user_input(crs).to_wkt()
    return SceneStandIn(Georeference("affine", wkt, tuple(affine)[:6]))


EARTH_M2 = 510_065_621_724_089  # of the WGS 84 ellipsoid, as geographiclib computes it


def test_the_whole_world_has_the_area_of_the_earth():
    world = placed("EPSG:4326", Affine(0.01, 0, -180, 0, -0.01, 90))
    whole = Box(0, 0, 36_000, 18_000)
    assert area_m2(world, whole) == pytest.approx(EARTH_M2, rel=1e-9)
    northern = Box(0, 0, 36_000, 9_000)
    assert area_m2(world, northern) == pytest.approx(EARTH_M2 / 2, rel=1e-9)
    shape = shapely.geometry.shape(lonlat_from_scene(world, whole))
    assert shape.bounds == (-180, -90, 180, 90)
    assert shape.area == pytest.approx(360 * 180)


def test_a_degree_at_the_equator_has_its_area_from_the_tables():
    degree = placed("EPSG:4326", Affine(0.001, 0, 10, 0, -0.001, 1))
    truth = abs(GEOD.polygon_area_perimeter([10, 11, 11, 10], [0, 0, 1, 1])[0])
    assert area_m2(degree, Box(0, 0, 1000, 1000)) == pytest.approx(truth, rel=1e-4)
    assert truth == pytest.approx(12_308.78e6, rel=1e-4)


def test_web_mercator_is_measured_on_the_ground():
    origin = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(10, 60)
    scene = placed("EPSG:3857", Affine(1, 0, origin[0], 0, -1, origin[1]))
    # the ellipsoid has no round factor: cos 60 on a sphere, a little more here
    assert scene.georeference.gsd_m(0, 0) == pytest.approx(0.5, rel=5e-3)
    assert area_m2(scene, Box(0, 0, 1000, 1000)) == pytest.approx(250_000, rel=1e-2)


@pytest.mark.parametrize("crs", ["EPSG:3031", "EPSG:3413"])
def test_a_pixel_at_the_pole_is_as_large_as_any_other(crs):
    scene = placed(crs, Affine(100, 0, -30_000, 0, -100, 30_000))
    at_pole, beside = scene.georeference.gsd_m(300, 300), scene.georeference.gsd_m(310, 320)
    assert at_pole == pytest.approx(beside, rel=1e-3)
    assert at_pole == pytest.approx(100, rel=0.05)


def test_national_grids_keep_their_round_pixels():
    for crs, unit in (("EPSG:32633", 1), ("EPSG:28992", 1), ("EPSG:2263", 0.3048006096012192)):
        x, y = center_of(crs)
        affine = Affine(0.5, 0, x, 0, -0.5, y)
        assert placed(crs, affine).georeference.gsd_m(3, 4) == pytest.approx(0.5 * unit, rel=1e-12)


def center_of(crs):
    area = pyproj.CRS(crs).area_of_use
    lon, lat = (area.west + area.east) / 2, (area.south + area.north) / 2
    return pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)


POLAR = Affine(1000, 0, -64_000, 0, -1000, 64_000)  # the pole is the corner of four tiles of 64


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3413", 90), ("EPSG:3031", -90)])
@pytest.mark.parametrize(
    "box",
    [
        pytest.param(Box(0, 0, 128, 128), id="around the pole"),
        pytest.param(Box(0, 0, 64, 64), id="a corner at the pole, west"),
        pytest.param(Box(64, 64, 128, 128), id="a corner at the pole, east"),
        pytest.param(Box(64, 0, 128, 64), id="a corner at the pole, above"),
        pytest.param(Box(0, 0, 128, 64), id="an edge through the pole"),
        pytest.param(Box(30, 64, 70, 100), id="an edge off its middle"),
        pytest.param(Box(66, 66, 128, 128), id="beside the pole"),
    ],
)
def test_boxes_at_a_pole_cover_what_they_show(crs, pole, box):
    scene = placed(crs, POLAR)
    shape = shapely.geometry.shape(lonlat_from_scene(scene, box))
    assert shape.is_valid
    inverse = to_lonlat(crs)
    rng = np.random.default_rng(1)
    pixels = rng.uniform(-20, 148, (400, 2))
    # points that are not within a pixel of the edge, nor of the pole, whose longitude is arbitrary
    inner = shapely.box(*box.as_tuple())
    clear = shapely.distance(inner.exterior, shapely.points(pixels)) > 1.5
    clear &= np.hypot(*(pixels - 64).T) > 1
    for x, y in pixels[clear]:
        lon, lat = inverse.transform(*(POLAR @ (x, y)))
        assert shape.covers(shapely.Point(lon, lat)) == inner.covers(shapely.Point(x, y)), (x, y)
    # nothing of the other hemisphere
    assert min(abs(shape.bounds[1]), abs(shape.bounds[3])) > 88
    assert area_m2(scene, box) == pytest.approx(box.area * 1e6, rel=0.08)


def test_areas_around_a_pole_agree_with_geodesics():
    scene = placed("EPSG:3413", POLAR)
    to_crs = lambda x, y: np.array([POLAR @ p for p in zip(x, y, strict=True)]).T  # noqa: E731
    for box in (Box(0, 0, 128, 128), Box(0, 0, 64, 64), Box(10, 80, 100, 120)):
        truth = true_area(to_lonlat("EPSG:3413"), to_crs, box)
        assert area_m2(scene, box) == pytest.approx(truth, rel=1e-4), box


ANTIMERIDIAN = [
    # x0 of the box in degrees, width in degrees, the parts as (west, east)
    (178, 4, [(178, 180), (-180, -178)]),
    (-182, 4, [(178, 180), (-180, -178)]),
    (179, 1, [(179, 180)]),
    (180, 1, [(-180, -179)]),
    (-180, 1, [(-180, -179)]),
    (350, 5, [(-10, -5)]),
    (170, 350, [(170, 180), (-180, 160)]),
]


@pytest.mark.parametrize(("west", "width", "parts"), ANTIMERIDIAN)
def test_boxes_at_the_antimeridian_are_cut_by_the_table(west, width, parts):
    scene = placed("EPSG:4326", Affine(0.01, 0, west, 0, -0.01, 10))
    box = Box(0, 0, 100 * width, 200)
    geojson = lonlat_from_scene(scene, box)
    assert geojson["type"] == ("Polygon" if len(parts) == 1 else "MultiPolygon")
    got = shapely.get_parts(shapely.geometry.shape(geojson))
    assert sorted(part.bounds for part in got) == sorted((w, 8, e, 10) for w, e in parts)
    truth = EARTH_M2 * width / 360 * share_of_zone(8, 10)
    assert area_m2(scene, box) == pytest.approx(truth, rel=1e-6)


def share_of_zone(south, north):
    """The share of the Earth between two parallels, by geodesics along 3600 short steps."""
    lon = np.linspace(0, 1, 3601)
    ring_lon = [*lon, *lon[::-1]]
    ring_lat = [south] * 3601 + [north] * 3601
    return 360 * abs(GEOD.polygon_area_perimeter(ring_lon, ring_lat)[0]) / EARTH_M2


def test_a_large_box_bends_with_its_projection():
    # Europe in its equal-area projection, 4000 km a side
    affine = Affine(1000, 0, 2_500_000, 0, -1000, 5_500_000)
    scene, box = placed("EPSG:3035", affine), Box(0, 0, 4000, 4000)
    to_crs = lambda x, y: np.array([affine @ p for p in zip(x, y, strict=True)]).T  # noqa: E731
    lon, lat = to_lonlat("EPSG:3035").transform(*to_crs(*edge(box, 3000)))
    shape = shapely.geometry.shape(lonlat_from_scene(scene, box))
    meters = GEOD.inv(lon, lat, *nearest_on(shape, lon, lat))[2]
    assert np.max(meters) < 1100  # 1/4096 of the box is 977 m
    assert 20 < len(shape.exterior.coords) < 1000
    assert area_m2(scene, box) == pytest.approx(box.area * 1e6, rel=1e-4)


MARS = {
    "degrees": 'GEOGCS["GCS_Mars_2000",DATUM["D_Mars_2000",SPHEROID["Mars_2000_IAU_IAG",3396190,'
    '169.894447223612]],PRIMEM["Reference_Meridian",0],UNIT["degree",0.0174532925199433]]',
    "metres": 'PROJCS["Equirectangular Mars",GEOGCS["GCS_Mars_2000",DATUM["D_Mars_2000",SPHEROID['
    '"Mars_2000_IAU_IAG",3396190,169.894447223612]],PRIMEM["Reference_Meridian",0],UNIT["degree",'
    '0.0174532925199433]],PROJECTION["Equirectangular"],PARAMETER["standard_parallel_1",0],'
    'PARAMETER["central_meridian",0],PARAMETER["false_easting",0],PARAMETER["false_northing",0],'
    'UNIT["metre",1]]',
}


@pytest.mark.parametrize(("wkt", "gsd"), [(MARS["degrees"], None), (MARS["metres"], 0.5)])
def test_mars_has_positions_but_neither_lonlat_nor_areas(make_tiled, texture, wkt, gsd):
    affine = Affine(0.5, 0, 30, 0, -0.5, 10)
    scene = open_scene(make_tiled(texture(20, 20), crs=CRS.from_wkt(wkt), transform=affine))
    assert crs_from_scene(scene, [(2, 4)]).tolist() == [[31, 8]]
    assert scene_from_crs(scene, [(31, 8)]).tolist() == [[2, 4]]
    assert (lonlat_from_scene(scene, scene.box), area_m2(scene, scene.box)) == (None, None)
    assert scene.gsd_m == gsd


def test_heights_and_old_ellipsoids_do_not_hide_the_earth():
    for crs in ("EPSG:32633+5773", "EPSG:4302", "EPSG:30200", "EPSG:27700"):
        x, y = center_of(crs.split("+")[0])
        step = 1e-5 if CRS.from_user_input(crs).is_geographic else 1
        scene = placed(crs, Affine(step, 0, x, 0, -step, y))
        assert scene.georeference.is_on_earth, crs
        assert area_m2(scene, Box(0, 0, 100, 100)) > 0


def test_a_scene_off_the_map_has_no_lonlat():
    scene = placed("EPSG:32633", Affine(1, 0, 1e12, 0, -1, 1e12))
    assert lonlat_from_scene(scene, Box(0, 0, 10, 10)) is None
    assert area_m2(scene, Box(0, 0, 10, 10)) is None
