"""Samples are functions of a seed and a number, and their boxes lie where the questions ask."""

import json

import pytest
import torch
from pipeline_toys import QUESTION

from geofovea.datasets.records.annotations import read_records
from geofovea.errors import DataError
from geofovea.pipeline.evaluation.synthetic_scenes import write_benchmark
from geofovea.pipeline.training.focus_quality import PlaceRank, place_ranks
from geofovea.pipeline.training.focus_samples import FocusSample, RecordSamples, WorldSamples
from geofovea.tiling.pyramid import Box


@pytest.fixture(scope="module")
def worlds(tiny_host):
    return WorldSamples(tiny_host, seed=3, questions=6, finer=0.5, sides=(2048, 4096))


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """Five scenes of 1024 pixels with their annotations."""
    return write_benchmark(tmp_path_factory.mktemp("set"), 5, 1024, 70, 1)


def same(one: FocusSample, other: FocusSample) -> bool:
    return (
        (one.questions, one.boxes, one.tokens.tiles)
        == (other.questions, other.boxes, other.tokens.tiles)
    ) and torch.equal(one.tokens.features, other.tokens.features)


def test_a_sample_is_a_function_of_seed_and_number(tiny_host, worlds):
    first, again = worlds.sample(2), WorldSamples(tiny_host, 3, 6, 0.5, (2048, 4096)).sample(2)
    assert same(first, again)
    assert not same(first, worlds.sample(3))
    assert not same(first, WorldSamples(tiny_host, 4, 6, 0.5, (2048, 4096)).sample(2))


def test_samples_show_whole_base_levels_or_some_tiles_of_one_finer_level(worlds):
    samples = [worlds.sample(index) for index in range(8)]
    assert {sample.is_base for sample in samples} == {True, False}
    for sample in samples:
        assert len(set(sample.tokens.levels.tolist())) == 1
        assert 0 < len(sample.questions) <= 6
        right = sample.right
        assert right.shape == (len(sample.questions), len(sample.tokens))
        if sample.is_base:
            assert right.any(1).all()
        else:
            assert len(sample.tokens.tiles) <= 12
            # some questions are about places that are not shown
            assert right.any(1).any()
            assert len(set(sample.questions)) > 1


def test_right_tokens_are_those_that_share_area_with_a_box(worlds):
    sample = worlds.sample(0)
    for row, boxes in zip(sample.right, sample.boxes, strict=True):
        for corners, is_right in zip(sample.tokens.boxes_scene.tolist(), row, strict=True):
            token = Box(*corners)
            assert bool(is_right) == any(token.intersection(box) is not None for box in boxes)


def test_held_out_worlds_are_base_levels_of_other_worlds(worlds):
    spared = worlds.held_out()
    for index in range(4):
        assert spared.sample(index).is_base
        assert not same(spared.sample(index), worlds.sample(index))


def test_samples_from_files_ask_what_the_file_asks(tiny_host, data_set):
    samples = RecordSamples.read(tiny_host, data_set, seed=1, questions=20, finer=0.6)
    texts = {record.question for record in read_records(data_set)}
    met = [samples.sample(index) for index in range(12)]
    assert {question for sample in met for question in sample.questions} <= texts
    assert {sample.is_base for sample in met} == {True, False}
    assert {sample.size for sample in met} == {(1024, 1024)}
    assert same(
        met[5], RecordSamples.read(tiny_host, data_set, seed=1, questions=20, finer=0.6).sample(5)
    )
    assert all(sample.right.any(1).all() for sample in met if sample.is_base)


def test_every_fifth_scene_of_a_file_is_held_out(tiny_host, data_set):
    samples = RecordSamples.read(tiny_host, data_set, questions=20)
    spared = samples.held_out()
    assert spared.name != samples.name
    asked = {question for index in range(4) for question in samples.sample(index).questions}
    (scene,) = {tuple(spared.sample(index).tokens.features[0].tolist()) for index in range(2)}
    assert scene not in {tuple(samples.sample(i).tokens.features[0].tolist()) for i in range(4)}
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
    sample = RecordSamples.read(tiny_host, path, finer=1.0).sample(0)
    assert sample.is_base
    assert not sample.right.any()
    assert not list(place_ranks(lambda sample: torch.zeros(9), _Only(sample), 0))


class _Only:
    """A supply of one sample."""

    name = "one"

    def __init__(self, sample):
        self._sample = sample

    def sample(self, index):
        return self._sample

    def held_out(self):
        return None


def test_files_that_ask_nothing_are_refused(tiny_host, data_set, tmp_path):
    (tmp_path / "none.jsonl").write_text("\n")
    with pytest.raises(DataError, match="holds no question"):
        RecordSamples.read(tiny_host, tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="at least one question"):
        RecordSamples.read(tiny_host, data_set, questions=0)
    with pytest.raises(DataError, match="at least one question"):
        WorldSamples(tiny_host, questions=0)


@pytest.mark.parametrize("places", [[[1, 2, 3]], ["x"], [[0, 0, "a", 4]]])
def test_places_that_are_no_boxes_are_refused(tiny_host, data_set, tmp_path, places):
    row = json.loads(data_set.read_text().splitlines()[0]) | {"places": places}
    (tmp_path / "image").symlink_to(data_set.parent / "image")
    (tmp_path / "bad.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match="places of SYNTH_0"):
        RecordSamples.read(tiny_host, tmp_path / "bad.jsonl").sample(0)


def test_a_sample_needs_questions_and_tokens(worlds):
    sample = worlds.sample(0)
    with pytest.raises(DataError, match="needs questions"):
        FocusSample(sample.tokens, sample.size, (), (), is_base=True)


def test_a_focus_is_judged_by_the_mass_in_the_box_and_the_rank_of_its_best_token(worlds):
    sample = worlds.held_out().sample(0)
    only = _Only(
        FocusSample(sample.tokens, sample.size, (QUESTION,), ((sample.boxes[0][0],),), is_base=True)
    )
    right = only.sample(0).right[0]
    share = right.float().mean().item()

    def judged(scores):
        (found,) = place_ranks(lambda _: scores[None], only, 1)
        return found

    perfect = judged(right / right.sum())
    assert perfect == PlaceRank(0, pytest.approx(1.0), 0, pytest.approx(share))
    worst = judged(~right / (~right).sum())
    assert (worst.mass, worst.rank) == (0, int((~right).sum()))
    flat = judged(torch.full((len(right),), 1 / len(right)))
    assert flat.mass == pytest.approx(share, rel=1e-4)
    assert flat.rank == int((~right).sum()) // 2


def test_samples_of_the_second_world_show_other_places_under_another_name(tiny_host):
    first = WorldSamples(tiny_host, 3, 6, 0.5, (2048,))
    second = WorldSamples(tiny_host, 3, 6, 0.5, (2048,), version=2)
    assert not same(first.sample(0), second.sample(0))
    assert second.name == f"{first.name}, version 2"
    assert second.held_out().version == 2
    with pytest.raises(DataError, match="1 or 2, got world=3"):
        WorldSamples(tiny_host, version=3)
