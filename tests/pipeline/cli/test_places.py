"""``geofovea find`` and ``geofovea count``: tables, files, polygons, and refusals."""

import json

import geopandas
import pytest
import rasterio
import shapely
from click.testing import CliRunner

from geofovea.errors import OutputError
from geofovea.pipeline.cli import main
from geofovea.pipeline.places.count import Count
from geofovea.pipeline.places.place_list import Places
from geofovea.tiling.geo.coordinates import geometry_crs
from geofovea.tiling.opening import open_scene


@pytest.fixture
def pad_file(world, scene_path, tmp_path):
    """The pad of the one site as a polygon on the ground."""
    scene = open_scene(scene_path)
    shape = geometry_crs(scene, world.named_sites[0].apron)
    path = tmp_path / "pad.gpkg"
    frame = geopandas.GeoDataFrame({"name": ["the pad"]}, geometry=[shape], crs=scene.crs_wkt)
    frame.to_file(path)
    return path


def called(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_find_prints_a_table_of_eighty_columns_and_writes_a_file(
    world, scene_path, pad_file, tmp_path
):
    kind = world.named_sites[0].things[0].kind
    output = tmp_path / "places.geojson"
    done = called(
        *("find", scene_path, kind, "--coverage", "sweep", "--regions", pad_file, "-o", output)
    )
    assert done.exit_code == 0, done.output
    table = done.stdout.split("looked at")[0].splitlines()
    assert max(map(len, table)) <= 80
    assert "100.0% of the area" in done.stdout
    features = json.loads(output.read_text())["features"]
    assert done.stdout.startswith(f"{kind} in 1: {len(features)} place")
    assert all(f["properties"]["label"] == kind for f in features)


def test_find_and_count_print_json_for_programs(world, scene_path, pad_file):
    kind = world.named_sites[0].things[0].kind
    region = ("--regions", pad_file, "--region-name", "name", "--json")
    found = json.loads(called("find", scene_path, kind, "--coverage", "sweep", *region).stdout)
    counted = json.loads(called("count", scene_path, kind, *region).stdout)
    assert found["region"] == counted["region"] == "the pad"
    assert counted["detections"] == found["count"] == len(found["places"])
    assert counted["low"] <= counted["count"] <= counted["high"]
    assert counted["method"] == "sweep"


def test_count_takes_measured_errors_out(world, scene_path, pad_file, tmp_path):
    kind = world.named_sites[0].things[0].kind
    errors = tmp_path / "errors.json"
    errors.write_text('{"hits": 50, "misses": 50, "false_alarms": 0, "tiles": 1000}')
    words = ("count", scene_path, kind, "--regions", pad_file, "--confusion", errors, "--json")
    counted = json.loads(called(*words).stdout)
    assert counted["count"] == pytest.approx(2 * counted["detections"])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("find", "SCENE", " "), 1, "the phrase is empty"),
        (("find", "SCENE", "truck", "-o", "places.doc"), 1, "places are saved as one of"),
        (("count", "SCENE", "truck", "-o", "trucks.xlsx"), 1, "counts are saved as one of"),
        (("find", "SCENE", "truck", "--max-tiles", "0"), 1, "--max-tiles 0 is not a budget"),
        (("find", "SCENE", "truck", "--max-tokens", "3"), 1, "--max-tokens 3 cannot hold"),
        (("find", "SCENE", "truck", "--min-score", "2"), 1, "--min-score 2.0 is not a probability"),
        (("count", "SCENE", "truck", "--confusion", "gone.json"), 1, "cannot be read"),
        (("count", "SCENE", "truck", "--region-name", "name"), 2, "go with --regions"),
        (("count", "gone.tif", "truck"), 1, "gone.tif"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_in_the_words_of_the_shell(
    scene_path, words, code, message
):
    done = called(*(scene_path if word == "SCENE" else word for word in words))
    assert done.exit_code == code
    assert message in done.output
    assert "Traceback" not in done.output


def test_a_region_without_data_is_left_out_and_the_others_are_not(scene_path, tmp_path):
    path, regions = tmp_path / "half.tif", tmp_path / "regions.geojson"
    with rasterio.open(scene_path) as scene:
        pixels, profile = scene.read(), scene.profile
    pixels[:, :, : scene.width // 2] = 0
    with rasterio.open(path, "w", **profile | {"nodata": 0}) as half:
        half.write(pixels)
    side = scene.width / 2
    boxes = [shapely.box(0, 0, side / 2, 96), shapely.box(side, 0, 2 * side, 96)]
    for count in (2, 1):
        frame = geopandas.GeoDataFrame(geometry=boxes[:count], crs="EPSG:4326")
        frame.to_file(regions)
        words = ("truck", "--regions", regions, "--region-crs", "pixels")
        for verb in ("find", "count"):
            done = called(verb, path, *words)
            assert done.exit_code == (0 if count == 2 else 1), done.output
            assert f"{path} shows no valid pixel" in done.output
            assert ("left out   1" in done.output) == (count == 2)
            assert ("truck in 2" in done.output) == (count == 2)


def test_polygons_elsewhere_are_named_and_refused(scene_path, tmp_path):
    path = tmp_path / "far.geojson"
    boxes = [shapely.box(100 + i, 60, 101 + i, 61) for i in range(8)]
    geopandas.GeoDataFrame(geometry=boxes, crs="EPSG:4326").to_file(path)
    done = called("count", scene_path, "truck", "--regions", path)
    assert done.exit_code == 1
    assert "shows none of the polygons" in done.output
    # a file of all fields of a country would flood a terminal
    left_out = [line for line in done.stderr.splitlines() if "left out" in line]
    assert [line.split()[2] for line in left_out] == ["1:", "2:", "3:", "4:", "5:", "3"]
    assert left_out[-1].endswith("3 more that it does not show")


def test_polygons_that_name_no_crs_are_taken_for_pixels_with_a_warning(scene_path, tmp_path):
    path = tmp_path / "pixels.parquet"
    geopandas.GeoDataFrame(geometry=[shapely.box(5, 5, 190, 190)], crs=None).to_parquet(path)
    for verb in ("find", "count"):
        shown = called(verb, scene_path, "truck", "--regions", path)
        assert shown.exit_code == 0, shown.output
        assert "taken for pixels" in shown.stderr
        assert "--region-crs pixels" in shown.stderr
        told = json.loads(called(verb, scene_path, "truck", "--regions", path, "--json").stdout)
        assert any("taken for pixels" in warning for warning in told["warnings"])
        said = called(verb, scene_path, "truck", "--regions", path, "--region-crs", "pixels")
        assert "taken for pixels" not in said.output


@pytest.mark.parametrize(("verb", "result"), [("find", Places), ("count", Count)])
def test_a_file_that_fails_at_the_end_does_not_cost_the_result(
    scene_path, pad_file, tmp_path, monkeypatch, verb, result
):
    def fail(*_):
        raise OutputError("the disk is full")

    monkeypatch.setattr(result, "save", fail)
    words = (verb, scene_path, "truck", "--regions", pad_file, "-o", tmp_path / "trucks.json")
    done = called(*words, "--max-tiles", 12, "--json")
    assert done.exit_code == 1
    first = done.stdout.splitlines()[0]
    assert json.loads(first)["phrase"] == "truck"
    assert "the disk is full" in done.stderr
