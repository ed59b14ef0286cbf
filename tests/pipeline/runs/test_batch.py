"""``geofovea batch``: rows for all that was asked, good files, and messages for bad input."""

import codecs
import csv
import io
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
import warnings

import geopandas
import pandas as pd
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from pipeline_toys import QUESTION, texture
from rasterio.errors import NotGeoreferencedWarning

from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.cli import main
from geofovea.pipeline.runs.batch_results import write_csv
from geofovea.pipeline.runs.journal import Journal
from geofovea.pipeline.session.settings import AskSettings
from geofovea.tiling.files.stamp import scene_identity

FEW = ("--tiles", "6", "--tokens", "20")
OTHER = "How many trucks are at the quarry?"


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A folder of three good scenes in one CRS, one without any, and three broken ones."""
    folder = tmp_path_factory.mktemp("scenes")
    for seed in (1, 2, 3):
        write_scene(make_world(seed, 768, 768), folder / f"s{seed}.tif")
    with warnings.catch_warnings():
        # rasterio says so of every picture without georeference that it writes
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            folder / "bare.png", "w", driver="PNG", width=90, height=80, count=3, dtype="uint8"
        ) as bare:
            bare.write(texture(80, 90))
    (folder / "bare.png.aux.xml").unlink(missing_ok=True)
    whole = (folder / "s1.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[: len(whole) // 2])
    (folder / "text.tif").write_text("these are notes")
    (folder / "gone.tif").symlink_to("nowhere.tif")
    (folder / "readme.md").write_text("not a scene")
    return folder


@pytest.fixture
def batch(tiny_folder, tmp_path):
    """``batch(*arguments)``: the result of the command with the tiny model, into ``out``."""

    def call(*arguments, output=tmp_path / "out"):
        words = ["batch", *arguments, "--output", output, "--model", tiny_folder, *FEW]
        # failed rows are told in the results; the exit code has tests of its own
        words.append("--allow-failures")
        return CliRunner().invoke(main, [str(word) for word in words])

    return call


@pytest.fixture
def rows(tmp_path):
    """``rows()``: what ``answers.jsonl`` holds, by id."""

    def read(output=tmp_path / "out"):
        lines = (output / "answers.jsonl").read_text().splitlines()
        found = [json.loads(line, parse_constant=pytest.fail) for line in lines]
        assert len({row["id"] for row in found}) == len(found)
        return {row["id"]: row for row in found}

    return read


def is_one_error_line(result, *words):
    lines = result.stderr.splitlines()
    assert all(word in result.stderr for word in words), result.stderr
    return result.exit_code == 1 and len(lines) == 1 and lines[0].startswith("error: ")


def test_a_folder_with_broken_members_gives_a_row_for_each(batch, rows, scenes):
    result = batch(scenes, "--question", QUESTION, "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert (summary["rows"], summary["answered"], summary["failed"]) == (7, 4, 3)
    found = rows()
    good = found[f"{scenes}/s2.tif"]
    assert good["status"] == "answered"
    assert good["cost"]["tiles_encoded"] <= 6
    assert good["provenance"]["configuration"] == summary["configuration"]
    assert good["provenance"]["versions"].keys() >= {"geofovea", "torch", "transformers"}
    assert shapely.geometry.shape(good["geometry"]).is_valid
    assert found[f"{scenes}/bare.png"]["geometry"] is None
    assert any("georeference" in w for w in found[f"{scenes}/bare.png"]["warnings"])
    kinds = {"cut": "SceneReadError", "text": "SceneRefusedError", "gone": "SceneNotFoundError"}
    for name, kind in ((f"{stem}.tif", kind) for stem, kind in kinds.items()):
        broken = found[f"{scenes}/{name}"]
        assert (broken["status"], broken["tries"], broken["answer"]) == ("failed", 1, None)
        assert broken["error"].startswith(kind)


def test_geoparquet_csv_and_jsonl_say_the_same(batch, rows, scenes, tmp_path):
    assert batch(scenes, "--question", QUESTION).exit_code == 0
    table = pd.read_csv(tmp_path / "out" / "answers.csv", keep_default_na=False)
    assert table.set_index("id").index.tolist() == list(rows())
    places = (table[name].replace("", "nan").astype(float) for name in ("longitude", "latitude"))
    points = geopandas.points_from_xy(*places)
    for (_, told), point, row in zip(table.iterrows(), points, rows().values(), strict=True):
        for name in ("scene", "question", "status"):
            assert told[name] == row[name]
        for name in ("answer", "confidence", "error"):
            assert str(told[name]) == ("" if row[name] is None else str(row[name]))
        assert told["warnings"] == " | ".join(row["warnings"] or ())
        assert str(told["tiles_encoded"]) == str((row["cost"] or {}).get("tiles_encoded", ""))
        assert math.isnan(point.x) == (row["geometry"] is None)
        assert math.isnan(point.x) or shapely.geometry.shape(row["geometry"]).covers(point)
    frame = geopandas.read_parquet(tmp_path / "out" / "answers.parquet").set_index("id")
    assert frame.crs.to_authority() == ("OGC", "CRS84")
    assert list(frame.index) == list(rows())
    for name, row in rows().items():
        told = frame.loc[name]
        assert told["status"] == row["status"]
        if row["status"] == "answered":
            assert told["answer"] == row["answer"]
            # a table has no number where there is no confidence
            is_known = row["confidence"] is not None
            assert told["confidence"] == row["confidence"] or not is_known
            assert (told["confidence"] == told["confidence"]) == is_known
            assert json.loads(told["cost"]) == row["cost"]
            assert list(told["warnings"]) == row["warnings"]
        if row["geometry"]:
            assert told.geometry.equals(shapely.geometry.shape(row["geometry"]))


def test_a_table_runs_no_formula_and_keeps_numbers_and_letters(tmp_path):
    texts = ["=HYPERLINK(1)", "+cmd", "@x", "-3.5", "+1e5", "-", 'zwölf, "x"\nzwei', "", None]
    names = "id scene question region status confidence error stopped warnings cost scene_facts"
    nothing = dict.fromkeys([*names.split(), "provenance", "geometry"])
    write_csv([nothing | {"answer": text} for text in texts], tmp_path / "a.csv")
    raw = (tmp_path / "a.csv").read_bytes()
    assert raw.startswith(codecs.BOM_UTF8)
    told = [row["answer"] for row in csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), ""))]
    assert told == ["'=HYPERLINK(1)", "'+cmd", "'@x", "-3.5", "+1e5", "'-", texts[6], "", ""]


def test_a_batch_answers_as_a_session_does(batch, rows, scenes, make_session):
    from geofovea.regionfocus.budget import Budget

    assert batch(scenes / "s1.tif", "--question", QUESTION).exit_code == 0
    (row,) = rows().values()
    alone = make_session(scenes / "s1.tif").ask(QUESTION, budget=Budget(tiles=6, tokens=20))
    assert row["answer"] == alone.text
    assert row["confidence"] == pytest.approx(alone.confidence)
    assert row["evidence"] == json.loads(json.dumps(alone.evidence.to_json()))


def test_a_manifest_is_asked_scene_by_scene_and_equal_rows_once(batch, rows, scenes, tmp_path):
    lines = [("a", "s1.tif", QUESTION), ("b", "s2.tif", QUESTION), ("c", "s1.tif", OTHER)]
    lines += [("d", "s1.tif", QUESTION)]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(
        "\n".join(
            json.dumps({"id": i, "scene": str(scenes / s), "question": q}) for i, s, q in lines
        )
    )
    result = batch(manifest, "--json")
    assert json.loads(result.stdout)["answered_now"] == 3
    assert list(rows()) == ["a", "c", "d", "b"]
    assert rows()["a"]["answer"] == rows()["d"]["answer"]
    # tiles that the first question of a scene has read are not read for the next
    assert rows()["c"]["cost"]["tiles_read"] < rows()["a"]["cost"]["tiles_read"]


def test_polygons_restrict_questions_to_the_scenes_that_show_them(batch, rows, scenes, tmp_path):
    with rasterio.open(scenes / "s1.tif") as one:
        left, top, size = one.bounds.left, one.bounds.top, one.res[0]
        crs = one.crs
    inside = shapely.box(left + 40 * size, top - 200 * size, left + 90 * size, top - 100 * size)
    frame = {"name": ["field", "elsewhere"]}
    shapes = [inside, shapely.box(left - 9e4, top, left - 8e4, top + 10)]
    path = tmp_path / "r.gpkg"
    # the file is in another CRS than the scene
    geopandas.GeoDataFrame(frame, geometry=shapes, crs=crs).to_crs("EPSG:3857").to_file(path)
    arguments = ["--question", QUESTION, "--regions", path, "--region-name", "name"]
    result = batch(scenes / "s1.tif", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    (row,) = rows().values()
    assert row["region"] == "field"
    assert json.loads(result.stdout)["notes"][0].endswith("no scene shows this polygon")
    in_lonlat = geopandas.GeoSeries([inside], crs=crs).to_crs("EPSG:4326").iloc[0]
    where = shapely.geometry.shape(row["geometry"])
    assert where.difference(in_lonlat.buffer(1e-7)).area == 0
    # the budget has tiles for a part of it
    assert where.area > 0.1 * in_lonlat.area
    for item in row["evidence"]:
        assert shapely.box(*item["box_scene"]).intersects(shapely.box(40, 100, 90, 200))
    far = geopandas.GeoDataFrame({"name": ["x"]}, geometry=[shapes[1]], crs=crs)
    far.to_file(tmp_path / "far.gpkg")
    nowhere = batch(scenes / "s1.tif", "--question", "Why?", "--regions", tmp_path / "far.gpkg")
    assert is_one_error_line(nowhere, "the polygon lies in none of the scenes")


def test_a_polygon_of_a_manifest_outside_its_scene_is_a_failed_row(batch, rows, scenes, tmp_path):
    shapes = [shapely.box(0, 0, 10, 10), shapely.box(10, 10, 60, 60)]
    frame = {"scene": [str(scenes / "s1.tif"), str(scenes / "bare.png")], "id": ["far", "px"]}
    path = tmp_path / "m.parquet"
    geopandas.GeoDataFrame(frame, geometry=shapes, crs="EPSG:32633").to_parquet(path)
    assert batch(path, "--question", QUESTION).exit_code == 0
    assert "outside the scene" in rows()["far"]["error"]
    assert "no georeference" in rows()["px"]["error"]


def test_a_second_run_asks_nothing_and_writes_the_same(batch, rows, scenes, tmp_path):
    batch(scenes, "--question", QUESTION)
    before = (tmp_path / "out" / "answers.jsonl").read_bytes()
    (tmp_path / "out" / "answers.jsonl").unlink()
    summary = json.loads(batch(scenes, "--question", QUESTION, "--json").stdout)
    assert (summary["kept"], summary["answered_now"], summary["answered"]) == (7, 0, 4)
    assert (tmp_path / "out" / "answers.jsonl").read_bytes() == before


def test_a_mended_scene_is_asked_again_and_a_failed_one_when_told(batch, rows, scenes, tmp_path):
    path = tmp_path / "mine.tif"
    path.write_bytes((scenes / "cut.tif").read_bytes())
    assert batch(path, "--question", QUESTION).exit_code == 0
    assert rows()[str(path)]["tries"] == 1
    batch(path, "--question", QUESTION, "--retry-failed")
    assert (rows()[str(path)]["status"], rows()[str(path)]["tries"]) == ("failed", 2)
    path.write_bytes((scenes / "s1.tif").read_bytes())
    batch(path, "--question", QUESTION)
    assert (rows()[str(path)]["status"], rows()[str(path)]["tries"]) == ("answered", 1)


def test_too_many_failures_stop_the_run_with_one_line(batch, rows, scenes):
    result = batch(scenes, "--question", QUESTION, "--max-failures", "1")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: stopped because 1 items failed; ")
    assert len(rows()) == 2


def test_another_configuration_in_the_way_is_refused_unless_told(batch, rows, scenes):
    batch(scenes / "s1.tif", "--question", QUESTION)
    refused = batch(scenes / "s1.tif", "--question", QUESTION, "--focus", "uniform")
    assert is_one_error_line(refused, "'attention' there, 'uniform' now", "--overwrite")
    told = batch(scenes / "s1.tif", "--question", QUESTION, "--focus", "uniform", "--replace")
    assert told.exit_code == 0
    back = batch(scenes / "s1.tif", "--question", QUESTION)
    assert is_one_error_line(back, "'uniform' there, 'attention' now")


def test_results_without_their_journal_are_not_written_over(batch, scenes, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "answers.jsonl").write_text("precious\n")
    assert is_one_error_line(batch(scenes, "--question", QUESTION), "its journal is not")
    assert (tmp_path / "out" / "answers.jsonl").read_text() == "precious\n"


def test_two_runs_in_one_folder_are_refused_with_the_holder(batch, scenes, tmp_path):
    (tmp_path / "out").mkdir()
    with Journal(tmp_path / "out" / "journal.sqlite"):
        result = batch(scenes, "--question", QUESTION)
    assert is_one_error_line(result, f"process {os.getpid()} on ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.tif"], "there is no 'missing.tif'"),
        (["{scenes}"], "ask all scenes one with --question"),
        (["{scenes}", "--question", "Why?", "--regions", "no.gpkg"], "no vector file no.gpkg"),
    ],
)
def test_bad_input_is_one_error_line_before_anything_is_made(
    batch, scenes, tmp_path, arguments, words
):
    result = batch(*(a.format(scenes=scenes) for a in arguments))
    assert is_one_error_line(result, words)
    assert not (tmp_path / "out").exists()


def test_an_impossible_budget_is_one_error_line_before_anything_is_made(scenes, tmp_path):
    words = ["batch", str(scenes), "--question", "Why?", "--tiles", "0"]
    result = CliRunner().invoke(main, [*words, "--output", str(tmp_path / "out")])
    assert is_one_error_line(result, "--max-tiles 0 is not a budget")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--workers", "2", "--executor", "inline"],
        ["--address", "auto"],
        ["--item-seconds", "5"],
        ["--region-name", "x"],
        [],
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(batch, scenes, arguments):
    sources = [scenes, "--question", "Why?"] if arguments else []
    assert batch(*sources, *arguments).exit_code == 2


def test_another_model_in_the_folder_is_another_configuration(tiny_folder, tmp_path):
    copy = tmp_path / "model"
    copy.mkdir()
    for path in tiny_folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    settings = AskSettings(str(copy), {})
    before = settings.hash
    assert AskSettings(str(copy), {}).hash == before
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert settings.hash != before
    assert AskSettings(str(copy), {"tiles": 3}).hash != settings.hash


def test_a_scene_is_another_when_it_or_its_overviews_change(make_tiff):
    path = make_tiff(texture(80, 80))
    before = scene_identity(str(path))
    assert scene_identity(str(path)) == before
    side = path.with_name(path.name + ".ovr")
    side.write_bytes(b"II*\0")
    assert scene_identity(str(path)) != before
    side.unlink()
    os.utime(path, ns=(1, 1))
    assert scene_identity(str(path)) != before


@pytest.mark.slow
def test_processes_answer_as_one_does(batch, rows, scenes, tmp_path):
    batch(scenes, "--question", QUESTION, "--question", OTHER)
    arguments = ["--executor", "processes", "--workers", "2", "--question", QUESTION]
    result = batch(scenes, *arguments, "--question", OTHER, output=tmp_path / "two")
    assert result.exit_code == 0, result.stderr
    one, two = rows(), rows(tmp_path / "two")
    assert list(one) == list(two)
    for name, row in one.items():
        assert two[name]["answer"] == row["answer"]
        assert two[name]["error"] == row["error"]
        if row["status"] == "answered":
            sure = row["confidence"]
            expected = None if sure is None else pytest.approx(sure, rel=1e-4)
            assert two[name]["confidence"] == expected


def touched(path):
    return path.stat().st_mtime_ns if path.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_real_batch_that_is_killed_goes_on_where_it_was(scenes, tiny_folder, tmp_path, rows):
    questions = [f"How many trucks are at the quarry {n}?" for n in range(12)]
    words = ["batch", scenes, "--output", tmp_path / "out", "--model", tiny_folder, *FEW]
    words += [word for question in questions for word in ("--question", question)]
    code = "from geofovea.pipeline.cli import main; main()"
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, words)]
    journal, rng, seen, struck = tmp_path / "out" / "journal.sqlite", random.Random(1), {}, 0
    for _ in range(int(os.environ.get("GEOFOVEA_BATCH_KILLS", "2"))):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = journal.stat().st_mtime_ns if journal.exists() else 0
        while process.poll() is None and (
            not journal.exists() or journal.stat().st_mtime_ns == before
        ):
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 3))
        process.send_signal(signal.SIGKILL)
        struck += process.wait(60) == -signal.SIGKILL
        with Journal(journal, wait=True) as opened:
            text = opened._all("SELECT scene, question, record FROM items WHERE record NOT NULL")
            assert seen.items() <= {(s, q): r for s, q, r in text}.items()
            seen = {(s, q): r for s, q, r in text}
    # three of the seven scenes are damaged: their rows fail
    assert subprocess.run(command, check=False, capture_output=True).returncode == 3
    assert struck
    found = rows()
    assert len(found) == 7 * len(questions)
    assert sum(row["status"] == "answered" for row in found.values()) == 4 * len(questions)


def test_a_log_gets_a_line_of_progress_now_and_then(batch, scenes, monkeypatch):
    monkeypatch.setattr("geofovea.pipeline.system.progress.SECONDS_BETWEEN_LINES", 0.0)
    result = batch(scenes / "s1.tif", "--question", QUESTION, "--question", OTHER)
    assert result.exit_code == 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("asking: ")]
    assert lines
    # the last one depends on which thread has its turn
    assert all(re.fullmatch(r"asking: [0-2] of 2(, .*)?, \d+\.\d min", line) for line in lines)
