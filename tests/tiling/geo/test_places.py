"""Scenes whose places are odd, past the map or nowhere have one answer each, and a note."""

import math

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj.database import query_crs_info
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from geofovea.tiling import Box, area_m2, geometry_crs, lonlat_from_scene, open_scene
from geofovea.tiling.geo.coordinates import polygon_lonlat
from geofovea.tiling.geo.georeference import Georeference
from geofovea.tiling.geo.ground import crs_of, lonlat_from_crs, place_wkt
from geofovea.tiling.geo.place_notes import place_notes
from geofovea.tiling.inspection import inspect_scene

GEOD = pyproj.Geod(ellps="WGS84")


class SceneStandIn:
    """All that coordinates ask of a scene, for affines that need no file."""

    def __init__(self, georeference):
        self.georeference = georeference
        self.georef = georeference.kind


def placed(crs, affine):
    wkt = place_wkt(crs_of(crs))
    return SceneStandIn(Georeference("affine", wkt, tuple(affine)[:6]))


def grid_of(box, count=150):
    along = (np.arange(count) + 0.5) / count
    xs, ys = box.x0 + along * box.width, box.y0 + along * box.height
    return np.column_stack([plane.ravel() for plane in np.meshgrid(xs, ys)])


def check_held(crs, affine, box, *, least=0.97, within=0.03):
    """The shape holds the points of the box that pyproj finds on the globe, and has their area."""
    scene = placed(crs, affine)
    x, y = np.array([affine @ point for point in grid_of(box)]).T
    there = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    back = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
    lon, lat = there.transform(x, y)
    again = back.transform(lon, lat)
    on_globe = np.hypot(again[0] - x, again[1] - y) < 1e-3 * abs(affine.a)
    geometry = lonlat_from_scene(scene, box)
    if not on_globe.any():
        assert (geometry, area_m2(scene, box)) == (None, None)
        return
    shape = shapely.geometry.shape(geometry)
    assert shape.is_valid
    assert shapely.contains_xy(shape, lon[on_globe], lat[on_globe]).mean() > least
    true = on_globe.mean() * box.area * abs(affine.a * affine.e)
    assert area_m2(scene, box) == pytest.approx(true, rel=within)


SIDE = 2 * 20_037_508.34 / 800
WORLD = Affine(SIDE, 0, -20_037_508.34, 0, -SIDE, 10_018_754.17)


# all of equal area, so that the area of what is on the globe is that of its pixels
@pytest.mark.parametrize("crs", ["+proj=sinu +R=6371007.181", "EPSG:8857", "ESRI:54009"])
@pytest.mark.parametrize(
    "box",
    [
        pytest.param(Box(0, 0, 60, 30), id="off the globe"),
        pytest.param(Box(90, 60, 260, 160), id="half off"),
        pytest.param(Box(500, 250, 780, 395), id="half off, the other side"),
        pytest.param(Box(350, 150, 450, 250), id="on it"),
        pytest.param(Box(0, 0, 800, 400), id="the whole map"),
    ],
)
def test_of_a_map_of_the_world_the_part_on_the_globe_has_a_place(crs, box):
    check_held(crs, WORLD, box)


@pytest.mark.parametrize("crs", ["EPSG:6931", "EPSG:6932", "EPSG:6933", "+proj=laea +lat_0=10"])
@pytest.mark.parametrize("half", [2e6, 5e6, 6.3e6, 8.5e6])
def test_a_box_around_a_pole_or_more_than_a_hemisphere_is_itself_and_not_the_rest(crs, half):
    step = half / 100
    affine = Affine(step, 0, -half, 0, -step, half)
    box = Box(0, 0, 200, 200) if crs != "EPSG:6933" else Box(0, 20, 200, 180)
    if crs == "EPSG:6933" and half > 7e6:
        affine = Affine(step, 0, -half, 0, -step * 0.8, half * 0.8)
    check_held(crs, affine, box)


