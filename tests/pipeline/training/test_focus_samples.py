"""Lessons are functions of a seed and a number, and their boxes lie where the questions ask."""

import json

import pytest
import torch
from pipeline_toys import QUESTION

from geofovea.datasets.records.annotations import read_records
from geofovea.errors import DataError
from geofovea.pipeline.evaluation.synthetic_scenes import write_benchmark
from geofovea.pipeline.training.focus_quality import Found, found_places
from geofovea.pipeline.training.focus_samples import FocusLesson, RecordLessons, WorldLessons
from geofovea.tiling.pyramid import Box


@pytest.fixture(scope="module")
def worlds(tiny_host):
    return WorldLessons(tiny_host, seed=3, questions=6, finer=0.5, sides=(2048, 4096))


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """Five scenes of 1024 pixels with their annotations."""
    return write_benchmark(tmp_path_factory.mktemp("set"), 5, 1024, 70, 1)


def same(one: FocusLesson, other: FocusLesson) -> bool:
    return (
        (one.questions, one.boxes, one.tokens.tiles)
        == (other.questions, other.boxes, other.tokens.tiles)
    ) and torch.equal(one.tokens.features, other.tokens.features)


def test_a_lesson_is_a_function_of_seed_and_number(tiny_host, worlds):
    first, again = worlds.lesson(2), WorldLessons(tiny_host, 3, 6, 0.5, (2048, 4096)).lesson(2)
    assert same(first, again)
    assert not same(first, worlds.lesson(3))
    assert not same(first, WorldLessons(tiny_host, 4, 6, 0.5, (2048, 4096)).lesson(2))


def test_lessons_show_whole_base_levels_or_some_tiles_of_one_finer_level(worlds):
    lessons = [worlds.lesson(index) for index in range(8)]
    assert {lesson.is_base for lesson in lessons} == {True, False}
    for lesson in lessons:
        assert len(set(lesson.tokens.levels.tolist())) == 1
        assert 0 < len(lesson.questions) <= 6
        right = lesson.right
        assert right.shape == (len(lesson.questions), len(lesson.tokens))
        if lesson.is_base:
            assert right.any(1).all()
        else:
            assert len(lesson.tokens.tiles) <= 12
            # some questions are about places that are not shown
            assert right.any(1).any()
            assert len(set(lesson.questions)) > 1


def test_right_tokens_are_those_that_share_area_with_a_box(worlds):
    lesson = worlds.lesson(0)
    for row, boxes in zip(lesson.right, lesson.boxes, strict=True):
        for corners, is_right in zip(lesson.tokens.boxes_scene.tolist(), row, strict=True):
            token = Box(*corners)
            assert bool(is_right) == any(token.intersection(box) is not None for box in boxes)


def test_held_out_worlds_are_base_levels_of_other_worlds(worlds):
    spared = worlds.held_out()
    for index in range(4):
        assert spared.lesson(index).is_base
        assert not same(spared.lesson(index), worlds.lesson(index))


def test_lessons_from_files_ask_what_the_file_asks(tiny_host, data_set):
    lessons = RecordLessons.read(tiny_host, data_set, seed=1, questions=20, finer=0.6)
    texts = {record.question for record in read_records(data_set)}
    met = [lessons.lesson(index) for index in range(12)]
    assert {question for lesson in met for question in lesson.questions} <= texts
    assert {lesson.is_base for lesson in met} == {True, False}
    assert {lesson.size for lesson in met} == {(1024, 1024)}
    assert same(
        met[5], RecordLessons.read(tiny_host, data_set, seed=1, questions=20, finer=0.6).lesson(5)
    )
    assert all(lesson.right.any(1).all() for lesson in met if lesson.is_base)


def test_every_fifth_scene_of_a_file_is_held_out(tiny_host, data_set):
    lessons = RecordLessons.read(tiny_host, data_set, questions=20)
    spared = lessons.held_out()
    assert spared.name != lessons.name
    asked = {question for index in range(4) for question in lessons.lesson(index).questions}
    (scene,) = {tuple(spared.lesson(index).tokens.features[0].tolist()) for index in range(2)}
    assert scene not in {tuple(lessons.lesson(i).tokens.features[0].tolist()) for i in range(4)}
    assert asked
    assert spared.held_out() is None


def test_rows_without_boxes_are_shown_at_the_base_level(tiny_host, data_set, tmp_path):
    (tmp_path / "image").symlink_to(data_set.parent / "image")
    rows = [json.loads(line) for line in data_set.read_text().splitlines()]
    for row in rows:
        row.pop("hbox", None)
        row.pop("places", None)
    path = tmp_path / "annotations.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    lesson = RecordLessons.read(tiny_host, path, finer=1.0).lesson(0)
    assert lesson.is_base
    assert not lesson.right.any()
    assert not list(found_places(lambda lesson: torch.zeros(9), _Only(lesson), 0))


class _Only:
    """A supply of one lesson."""

    name = "one"

    def __init__(self, lesson):
        self._lesson = lesson

    def lesson(self, index):
        return self._lesson

    def held_out(self):
        return None


def test_files_that_ask_nothing_are_refused(tiny_host, data_set, tmp_path):
    (tmp_path / "none.jsonl").write_text("\n")
    with pytest.raises(DataError, match="holds no question"):
        RecordLessons.read(tiny_host, tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="at least one question"):
        RecordLessons.read(tiny_host, data_set, questions=0)
    with pytest.raises(DataError, match="at least one question"):
        WorldLessons(tiny_host, questions=0)


@pytest.mark.parametrize("places", [[[1, 2, 3]], ["x"], [[0, 0, "a", 4]]])
def test_places_that_are_no_boxes_are_refused(tiny_host, data_set, tmp_path, places):
    row = json.loads(data_set.read_text().splitlines()[0]) | {"places": places}
    (tmp_path / "image").symlink_to(data_set.parent / "image")
    (tmp_path / "bad.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match="places of SYNTH_0"):
        RecordLessons.read(tiny_host, tmp_path / "bad.jsonl").lesson(0)


def test_a_lesson_needs_questions_and_tokens(worlds):
    lesson = worlds.lesson(0)
    with pytest.raises(DataError, match="needs questions"):
        FocusLesson(lesson.tokens, lesson.size, (), (), is_base=True)


def test_a_focus_is_judged_by_the_mass_in_the_box_and_the_rank_of_its_best_token(worlds):
    lesson = worlds.held_out().lesson(0)
    only = _Only(
        FocusLesson(lesson.tokens, lesson.size, (QUESTION,), ((lesson.boxes[0][0],),), is_base=True)
    )
    right = only.lesson(0).right[0]
    share = right.float().mean().item()

    def judged(scores):
        (found,) = found_places(lambda _: scores[None], only, 1)
        return found

    perfect = judged(right / right.sum())
    assert perfect == Found(0, pytest.approx(1.0), 0, pytest.approx(share))
    worst = judged(~right / (~right).sum())
    assert (worst.mass, worst.rank) == (0, int((~right).sum()))
    flat = judged(torch.full((len(right),), 1 / len(right)))
    assert flat.mass == pytest.approx(share, rel=1e-4)
    assert flat.rank == int((~right).sum()) // 2
