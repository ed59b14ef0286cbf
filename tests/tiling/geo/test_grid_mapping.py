"""Places of xarray objects by CF: grid mappings, units, bounds, corners. The oracle is pyproj."""

import numpy as np
import pyproj
import pytest
import xarray as xr
from affine import Affine

from geofovea.errors import SceneError
from geofovea.tiling import open_scene
from geofovea.tiling.geo.grid_mapping import crs_from_grid_mapping

GRS80 = {"semi_major_axis": 6378137.0, "inverse_flattening": 298.257222101}
MAPPINGS = {
    "albers_conical_equal_area": {
        "standard_parallel": [20.0, 60.0],
        "latitude_of_projection_origin": 40.0,
        "longitude_of_central_meridian": -96.0,
    },
    "azimuthal_equidistant": {
        "latitude_of_projection_origin": 40.0,
        "longitude_of_projection_origin": -96.0,
    },
    "geostationary": {
        "perspective_point_height": 35786023.0,
        "sweep_angle_axis": "x",
        "longitude_of_projection_origin": -75.0,
        **GRS80,
    },
    "lambert_azimuthal_equal_area": {
        "latitude_of_projection_origin": 52.0,
        "longitude_of_projection_origin": 10.0,
        "false_easting": 4321000.0,
        "false_northing": 3210000.0,
        **GRS80,
    },
    "lambert_conformal_conic": {
        "standard_parallel": 25.0,
        "latitude_of_projection_origin": 25.0,
        "longitude_of_central_meridian": -95.0,
        "earth_radius": 6371229.0,
    },
    "lambert_cylindrical_equal_area": {
        "standard_parallel": 30.0,
        "longitude_of_central_meridian": 10.0,
    },
    "latitude_longitude": {"longitude_of_prime_meridian": 2.5, **GRS80},
    "mercator": {"standard_parallel": 20.0, "longitude_of_projection_origin": 12.0},
    "oblique_mercator": {
        "latitude_of_projection_origin": 45.0,
        "longitude_of_projection_origin": 10.0,
        "azimuth_of_central_line": 30.0,
        "scale_factor_at_projection_origin": 0.9996,
    },
    "orthographic": {
        "latitude_of_projection_origin": 40.0,
        "longitude_of_projection_origin": -96.0,
    },
    "polar_stereographic": {
        "standard_parallel": -71.0,
        "straight_vertical_longitude_from_pole": 30.0,
        "latitude_of_projection_origin": -90.0,
    },
    "rotated_latitude_longitude": {
        "grid_north_pole_latitude": 39.25,
        "grid_north_pole_longitude": -162.0,
        "north_pole_grid_longitude": 13.0,
        "earth_radius": 6371229.0,
    },
    "sinusoidal": {"longitude_of_projection_origin": 20.0, "earth_radius": 6371007.181},
    "stereographic": {
        "latitude_of_projection_origin": 40.0,
        "longitude_of_projection_origin": -96.0,
        "scale_factor_at_projection_origin": 0.99,
    },
    "transverse_mercator": {
        "latitude_of_projection_origin": 0.0,
        "longitude_of_central_meridian": 9.0,
        "scale_factor_at_central_meridian": 0.9996,
        "false_easting": 500000.0,
    },
    "vertical_perspective": {
        "latitude_of_projection_origin": 40.0,
        "longitude_of_projection_origin": -96.0,
        "perspective_point_height": 3000000.0,
    },
}
DEGREES = ("latitude_longitude", "rotated_latitude_longitude")


def array_of(x, y, attrs=None, mapping=None, name="mapping", **coords):
    pixels = np.random.default_rng(0).random((len(y), len(x)), dtype=np.float32)
    attrs = dict(attrs or {})
    if mapping is not None:
        coords[name] = xr.DataArray(0, attrs=mapping)
        attrs["grid_mapping"] = name
    return xr.DataArray(pixels, dims=("y", "x"), coords={"y": y, "x": x, **coords}, attrs=attrs)