@pytest.mark.parametrize(("step", "first"), [(0.5, 0.0), (1.0, -180.0), (0.25, 20.0), (2.5, 0.0)])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4267", "EPSG:4258"])
def test_grids_with_centers_on_the_poles_end_at_the_poles(step, first, crs):
    affine = Affine(step, 0, first - step / 2, 0, -step, 90 + step / 2)
    scene, rows, cols = placed(crs, affine), round(180 / step) + 1, round(360 / step)
    side = rows // 4
    for top, pole in ((0, 90), (rows - side, -90)):
        box = Box(0, top, side, top + side)
        edge = 90 + step / 2 - step * (top + side if top == 0 else top)
        lon = np.linspace(0, step * side, 400)
        ring = [*lon, lon[-1], lon[0]], [edge] * 400 + [pole] * 2
        true = abs(GEOD.polygon_area_perimeter(*ring)[0])
        assert area_m2(scene, box) == pytest.approx(true, rel=1e-3)
        bounds = shapely.geometry.shape(lonlat_from_scene(scene, box)).bounds
        assert bounds[3 if pole > 0 else 1] == pole
    whole = Box(0, 0, cols, rows)
    assert area_m2(scene, whole) == pytest.approx(510_065_621_724_089, rel=1e-3)


def place(row, col):
    return 10 + col * 1e-4, 50 - row * 1e-4


GCPS = {
    # pixels of the points, and whether a surface fits them
    "none that differ": ([(7, 9)] * 6, False),
    "one": ([(200, 200)], False),
    # GDAL takes two for corners of a map with north up
    "two": ([(0, 0), (400, 400)], True),
    "on a line": ([(50 * i, 50 * i) for i in range(4)], False),
    "many on a line": ([(40 * i, 10 * i) for i in range(11)], False),
    "three": ([(0, 0), (0, 400), (400, 0)], True),
    "two rows of three": ([(r, c) for r in (0, 400) for c in (0, 200, 400)], True),
    "two columns of five": ([(r, c) for c in (0, 400) for r in range(0, 401, 100)], True),
    "a grid": ([(r, c) for r in (0, 200, 400) for c in (0, 200, 400)], True),
}


def test_latitude_and_longitude_in_each_other_s_place_are_told(make_raster, texture):
    swapped = Affine(1e-4, 0, 51, 0, -1e-4, 120)
    scene = open_scene(make_raster(texture(40, 40), crs="EPSG:4326", transform=swapped))
    assert "lead to no place that EPSG:4326 can show" in place_notes(scene)[0]
    # a row of centers on the pole is no such scene
    grid = Affine(0.25, 0, 0, 0, -0.25, 90.125)
    scene = open_scene(make_raster(texture(40, 40), crs="EPSG:4326", transform=grid))
    assert place_notes(scene) == ()


@pytest.mark.parametrize(
    ("crs", "corner", "is_told"),
    [
        ("EPSG:3857", (13.4, 52.5), True),
        ("EPSG:32633", (13.4, -52.5), True),
        ("EPSG:2263", (286.2, 40.7), True),
        ("EPSG:4326", (13.4, 52.5), False),
        ("EPSG:3857", (13.4, 152.5), False),
        # made for one site
        ("+proj=tmerc +lat_0=52.5 +lon_0=13.4 +datum=WGS84", (13.4, 52.5), False),
    ],
)
def test_degrees_in_a_system_of_meters_or_feet_are_told(make_raster, texture, crs, corner, is_told):
    place = Affine(1e-4, 0, corner[0], 0, -1e-4, corner[1])
    scene = open_scene(make_raster(texture(40, 40), crs=crs, transform=place))
    assert ("look like degrees" in " ".join(place_notes(scene))) == is_told


NORTH = {
    "north up": (Affine(10, 0, 5e5, 0, -10, 58e5), None),
    "turned a little": (Affine(10, 0, 5e5, 0, -10, 58e5) @ Affine.rotation(20), None),
    "turned": (
        Affine(10, 0, 5e5, 0, -10, 58e5) @ Affine.rotation(30),
        "stored, and its top lies 30",
    ),
    "south up": (Affine(10, 0, 5e5, 0, 10, 58e5), "stored, mirrored, and its top lies 180"),
    "turned around": (Affine(-10, 0, 5e5, 0, 10, 58e5), "stored, and its top lies 180"),
}


