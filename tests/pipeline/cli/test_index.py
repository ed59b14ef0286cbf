"""``geofovea index`` and ``geofovea search``: lines for people, JSON for programs, exit codes."""

import json

import pytest
from cli_toys import is_one_error_line
from dual_encoders import write_encoder

from geofovea.errors import OutputError


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder") / "clip", "clip")


@pytest.fixture
def folder(run, tmp_path, scene_path, encoder):
    """An index of the coarse levels of the synthetic scene."""
    folder = tmp_path / "index"
    options = ["-o", folder, "--encoder", encoder, "--levels", "4,5"]
    result = run("index", scene_path, *options)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("1 scene, 20 tiles read\n")
    assert "levels     4, 5 (0 is native)" in result.stdout
    assert "MB a gigapixel" in result.stdout
    return folder


def test_a_search_names_the_scene_and_its_tiles(run, folder, scene_path):
    result = run("search", folder, "red", "roof", "--tiles", 2)
    assert result.exit_code == 0, result.stderr
    first, *rest = result.stdout.splitlines()
    assert first == f"1. {scene_path}"
    assert max(map(len, rest)) <= 80
    assert "compared   20 tiles with 'red roof'" in rest[-1]
    record = json.loads(run("search", folder, "red roof", "--json").stdout)
    (scene,) = record["scenes"]
    assert scene["scene"] == str(scene_path)
    assert scene["tiles"][0]["lonlat"] is not None


def test_a_search_is_written_for_a_map(run, folder, tmp_path, scene_path):
    path = tmp_path / "roofs.geojson"
    result = run("search", folder, "red roof", "-o", path, "--tiles", 2, "--json")
    assert result.exit_code == 0, result.stderr
    (scene,) = json.loads(result.stdout)["scenes"]
    features = json.loads(path.read_text())["features"]
    assert [f["geometry"]["coordinates"] for f in features] == [t["lonlat"] for t in scene["tiles"]]
    assert [f["properties"]["scene"] for f in features] == [str(scene_path)] * 2
    assert is_one_error_line(run("search", folder, "red roof", "-o", tmp_path / "no" / "a.geojson"))


def test_a_budget_ends_a_run_and_the_next_one_goes_on(run, folder, scene_path):
    arguments = ["index", scene_path, "-o", folder, "--levels", 3, "--max-tiles", 50, "--json"]
    first = run(*arguments)
    assert first.exit_code == 0, first.stderr
    record = json.loads(first.stdout)
    assert (record["tiles_read"], record["stopped"], record["is_whole"]) == (50, "tiles", False)
    record = json.loads(run(*arguments).stdout)
    assert (record["tiles_read"], record["is_whole"]) == (14, True)
    assert record["megabytes_per_gigapixel"] > 0


def test_a_scene_that_cannot_be_read_is_exit_code_1(run, folder, tmp_path):
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"no picture")
    result = run("index", bad, "-o", folder)
    assert result.exit_code == 1
    assert f"failed     {bad}: " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "{scene}", "-o", "{new}"], "name one, for example --encoder openai/clip-"),
        (
            ["index", "{scene}", "-o", "{index}", "--tile-size", "64"],
            "leave out --tile-size to continue with its own",
        ),
        (["index", "nowhere.tif", "-o", "{new}", "--encoder", "x"], "there is no 'nowhere.tif'"),
        (
            ["index", "{scene}", "-o", "{index}", "--max-seconds", "-1"],
            "--max-seconds -1.0 is not a budget",
        ),
        (["search", "{new}", "pond"], "holds no index; make one with geofovea index"),
        (["search", "{index}", " "], "the phrase is empty"),
    ],
)
def test_what_is_wrong_is_one_line(run, folder, scene_path, tmp_path, arguments, message):
    names = {"scene": scene_path, "new": tmp_path / "new", "index": folder}
    result = run(*(argument.format(**names) for argument in arguments))
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert message in result.stderr


def test_levels_that_are_no_numbers_are_wrong_usage(run, folder, scene_path):
    for verb in (["index", scene_path, "-o", folder], ["search", folder, "pond"]):
        result = run(*verb, "--levels", "fine")
        assert result.exit_code == 2
        assert "'fine' is not a list of levels such as 0,1,2" in result.stderr


