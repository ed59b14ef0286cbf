"""A row that cannot be asked fails by itself: the others are answered, and all are written."""

import json
import os
import shutil

import geopandas
import pytest
import shapely
from click.testing import CliRunner
from pipeline_toys import QUESTION, texture

from geofovea.pipeline.cli import main

FEW = ("--tiles", 4, "--tokens", 40)


@pytest.fixture
def batch(tiny_folder, tmp_path):
    """``batch(source, *options)``: its rows by id, as both files of results hold them."""

    def call(*arguments, code=0):
        out = tmp_path / "out"
        options = ("--model", tiny_folder, *FEW, "--output", out, "--allow-failures")
        words = [os.fsdecode(a) if isinstance(a, bytes) else str(a) for a in (*arguments, *options)]
        result = CliRunner().invoke(main, ["batch", *words])
        assert result.exit_code == code, result.output
        rows = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
        frame = geopandas.read_parquet(out / "answers.parquet")
        assert list(frame["id"]) == [row["id"] for row in rows]
        assert list(frame["status"]) == [row["status"] for row in rows]
        return {row["id"]: row for row in rows}

    return call


@pytest.fixture
def good(make_tiff):
    return make_tiff(texture(300, 300), "good.tif", transform=(1, 0, 5e5, 0, -1, 5e6), crs="EPSG:32633")  # fmt: skip # noqa: E501


def odd_file(good, folder):
    """A copy of a raster under a name as old cameras and Windows leave it."""
    try:
        shutil.copy(good, folder / os.fsdecode(b"caf\xe9.tif"))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")


@pytest.mark.parametrize("source", ["", "*.tif"])
def test_a_file_whose_name_no_result_can_hold_is_left_out_with_a_note(
    source, tiny_folder, good, tmp_path
):
    folder, out = tmp_path / "folder", tmp_path / "out"
    folder.mkdir()
    shutil.copy(good, folder / "good.tif")
    odd_file(good, folder)
    words = [folder / source, "--question", QUESTION, "--model", tiny_folder, *FEW, "--output", out]
    result = CliRunner().invoke(main, ["batch", *map(str, words)])
    assert result.exit_code == 0, result.output
    (row,) = map(json.loads, (out / "answers.jsonl").read_text().splitlines())
    assert (row["scene"], row["status"]) == (f"{folder}/good.tif", "answered")
    note = "left out   1 file with a name that is not UTF-8 text, such as "
    assert note in result.stderr
    assert "udce9.tif'; rename it" in result.stderr


def test_a_folder_of_such_files_alone_is_refused(tiny_folder, good, tmp_path):
    (tmp_path / "folder").mkdir()
    odd_file(good, tmp_path / "folder")
    words = [
        tmp_path / "folder",
        "--question",
        QUESTION,
        "--model",
        tiny_folder,
        "-o",
        tmp_path / "out",
    ]
    result = CliRunner().invoke(main, ["batch", *map(str, words)])
    assert result.exit_code == 1
    assert "nothing but 1 file with a name that is not UTF-8 text" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("field", ["question", "scene", "id"])
