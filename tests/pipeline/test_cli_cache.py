"""``geofovea cache`` and what ``ask`` and ``inspect`` say of level files."""

import json

import pytest
import rasterio
from click.testing import CliRunner
from pipeline_toys import QUESTION, texture

from geofovea.pipeline.cli import main
from geofovea.tiling import findings, level_files, open_scene, plan_radiometry, prepare


@pytest.fixture
def run(monkeypatch, tmp_path):
    """``run("cache", "list")`` with a cache of its own, where small scenes count as large."""
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(level_files, "DECODE_ONCE_PIXELS", 10_000)
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def striped(tmp_path):
    """A striped TIFF of 600 × 500 pixels."""
    path = tmp_path / "striped.tif"
    pixels = texture(500, 600)
    shape = {"width": 600, "height": 500, "count": len(pixels), "dtype": "uint8"}
    with rasterio.open(path, "w", "GTiff", interleave="pixel", **shape) as dataset:
        dataset.write(pixels)
    return path


def test_an_empty_cache_is_listed_and_cleared(run, tmp_path):
    shown = run("cache", "list").stdout
    assert shown == (
        f"0 scene(s), 0.0 MB of at most 32 GB in {tmp_path / 'cache'}\n"
        "0 finding(s) of contrast and borders, 0.0 MB\n"
        "0 encoded tile(s), 0.0 MB of at most 8 GB\n"
    )
    row = json.loads(run("cache", "clear", "--yes", "--json").stdout)
    removed = {"scenes": 0, "findings": 0, "tiles": 0, "bytes": 0, "left_alone": []}
    assert row == {"folder": str(tmp_path / "cache"), **removed}


def test_what_was_built_is_listed_and_cleared(run, striped, monkeypatch):
    prepare(open_scene(striped))
    monkeypatch.setenv("GEOFOVEA_CACHE_GB", "2.5")
    row = json.loads(run("cache", "list", "--json").stdout)
    assert row["bytes"] == row["scenes"][0]["bytes"] > 600 * 500 * 3
    (entry,) = row["scenes"]
    assert (entry["scene"], entry["levels"], entry["state"]) == (str(striped), [0, 1, 2], "current")
    assert row["limit_bytes"] == 2_500_000_000
    assert entry["used"] == pytest.approx(entry["built"], abs=60)
    shown = run("cache", "list").stdout
    assert "of at most 2.5 GB" in shown
    assert "striped.tif" in shown
    assert "1 scene(s)" in shown
    assert json.loads(run("cache", "clear", "--yes", "--json").stdout)["scenes"] == 1
    assert json.loads(run("cache", "list", "--json").stdout)["scenes"] == []


def test_what_was_found_is_listed_and_cleared(run, tmp_path, monkeypatch):
    monkeypatch.setattr(findings, "_CHEAP_PIXELS", 1000)
    shape = {"width": 600, "height": 500, "count": 1, "dtype": "uint16"}
    path = tmp_path / "deep.tif"
    with rasterio.open(path, "w", "GTiff", **shape) as dataset:
        dataset.write(texture(500, 600)[:1].astype("uint16"))
    plan_radiometry(open_scene(path))
    listed = json.loads(run("cache", "list", "--json").stdout)
    assert (listed["findings"], listed["scenes"]) == (1, [])
    assert "1 finding(s) of contrast and borders" in run("cache", "list").stdout
    cleared = json.loads(run("cache", "clear", "--yes", "--json").stdout)
    assert (cleared["findings"], cleared["bytes"]) == (1, listed["findings_bytes"])
    assert json.loads(run("cache", "list", "--json").stdout)["findings"] == 0
    plan_radiometry(open_scene(path))
    assert "1 finding(s) and 0 encoded" in run("cache", "clear", "--yes").stdout


def test_inspect_tells_what_a_question_will_build_and_builds_nothing(run, striped, tmp_path):
    row = json.loads(run("inspect", striped, "--json", "--tile-size", 64).stdout)
    assert row["way_in"] == "level_files"
    assert (row["level_files"]["builder"], row["level_files"]["are_built"]) == ("pyvips", False)
    assert row["level_files"]["levels"] == [0, 1, 2]
    assert "the first question builds" in run("inspect", striped).stdout
    assert not (tmp_path / "cache").exists()
    prepare(open_scene(striped))
    row = json.loads(run("inspect", striped, "--json", "--tile-size", 64).stdout)
    assert row["level_files"]["are_built"] is True


def test_a_question_builds_level_files_without_a_word_where_there_is_no_terminal(
    run, striped, tiny_folder
):
    budget = ["--tiles", "12", "--tokens", "60"]
    result = run("ask", striped, QUESTION, "--model", tiny_folder, "--json", *budget)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["scene"]["width"] == 600
    assert result.stderr == ""
    assert len(json.loads(run("cache", "list", "--json").stdout)["scenes"]) == 1
