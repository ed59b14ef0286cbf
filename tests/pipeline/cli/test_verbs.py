"""The command line: one object of JSON or a few lines, one line for an error, and no debris."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pipeline_toys import QUESTION, texture

from geofovea.datasets.records.annotations import read_records
from geofovea.pipeline.cli import main

FEW = ["--tiles", "12", "--tokens", "60"]


@pytest.fixture
def run():
    """``run("inspect", path)``: the result of a command."""
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def ask(run, tiny_folder, scene_path):
    """``ask(*options, scene=..., question=...)`` with the tiny model, and its budget small."""

    def call(*options, scene=scene_path, question=QUESTION, model=tiny_folder):
        return run("ask", scene, question, "--model", model, *FEW, *options)

    return call


def is_one_error_line(result):
    lines = result.stderr.splitlines()
    return len(lines) == 1 and lines[0].startswith("error: ") and result.stdout == ""


def test_ask_prints_the_answer_and_what_it_cost(ask):
    result = ask()
    assert result.exit_code == 0, result.stderr
    assert "% sure)" in result.stdout.splitlines()[0]
    assert "looked at  12 tiles" in result.stdout
    assert "60 of 192 vision tokens" in result.stdout
    assert "evidence   pixels x " in result.stdout
    # the toy never ends an answer by itself
    assert result.stderr.split()[:6] == ["warning", "the", "answer", "was", "cut", "at"]
    assert len(result.stderr.splitlines()) == 1


def test_ask_json_prints_one_object_that_keeps_the_budget(ask, scene_path, tiny_folder):
    result = ask("--json")
    assert result.exit_code == 0
    row = json.loads(result.stdout)
    assert (row["question"], row["model"]) == (QUESTION, str(tiny_folder))
    assert row["scene"]["path"] == str(scene_path)
    assert row["cost"]["tiles_encoded"] <= 12 == row["cost"]["budget"]["tiles"]
    assert row["cost"]["tokens_llm"] <= 60 == row["cost"]["budget"]["tokens"]
    assert all("the answer was cut" in warning for warning in row["warnings"])
    assert len(result.stdout.splitlines()) == 1


def test_json_stays_clean_where_there_are_warnings(ask, make_png):
    result = ask("--json", scene=make_png(80, 80))
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["warnings"]) >= 2
    assert json.loads(result.stdout)["scene"]["crs"] is None


def test_warnings_go_to_standard_error(ask, make_png):
    result = ask(scene=make_png(80, 80))
    assert result.exit_code == 0
    assert all(line.startswith("  warning ") for line in result.stderr.splitlines())
    assert "synthetic scenes only" in result.stderr
    assert "warning" not in result.stdout


def test_evidence_and_picture_are_written(ask, tmp_path):
    result = ask("--evidence", tmp_path / "e.geojson", "--picture", tmp_path / "p.png")
    assert result.exit_code == 0, result.stderr
    assert json.loads((tmp_path / "e.geojson").read_text())["features"]
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.format == "PNG"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.geojson", "p.png"]


def test_bands_are_taken_from_the_words(ask, make_tiff):
    path = make_tiff(texture(100, 100, 5))
    assert ask("--bands", "4,3,2", scene=path).exit_code == 0
    assert ask("--bands", " 1, 2, 3", scene=path).exit_code == 0
    for wrong in ("4,3,9", "0,1,2"):
        result = ask("--bands", wrong, scene=path)
        assert result.exit_code == 1
        assert is_one_error_line(result)


def test_composites_and_nodata_are_taken_from_the_words(ask, make_tiff):
    path = make_tiff(texture(100, 100, 5))
    words = ["--composite", "NDVI", "--band-map", "red=3, nir=5", "--nodata", "0", "--json"]
    result = ask(*words, scene=path)
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)["radiometry"]
    assert (record["composite"], record["bands"]) == ("ndvi", [5, 3])
    for wrong in (
        ["--composite", "nonsense"],
        ["--band-map", "red"],
        ["--band-map", "red=x"],
        ["--nodata", "black"],
        ["--bands", "one"],
    ):
        assert ask(*wrong, scene=path).exit_code == 2
    unknown = ask("--composite", "ndvi", scene=path)
    assert unknown.exit_code == 1
    assert is_one_error_line(unknown)
    assert "band_map" in unknown.stderr


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


@pytest.mark.parametrize("focus", ["attention", "overview", "uniform"])
def test_every_focus_can_be_named(ask, focus):
    result = ask("--focus", focus, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["cost"]["tiles_encoded"] <= 12


def test_an_oracle_takes_its_boxes_from_the_words(ask):
    result = ask("--focus", "oracle", "--box", "1500,300,1540,330", "--json")
    assert result.exit_code == 0
    best = json.loads(result.stdout)["evidence"][0]
    assert best["level"] == 0
    assert best["box_scene"][0] < 1540
    assert best["box_scene"][2] > 1500


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["ask"],
        ["ask", "scene.tif"],
        ["telepathy"],
        ["ask", "scene.tif", "Why?", "--telepathy"],
        ["ask", "scene.tif", "Why?", "--tiles", "many"],
        ["ask", "scene.tif", "Why?", "--focus", "telepathy"],
        ["synth"],
        ["inspect"],
    ],
)
def test_wrong_usage_exits_with_2_and_a_hint(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "options",
    [["--bands", "red"], ["--bands", "1;2"], ["--focus", "oracle", "--box", "1,2,3"]],
)
def test_words_that_are_no_numbers_are_wrong_usage(ask, options):
    result = ask(*options)
    assert result.exit_code == 2
    assert "numbers" in result.stderr


@pytest.mark.parametrize(
    "name",
    [
        "missing.tif",
        "http://127.0.0.1:9/scene.tif",
        "/vsicurl/http://127.0.0.1:9/scene.tif",
        "/vsizip/a.zip/scene.tif",
        "",
    ],
)
@pytest.mark.parametrize("verb", ["ask", "inspect"])
def test_a_scene_that_may_not_be_opened_is_one_error_line(run, verb, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(verb, name, *([QUESTION] if verb == "ask" else []))
    assert result.exit_code == 1
    assert is_one_error_line(result)


@pytest.mark.parametrize("verb", ["ask", "inspect"])
@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ([], "allow_remote=True"),
        (["--allow-remote"], "--allow-host 127.0.0.1"),
        (["--allow-remote", "--allow-host", "a.org", "--allow-host", "b.org"], "a.org, b.org"),
        (["--allow-remote", "--allow-host", "127.0.0.1"], "could not be read"),
    ],
)
def test_a_url_is_asked_only_on_a_host_that_was_allowed(run, verb, options, advice):
    # nothing listens on the port, so the last one gets as far as it can
    url = "http://mallory:word@127.0.0.1:9/scene.tif?signature=1"
    result = run(verb, url, *([QUESTION] if verb == "ask" else []), *options)
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert advice in result.stderr
    assert "mallory" not in result.stderr
    assert "signature" not in result.stderr


def test_a_text_that_is_called_tif_and_a_vrt_are_one_error_line(ask, tmp_path):
    (tmp_path / "notes.tif").write_text("these are notes")
    (tmp_path / "scene.vrt").write_text('<VRTDataset rasterXSize="8" rasterYSize="8"/>')
    for name, words in (("notes.tif", "GeoTIFF"), ("scene.vrt", "virtual raster")):
        result = ask(scene=tmp_path / name)
        assert result.exit_code == 1
        assert is_one_error_line(result)
        assert words in result.stderr


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_truncated_scene_is_one_error_line(ask, make_tiff, make_png, tmp_path, share):
    for path in (make_tiff(texture(400, 400)), make_png(400, 400)):
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        result = ask("--picture", tmp_path / "p.png", scene=path)
        assert result.exit_code == 1
        assert is_one_error_line(result)
        assert not (tmp_path / "p.png").exists()


@pytest.mark.parametrize("question", ["", "   ", "why " * 2500])
def test_a_question_that_cannot_be_asked_is_one_error_line(ask, question):
    result = ask(question=question)
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert "question" in result.stderr


@pytest.mark.parametrize(
    "options",
    [["--tiles", "0"], ["--tokens", "-1"], ["--seconds", "0"], ["--seconds", "nan"]],
)
def test_a_budget_that_cannot_be_kept_is_one_error_line(ask, options):
    result = ask(*options)
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert "a budget needs" in result.stderr


@pytest.mark.parametrize("option", ["--picture", "--evidence"])
def test_a_result_that_cannot_be_written_is_told_before_the_work(ask, option, tmp_path):
    # the scene is missing too: had it been opened first, the error would be another
    result = ask(option, tmp_path / "nowhere" / "file.png", scene=tmp_path / "missing.tif")
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert "there is no folder" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--picture", "--evidence"])
def test_the_scene_itself_is_never_written_over(ask, option, make_png):
    scene = make_png(80, 90)
    before = scene.read_bytes()
    result = ask(option, scene.parent / "." / scene.name, scene=scene)
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert scene.read_bytes() == before


@pytest.mark.parametrize("model", ["telepathy", "a/b/c", "nobody/no-such-model"])
def test_an_unknown_model_is_one_error_line(ask, model):
    result = ask(model=model)
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert model in result.stderr


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


def test_inspect_refuses_a_tile_of_no_size(run, scene_path):
    result = run("inspect", scene_path, "--tile-size", 0)
    assert result.exit_code == 1
    assert is_one_error_line(result)


def test_synth_writes_scenes_and_questions_that_can_be_read(run, ask, tmp_path):
    folder = tmp_path / "data"
    arguments = ["--side", 1024, "--scenes", 2, "--per-category", 1, "--seed", 3]
    result = run("synth", "--output", folder, *arguments)
    assert result.exit_code == 0, result.stderr
    records = list(read_records(folder / "annotations.jsonl"))
    assert len({r.image for r in records}) == 2
    assert len({r.category for r in records}) >= 6
    assert all((folder / r.image).is_file() and r.image_size == (1024, 1024) for r in records)
    assert len(list((folder / "image").iterdir())) == 2
    answer = ask("--json", scene=folder / records[0].image, question=records[0].question)
    told = json.loads(answer.stdout)["warnings"]
    assert all("the answer was cut" in warning for warning in told)


@pytest.mark.parametrize("options", [["--scenes", 0], ["--per-category", 0], ["--side", 100]])
def test_synth_of_nothing_is_one_error_line(run, tmp_path, options):
    result = run("synth", "--output", tmp_path / "data", *options)
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("verb", [["synth"], ["train"], ["demo"], ["bench", "synthetic"]])
def test_an_output_that_is_a_file_is_one_error_line(run, tmp_path, verb, tiny_folder):
    (tmp_path / "taken").write_text("x")
    model = ["--model", tiny_folder] if verb[0] == "bench" else []
    result = run(*verb, "--output", tmp_path / "taken", *model)
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert (tmp_path / "taken").read_text() == "x"


@pytest.mark.slow
def test_bench_prints_the_table_that_it_writes(run, tmp_path, tiny_folder):
    arguments = ["--sides", "1024", "--scenes", 1, "--per-category", 1, *FEW]
    result = run("bench", "synthetic", "--output", tmp_path, "--model", tiny_folder, *arguments)
    assert result.exit_code == 0, result.stderr
    assert "### 1024 × 1024 px" in result.stdout
    assert result.stdout.strip() == (tmp_path / "table.md").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("verb", [[], ["ask"], ["inspect"], ["bench", "synthetic"]])
def test_help_is_there_for_every_verb(run, verb):
    for option in ("--help", "-h"):
        result = run(*verb, option)
        assert result.exit_code == 0
        assert "Usage: " in result.stdout


def test_the_version_is_that_of_the_package(run):
    import geofovea

    assert geofovea.__version__ in run("--version").stdout


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from geofovea.pipeline.cli import main\n"
        "for words in ([], ['ask'], ['bench', 'synthetic']):\n"
        "    try:\n"
        "        main([*words, '--help'])\n"
        "    except SystemExit:\n"
        "        pass\n"
        "heavy = ('torch', 'rasterio', 'transformers', 'numpy', 'rich')\n"
        "print('loaded:', *(n for n in heavy if n in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]
    assert done.stderr == ""


@pytest.mark.slow
def test_a_whole_process_writes_one_line_when_a_scene_is_damaged(tiny_folder, make_tiff):
    # a library that logs on its own does so here, and not under a test runner that catches logs
    path = make_tiff(texture(400, 400))
    path.write_bytes(path.read_bytes()[:-20_000])
    code = "from geofovea.pipeline.cli import main; main()"
    arguments = ["ask", path, QUESTION, "--model", tiny_folder, *FEW]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")


@pytest.mark.slow
def test_a_whole_process_writes_nothing_but_the_answer(tiny_folder, scene_path):
    code = "from geofovea.pipeline.cli import main; main()"
    arguments = ["ask", scene_path, QUESTION, "--model", tiny_folder, *FEW, "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["question"] == QUESTION
    assert done.stderr == ""


def test_choices_are_printed_with_their_shares_and_stand_in_the_json(ask):
    chosen = ("--choice", "red", "--choice", "white", "--choice", "parking lot")
    shown = ask(*chosen)
    assert shown.exit_code == 0, shown.stderr
    shares = [line for line in shown.stdout.splitlines() if line.lstrip()[:2] in ("A ", "B ", "C ")]
    assert [line.split("%  ")[1] for line in shares] == ["red", "white", "parking lot"]
    row = json.loads(ask(*chosen, "--json").stdout)
    assert [choice["text"] for choice in row["choices"]] == ["red", "white", "parking lot"]
    assert row["answer"] in ("red", "white", "parking lot")
    assert json.loads(ask("--json").stdout)["choices"] == []


def test_a_single_choice_is_one_error_line(ask):
    result = ask("--choice", "red")
    assert result.exit_code == 1
    assert is_one_error_line(result)


def test_loading_options_reach_the_model(ask):
    exact = json.loads(ask("--json").stdout)
    rough = json.loads(ask("--json", "--dtype", "bfloat16").stdout)
    assert rough["confidence"] != exact["confidence"]
    spread = json.loads(ask("--json", "--positions", "original").stdout)
    assert spread["confidence"] != exact["confidence"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--dtype", "int7"], 2, "int7"),
        (["--device-map", "elsewhere"], 2, "elsewhere"),
        (["--quantization", "1bit"], 2, "1bit"),
        (["--positions", "scene"], 1, "choose one of compact, original"),
        (["--device", "nowhere"], 1, "nowhere"),
    ],
)
def test_a_loading_option_that_cannot_be_meant_is_refused(ask, options, code, words):
    result = ask(*options)
    assert result.exit_code == code
    assert words in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bench", "journal", "few"),
    [
        ("synthetic", None, ["--sides", "1024", *FEW]),
        ("policies", "run.json", ["--side", "1024", *FEW]),
        ("reductions", "reductions.jsonl", ["--sides", "1024", "--methods", "divprune"]),
    ],
)
def test_a_bench_loads_its_model_as_it_is_told(run, tmp_path, tiny_folder, bench, journal, few):
    common = [*few, "--scenes", 1, "--per-category", 1, "--model", tiny_folder]
    into = ["bench", bench, "--output", tmp_path / "run", *common]
    refused = run(*into, "--positions", "scene")
    assert refused.exit_code == 1
    assert "no positions 'scene'" in refused.stderr
    done = run(*into, "--dtype", "bfloat16")
    assert done.exit_code == 0, done.stderr
    if journal:
        first = (tmp_path / "run" / journal).read_text().splitlines()[0]
        assert json.loads(first)["loading"] == {"dtype": "bfloat16"}
        other = run(*into)
        assert other.exit_code == 1, "answers in other numbers are not mixed"
        assert is_one_error_line(other)