def lonlat(obj, points=((0.0, 0.0),)):
    return open_scene(obj).georeference.lonlat_from_scene(np.array(points))


def lonlat_by_pyproj(crs, *points):
    to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return np.column_stack(to_lonlat.transform(*np.array(points).T))


@pytest.mark.parametrize("name", MAPPINGS)
def test_an_array_lies_where_its_grid_mapping_puts_it(name):
    attrs = {"grid_mapping_name": name, **MAPPINGS[name]}
    step = 0.25 if name in DEGREES else 10_000.0
    x0, y0 = attrs.get("false_easting", 0.0) + 3 * step, attrs.get("false_northing", 0.0) - 2 * step
    array = array_of(x0 + step * (np.arange(40) + 0.5), y0 - step * (np.arange(30) + 0.5))
    array = array.assign_coords(mapping=xr.DataArray(0, attrs=attrs))
    array.attrs["grid_mapping"] = "mapping"
    truth = lonlat_by_pyproj(pyproj.CRS.from_cf(attrs), (x0, y0), (x0 + 40 * step, y0 - 30 * step))
    assert lonlat(array, ((0, 0), (40, 30))) == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("code", [32633, 3035, 3413, 3031, 5070, 6933, 2154, 3577])
def test_the_parameters_alone_are_as_good_as_the_code(code):
    attrs = pyproj.CRS.from_epsg(code).to_cf()
    del attrs["crs_wkt"]
    crs = crs_from_grid_mapping("it", attrs)
    x, y = attrs["false_easting"] + 12_345.0, attrs["false_northing"] - 67_890.0
    ours = lonlat_by_pyproj(pyproj.CRS.from_wkt(crs.to_wkt()), (x, y))
    assert ours == pytest.approx(lonlat_by_pyproj(code, (x, y)), abs=2e-8)


def test_a_grid_mapping_that_is_a_variable_of_its_own_is_found():
    attrs = {"grid_mapping_name": "transverse_mercator", **MAPPINGS["transverse_mercator"]}
    array = array_of(500_000 + 10 * np.arange(20.0), 5e6 - 10 * np.arange(20.0))
    array.attrs["grid_mapping"] = "utm: x y"
    dataset = xr.Dataset({"red": array, "utm": xr.DataArray(0, attrs=attrs)})
    truth = lonlat_by_pyproj(pyproj.CRS.from_cf(attrs), (499_995, 5e6 + 5))
    assert lonlat(dataset) == pytest.approx(truth, abs=1e-7)
    two = dataset.assign(green=dataset.red)
    assert lonlat(two) == pytest.approx(truth, abs=1e-7)


def test_of_several_grid_mappings_that_of_the_axes_counts():
    utm = {"grid_mapping_name": "transverse_mercator", **MAPPINGS["transverse_mercator"]}
    other = {"grid_mapping_name": "latitude_longitude"}
    array = array_of(500_000 + 10 * np.arange(20.0), 5e6 - 10 * np.arange(20.0))
    array = array.assign_coords(geo=xr.DataArray(0, attrs=other), utm=xr.DataArray(0, attrs=utm))
    array.attrs["grid_mapping"] = "geo: lat lon utm: x y"
    truth = lonlat_by_pyproj(pyproj.CRS.from_cf(utm), (499_995, 5e6 + 5))
    assert lonlat(array) == pytest.approx(truth, abs=1e-7)


DEGREE_AXES = {"units": "degrees", "standard_name": "grid_longitude"}


@pytest.mark.parametrize(
    ("mapping", "attrs", "note"),
    [
        ({"grid_mapping_name": "healpix"}, {}, "'healpix' is not known"),
        (None, {"grid_mapping": "rotated_pole"}, "'rotated_pole' is named and is not there"),
        (None, {}, None),
    ],
)
def test_degrees_of_another_grid_are_no_longitude(mapping, attrs, note):
    array = array_of(np.arange(-20.0, 15), np.arange(20.0, -20, -1), attrs, mapping)
    array.x.attrs |= DEGREE_AXES
    array.y.attrs |= DEGREE_AXES | {"standard_name": "grid_latitude"}
    scene = open_scene(array)
    assert scene.crs is None
    assert scene.georeference.lonlat_from_scene(np.zeros((1, 2))) is None
    assert [note in told for told in scene.warnings] == ([] if note is None else [True])


