"""A scene on both sides of the antimeridian is searched, and its places lie on either side."""

import numpy as np
import pytest
import rasterio
import shapely
from pipeline_toys import texture
from rasterio.transform import Affine
from shapely.geometry import shape

import geofovea as gf
from geofovea.pipeline.archive.build import build_index
from geofovea.pipeline.archive.search import search_index
from geofovea.tiling.geo.region import region_from_crs

# the antimeridian at the equator, as an easting of UTM 60
AT_180 = 833_978.5569
BOTH_SIDES = shapely.MultiPolygon(
    [shapely.box(179.9985, 0.0005, 180, 0.0014), shapely.box(-180, 0.0005, -179.9985, 0.0014)]
)


@pytest.fixture(scope="module")
def scene_and_index(tmp_path_factory, encoder_folder):
    """320 × 128 pixels of 2 m, half of them on each side, and an index of them."""
    folder = tmp_path_factory.mktemp("antimeridian")
    pixels = texture(128, 320)
    profile = {"driver": "GTiff", "count": 3, "height": 128, "width": 320, "dtype": "uint8"}
    transform = Affine(2, 0, AT_180 - 320, 0, -2, 220)
    with rasterio.open(
        folder / "a.tif", "w", crs="EPSG:32660", transform=transform, tiled=True, **profile
    ) as file:
        file.write(pixels)
    build_index(folder / "index", [str(folder / "a.tif")], encoder=str(encoder_folder))
    return folder / "a.tif", folder / "index"


@pytest.fixture
def session(scene_and_index, tiny_host):
    path, index = scene_and_index
    return gf.open(path, model=tiny_host, index=index)


def sides(places):
    """On which sides the places of GeoJSON lie; each ring is on one."""
    result = set()
    for feature in places.geojson()["features"]:
        for part in shapely.get_parts(shape(feature["geometry"])):
            west, _, east, _ = part.bounds
            assert -180 <= west < east <= 180
            assert east - west < 1
            result.add(east > 0)
    return result


def test_an_area_in_two_parts_is_one_area_of_the_scene(session):
    region = region_from_crs(session.scene, BOTH_SIDES, "EPSG:4326")
    x0, y0, x1, y1 = region.geometry.bounds
    assert x0 < 160 < x1
    assert 0 < y0 < y1 < 128
    # the same area as numbers that go on beyond 180
    beyond = region_from_crs(session.scene, shapely.box(179.9985, 5e-4, 180.0015, 14e-4), 4326)
    assert beyond.geometry.symmetric_difference(region.geometry).area < 1e-3 * region.geometry.area


def test_find_and_count_look_at_both_sides(session):
    region = region_from_crs(session.scene, BOTH_SIDES, "EPSG:4326")
    swept = session.find("truck", coverage="sweep", region=region, min_score=1e-6)
    assert swept.coverage.is_complete
    assert sides(swept) == {False, True}
    led = session.find("truck", tiles=4, region=region, min_score=1e-6)
    assert led.coverage.by_index
    assert led.coverage.tiles_total == swept.coverage.tiles_total
    count = session.count("truck", region=region, min_score=1e-6)
    assert count.coverage.is_complete
    assert len(count.places) == len(swept)


def test_a_search_names_longitudes_of_the_map(scene_and_index):
    result = search_index(scene_and_index[1], "truck", tiles=40, levels=[0])
    longitudes = np.array([hit.lonlat[0] for hit in result.scenes[0].hits])
    assert (np.abs(longitudes) <= 180).all()
    assert {*np.sign(longitudes)} == {-1, 1}
    for hit in result.scenes[0].hits:
        assert (hit.lonlat[0] > 0) == (hit.box_scene.center[0] < 160)
