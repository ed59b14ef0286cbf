"""Polygons of maps cover the pixels whose places they hold, by pyproj and shapely alone."""

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from geofovea.errors import GeometryError
from geofovea.tiling import Box, lonlat_from_scene, open_scene
from geofovea.tiling.geo.region import (
    PIXELS,
    OutsideSceneError,
    Region,
    region_caution,
    region_from_crs,
)
from geofovea.tiling.geo.ring_thinning import thinned


@pytest.fixture
def make_scene(make_raster, texture):
    """A scene of 600 pixels a side from its CRS, its corner and the size of a pixel."""

    def make(crs, origin, pixel, side=600):
        transform = Affine(pixel, 0, origin[0], 0, -pixel, origin[1])
        return open_scene(make_raster(texture(side, side), crs=crs, transform=transform))

    return make


def shares(scene, polygon, crs, count=90):
    """Of pixel centers: which lie in the polygon by pyproj, and which in the region."""
    along = (np.arange(count) + 0.5) / count
    x, y = (p.ravel() for p in np.meshgrid(along * scene.width, along * scene.height))
    a, b, c, d, e, f = scene.transform
    there = pyproj.Transformer.from_crs(pyproj.CRS(scene.crs_wkt), crs, always_xy=True)
    u, v = there.transform(a * x + b * y + c, d * x + e * y + f)
    right = np.zeros(len(x), bool)
    for turn in (-360, 0, 360) if pyproj.CRS(crs).is_geographic else (0,):
        right |= shapely.contains_xy(polygon, np.asarray(u) + turn, v)
    return right, shapely.contains_xy(region_from_crs(scene, polygon, crs).geometry, x, y)


SCENES = {
    "utm": ("EPSG:32610", (500_000, 5_430_000), 1),
    "laea": ("EPSG:3035", (4_321_000, 3_210_000), 10),
    "web mercator": ("EPSG:3857", (1_500_000, 6_000_000), 5),
    "polar": ("EPSG:3413", (-300_000, 300_000), 1000),
    "equal-area polar": ("EPSG:6931", (-9_000_000, 9_000_000), 30_000),
    "world": ("EPSG:4326", (-180, 90), 0.6),
    "0 to 360": ("EPSG:4326", (0, 90), 0.6),
    "beyond 180": ("EPSG:4326", (177, 60), 0.01),
    "from 270": ("EPSG:4326", (270, 60), 0.01),
    "robinson": ("ESRI:54030", (-17_000_000, 8_600_000), 28_000),
    "feet": ("EPSG:2263", (980_000, 200_000), 3),
}
POLYGONS = {
    "the world": shapely.box(-180, -90, 180, 90),
    "the north": shapely.box(-180, 0, 180, 90),
    "a hemisphere": shapely.box(-150, -60, 179, 85),
    "a wide band": shapely.box(-130, 30, 60, 49.0205),
    "over the antimeridian": shapely.box(170, 10, 190, 58),
    "west of it": shapely.box(-179.5, 20, -85, 57),
    "two parts": shapely.MultiPolygon(
        [shapely.box(-130, 30, -60, 49.0205), shapely.box(172, 51, 179, 53)]
    ),
    "with a hole": shapely.box(-170, -80, 170, 80).difference(shapely.box(-100, 10, 14, 50)),
}


@pytest.mark.parametrize("polygon", POLYGONS)
@pytest.mark.parametrize("scene", SCENES)
def test_a_polygon_in_lonlat_covers_the_pixels_that_it_holds(make_scene, scene, polygon):
    opened = make_scene(*SCENES[scene], side=600 if scene != "world" else 300)
    shape = POLYGONS[polygon]
    try:
        right, got = shares(opened, shape, "EPSG:4326")
    except OutsideSceneError:
        turns = [np.array([turn, 0.0]) for turn in (-360, 0, 360)]
        everywhere = shapely.union_all(
            [shapely.transform(shape, lambda xy, t=turn: xy + t) for turn in turns]
        )
        place = shapely.geometry.shape(lonlat_from_scene(opened, opened.box))
        assert everywhere.intersection(place).area < 1e-3
        return
    # a cell of a scene that tears the polygon is wrong by half of itself at most
    assert (right == got).mean() > 0.985


@settings(deadline=None, max_examples=40)
@given(
    st.floats(0.5, 70), st.floats(0.5, 30), st.floats(0.1, 0.9), st.sampled_from([-1, 1]),
)  # fmt: skip
def test_a_long_parallel_is_followed_however_long_it_is(tmp_path_factory, wide, high, cut, side):
    import rasterio

    path = tmp_path_factory.mktemp("edges") / "s.tif"
    profile = {"driver": "GTiff", "width": 200, "height": 200, "count": 1, "dtype": "uint8"}
    with rasterio.open(
        path, "w", **profile, crs="EPSG:32610", transform=Affine(5, 0, 500_000, 0, -5, 5_430_000)
    ) as file:
        file.write(np.full((1, 200, 200), 9, np.uint8))
    scene = open_scene(path)
    (_, edge) = scene.georeference.lonlat_from_scene(np.array([(100, 200 * cut)]))[0]
    south, north = (edge - high, edge) if side > 0 else (edge, edge + high)
    right, got = shares(scene, shapely.box(-123 - wide, south, -123 + wide, north), "EPSG:4326", 60)
    assert (right == got).mean() > 0.99


