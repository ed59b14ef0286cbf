"""Answers files of other systems are read, and malformed ones are named by row and column."""

import json

import pytest
from benchmark_rows import LRS, json_lines

from geofovea.datasets.benchmarks.lrs_vqa import BENCHMARK, read
from geofovea.datasets.benchmarks.registry import load_benchmark
from geofovea.datasets.benchmarks.scores import score
from geofovea.datasets.records.predictions import read_predictions
from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.wordnet import synonyms
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
    with pytest.raises(
        DataError,
        match=r"none of the 1 answers has an id of LRS-VQA; .* FAIR_1.* column question_id",
    ):
        score(BENCHMARK, read(path, tmp_path).samples, {"1": "x"}, synonyms("none"))


def test_the_truth_scores_all_of_the_published_file_except_nothing(published_file):
    samples = read(published_file, published_file.parent).samples
    answers = {s.id: s.answers[0] for s in samples}
    scores, _ = score(BENCHMARK, samples, answers, synonyms("table"))
    assert scores.answered == 7333
    assert {m.value for m in scores.figures["official"].values()} == {1.0}
    assert "reach beyond the image" in " ".join(read(published_file, published_file).notes)


SAMPLES = tuple(
    Sample(f"FAIR_{i}", (f"{i}.tif",), f"What is number {i}?", (truth,), "kind")
    for i, truth in enumerate(("white", "round", "boat"))
)
TRUTHS = [sample.answers[0] for sample in SAMPLES]
PAIRS = list(zip(SAMPLES, TRUTHS, strict=True))
CYCLE = {"cycle": "0"}
AMBIGUOUS = {
    "a name of its own": ("answer", "model_response"),
    "another one": ("answer", "pred_ans"),
    "a third": ("answer", "generated_text"),
    "one that nobody thinks of": ("answer", "vlm"),
    "the question's or the answer's": ("text", "answer"),
    "a strong name": ("output", "llm said"),
}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize(("truth", "said"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_the_truth_is_never_taken_for_the_answer(tmp_path, truth, said, suffix):
    rows = [{"question_id": s.id, truth: t, said: "grey"} for s, t in PAIRS]
    path = written(tmp_path / f"a.{suffix}", rows)
    with pytest.raises(DataError, match="--answer-field"):
        read_predictions(path, samples=SAMPLES)
    told = read_predictions(path, only=said, samples=SAMPLES)
    assert set(told.answers.values()) == {"grey"}
    # who names the column gets it, right everywhere or not
    assert list(read_predictions(path, only=truth, samples=SAMPLES).answers.values()) == TRUTHS


def written(path, rows):
    if path.suffix == ".jsonl":
        return json_lines(path, *rows)
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(rows)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("said", ["prediction", "response", "filtered_resps"])
def test_a_row_without_a_value_has_no_answer_whatever_else_it_holds(tmp_path, said, suffix):
    rows = [
        {"question_id": s.id, said: v, "answer": t}
        for s, v, t in zip(SAMPLES, ["grey", None, "boat"], TRUTHS, strict=True)
    ]
    found = read_predictions(written(tmp_path / f"a.{suffix}", rows), samples=SAMPLES)
    assert list(found.answers.values()) == ["grey", "", "boat"]
    assert any("1 row has no answer and counts as wrong" in note for note in found.notes)


def test_columns_that_may_hold_answers_and_are_not_read_are_told(tmp_path):
    row = {"id": 1, "prediction": "a", "raw_output": "b", "response_time": 1.5, "model": "m"}
    found = read_predictions(json_lines(tmp_path / "a.jsonl", row))
    assert found.answers == {"1": "a"}
    assert [note for note in found.notes if "may also" in note] == [
        "answers may also be in the unread column raw_output: choose with --answer-field"
    ]


def test_a_perfect_model_is_no_suspect_where_nothing_else_may_hold_answers(tmp_path):
    rows = [
        {"question_id": s.id, "question": s.question, "answer": t, "confidence": 0.5, "model": "m"}
        for s, t in PAIRS
    ]
    path = json_lines(tmp_path / "a.jsonl", *rows)
    assert list(read_predictions(path, samples=SAMPLES).answers.values()) == TRUTHS


def harness_row(place, sample, answer="grey", **more):
    return {
        "doc_id": place,
        "target": sample.answers[0],
        "filtered_resps": answer,
        "resps": [[answer]],
        "doc_hash": "0" * 64,
        "input": f"<image> {sample.question}\nAnswer with a word.",
    } | more


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("form", [str, lambda text: [text], lambda text: [[text]]])
def test_lmms_eval_names_a_question_by_its_place(tmp_path, order, form):
    rows = [harness_row(i, SAMPLES[i], form(f"said {i}")) for i in order]
    found = read_predictions(json_lines(tmp_path / "a.jsonl", *rows), samples=SAMPLES)
    assert found.answers == {f"FAIR_{i}": f"said {i}" for i in order}
    assert any("3 answers name their question only by doc_id" in note for note in found.notes)
    (tmp_path / "old.json").write_text(json.dumps({"args": {"model": "m"}, "logs": rows}))
    assert read_predictions(tmp_path / "old.json", samples=SAMPLES).answers == found.answers


def test_an_id_inside_a_row_of_lmms_eval_is_better_than_its_place(tmp_path):
    inner = (
        {"doc": {"question_id": "FAIR_2", "question": "?"}},
        {"acc": {"question_id": "FAIR_2", "score": 1.0}},
    )
    for more in inner:
        path = json_lines(tmp_path / "a.jsonl", harness_row(0, SAMPLES[0]) | more)
        assert set(read_predictions(path, samples=SAMPLES).answers) == {"FAIR_2"}


@pytest.mark.parametrize(
    "more", [{}, {"input": None}, {"input": None, "doc": {"question": "Why?"}}]
)
def test_another_order_than_that_of_the_harness_is_refused(tmp_path, more):
    path = json_lines(tmp_path / "a.jsonl", harness_row(0, SAMPLES[1], **more))
    with pytest.raises(DataError, match=r"doc_id 0 would be the question 'FAIR_0'"):
        read_predictions(path, samples=SAMPLES)


def test_ids_with_a_point_are_those_without(tmp_path):
    path = json_lines(tmp_path / "a.jsonl", {"id": "7.0", "text": "a"}, {"id": 8.0, "text": "b"})
    assert read_predictions(path, known={"7", "8"}).answers == {"7": "a", "8": "b"}


@pytest.mark.parametrize("said", ["", " ", None, "nan", "Failed to obtain answer via API. ", [[]]])
@pytest.mark.parametrize("name", ["mme-realworld-rs", "xlrs-bench", "hr-bench", "vstar"])
def test_a_failed_question_is_wrong_by_every_rule(tmp_path, name, said):
    benchmark = load_benchmark(name)
    # ids are told apart, and each letter is the truth once
    samples = [
        Sample(str(i), (f"{i}.png",), "?", (letter,), "a/b", choices=tuple("23456"), meta=CYCLE)
        for i, letter in enumerate("ABCDE")
    ]
    rows = [{"id": s.id, "prediction": said} for s in samples]
    answers = read_predictions(json_lines(tmp_path / "a.jsonl", *rows), samples=samples).answers
    scores, judged = score(benchmark, samples, answers, synonyms("none"))
    for mode in ("official", "strict", "lenient"):
        assert [item.verdicts[mode].correct for item in judged] == [False] * 5
        assert all(figure.value == 0 for figure in scores.figures[mode].values())
        assert scores.rules[mode] == {"wrong: no answer": 5}
    assert scores.letters == {"none": 5}


def test_thoughts_in_a_file_are_told_and_are_out_before_anything_is_judged(tmp_path):
    thinking = "<think>The {} one?</think>"
    rows = [{"id": s.id, "prediction": thinking.format(t) + t} for s, t in PAIRS]
    rows[2]["prediction"] = thinking.format("boat")
    answers = read_predictions(json_lines(tmp_path / "a.jsonl", *rows), samples=SAMPLES).answers
    scores, _ = score(BENCHMARK, SAMPLES, answers, synonyms("none"))
    for mode in ("official", "strict", "lenient"):
        assert scores.figures[mode]["OA"].value == pytest.approx(2 / 3)
    assert any("3 answers contain thoughts" in n and "and so wrong: 1" in n for n in scores.notes)


def test_one_shard_of_answers_is_told_to_be_one(tmp_path):
    path = json_lines(tmp_path / "a-00000-of-00002.jsonl", {"id": 1, "text": "a"})
    assert any("one part of several" in note for note in read_predictions(path).notes)
