"""One start of ``geofovea ask`` serves many questions, by the real command line."""

import json
import os
import subprocess
import sys
import threading

import pytest
from click.testing import CliRunner
from pipeline_toys import QUESTION

from geofovea.pipeline.cli import main
from geofovea.pipeline.session.question_lines import open_questions

FEW = ("--tiles", "6", "--tokens", "40")
OTHER = "How many trucks are at the quarry?"
THIRD = "What is the color of the plane at the airport?"


@pytest.fixture
def ask(tiny_folder, scene_path):
    """``ask(*words, input=...)`` about the synthetic scene with the tiny model."""

    def call(*words, **given):
        arguments = ["ask", scene_path, "--model", tiny_folder, *FEW, *words]
        return CliRunner().invoke(main, [str(word) for word in arguments], **given)

    return call


def objects(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def told(record):
    return record["answer"], record["confidence"], record["evidence"]


@pytest.fixture
def alone(ask):
    """What each question is answered where it is asked alone."""
    return {q: objects(ask(q, "--json"))[0] for q in (QUESTION, OTHER, THIRD)}


def test_words_file_and_standard_input_are_answered_in_order_and_as_alone(ask, alone, tmp_path):
    path = tmp_path / "q.txt"
    path.write_bytes(f"\ufeff{OTHER}\r\n\n  \n{THIRD}".encode())
    ways = [
        ask(QUESTION, OTHER, THIRD, "--json"),
        ask(QUESTION, "--questions", path, "--json"),
        ask("--questions", "-", "--json", input=f"{QUESTION}\n{OTHER}\n{THIRD}\n"),
        ask(QUESTION, OTHER, "-", "--json", input=THIRD),
    ]
    for result in ways:
        assert result.exit_code == 0, result.output
        found = objects(result)
        assert [r["question"] for r in found] == [QUESTION, OTHER, THIRD]
        for record in found:
            answer, confidence, evidence = told(alone[record["question"]])
            assert record["answer"] == answer
            assert record["confidence"] == pytest.approx(confidence, rel=1e-4)
            assert [e["box_scene"] for e in record["evidence"]] == [
                e["box_scene"] for e in evidence
            ]
            assert record["cost"]["tokens_llm"] <= 40
            assert record["cost"]["seconds"]["total"] > 0
            assert record.keys() == alone[QUESTION].keys()


def test_each_question_is_told_with_its_answer_and_its_cost(ask):
    result = ask(QUESTION, OTHER)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == QUESTION
    assert lines.index(OTHER) > 3
    assert sum("looked at" in line for line in lines) == 2


def test_a_question_that_fails_does_not_take_the_others(ask, tmp_path):
    path = tmp_path / "q.txt"
    path.write_bytes(b"\n".join([OTHER.encode(), b"\xff\xfe", b"x" * 90_000, THIRD.encode()]))
    result = ask(QUESTION, "", "--questions", path, "--json")
    assert result.exit_code == 1
    found = objects(result)
    assert [r["answer"] is None for r in found] == [False, True, False, True, True, False]
    assert "the question is empty" in found[1]["error"]
    assert "line 2 of" in found[3]["error"]
    assert "is not UTF-8" in found[3]["error"]
    assert "at most 2000" in found[4]["error"]
    assert result.stderr.splitlines()[-1] == "error: 3 of 6 questions failed"
    plain = ask(QUESTION, "")
    assert plain.exit_code == 1
    assert QUESTION in plain.stdout
    assert "error: '': QuestionError: the question is empty" in plain.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["How", "many", "cars?"], 2, 'in quotes, such as "How many cars?"'),
        (["--questions", "gone.txt"], 1, "'gone.txt' cannot be read"),
        (["--questions", "{tmp}"], 1, "not a regular file"),
        (["--questions", "{tmp}/fifo"], 1, "not a regular file"),
        ([QUESTION, OTHER, "--evidence", "e.geojson"], 2, "are for one question"),
        (["--questions", "-", "--picture", "p.png"], 2, "are for one question"),
        ([], 2, "Missing argument 'QUESTION'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_loaded(
    ask, tmp_path, words, code, said
):
    os.mkfifo(tmp_path / "fifo")
    result = ask(*(word.format(tmp=tmp_path) for word in words), "--model", "no-such-model")
    assert result.exit_code == code, result.output
    assert said in result.stderr


def test_questions_of_one_word_are_questions(ask):
    assert len(objects(ask("Tents?", "Boats?", "--json"))) == 2


def test_choices_hold_for_all_questions(ask):
    found = objects(ask(QUESTION, OTHER, "--choice", "yes", "--choice", "no", "--json"))
    assert {r["answer"] for r in found} <= {"yes", "no"}
    assert len(found) == 2


def test_who_writes_one_question_gets_its_answer_before_the_next(scene_path, tiny_folder):
    code = "from geofovea.pipeline.cli import main; main()"
    words = ["ask", scene_path, "-", "--model", tiny_folder, *FEW, "--json"]
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, words)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        watch = threading.Timer(100, process.kill)
        watch.start()
        for question in (QUESTION, OTHER):
            process.stdin.write(question + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["question"] == question
        process.stdin.close()
        assert process.wait(60) == 0
        watch.cancel()


def test_lines_without_an_end_are_held_in_part_only(tmp_path):
    path = tmp_path / "q.txt"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)
        file.seek(0, 2)
        file.write(b"\nWhy?\n")
    import tracemalloc

    tracemalloc.start()
    with open_questions(path, 8) as groups:
        found = [line for group in groups for line in group]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [len(line.text) > 2000 for line in found] == [True, False]
    assert peak < 2**20