@pytest.mark.parametrize("scene", ["beyond 180", "from 270", "0 to 360", "utm"])
def test_what_is_written_as_evidence_is_found_again_as_a_region(make_scene, scene):
    opened = make_scene(*SCENES[scene])
    part = Box(450, 50, 590, 200)
    own = shapely.geometry.shape(lonlat_from_scene(opened, part))
    region = region_from_crs(opened, own, "OGC:CRS84").geometry
    assert region.symmetric_difference(shapely.box(*part.as_tuple())).area < 1e-3 * part.area


def test_a_polygon_in_another_projection_is_followed_too(make_scene):
    scene = make_scene(*SCENES["utm"])
    x, y = pyproj.Transformer.from_crs(32610, 3005, always_xy=True).transform(500_300, 5_429_700)
    right, got = shares(scene, shapely.box(x - 9e5, y - 4e5, x + 9e5, y), "EPSG:3005")
    assert 0.3 < right.mean() < 0.7
    assert (right == got).mean() > 0.99


NEAR_ROME = ("EPSG:4326", (12.40, 41.95), 0.0001)


def test_a_polygon_of_a_map_comes_with_a_crs_of_any_library(make_scene):
    scene = make_scene(*NEAR_ROME)
    shape = shapely.box(12.41, 41.92, 12.43, 41.94)
    by_text = Region.from_crs(scene, shape, "EPSG:4326")
    assert by_text.geometry.equals(region_from_crs(scene, shape, "EPSG:4326").geometry)
    for crs in (pyproj.CRS(4326), rasterio.CRS.from_epsg(4326), pyproj.CRS(4326).to_wkt()):
        assert Region.from_crs(scene, shape, crs).geometry.equals(by_text.geometry)
    assert Region.from_crs(scene, shapely.box(5, 5, 9, 9), "pixels").geometry.bounds == (5, 5, 9, 9)


def test_numbers_without_a_crs_that_may_be_places_are_asked_about(make_scene):
    scene = make_scene(*NEAR_ROME)
    degrees = shapely.box(12.41, 41.92, 12.43, 41.94)
    with pytest.raises(GeometryError, match="crs='pixels'"):
        region_from_crs(scene, degrees, None)
    placed = region_from_crs(scene, degrees, "EPSG:4326").geometry
    assert placed.bounds == pytest.approx((100, 100, 300, 300), abs=0.01)
    assert region_from_crs(scene, degrees, PIXELS).geometry.bounds == degrees.bounds
    meters = make_scene("EPSG:32633", (100, 700), 1)
    with pytest.raises(GeometryError, match="crs='pixels'"):
        region_from_crs(meters, shapely.box(150, 200, 300, 400), None)


def test_numbers_without_a_crs_that_are_pixels_are_taken_with_a_warning(make_scene):
    scene, pixels = make_scene(*SCENES["utm"]), shapely.box(100, 100, 300, 250)
    region = region_from_crs(scene, pixels, None)
    assert region.geometry.equals(pixels)
    (caution,) = region_caution(scene, region, None)
    assert "x 100 to 300" in caution
    assert region_caution(scene, region, PIXELS) == ()
    with pytest.raises(GeometryError, match="taken for pixels"):
        region_from_crs(scene, shapely.box(5000, 100, 5300, 250), None)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1))
def test_boxes_overlap_a_region_where_they_share_area(seed):
    rng = np.random.default_rng(seed)
    hull = shapely.convex_hull(shapely.MultiPoint(rng.integers(0, 40, (6, 2)).astype(float)))
    if hull.area == 0:
        return
    shape = hull.difference(shapely.box(15, 15, 20, 20))
    if not isinstance(shape, (shapely.Polygon, shapely.MultiPolygon)) or shape.area == 0:
        return
    corners = rng.integers(0, 40, (60, 2)).astype(float)
    boxes = np.concatenate((corners, corners + rng.integers(1, 12, (60, 2))), axis=1)
    right = shapely.area(shapely.intersection(shape, shapely.box(*boxes.T))) > 1e-6
    assert (Region(shape).overlap_mask(boxes) == right).all()


def star(vertices, waves, center=512.0):
    t = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    r = 400 + 80 * np.sin(waves * t)
    return shapely.Polygon(np.stack([center + r * np.cos(t), center + r * np.sin(t)], 1))


def test_very_many_vertices_are_thinned_to_what_pixels_can_show():
    dense = star(200_000, 30)
    few = thinned(dense, 0.25)
    assert few.is_valid
    assert shapely.get_num_coordinates(few) < 10_000
    assert few.symmetric_difference(dense).area < 0.25 * dense.length
    assert shapely.hausdorff_distance(few, dense) < 0.6
    small = shapely.box(0, 0, 9, 9)
    assert thinned(small, 0.25) is small
