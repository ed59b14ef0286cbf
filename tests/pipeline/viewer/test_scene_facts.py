"""What a page knows of a scene: true, without paths, and places within a quarter of a pixel."""

import json

import numpy as np
import pytest
import rasterio
from pipeline_toys import texture
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from geofovea.pipeline.answers.page.data import scene_name
from geofovea.pipeline.answers.page.facts import lonlat_grid, shown_facts
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.tiling.opening import open_scene
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry


def interpolated(grid, scene, x, y):
    """What a page computes: bilinear between the nodes."""
    n = grid["n"]
    u, v = x / scene.width * (n - 1), y / scene.height * (n - 1)
    j, i = min(int(u), n - 2), min(int(v), n - 2)
    u, v = u - j, v - i
    place = []
    for name in ("lon", "lat"):
        rows = np.array(grid[name], float)
        top = rows[i, j] * (1 - u) + rows[i, j + 1] * u
        bottom = rows[i + 1, j] * (1 - u) + rows[i + 1, j + 1] * u
        place.append(top * (1 - v) + bottom * v)
    return np.array(place)


def error_pixels(scene, grid, count=200):
    """The largest error at random places, in native pixels, by the exact map of the scene."""
    rng, worst = np.random.default_rng(3), 0.0
    for x, y in rng.uniform(0, 1, (count, 2)) * (scene.width, scene.height):
        around = np.array([(x, y), (x + 1, y), (x, y + 1)])
        exact = scene.georeference.lonlat_from_scene(around)
        away = interpolated(grid, scene, x, y) - exact[0]
        away[0] -= 360 * np.round(away[0] / 360)
        steps = exact[1:] - exact[0]
        steps[:, 0] -= 360 * np.round(steps[:, 0] / 360)
        worst = max(worst, float(np.hypot(*np.linalg.solve(steps.T, away))))
    return worst


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32633", Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)),
        ("EPSG:3857", Affine(10, 0, 1_000_000, 0, -10, 8_000_000)),
        ("EPSG:4326", Affine(0.01, 0, 10, 0, -0.01, 50)),
        ("EPSG:32633", Affine(0.4, 0.3, 500_000, 0.3, -0.4, 5_400_000)),
    ],
    ids=["utm", "web-mercator", "degrees", "rotated"],
)
def test_a_page_finds_places_within_a_quarter_of_a_pixel(make_tiff, crs, transform):
    scene = open_scene(make_tiff(texture(600, 900), crs=crs, transform=transform))
    grid = lonlat_grid(scene)
    assert grid["error_px"] <= 0.25
    assert error_pixels(scene, grid) <= 0.3


def test_the_coarsest_grid_that_is_good_enough_is_taken(make_tiff):
    small = open_scene(make_tiff(texture(300, 300)))
    wide = open_scene(
        make_tiff(
            texture(600, 600),
            name="wide.tif",
            crs="EPSG:3857",
            transform=Affine(20_000, 0, 0, 0, -20_000, 14_000_000),
        )
    )
    assert lonlat_grid(small)["n"] == 17
    grid = lonlat_grid(wide)
    assert grid["n"] > 17
    assert error_pixels(wide, grid) <= max(0.3, 1.5 * grid["error_px"])


def test_over_the_antimeridian_longitudes_go_on(make_tiff):
    scene = open_scene(
        make_tiff(
            texture(400, 400), crs="EPSG:32601", transform=Affine(200, 0, 140_000, 0, -200, 10_000)
        )
    )
    grid = lonlat_grid(scene)
    lon = np.array(grid["lon"])
    corners = np.array([(0, 0), (scene.width, 0)])
    exact = scene.georeference.lonlat_from_scene(corners)[:, 0]
    assert abs(exact[1] - exact[0]) > 300, "the scene does not cross the antimeridian"
    assert np.abs(np.diff(lon, axis=0)).max() < 180
    assert np.abs(np.diff(lon, axis=1)).max() < 180
    assert grid["error_px"] <= 0.25
    assert error_pixels(scene, grid) <= 0.3