@pytest.mark.parametrize("words", [("degrees_east", "degrees_north"), ("degree_E", "degree_N")])
@pytest.mark.parametrize("dims", [("y", "x"), ("lat", "lon")])
def test_degrees_east_and_north_are_wgs_84(words, dims):
    array = array_of(np.arange(10.5, 40), np.arange(50.5, 20, -1)).rename(
        dict(zip("yx", dims, strict=True))
    )
    array[dims[1]].attrs["units"], array[dims[0]].attrs["units"] = words
    assert open_scene(array).crs.to_epsg() == 4326


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("perspective_point_height", "lacks 'perspective_point_height'"),
        ("sweep_angle_axis", "cannot be understood"),
    ],
)
def test_an_incomplete_grid_mapping_is_told(missing, message):
    attrs = {"grid_mapping_name": "geostationary", **MAPPINGS["geostationary"]}
    del attrs[missing]
    with pytest.raises(SceneError, match=message):
        open_scene(array_of(np.arange(9.0), np.arange(9.0), mapping=attrs))


@pytest.mark.parametrize(
    ("units", "meters"),
    [
        ("km", 1e3),
        ("kilometers", 1e3),
        ("m", 1),
        ("cm", 0.01),
        ("ft", 0.3048),
        ("1000 m", 1e3),
        ("10^3 m", 1e3),
        ("US survey foot", 1200 / 3937),
        ("", 1),
    ],
)
@pytest.mark.parametrize("code", [3413, 2263])
def test_axes_are_scaled_from_their_unit_to_that_of_the_crs(units, meters, code):
    crs = pyproj.CRS.from_epsg(code)
    of_crs = crs.axis_info[0].unit_conversion_factor
    start = (-1_000_000.0, -1_000_000.0) if code == 3413 else (300_000.0, 60_000.0)
    meters = meters if units else of_crs
    x = start[0] / meters + 25_000 / meters * (np.arange(30) + 0.5)
    y = start[1] / meters - 25_000 / meters * (np.arange(20) + 0.5)
    array = array_of(x, y, mapping={"crs_wkt": crs.to_wkt()})
    array.x.attrs["units"] = array.y.attrs["units"] = units
    truth = lonlat_by_pyproj(crs, (start[0] / of_crs, start[1] / of_crs))
    assert lonlat(array) == pytest.approx(truth, abs=1e-6)
    assert open_scene(array).transform[0] * of_crs == pytest.approx(25_000)


@pytest.mark.parametrize(
    ("units", "radians"),
    [("rad", 1), ("radians", 1), ("microradian", 1e-6), ("degrees", np.pi / 180), ("mrad", 1e-3)],
)
def test_scan_angles_are_lengths_at_the_height_of_the_satellite(units, radians):
    attrs = {"grid_mapping_name": "geostationary", **MAPPINGS["geostationary"]}
    x, y = np.linspace(-0.05, 0.05, 401), np.linspace(0.1, 0.04, 301)
    array = array_of(x / radians, y / radians, mapping=attrs)
    array.x.attrs["units"] = array.y.attrs["units"] = units
    height = attrs["perspective_point_height"]
    corner = ((x[0] - 0.000125) * height, (y[0] + 0.0001) * height)
    truth = lonlat_by_pyproj(pyproj.CRS.from_cf(attrs), corner)
    assert lonlat(array) == pytest.approx(truth, abs=1e-6)


UTM = {"crs_wkt": pyproj.CRS.from_epsg(32633).to_wkt()}
WGS84 = {"crs_wkt": pyproj.CRS.from_epsg(4326).to_wkt()}
GEOS = {"grid_mapping_name": "geostationary", **MAPPINGS["geostationary"]}


