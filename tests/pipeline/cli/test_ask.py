"""Answers for people and as one object, warnings apart, one line for what cannot be asked."""

import json
import re

import pytest
from cli_toys import is_one_error_line
from full_disks import few_bytes
from PIL import Image
from pipeline_toys import QUESTION, texture


def test_ask_prints_the_answer_and_what_it_cost(ask):
    result = ask()
    assert result.exit_code == 0, result.stderr
    assert "% sure)" in result.stdout.splitlines()[0]
    assert "looked at  12 tiles" in result.stdout
    assert "60 of 192 vision tokens" in result.stdout
    where = r"evidence   49\.\d{5}° N, 12\.\d{5}° E, \d+ m x \d+ m \(pixels x "
    assert re.search(where, result.stdout)
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
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.geojson", "e.qml", "p.png"]


def test_the_page_is_written(ask, tmp_path):
    result = ask("--page", tmp_path / "answer.html")
    assert result.exit_code == 0, result.stderr
    assert "connect-src" not in (page := (tmp_path / "answer.html").read_text())
    assert page.startswith("<!doctype html>")
    assert result.stdout.split("   (")[0] in page


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
    assert "--band-map nir=N,red=N" in unknown.stderr


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
    "options",
    [["--bands", "red"], ["--bands", "1;2"], ["--focus", "oracle", "--box", "1,2,3"]],
)
def test_words_that_are_no_numbers_are_wrong_usage(ask, options):
    result = ask(*options)
    assert result.exit_code == 2
    assert "numbers" in result.stderr


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
    assert "is not a budget: it needs a" in result.stderr


WRITTEN = {"--picture": ".png", "--evidence": ".geojson", "--page": ".html", "--output": ".gpkg"}


@pytest.mark.parametrize("option", WRITTEN)
def test_a_result_that_cannot_be_written_is_told_before_the_work(ask, option, tmp_path):
    # the scene is missing too: had it been opened first, the error would be another
    file = tmp_path / "nowhere" / f"file{WRITTEN[option]}"
    result = ask(option, file, scene=tmp_path / "missing.tif")
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert "there is no folder" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_answer_without_its_file_is_told_and_ends_with_an_error(ask, tmp_path):
    with few_bytes(100):
        result = ask("--output", tmp_path / "answer.tif", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["answer"]
    assert any("answer.tif could not be written" in warning for warning in answer["warnings"])
    assert not list(tmp_path.glob("*answer*"))


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--save-png", "look.geojson", "--save-png writes a file with the suffix .png"),
        ("--save-geojson", "evidence.gpkg", "--save-geojson writes a file with the suffix"),
        ("--page", "page.png", "--page writes a file with the suffix .html"),
        ("-o", "answer.doc", "answers are saved as one of"),
    ],
)
def test_a_name_that_promises_another_format_is_refused_before_the_work(
    ask, option, name, message, tmp_path
):
    result = ask(option, tmp_path / name, scene=tmp_path / "missing.tif")
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_suffix_of_the_output_chooses_the_format(ask, tmp_path):
    starts = {".json": b'{\n "question"', ".geojson": b'{\n "type": "Feature', ".png": b"\x89PNG"}
    for suffix, start in starts.items():
        result = ask("-o", tmp_path / f"answer{suffix}")
        assert result.exit_code == 0, result.stderr
        assert (tmp_path / f"answer{suffix}").read_bytes().startswith(start)
        assert f"wrote      {tmp_path / f'answer{suffix}'}" in result.stdout


@pytest.mark.parametrize("option", WRITTEN)
def test_the_scene_itself_is_never_written_over(ask, option, make_png):
    # a name that the option could write
    scene = make_png(80, 90)
    scene = scene.rename(scene.with_suffix(WRITTEN[option]))
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
