"""Answers files of other systems are read, and malformed ones are named by row and column."""

import json

import pytest
from benchmark_rows import LRS, json_lines

from geofovea.datasets.lrs_vqa import BENCHMARK, read
from geofovea.datasets.predictions import read_predictions
from geofovea.datasets.scoring import score
from geofovea.datasets.wordnet import synonyms
from geofovea.errors import DataError

FORMS = {
    "the published script": {"question_id": "FAIR_1", "text": "white", "ground_truth": "white"},
    "its other key": {"id": "FAIR_1", "text": "white"},
    "ZoomSearch": {"question_id": "FAIR_1", "predicted_answer": "white", "answer": "red"},
    "VLMEvalKit": {"index": "FAIR_1", "prediction": "white", "answer": "red"},
    "MME-RealWorld": {"Question_id": "FAIR_1", "Text": "what?", "Output": "white"},
    "lmms-eval": {"question_id": "FAIR_1", "response": ["white"]},
    "ours": {"question_id": "FAIR_1", "question": "what?", "answer": "white"},
}


@pytest.mark.parametrize("row", FORMS.values(), ids=FORMS)
def test_ids_and_answers_are_found_under_the_names_of_others(tmp_path, row):
    for name in ("a.jsonl", "a.json"):
        path = tmp_path / name
        path.write_text(json.dumps([row]) if name == "a.json" else json.dumps(row))
        assert read_predictions(path).answers == {"FAIR_1": "white"}


@pytest.mark.parametrize(("right", "other"), [("id", "question_id"), ("question_id", "id")])
def test_of_two_ids_the_one_that_the_benchmark_knows_is_taken(tmp_path, right, other):
    rows = [{other: n, right: f"FAIR_{n}", "text": "white"} for n in (1, 2)]
    # a row that names no question at all is counted as unknown, not lost
    path = json_lines(tmp_path / "a.jsonl", *rows, {"question_id": "x", "id": 9, "text": "red"})
    found = read_predictions(path, known={"FAIR_1", "FAIR_2"}).answers
    assert found == {"FAIR_1": "white", "FAIR_2": "white", "x": "red"}


@pytest.mark.parametrize(("suffix", "mark"), [("csv", ","), ("tsv", "\t")])
def test_tables_are_read(tmp_path, suffix, mark):
    path = tmp_path / f"a.{suffix}"
    path.write_text(f"index{mark}prediction\n7{mark}white\n")
    assert read_predictions(path).answers == {"7": "white"}


def test_an_answer_after_the_zoom_stands_before_the_first_and_null_gives_way(tmp_path):
    path = json_lines(
        tmp_path / "a.jsonl",
        {"id": 1, "answer1": "a", "answer2": "b"},
        {"id": 2, "answer1": "a", "answer2": None},
        {"id": 3, "answer1": None, "answer2": None},
    )
    fields = ("answer2", "answer1")
    assert read_predictions(path, fields).answers == {"1": "b", "2": "a", "3": ""}
    assert read_predictions(path, fields, "answer1").answers == {"1": "a", "2": "a", "3": ""}


WRONG = {
    "no id": ({"text": "x"}, "line 2: no id; one of the columns"),
    "no answer": ({"id": 2, "said": "x"}, "line 2: no answer; there are the columns"),
    "an id twice": ({"id": 1, "text": "x"}, "line 2: the id '1' was answered before"),
    "several answers": (
        {"id": 2, "text": ["x", "y"]},
        "line 2, column 'text': expected one answer",
    ),
    "an answer with parts": ({"id": 2, "text": {"a": 1}}, "line 2, column 'text': expected one"),
    "an id that is a list": ({"id": [1], "text": "x"}, "line 2, column 'id': expected text"),
}


@pytest.mark.parametrize(("row", "message"), WRONG.values(), ids=WRONG)
def test_a_malformed_row_is_named(tmp_path, row, message):
    path = json_lines(tmp_path / "a.jsonl", {"id": 1, "text": "x"}, row)
    with pytest.raises(DataError) as caught:
        read_predictions(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", "{broken", "line 1: not JSON"),
        ("a.jsonl", "[1]", "line 1: expected an object"),
        ("a.json", '{"a": 1', "line 1: not JSON"),
        ("a.json", '"text"', "should hold one list of objects, got str"),
        ("a.csv", "id,text\n1,a,b\n", "line 2: 3 cells under 2 columns"),
        ("a.csv", "id,id\n1,a\n", "should name the columns, each once"),
        ("a.txt", "", "unknown extension"),
        ("a.jsonl", "", "holds no answers"),
        ("missing.jsonl", None, "cannot be read"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, name, text, message):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_predictions(path)


def test_scores_tell_what_is_answered_and_what_is_not_known(tmp_path):
    rows = [LRS | {"question_id": f"FAIR_{i}", "image": f"{i // 2}.tif"} for i in range(4)]
    path = json_lines(tmp_path / "LRS_VQA_merged.jsonl", *rows)
    samples = read(path, tmp_path).samples
    answers = {"FAIR_0": "white", "FAIR_1": "White.", "FAIR_2": "red", "STAR_9": "x"}
    scores, judged = score(BENCHMARK, samples, answers, synonyms("table"))
    assert (scores.asked, scores.answered, scores.unknown) == (4, 3, 1)
    assert [scores.figures[m]["OA"].value for m in ("official", "strict", "lenient")] == (
        pytest.approx([1 / 3, 2 / 3, 2 / 3])
    )
    assert scores.rules["official"] == {"wrong: different": 2, "right: equal": 1}
    assert scores.blind["OA"].value == 1
    assert scores.gain["OA"].value == pytest.approx(-2 / 3)
    assert set(scores.groups["object size"]) == {"a: 0 to 32 px"}
    assert [j.verdicts["strict"].rule for j in judged] == ["equal", "equal", "different"]


def test_answers_to_nothing_of_the_benchmark_are_refused(tmp_path):
    path = json_lines(tmp_path / "LRS_VQA_merged.jsonl", LRS)
    with pytest.raises(DataError, match=r"none of the 1 answers has an id of LRS-VQA; .* FAIR_1"):
        score(BENCHMARK, read(path, tmp_path).samples, {"1": "x"}, synonyms("none"))


def test_the_truth_scores_all_of_the_published_file_except_nothing(published_file):
    samples = read(published_file, published_file.parent).samples
    answers = {s.id: s.answers[0] for s in samples}
    scores, _ = score(BENCHMARK, samples, answers, synonyms("table"))
    assert scores.answered == 7333
    assert {m.value for m in scores.figures["official"].values()} == {1.0}
    assert "stick out of their image" in " ".join(read(published_file, published_file).notes)
