"""What is known of a scene, for people and as JSON."""

import json

import numpy as np
import pytest
from cli_toys import is_one_error_line
from pipeline_toys import texture

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


def test_inspect_refuses_a_tile_of_no_size(run, scene_path):
    result = run("inspect", scene_path, "--tile-size", 0)
    assert result.exit_code == 1
    assert is_one_error_line(result)