def test_ask_and_find_look_where_an_index_leads(run, folder, scene_path, tmp_path, tiny_folder):
    model = ("--model", tiny_folder, "--index", folder)
    result = run("ask", scene_path, "What color is the roof?", "--max-tiles", 6, *model)
    assert result.exit_code == 0, result.stderr
    assert "  index      20 tiles compared, " in result.stdout
    result = run("find", scene_path, "red roof", "--max-tiles", 6, *model, "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["coverage"]["by_index"]
    assert record["cost"]["tiles_indexed"] == 20
    assert record["cost"]["tiles_read"] == 6
    assert is_one_error_line(run("find", scene_path, "roof", *model[:2], "--index", tmp_path))


def test_what_an_index_cannot_lead_is_refused(run, folder, scene_path, tiny_folder):
    dates = (scene_path, scene_path, "--model", tiny_folder)
    result = run("compare-dates", *dates, "--index", folder)
    assert result.exit_code == 2
    assert "No such option '--index'" in result.stderr
    missing = run("ask", scene_path, "Where?", "--model", tiny_folder, "--focus", "similarity")
    assert "--focus-model" in missing.stderr
    assert "--index" in missing.stderr


def test_a_memory_is_filled_in_advance_and_goes_on(run, tmp_path, scene_path, monkeypatch):
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))
    fill = ("index", scene_path, "--memory", 50, "--kv", "plain:2", "--levels", "3,4,9")
    (first,) = json.loads(run(*fill, "--json").stdout)["scenes"]
    assert first["fill"]["made"] == first["fill"]["tiles"] > 0
    assert first["megabytes_per_gigapixel"] > 0
    result = run(*fill)
    assert f"0 tiles run, {first['fill']['tiles']} known" in result.stdout
    ask = ("ask", scene_path, "Is there a harbor?", "--memory", 50, "--kv", "plain:2")
    record = json.loads(run(*ask, "--cache-tokens", "--max-tiles", 5, "--json").stdout)
    assert record["cost"]["memory"]["tiles_read"] > 0
    small = ("index", scene_path, "--memory", 0.05, "--kv", "plain:2", "--model", "embedded")
    assert "do not fit; give --memory more" in run(*small).stderr
    # room for all tiles but one
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "narrow"))
    monkeypatch.setenv("GEOFOVEA_TOKENS_GB", f"{first['fill']['nbytes'] / 1.1e9:.9f}")
    result = run(*fill)
    assert result.exit_code == 0, result.stderr
    assert "not all of them stay there; set GEOFOVEA_TOKENS_GB" in " ".join(result.stderr.split())


def test_a_memory_that_the_disk_does_not_take_is_a_failure(run, tmp_path, scene_path, monkeypatch):
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))
    written = []

    def write(path, fill, **_):
        if len(written) == 3:
            raise OutputError(f"{path} could not be written: No space left on device")
        written.append(path)
        fill(path)

    monkeypatch.setattr("geofovea.pipeline.engine.tile_files.write_file", write)
    result = run("index", scene_path, "--memory", 50, "--levels", "3,4")
    assert result.exit_code == 1
    assert "stored" not in result.stdout
    told = " ".join(result.stderr.split())
    assert "No space left on device; GEOFOVEA_CACHE_DIR names the folder of the cache" in told
    assert "; the same command continues" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "name a folder for the index with --output, or give --memory"),
        (["--memory", 5, "-o", "x"], "a command of its own"),
        (["--memory", 5, "--max-tiles", 5], "a command of its own"),
    ],
)
def test_an_index_and_a_memory_are_told_apart(run, scene_path, options, message):
    result = run("index", scene_path, *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_scene_that_cannot_be_remembered_is_a_failure(run, tmp_path):
    broken = tmp_path / "a.tif"
    broken.write_bytes(b"II*\0 and no more")
    log = tmp_path / "run.log"
    result = run("index", broken, "--memory", 5, "--log-file", log)
    assert result.exit_code == 1
    # an exit that was meant is no error that nobody foresaw
    assert "Traceback" not in log.read_text()
    assert f"failed     {broken}" in result.stderr