def test_a_scene_around_the_antimeridian_by_control_points(make_tiff):
    longitudes = ((0, 179.9), (200, 180.0), (400, -179.9))
    rows = [(r, c, lon, 10 - r / 2000) for r in (0, 400) for c, lon in longitudes]
    points = [GroundControlPoint(row=r, col=c, x=x, y=y) for r, c, x, y in rows]
    path = make_tiff(texture(400, 400), transform=None, crs=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    scene = open_scene(path)
    assert scene.georef == "gcps"
    grid = lonlat_grid(scene)
    assert np.abs(np.diff(np.array(grid["lon"]), axis=1)).max() < 1
    assert error_pixels(scene, grid) <= 0.3


def test_places_off_the_map_are_null_and_the_others_are_there(make_tiff):
    # far outside of the disk that the projection shows
    scene = open_scene(
        make_tiff(
            texture(300, 300),
            crs="+proj=ortho +lat_0=0 +lon_0=10 +ellps=WGS84",
            transform=Affine(60_000, 0, -9e6, 0, -60_000, 9e6),
        )
    )
    grid = lonlat_grid(scene)
    values = [value for row in grid["lon"] for value in row]
    assert None in values
    assert any(value is not None for value in values)
    assert abs(interpolated(grid, scene, 150, 150) - (10, 0)).max() < 1


def test_without_georeference_there_is_no_grid(make_png):
    assert lonlat_grid(open_scene(make_png(100, 100))) is None


@pytest.mark.parametrize(
    ("crs", "told"),
    [(None, "is not named"), ("+proj=longlat +a=3396190 +b=3376200", "is not on the Earth")],
)
def test_on_no_planet_or_another_there_is_no_grid_and_the_facts_say_why(make_tiff, crs, told):
    scene = open_scene(make_tiff(texture(100, 100), crs=crs))
    facts = shown_facts(scene, plan_radiometry(scene))
    assert lonlat_grid(scene) is facts["lonlat"] is None
    assert told in facts["warnings"][-1]


def test_facts_are_those_of_the_scene_and_hold_no_path(serve_scene, scene_path):
    served = serve_scene()
    facts, scene = served.to_json(), served.session.scene
    assert (facts["width"], facts["height"]) == (scene.width, scene.height)
    assert facts["name"] == scene_path.name
    assert facts["crs"] == "EPSG:32633"
    assert facts["gsd_m"] == pytest.approx(scene.gsd_m)
    assert facts["model"]["side"] == served.session.host.tile_size
    assert (facts["ready"], facts["error"]) == (True, "")
    text = json.dumps(facts, allow_nan=False)
    assert str(scene_path.parent) not in text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/secret/scene.tif", "scene.tif"),
        ("scene.tif", "scene.tif"),
        ("C:\\data\\scene.tif", "scene.tif"),
        ("https://user:pw@host/a/b.tif?sig=secret", "b.tif"),
        ("s3://bucket/key/c.tif", "c.tif"),
        ("https://host/", "scene"),
        ("", "scene"),
    ],
)
def test_a_name_is_the_last_part_of_a_path(path, name):
    assert scene_name(path) == name


def test_the_version_changes_with_the_file_and_with_what_is_shown(
    serve_scene, make_tiff, tiny_host
):
    path = make_tiff(texture(300, 300, 4))
    first = serve_scene(path).version
    assert serve_scene(path).version == first
    other = SceneSession(open_scene(path), tiny_host, bands=(4, 3, 2))
    assert ServedScene("1", other).version != first
    make_tiff(texture(300, 301, 4))
    assert serve_scene(path).version != first


def test_a_page_hears_each_warning_of_a_scene_once(make_tiff, tiny_host):
    path = make_tiff(texture(40, 60))
    with rasterio.open(path, "r+") as file:
        file.scales = (0.0,) * file.count
    told = ServedScene("1", SceneSession(open_scene(path), tiny_host)).to_json()["warnings"]
    assert sum("band 1 says scale 0" in warning for warning in told) == 1
    assert len(set(told)) == len(told)
