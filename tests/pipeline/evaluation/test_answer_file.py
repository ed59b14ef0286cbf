"""A bench continues with the answers that are in its file, and with no others."""

import json
from dataclasses import dataclass

import pytest

from geofovea.errors import DataError
from geofovea.pipeline.evaluation.answer_file import AnswerFile

SETTINGS = {"model": "toy", "tiles": 3}


@dataclass(frozen=True)
class Answer:
    question: str
    answer: str
    refused: str = ""

    @property
    def key(self):
        return self.question


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.jsonl"


def filled(path, *questions, settings=SETTINGS):
    file = AnswerFile(path, Answer, settings)
    for question in questions:
        file.add(Answer(question, question.upper()))
    return file


def test_answers_come_back_in_their_order(path):
    filled(path, "b", "a")
    again = AnswerFile(path, Answer, SETTINGS)
    assert list(again.answers.values()) == [Answer("b", "B"), Answer("a", "A")]
    assert json.loads(path.read_text().splitlines()[0]) == SETTINGS


def test_what_is_there_is_not_written_again(path):
    file = filled(path, "a")
    file.add(Answer("a", "another"))
    assert AnswerFile(path, Answer, SETTINGS).answers == {"a": Answer("a", "A")}


@pytest.mark.parametrize("length", range(1, 12))
def test_half_a_line_at_the_end_is_forgotten(path, length):
    filled(path, "a", "b")
    whole = path.read_text()
    path.write_text(whole + '{"question":'[:length])
    file = AnswerFile(path, Answer, SETTINGS)
    assert list(file.answers) == ["a", "b"]
    file.add(Answer("c", "C"))
    assert list(AnswerFile(path, Answer, SETTINGS).answers) == ["a", "b", "c"]


@pytest.mark.parametrize("settings", [SETTINGS, None])
def test_a_bench_that_was_killed_in_its_first_line_begins_anew(path, settings):
    filled(path, *("" if settings else "a"), settings=settings)
    first = path.read_text()
    for length in range(len(first) - 1):
        path.write_text(first[:length])
        for number, question in enumerate("xyz", 1):
            assert len(filled(path, question, settings=settings).answers) == number
        assert all(map(json.loads, path.read_text().splitlines()))


def test_a_whole_line_without_its_end_is_kept(path):
    filled(path, "a", "b")
    path.write_text(path.read_text().rstrip("\n"))
    filled(path, "c")
    assert list(AnswerFile(path, Answer, SETTINGS).answers) == ["a", "b", "c"]


def test_a_file_without_settings_holds_answers_alone(path):
    filled(path, "a", settings=None)
    assert len(path.read_text().splitlines()) == 1
    assert list(AnswerFile(path, Answer).answers) == ["a"]


@pytest.mark.parametrize("settings", [{"model": "toy"}, {**SETTINGS, "tiles": 4}])
def test_answers_under_other_settings_are_refused(path, settings):
    filled(path, "a")
    with pytest.raises(DataError, match="is of another bench"):
        AnswerFile(path, Answer, settings)


@pytest.mark.parametrize(
    "content", ["no json\n", "[1]\n", '{"question": "a"}\n', "7\n", '{"answer": 1}\n', "\udcff\n"]
)
def test_what_is_no_answer_is_refused_and_stays(path, content):
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match="holds no answers of this bench"):
        AnswerFile(path, Answer)
    assert path.read_bytes() == content.encode("utf-8", "surrogateescape")
