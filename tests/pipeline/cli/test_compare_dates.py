"""``compare-dates`` asks about two scenes, or lists what changed; errors are one line."""

import json
import re

import pytest
from cli_toys import is_one_error_line
from PIL import Image

from geofovea.datasets.synthetic.dates import make_dated_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.regionfocus.reductions.chain_spec import ENCODER_LINKS
from geofovea.regionfocus.reductions.registry import DECODER_REDUCTION_NAMES, REDUCTION_NAMES


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dates")
    paths = tuple(folder / f"{number}.tif" for number in (0, 1))
    for number, path in enumerate(paths):
        write_scene(make_dated_world(4, 768, 768, number), path)
    return paths


@pytest.fixture
def compare(run, tiny_folder, paths):
    def call(*words, scenes=paths):
        return run("compare-dates", *scenes, *words, "--model", tiny_folder)

    return call


FEW = ["--max-tiles", "24", "--max-tokens", "60"]


def test_a_question_is_answered_with_the_dates_and_their_shares(compare, tmp_path):
    picture, evidence = tmp_path / "a.png", tmp_path / "a.geojson"
    result = compare("What changed?", *FEW, "--save-png", picture, "--save-geojson", evidence)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[1].startswith("  before     2024-06-01: 12 tiles, 30 vision tokens")
    assert lines[2].startswith("  after      2024-09-29: 12 tiles, 30 vision tokens")
    assert "evidence" in result.stdout
    assert json.loads(evidence.read_text())["features"]
    with Image.open(picture) as image:
        assert image.width > 900


def test_json_is_one_object(compare):
    result = compare("What changed?", *FEW, "--json", "--before-date", "2020-02-03")
    assert result.exit_code == 0, result.stderr
    row = json.loads(result.stdout)
    assert [date["date"] for date in row["dates"]] == ["2020-02-03", "2024-09-29"]
    assert row["cost"]["tiles_encoded"] <= 24


def test_without_a_question_changes_are_listed(compare, tmp_path):
    result = compare("--save-geojson", tmp_path / "changes.geojson")
    assert result.exit_code == 0, result.stderr
    assert "native tiles, 100.0% of the area" in result.stdout.splitlines()[0]
    features = json.loads((tmp_path / "changes.geojson").read_text())["features"]
    assert len(features) == int(result.stdout.split()[0])
    row = json.loads(compare("--json", *FEW[:2], "--min-score", 0.999).stdout)
    assert row["coverage"]["mode"] == "search"
    assert all(place["score"] >= 0.999 for place in row["places"])


@pytest.mark.parametrize(
    ("limit", "name"), [(["--timeout", "1e-9"], "time"), (["--host-ram-mb", "1"], "memory")]
)
def test_a_list_of_changes_keeps_the_limits_of_a_question(compare, limit, name):
    result = compare("--json", *limit)
    assert result.exit_code == 0, result.stderr
    row = json.loads(result.stdout)
    assert row["coverage"]["stopped"] == name
    assert any(f"the limit of {name} ended" in warning for warning in row["warnings"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "changes.png"], "changes are saved as one of"),
        (["What?", "-o", "answer.csv"], "answers about dates are saved as one of"),
        (["--save-geojson", "changes.gpkg"], "--save-geojson writes a file with the suffix"),
    ],
)
def test_a_name_that_promises_another_format_is_refused_before_the_work(
    compare, words, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = compare(*words)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["What?", "--find", "truck"], "give a QUESTION or --find, not both"),
        (["--choice", "yes", "--choice", "no"], "belong to a QUESTION"),
        (["What?", "--min-score", "0.9"], "--min-score is for the list of changes"),
    ],
)
def test_words_that_contradict_each_other_are_wrong_usage(compare, words, message):
    result = compare(*words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_what_cannot_be_compared_is_one_line(compare, paths, scene_path):
    other = compare("What?", scenes=(paths[0], scene_path))
    assert is_one_error_line(other)
    assert "share no ground" in other.stderr
    small = compare("What?", "--max-tiles", "1")
    assert is_one_error_line(small)
    assert "--max-tiles 1" in small.stderr
    wrong = compare("What?", "--before-date", "yesterday")
    assert is_one_error_line(wrong)
    late = compare("What?", scenes=paths[::-1])
    assert "from the earliest to the latest" in late.stderr


def test_the_help_lists_nothing_that_every_comparison_refuses(run):
    text = run("compare-dates", "--help-all").stdout
    refused = ("--index", "--confidence", "--skip", "--resampler", "--memory", "--kv", "published")
    for name in refused:
        assert name not in text, name
    for name in (*ENCODER_LINKS, *DECODER_REDUCTION_NAMES):
        assert not re.search(rf"\b{re.escape(name)}\b", text), name
    assert all(name in text for name in REDUCTION_NAMES)
    assert "published" not in run("measure", "--help-all").stdout


def test_the_companion_of_an_option_may_be_one_that_the_verb_lacks(run):
    # --focus-model goes with --focus similarity, and elsewhere with --index, too
    refused = run("compare-dates", "a.tif", "b.tif", "What?", "--focus-model", "embedded")
    assert refused.exit_code == 2
    assert "--focus-model goes with --focus similarity; give both" in refused.stderr