@pytest.mark.parametrize(
    ("mapping", "axis", "message"),
    [
        (UTM, {"units": "degrees_east"}, "is in meters or feet"),
        (UTM, {"standard_name": "longitude"}, "is in meters or feet"),
        (UTM, {"units": "furlongs"}, "which are not known"),
        (WGS84, {"units": "km"}, "is in degrees"),
        (GEOS, {}, "look like the scan angles"),
    ],
)
def test_units_that_the_crs_cannot_have_are_refused(mapping, axis, message):
    array = array_of(np.linspace(0, 0.1, 9), np.linspace(0.1, 0, 9), mapping=mapping)
    array.x.attrs |= axis
    array.y.attrs |= axis
    with pytest.raises(SceneError, match=message):
        open_scene(array)


GRID = Affine(10, 0, 500_000, 0, -10, 4_600_000)
CORNERS = (GRID.c + 10 * np.arange(60), GRID.f - 10 * np.arange(50))
CENTRES = (CORNERS[0] + 5, CORNERS[1] - 5)
SIX = tuple(GRID)[:6]


def with_grid(kind, x, y):
    attrs = {"crs": "EPSG:32633"}
    if kind == "GeoTransform":
        return array_of(x, y, mapping=UTM | {"GeoTransform": "500000 10 0 4600000 0 -10"})
    return array_of(x, y, attrs | {kind: tuple(GRID) if kind == "transform" else SIX})


@pytest.mark.parametrize("kind", ["transform", "proj:transform", "GeoTransform"])
@pytest.mark.parametrize("labels", [CORNERS, CENTRES], ids=["corners", "centres"])
def test_a_transform_tells_labels_of_corners_from_those_of_centers(kind, labels):
    array = with_grid(kind, *labels)
    assert open_scene(array).transform == pytest.approx(SIX, abs=1e-6)
    part = array[20:40, 10:30]
    assert open_scene(part).transform == pytest.approx((10, 0, 500_100, 0, -10, 4_599_800))
    flipped = array[::-1, ::-1]
    assert open_scene(flipped).transform == pytest.approx((-10, 0, 500_600, 0, 10, 4_599_500))
    assert open_scene(array[20:21]).transform == pytest.approx((10, 0, 500_000, 0, -10, 4_599_800))


def test_labels_that_count_pixels_lie_where_the_transform_puts_those_pixels():
    array = with_grid("GeoTransform", np.arange(60), np.arange(50))
    assert open_scene(array).transform == pytest.approx(SIX)
    assert open_scene(array[20:, 10:]).transform == pytest.approx(
        (10, 0, 500_100, 0, -10, 4_599_800)
    )
    halves = with_grid("transform", np.arange(60) + 0.5, np.arange(50) + 0.5)
    assert open_scene(halves).transform == pytest.approx(SIX)


@pytest.mark.parametrize("rising", [True, False])
def test_bounds_say_where_pixels_begin_and_end(rising):
    edges_x = 500_000 + 10.0 * np.arange(31)
    edges_y = 4_600_000 + 10.0 * np.arange(21) * (1 if rising else -1)
    dataset = xr.Dataset(
        {
            "a": (("y", "x"), np.ones((20, 30), "u1"), {"grid_mapping": "crs"}),
            "crs": ((), 0, UTM),
            "x_bnds": (("x", "bnds"), np.column_stack((edges_x[:-1], edges_x[1:]))),
            "y_bnds": (("y", "bnds"), np.column_stack((edges_y[1:], edges_y[:-1]))),
        },
        # the labels are the left and lower edges: without bounds they would count as centers
        {"x": ("x", edges_x[:-1], {"bounds": "x_bnds"}), "y": ("y", edges_y[:-1])},
    )
    dataset.y.attrs["bounds"] = "y_bnds"
    step = 10 if rising else -10
    assert open_scene(dataset).transform == (10, 0, 500_000, 0, step, 4_600_000)