@pytest.mark.parametrize("name", NORTH)
def test_a_picture_whose_top_is_not_north_is_told(name):
    affine, told = NORTH[name]
    scene = placed("EPSG:32633", affine)
    scene.box = Box(0, 0, 400, 300)
    notes = place_notes(scene)
    assert [told in note for note in notes] == ([True] if told else [])


@pytest.mark.parametrize("name", GCPS)
def test_control_points_place_a_scene_where_a_surface_fits_them(make_raster, texture, name):
    nodes, fits = GCPS[name]
    gcps = [GroundControlPoint(row=r, col=c, x=place(r, c)[0], y=place(r, c)[1]) for r, c in nodes]
    scene = open_scene(make_raster(texture(400, 400), gcps=(gcps, "EPSG:4326")))
    geometry, note = lonlat_from_scene(scene, Box(0, 0, 100, 100)), place_notes(scene)
    assert (scene.gsd_m is None) == (not fits)
    if fits:
        right = shapely.box(*place(100, 0), *place(0, 100))
        assert shapely.geometry.shape(geometry).symmetric_difference(right).area < 1e-9
        back = scene.georeference.scene_from_crs(np.array([place(30, 60)]))
        assert back == pytest.approx(np.array([(60, 30)]), abs=0.01)
        assert note == ("positions come from ground control points and are approximate",)
    else:
        assert (scene.georef, geometry) == ("none", None)
        assert "control points" in note[0]


@pytest.mark.parametrize("value", [1e300, -1e300, 1e17, math.inf, math.nan])
def test_control_points_without_numbers_place_nothing(value):
    nodes = [(0.0, 0.0, 10.0, 50.0, 0.0), (9.0, 0.0, 11.0, 50.0, 0.0), (0.0, 9.0, value, 49.0, 0.0)]
    georeference = Georeference.by_gcps(tuple(nodes), place_wkt(crs_of("EPSG:4326")))
    assert georeference.kind == "none"
    assert "no places" in georeference.note


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["EPSG:4326", "EPSG:3857", "EPSG:32633", "EPSG:3413", "EPSG:4978"]),
    st.tuples(*[st.sampled_from([1e-300, 1e-3, 1.0, 1e6, 1e12, 1e300, -1e17])] * 2),
    st.tuples(*[st.sampled_from([0.0, -180.0, 1e6, 1e17, -1e300])] * 2),
)
def test_no_affine_makes_a_traceback_or_a_place_off_the_globe(crs, pixel, origin):
    transform = (pixel[0], 0.0, origin[0], 0.0, -pixel[1], origin[1])
    if not (math.isfinite(pixel[0] * pixel[1]) and pixel[0] * pixel[1]):
        return
    scene = SceneStandIn(Georeference("affine", place_wkt(crs_of(crs)), transform))
    box = Box(0, 0, 300, 300)
    geometry = lonlat_from_scene(scene, box)
    area = area_m2(scene, box)
    geometry_crs(scene, box)
    scene.georeference.gsd_m(150, 150)
    if geometry is not None:
        west, south, east, north = shapely.geometry.shape(geometry).bounds
        assert -180 <= west <= east <= 180
        assert -90 <= south <= north <= 90
    assert area is None or 0 < area <= 510_065_621_724_089 * 1.001


NO_MAPS = ["EPSG:4978", "EPSG:5773", "EPSG:5800", "EPSG:4896"]


@pytest.mark.parametrize("crs", NO_MAPS)
def test_systems_that_are_no_map_have_no_lonlat(crs):
    points = np.array([(4e6, 9e5), (0.0, 0.0)])
    assert np.isnan(lonlat_from_crs(crs_of(crs), points)).all()


@pytest.mark.parametrize(
    ("crs", "told"),
    [
        ("EPSG:4978", "not a map"),
        ('LOCAL_CS["site grid",UNIT["metre",1]]', "site grid is a local system"),
        ("+proj=eqc +R=1737400 +units=m", "not on the Earth"),
    ],
)
def test_a_raster_of_a_system_that_is_no_map_of_the_earth_is_told(make_raster, texture, crs, told):
    path = make_raster(texture(64, 64), crs=crs, transform=Affine(1, 0, 4e6, 0, -1, 9e5))
    scene = open_scene(path)
    assert (lonlat_from_scene(scene, scene.box), area_m2(scene, scene.box)) == (None, None)
    assert told in place_notes(scene)[0]
    assert told in " ".join(inspect_scene(scene, scene.pyramid(336)).notes)


