"""The page shows foreign words as words, whatever they are."""

from pathlib import Path

import pytest

from geofovea.pipeline.evaluation.reports.report_page import report_page

HOSTILE = "<script>alert('x')</script>{{ 7 * 7 }}{% for %}&\"→"


def page(**changes):
    item = {
        "question_id": "1", "category": "count", "question": "how many?", "answer": "2",
        "truth": ["3"], "confidence": 0.5,
    }  # fmt: skip
    told = {name: value for name, value in changes.items() if name in item}
    rows = [["→ ours", changes.get("cell", "1")], ["theirs", ""]]
    return report_page(
        changes.get("title", "toy"),
        [changes.get("line", "one line")],
        [("Scores", (("figure", "value"), rows))],
        [item | told],
        Path(),
        {"command": changes.get("command", "geofovea")},
    )


@pytest.mark.parametrize(
    "place", ["title", "line", "cell", "command", "question", "answer", "question_id", "category"]
)
def test_no_word_becomes_markup(place):
    made = page(**{place: HOSTILE})
    assert "<script" not in made
    assert "&lt;script&gt;" in made
    assert "{{ 7 * 7 }}" in made


@pytest.mark.parametrize("place", ["title", "line", "cell", "question", "answer", "question_id"])
def test_no_word_turns_its_neighbors_around(place):
    made = page(**{place: "a\u202egnp.exe\x1b[31m"})
    assert not set(made) & set("\u202e\x1b")
    assert "\\u202egnp.exe\\x1b[31m" in made


def test_the_row_of_this_run_stands_out_and_no_other():
    assert page().count("class='ours'") == 1
    assert page(cell="a → b").count("class='ours'") == 1


def test_an_answer_that_is_an_essay_is_cut():
    assert page(answer="long " * 1000).count("long") < 150


def test_an_answer_without_looks_has_no_picture_and_no_note():
    made = page()
    assert "<img" not in made
    assert "no picture" not in made
