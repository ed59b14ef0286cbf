"""Runs are compared on the same questions, and what cannot be known is not printed as known."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner

from geofovea.datasets.scoring.metrics import Estimate, interval_text
from geofovea.errors import DataError
from geofovea.pipeline.cli import main
from geofovea.pipeline.evaluation.metrics import accuracy_text
from geofovea.pipeline.evaluation.reports.comparison import compare_runs
from geofovea.pipeline.evaluation.reports.comparison_picture import comparison_svg
from geofovea.pipeline.evaluation.reports.report import write_report


def item(key, right, image, tokens=100, category="count"):
    verdict = {"correct": right, "rule": "same", "taken": "x"}
    cost = {
        "tokens_llm": tokens, "tiles_encoded": 5, "peak_rss_mb": 9.0, "seconds": {"total": 1.0}
    }  # fmt: skip
    return {
        "question_id": key, "category": category, "source": "", "question": "Why?", "truth": ["x"],
        "answer": "x" if right else "y", "confidence": 0.5, "image": image, "boxes": [],
        "cost": cost, "verdicts": dict.fromkeys(("official", "strict", "lenient"), verdict),
    }  # fmt: skip


@pytest.fixture
def make_run(tmp_path):
    """``make_run(name, items)``: a folder as ``geofovea eval`` leaves it."""

    def make(name, items, benchmark="synthetic", **configuration):
        folder = tmp_path / name
        folder.mkdir()
        manifest = {
            "benchmark": benchmark, "root": "", "configuration": {"model": "m"} | configuration
        }  # fmt: skip
        (folder / "scores.json").write_text("{}")
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (folder / "items.jsonl").write_text("\n".join(json.dumps(each) for each in items))
        return folder

    return make


def judged(rights, per_image=2, **more):
    return [item(f"q{i}", r, f"{i // per_image}.png", **more) for i, r in enumerate(rights)]


def test_a_difference_is_that_of_the_same_questions_in_the_same_draws(make_run):
    rng = np.random.default_rng(4)
    base = rng.random(80) < 0.5
    better = base | (rng.random(80) < 0.25)
    folders = [
        make_run("a", judged(base.tolist()), reduction="none"),
        make_run("b", judged(better.tolist()), reduction="fastv:0.25"),
    ]
    comparison = compare_runs(folders)
    first, second = comparison.runs
    assert first.gain is None
    assert first.accuracy.value == pytest.approx(base.mean())
    assert second.gain.value == pytest.approx(better.mean() - base.mean())
    # the oracle: images resampled by hand, both runs with the same draw
    gains = (better.astype(float) - base).reshape(40, 2)
    draws = np.random.default_rng(9).integers(40, size=(4000, 40))
    low, high = np.quantile(gains[draws].mean((1, 2)), (0.025, 0.975))
    assert second.gain.low == pytest.approx(low, abs=0.015)
    assert second.gain.high == pytest.approx(high, abs=0.015)
    # unpaired, the interval would be wider than the paired one by far
    assert second.gain.high - second.gain.low < first.accuracy.high - first.accuracy.low
    assert second.settings == {"reduction": "fastv:0.25"}


def test_settings_are_told_in_words_and_a_file_of_answers_has_none_but_its_name(make_run):
    how = {"reduction": "fastv", "limits": {"tiles": 6, "tokens": 90}, "quantization": None}
    folders = [make_run("a", judged([True] * 4), **how), make_run("b", judged([True] * 4))]
    (_, asked, *_), (_, scored, *_) = compare_runs(folders).table()[1]
    assert asked == "reduction fastv, limits tiles 6 tokens 90"
    assert scored == "the same"
    other = make_run("c", judged([True] * 4), **how | {"quantization": "4bit"})
    texts = [row[1] for row in compare_runs([folders[0], other]).table()[1]]
    assert texts == ["quantization None", "quantization 4bit"]


def test_questions_that_a_run_did_not_answer_are_left_out_of_all(make_run):
    folders = [make_run("a", judged([True] * 6)), make_run("b", judged([True, False] * 2))]
    comparison = compare_runs(folders)
    assert (comparison.questions, comparison.left_out) == (4, 2)
    assert [run.accuracy.value for run in comparison.runs] == [1.0, 0.5]


def test_figures_of_sources_that_no_question_is_of_are_left_out(make_run):
    folders = [make_run(name, judged([True, False] * 3), "lrs-vqa") for name in "ab"]
    figures = compare_runs(folders).runs[1].figures
    assert "OA" in figures
    assert "Bridge AA" not in figures
    assert all(found.value == found.value for found in figures.values())


def test_a_run_beside_itself_is_no_difference_and_no_interval(make_run):
    folder = make_run("a", judged([True, False] * 5))
    comparison = compare_runs([folder, folder])
    assert comparison.runs[1].gain.value == 0
    assert [run.name for run in comparison.runs] == ["a (1)", "a (2)"]
    assert "+0.00 [n/a]" in comparison.table()[1][1][3]


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (lambda make: [make("a", judged([True]))], "two runs or more"),
        (lambda make: [make("a", judged([True])), make("b", judged([True]), benchmark="lrs-vqa")],
         "several benchmarks"),
        (lambda make: [make("a", judged([True])), make("b", [item("other", True, "x.png")])],
         "no question"),
        (lambda make: [make("a", judged([True])), Path("b")],
         r"^b holds no finished run \(there is no scores.json\): give the folder of a run"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(make_run, folders, words):
    with pytest.raises(DataError, match=words):
        compare_runs(folders(make_run))


def test_the_verb_writes_a_table_numbers_and_a_picture(make_run, tmp_path):
    folders = [
        make_run("base", judged([True, False] * 10)),
        make_run("new<b>&", judged([True] * 15 + [False] * 5)),
    ]
    words = ["compare", *map(str, folders), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "20 questions about 10 images" in result.stdout
    assert "+25.00 [" in result.stdout
    told = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert told == json.loads((tmp_path / "out" / "compare.json").read_text())
    assert told["runs"][1]["gain"]["value"] == 0.25
    picture = ET.parse(tmp_path / "out" / "compare.svg").getroot()
    texts = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "new<b>&" in texts
    assert any(text.startswith("+25.0 [") for text in texts)
    assert "compare.svg" in (tmp_path / "out" / "compare.md").read_text()


def test_a_point_lies_where_its_number_is():
    gains = [("up", Estimate(0.1, 0.05, 0.2, 9)), ("down", Estimate(-0.1, -0.2, 0.05, 9))]
    root = ET.fromstring(comparison_svg("t", gains))
    svg = "{http://www.w3.org/2000/svg}"
    zero, *bars = [(float(e.get("x1")), float(e.get("x2"))) for e in root.iter(f"{svg}line")]
    dots = [float(e.get("cx")) for e in root.iter(f"{svg}circle")]
    assert zero[0] - dots[1] == pytest.approx(dots[0] - zero[0], abs=0.2)
    for (left, right), dot in zip(bars, dots, strict=True):
        assert left < dot < right
    # beyond chance is told from within
    colors = [e.get("fill") for e in root.iter(f"{svg}circle")]
    assert colors[0] != colors[1]


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(0.5, 0.75, "[0.50, 0.75]"), (0.88, 0.88, "[n/a]"), (None, None, "[n/a]"),
     (float("nan"), float("nan"), "[n/a]"), (1.0, 1.0, "[n/a]")],
)  # fmt: skip
def test_an_interval_that_cannot_be_known_is_not_printed_as_one_of_no_width(low, high, text):
    assert interval_text(low, high) == text


def test_one_scene_and_all_right_have_no_interval():
    class Answer:
        def __init__(self, scene, correct):
            self.side, self.scene, self.correct = 1024, scene, correct

    assert accuracy_text([Answer(1, True), Answer(1, False)]) == "0.50 [n/a]"
    assert accuracy_text([Answer(s, True) for s in range(9)]) == "1.00 [n/a]"
    assert accuracy_text([Answer(s, s % 2 == 0) for s in range(8)]).startswith("0.50 [0.")
    assert Estimate(1.0, 1.0, 1.0, 6).to_json()["low"] is None


def test_tokens_that_are_all_alike_make_no_table_of_them(tmp_path, make_run):
    def sections(items, name):
        folder = make_run(name, items)
        scores = {
            "figures": {m: {} for m in ("official", "strict", "lenient")}, "blind": {}, "gain": {},
            "groups": {}, "rules": {m: {} for m in ("official", "strict", "lenient")},
            "letters": {}, "answered": 8, "asked": 8, "unknown": 0, "notes": [],
            "synonyms": "table", "version": "1",
        }  # fmt: skip
        (folder / "scores.json").write_text(json.dumps(scores))
        write_report(folder)
        return (folder / "report.md").read_text()

    alike = judged([True, False] * 4, tokens=344)
    assert "Accuracy against tokens" not in sections(alike, "alike")
    mixed = [item(f"q{i}", i % 2 == 0, f"{i}.png", tokens=100 * (1 + i // 2)) for i in range(8)]
    text = sections(mixed, "mixed")
    rows = [line.split("|")[1:4] for line in text.splitlines() if line.startswith(("| 1", "| 4"))]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["100", "2", "50.0"], ["400", "2", "50.0"]
    ]  # fmt: skip