WHOLE = {
    "LINE_OFF": "200", "SAMP_OFF": "200", "LAT_OFF": "50", "LONG_OFF": "10", "HEIGHT_OFF": "100",
    "LINE_SCALE": "200", "SAMP_SCALE": "200", "LAT_SCALE": "0.02", "LONG_SCALE": "0.02",
    "HEIGHT_SCALE": "500", "LINE_NUM_COEFF": "0 0 -1 " + "0 " * 17,
    "LINE_DEN_COEFF": "1 " + "0 " * 19, "SAMP_NUM_COEFF": "0 1 " + "0 " * 18,
    "SAMP_DEN_COEFF": "1 " + "0 " * 19,
}  # fmt: skip
BROKEN = [(name, None) for name in WHOLE] + [
    ("LAT_OFF", "50,0"),
    ("LONG_SCALE", "0"),
    ("HEIGHT_OFF", "meters 100"),
    ("LINE_OFF", "nan"),
    ("SAMP_SCALE", "inf"),
    ("LINE_NUM_COEFF", "0 1 2"),
]


def test_whole_rpcs_place_a_scene():
    georeference = Georeference.by_rpcs(WHOLE)
    assert (georeference.kind, georeference.note) == ("rpcs", "")
    assert georeference.crs_from_scene(np.array([(200.0, 200.0)])) == pytest.approx(
        np.array([(10, 50)]), abs=1e-3
    )


def test_rpcs_that_lead_some_points_nowhere_say_nothing_of_it():
    # a denominator that is zero within the scene
    bent = " ".join(["1", "0", "0", "0", "5", "3", "2", "1"] + ["0"] * 12)
    georeference = Georeference.by_rpcs(WHOLE | {"LINE_DEN_COEFF": bent, "SAMP_DEN_COEFF": bent})
    # warnings are errors here
    points = georeference.crs_from_scene(np.array([(0.0, 0.0), (200.0, 200.0), (400.0, 400.0)]))
    assert np.isfinite(points).all(1).tolist() == [False, True, False]


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_rpcs_that_are_not_whole_place_nothing_and_say_so(name, value):
    items = {key: text for key, text in (WHOLE | {name: value}).items() if text is not None}
    georeference = Georeference.by_rpcs(items)
    assert georeference.kind == "none"
    assert "RPCs" in georeference.note


def test_a_file_whose_rpcs_are_not_whole_still_opens(tmp_path, texture):
    path = tmp_path / "rpc.tif"
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(texture(64, 64))
        file.update_tags(ns="CPR", **{k: v for k, v in WHOLE.items() if k != "HEIGHT_SCALE"})
    # under its own name GDAL would write the default of what is not there
    path.write_bytes(path.read_bytes().replace(b'domain="CPR"', b'domain="RPC"'))
    scene = open_scene(path)
    assert scene.georef == "none"
    assert "RPCs" in place_notes(scene)[0]


def codes(step):
    """Every so-manieth code of the registry, of every kind."""
    found = [f"{info.auth_name}:{info.code}" for info in query_crs_info(allow_deprecated=True)]
    return sorted(found)[::step]


