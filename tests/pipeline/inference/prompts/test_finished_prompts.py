"""The prompt of a benchmark or a harness is asked as it is: nothing altered, added or bounded."""

import json

import pytest
from chat_server import says, status
from click.testing import CliRunner
from PIL import Image
from pipeline_toys import QUESTION

from geofovea.datasets.benchmarks.local_files import read_benchmark
from geofovea.datasets.benchmarks.registry import load_benchmark
from geofovea.errors import QuestionError
from geofovea.pipeline.cli import main
from geofovea.pipeline.inference.prompts.finished_prompt import FinishedPrompt
from geofovea.pipeline.session.request import MAX_QUESTION_LENGTH, AskRequest

LONG = " follow the road along the river and keep the halls on the left," * 9
CHOICES = [f"({letter}) To the {way},{LONG}" for letter, way in zip("ABCDE", "NESWX", strict=True)]


def write_benchmark(name, root, images=("a.png",)):
    root.mkdir()
    for image in images:
        Image.new("RGB", (300, 200), (90, 120, 60)).save(root / image)
    rows = {
        "mme-realworld-rs": (
            "MME_RealWorld.json",
            {"Question_id": "1", "Image": images[0], "Text": "Which  way?\nFrom the gate."}
            | {"Answer choices": CHOICES, "Ground truth": "A", "Category": "c"}
            | {"Subtask": "Remote Sensing", "Task": "Perception"},
        ),
        "xlrs-bench": (
            "XLRS-Bench.jsonl",
            {"index": "1", "image": list(images), "question": "Which way?\n"}
            | {"multi-choice options": CHOICES[:4], "answer": "A", "category": "Counting/Overall"},
        ),
        "lrs-vqa": (
            "LRS_VQA_merged.jsonl",
            {"question_id": "FAIR_1", "image": images[0], "category": "count", "ground_truth": "A"}
            | {"text": f"Which way?{LONG * 5} \nAnswer in a word."},
        ),
    }
    file, row = rows[name]
    (root / file).write_text(json.dumps([row] if file.endswith(".json") else row))
    return read_benchmark(load_benchmark(name), root).samples[0]


def evaluate(server, name, root, output):
    where = ["--model", "openai:toy", "--endpoint", server.url, "--focus", "overview"]
    more = ["--tiles", "6", "--tokens", "1024", "--endpoint-seconds", "2", "--json"]
    result = CliRunner().invoke(
        main, ["eval", name, "--root", str(root), "--output", str(output), *where, *more]
    )
    assert result.exit_code == 0, result.output
    items = (output / "items.jsonl").read_text().splitlines()
    return json.loads(result.stdout), [json.loads(line) for line in items]


@pytest.mark.parametrize("name", ["mme-realworld-rs", "xlrs-bench", "lrs-vqa"])
def test_a_benchmark_is_asked_its_published_prompt_whatever_its_length(server, tmp_path, name):
    sample = write_benchmark(name, tmp_path / "bench")
    prompt = load_benchmark(name).prompt(sample)
    assert len(prompt) > MAX_QUESTION_LENGTH
    server.otherwise = says("A")
    scores, (item,) = evaluate(server, name, tmp_path / "bench", tmp_path / "run")
    last = server.requests[-1]["messages"][0]["content"][-1]["text"]
    assert last == item["prompt"] == prompt
    assert "Answer the question using a single word" not in server.texts()
    assert item["verdicts"]["official"]["correct"]
    assert scores["answered"] == 1


def test_a_question_that_fails_is_wrong_where_the_rule_would_make_it_right(server, tmp_path):
    write_benchmark("mme-realworld-rs", tmp_path / "bench")
    server.otherwise = status(400)
    scores, (item,) = evaluate(server, "mme-realworld-rs", tmp_path / "bench", tmp_path / "run")
    assert item["error"]
    assert {v["correct"] for v in item["verdicts"].values()} == {False}
    assert scores["figures"]["official"]["accuracy"]["value"] == 0


@pytest.mark.parametrize("said", ["", "<think>It may be (A), A, A.", "<think>A</think>"])
def test_an_answer_that_is_none_is_wrong_and_told(server, tmp_path, said):
    write_benchmark("mme-realworld-rs", tmp_path / "bench")
    server.otherwise = says(said)
    scores, (item,) = evaluate(server, "mme-realworld-rs", tmp_path / "bench", tmp_path / "run")
    assert scores["figures"]["official"]["accuracy"]["value"] == 0
    assert any("no answer" in warning for warning in item["warnings"])


def test_a_question_about_several_images_is_asked_with_all_of_them(server, tmp_path):
    write_benchmark("xlrs-bench", tmp_path / "bench", ("a.png", "b.png"))
    server.otherwise = says("A")
    scores, (item,) = evaluate(server, "xlrs-bench", tmp_path / "bench", tmp_path / "run")
    content = server.requests[-1]["messages"][0]["content"]
    assert sum(part["type"] == "image_url" for part in content) >= 2
    assert not any("first alone" in warning for warning in item["warnings"])
    assert not any("asked about the first" in note for note in scores["notes"])


def test_words_of_a_person_are_bounded_and_those_of_a_table_are_not():
    long = "why " * 2500
    with pytest.raises(QuestionError, match="at most 2000"):
        AskRequest(long).words()
    assert AskRequest(long, kind="listed").words() == long.strip()
    assert AskRequest(f" {long}\n", kind="prompt").words() == f" {long}\n"
    for kind in ("typed", "listed", "prompt"):
        with pytest.raises(QuestionError, match="empty"):
            AskRequest(" \n", kind=kind).words()
    assert AskRequest("Which?\n(A)  red\n(B) blue\n").words() == "Which?\n(A)  red\n(B) blue"


def test_a_model_in_process_gets_a_finished_prompt_without_an_instruction(tiny_host):
    words = tiny_host._prompts.words
    before, words._instruction = words._instruction, " the color"
    try:
        words._prompts.clear()
        typed = words.ids(QUESTION)
        finished = words.ids(FinishedPrompt(QUESTION))
        added = words.word_ids(" the color")
        assert len(typed.before + typed.after) == len(finished.before + finished.after) + len(added)
        # an equal text of the other kind is another prompt
        assert words.ids(QUESTION).after == typed.after
    finally:
        words._instruction = before
        words._prompts.clear()


def test_line_ends_and_blanks_of_a_prompt_are_kept(tiny_host):
    text = " What?\n(A)  red \n\t(B) blue\n"
    assert tiny_host._prompts.words.plain(FinishedPrompt(text)) == text
    assert tiny_host._prompts.words.plain(text) == "What?\n(A) red\n(B) blue"


def test_words_that_are_left_out_of_a_question_are_told(make_session):
    answer = make_session().ask(f"{QUESTION} <image></s>")
    told = [warning for warning in answer.warnings if "it was asked without" in warning]
    assert len(told) == 1
    assert "<image>" in told[0]
