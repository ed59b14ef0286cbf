"""What is known of a scene, for people and as JSON."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from cli_toys import is_one_error_line
from pipeline_toys import texture
from rasterio.enums import Resampling

import geofovea as gf


def test_inspect_says_what_would_be_shown(run, make_tiff):
    path = make_tiff(texture(100, 100, 4, "uint16"))
    plain = json.loads(run("inspect", path, "--json").stdout)
    assert "percentile 2 to 98" in plain["shown"]
    assert any("are a guess" in note for note in plain["notes"])
    told = run("inspect", path, "--composite", "ndwi", "--band-map", "green=2,nir=4")
    assert told.exit_code == 0, told.stderr
    assert "ndwi (open water bright) with green=2, nir=4" in told.stdout
    declared = json.loads(run("inspect", path, "--nodata", "auto", "--json").stdout)
    assert declared["mask"] == "declared"


def test_inspect_tells_what_is_known_of_a_scene(run, scene_path):
    result = run("inspect", scene_path, "--tile-size", 64)
    assert result.exit_code == 0, result.stderr
    for words in ("2048 × 2048 px", "EPSG:32633", "red, green, blue (uint8)", "overview 1/2"):
        assert words in result.stdout
    assert result.stderr == ""


def test_inspect_json_is_one_object(run, scene_path, make_tiff):
    row = json.loads(run("inspect", scene_path, "--tile-size", 64, "--json").stdout)
    assert (row["width"], row["height"], row["crs"]) == (2048, 2048, "EPSG:32633")
    assert [level["level"] for level in row["levels"]] == list(range(6))
    empty = make_tiff(np.ones((1, 9, 9), "float32"), nodata=float("nan"))
    result = run("inspect", empty, "--json")
    json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_the_levels_of_a_synthetic_scene_are_those_that_the_demo_model_looks_at(
    run, scene_path, make_tiff
):
    row = json.loads(run("info", scene_path, "--json").stdout)
    session = gf.open(scene_path, model="embedded")
    levels = range(session.pyramid.top_level + 1)
    assert [level["level"] for level in row["levels"]] == list(levels)
    assert f"{session.pyramid.tile_size} × " in run("info", scene_path).stdout
    # any other scene is asked about with another model
    assert "336 × 336 px; a model may use another size" in run(
        "info", make_tiff(texture(400, 400, 3))
    ).stdout.replace("\n", " ")


def test_info_names_what_13_bands_are_read_as_and_counts_tiles_as_pixels(run, make_tiff):
    path = make_tiff(texture(300, 130, 13, "uint16"))
    unnamed = " ".join(run("info", path, "--tile-size", 64).stdout.split())
    assert "bands gray, 12 undefined (uint16)" in unnamed
    with rasterio.open(path, "r+") as file:
        file.descriptions = [f"B{n:02}" for n in range(1, 14)]
    shown = " ".join(run("info", path, "--tile-size", 64).stdout.split())
    names = ", ".join(f"B{n:02}" for n in range(1, 14))
    assert f"bands {names} (uint16)" in shown
    assert "(B01, B02, B03, B04, B05, B06, B07, B08, B09, B10, B11, B12, B13) were read" in shown
    width, height = gf.open_scene(path).width, gf.open_scene(path).height
    assert f"{width} × {height} {-(-width // 64)} × {-(-height // 64)} native" in shown


def test_info_says_that_nan_marks_missing_pixels_of_floats(run, make_tiff):
    floats = json.loads(run("info", make_tiff(texture(90, 90, 1, "float32")), "--json").stdout)
    assert any(note.startswith("nothing but NaN marks missing") for note in floats["notes"])
    bytes_ = json.loads(run("info", make_tiff(texture(90, 90)), "--json").stdout)
    assert any(note.startswith("nothing marks missing") for note in bytes_["notes"])


def test_inspect_refuses_a_tile_of_no_size(run, scene_path):
    result = run("inspect", scene_path, "--tile-size", 0)
    assert result.exit_code == 1
    assert is_one_error_line(result)


def test_info_says_that_no_pixel_is_valid(run, make_tiff):
    result = run("info", make_tiff(np.zeros((3, 90, 120), "uint8"), nodata=0))
    assert result.exit_code == 0, result.stderr
    assert "note: no pixel of the overview is valid" in result.stdout
    assert "no pixel" not in run("info", make_tiff(texture(90, 120), nodata=0)).stdout


def test_info_says_that_an_overview_beside_the_scene_was_cut_short(run, make_tiff):
    path = make_tiff(texture(700, 700))
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.average)
    beside = Path(f"{path}.ovr")
    assert "cannot be read" not in run("info", path).stdout
    beside.write_bytes(beside.read_bytes()[:-2000])
    result = run("info", path, "--json")
    assert result.exit_code == 0, result.stderr
    (note,) = (n for n in json.loads(result.stdout)["notes"] if "overview cannot be read" in n)
    assert f"check the file and '{beside}' beside it" in note