@pytest.mark.slow
def test_codes_of_the_registry_lie_where_pyproj_says_or_nowhere():
    tried = 0
    for code in codes(149):
        try:
            crs = crs_of(code)
        except ValueError:
            continue
        theirs = pyproj.CRS.from_user_input(code)
        use = theirs.area_of_use
        if use is None or not (theirs.is_projected or theirs.is_geographic):
            points = np.array([(1000.0, 1000.0)])
            lonlat_from_crs(crs, points)
            continue
        lon = (use.west + use.east + (360 if use.east < use.west else 0)) / 2
        point = np.array([[(lon + 180) % 360 - 180, (use.south + use.north) / 2]])
        base = theirs.geodetic_crs
        there = pyproj.Transformer.from_crs(base, theirs, always_xy=True)
        x, y = there.transform(*point[0])[:2]
        if not math.isfinite(x + y):
            # the middle of some areas of use lies outside of what the projection can show
            continue
        step = 1e-3 if theirs.is_geographic else 100.0
        scene = placed(code, Affine(step, 0, x, 0, -step, y))
        geometry = lonlat_from_scene(scene, Box(0, 0, 50, 50))
        area_m2(scene, Box(0, 0, 50, 50))
        if geometry is None:
            assert not scene.georeference.is_on_earth, code
            continue
        got = scene.georeference.lonlat_from_scene(np.zeros((1, 2)))[0]
        off = got - point[0]
        off[0] -= 360 * round(off[0] / 360)
        # datums differ by some hundred meters, wrong projections by kilometers
        assert np.hypot(off[0] * math.cos(math.radians(got[1])), off[1]) < 0.02, code
        tried += 1
    assert tried > 30


@pytest.mark.parametrize("code", ["EPSG:9311", "ESRI:102035", "EPSG:2694", "EPSG:26822"])
@pytest.mark.parametrize("version", ["WKT1_GDAL", "WKT2_2019"])
def test_text_of_a_crs_keeps_its_projection(code, version):
    theirs = pyproj.CRS.from_user_input(code)
    if version == "WKT1_GDAL" and code == "ESRI:102035":
        pytest.skip("orthographic on a sphere and on an ellipsoid have one name in WKT 1")
    wkt = place_wkt(crs_of(crs_of(code).to_wkt(version=version)))
    use = theirs.area_of_use
    lon, lat = (use.west + use.east) / 2, (use.south + use.north) / 2
    if use.east < use.west:
        lon -= 180
    there = pyproj.Transformer.from_crs(theirs.geodetic_crs, theirs, always_xy=True)
    ours = pyproj.Transformer.from_crs(theirs.geodetic_crs, pyproj.CRS(wkt), always_xy=True)
    assert ours.transform(lon, lat) == pytest.approx(there.transform(lon, lat), abs=0.01)


def test_a_polygon_with_a_hole_over_the_antimeridian_keeps_both():
    scene = placed("EPSG:32660", Affine(1000, 0, 600_000, 0, -1000, 6_000_000))
    polygon = shapely.box(0, 0, 200, 200).difference(shapely.box(80, 80, 120, 120))
    shape = shapely.geometry.shape(polygon_lonlat(scene, polygon))
    assert shape.bounds[0] == -180
    assert shape.bounds[2] == 180
    rng = np.random.default_rng(4)
    pixels = rng.uniform(-20, 220, (500, 2))
    clear = shapely.distance(polygon.boundary, shapely.points(pixels)) > 1
    lonlat = scene.georeference.lonlat_from_scene(pixels[clear])
    held = shapely.contains_xy(shape, (lonlat[:, 0] + 180) % 360 - 180, lonlat[:, 1])
    assert (held == shapely.contains_xy(polygon, *pixels[clear].T)).all()


@pytest.mark.parametrize(
    ("crs", "left", "is_cut"),
    [
        ("EPSG:3857", 20037508.34 - 2560, True),
        ("EPSG:3857", -20037508.34 - 2560, True),
        ("EPSG:3857", 20037508.34 - 5120, False),
        ("EPSG:3395", 20037508.34 - 2560, True),
        ("EPSG:32660", 834_000, False),
    ],
)
def test_a_scene_that_goes_on_beyond_its_map_says_that_it_is_cut(
    make_raster, texture, crs, left, is_cut
):
    place = Affine.translation(left, 1e6) @ Affine.scale(10, -10)
    scene = open_scene(make_raster(texture(512, 512), crs=crs, transform=place))
    notes = place_notes(scene)
    assert [note.split(":")[0] for note in notes] == (
        ["part of the scene lies off the map of EPSG"] if is_cut else []
    )
    assert set(notes) <= set(inspect_scene(scene, scene.pyramid(336)).notes)