def test_half_a_character_in_a_manifest_is_refused_with_row_and_column(field, good, tmp_path):
    fine = {"id": "fine", "scene": str(good), "question": QUESTION}
    odd = fine | {"id": "odd"}
    odd[field] = odd[field].replace("o", "o\ud800", 1)
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(map(json.dumps, (fine, odd))))
    result = CliRunner().invoke(main, ["batch", str(path), "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert f"row 2, column {field!r}:" in result.stderr
    assert "is not UTF-8 text at character" in result.stderr


def test_a_stac_item_without_a_scene_fails_alone(batch, good, tmp_path):
    items = [
        {"type": "Feature", "id": "bad", "assets": {}},
        {"type": "Feature", "id": "good", "assets": {"data": {"href": str(good)}}},
    ]
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    rows = batch(path, "--question", QUESTION)
    assert rows["good"]["status"] == "answered"
    assert rows["bad"]["status"] == "failed"
    assert "not one raster but 0" in rows["bad"]["error"]


def test_a_polygon_that_crosses_itself_fails_alone(batch, good, tmp_path):
    box = shapely.box(5e5 + 50, 5e6 - 250, 5e5 + 250, 5e6 - 50)
    bow = shapely.Polygon([(5e5 + 50, 5e6 - 50), (5e5 + 250, 5e6 - 250), (5e5 + 250, 5e6 - 50),
                           (5e5 + 50, 5e6 - 250)])  # fmt: skip
    frame = geopandas.GeoDataFrame({"name": ["box", "bow"]}, geometry=[box, bow], crs=32633)
    frame.to_file(tmp_path / "r.gpkg")
    rows = batch(
        good, "--question", QUESTION, "--regions", tmp_path / "r.gpkg", "--region-name", "name"
    )
    assert {row["region"]: row["status"] for row in rows.values()} == {
        "box": "answered",
        "bow": "failed",
    }
    (bad,) = (row for row in rows.values() if row["region"] == "bow")
    assert "Self-intersection" in bad["error"]


def test_wkt_in_a_manifest_restricts_the_answer(batch, good, tmp_path):
    box = shapely.box(5e5 + 50, 5e6 - 250, 5e5 + 150, 5e6 - 150)
    path = tmp_path / "m.jsonl"
    fields = {"scene": str(good), "question": QUESTION, "id": "a"}
    path.write_text(json.dumps(fields | {"geometry": box.wkt, "crs": "EPSG:32633"}))
    (row,) = batch(path).values()
    assert row["status"] == "answered"
    placed = shapely.from_geojson(json.dumps(row["geometry"]))
    (truth,) = geopandas.GeoSeries([box], crs=32633).to_crs(4326)
    assert truth.buffer(1e-6).contains(placed)


def test_a_batch_of_bad_rows_alone_says_so(batch, tmp_path):
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "Feature", "id": "bad", "assets": {}}))
    assert batch(path, "--question", QUESTION)["bad"]["status"] == "failed"


def test_what_the_shell_stores_and_prints_names_options_as_they_are_typed(
    batch, make_tiff, make_session, tiny_folder, tmp_path
):
    # nothing says which of five bands are colors
    path = make_tiff(texture(300, 300, 5), "bands.tif", photometric="minisblack")
    (row,) = batch(path, "--question", QUESTION).values()
    typed = [w for w in row["warnings"] if "(choose with --bands)" in w]
    assert typed
    assert "--bands" in (tmp_path / "out" / "answers.csv").read_text()
    shell = [str(path), QUESTION, "--model", str(tiny_folder), *map(str, FEW)]
    files = ("--output", str(tmp_path / "a.json"))
    asked = CliRunner().invoke(main, ["ask", *shell, *files, "--json"])
    assert asked.exit_code == 0, asked.output
    assert typed[0] in json.loads(asked.stdout)["warnings"]
    assert typed[0] in json.loads((tmp_path / "a.json").read_text())["warnings"]
    # Python's names stay those of Python
    answer = make_session(path).ask(QUESTION, tiles=2)
    assert typed[0].replace("--bands", "bands=") in answer.warnings


def test_settings_that_no_row_can_be_asked_with_are_refused_once_and_leave_the_folder_free(
    tiny_folder, good, tmp_path
):
    words = [good, "--question", QUESTION, "--model", tiny_folder, *FEW]
    words = ["batch", *map(str, words), "--output", str(tmp_path / "out"), "--memory", "50"]
    refused = CliRunner().invoke(main, [*words, "--reduction", "fastv"])
    assert refused.exit_code == 1
    assert "leave out --memory, or what drops tokens there in --reduction" in refused.stderr
    assert not list((tmp_path / "out").glob("answers.*"))
    assert CliRunner().invoke(main, words).exit_code == 0
