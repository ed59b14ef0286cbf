"""Short samples: what they ask is true of what they show, at one date and at two."""

import random
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from geofovea.datasets.synthetic.vocabulary import COLORS, THINGS
from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.training.embedded_model import ModelShape, vocabulary
from geofovea.pipeline.training.lessons import pads
from geofovea.pipeline.training.lessons.dense_labels import DENSE_LABELS
from geofovea.pipeline.training.lessons.spec import LESSON_KINDS, SampleSpec
from geofovea.pipeline.training.samples import training_samples

SHAPE = ModelShape()
WORDS = vocabulary()
WORD_IDS = {word: index for index, word in enumerate(WORDS)}
KINDS = ("count", "verify", "presence", "object color", "object status", "object shape")
CHANGES = ("appeared", "gone", "new count", "changed")
TOKENS = SHAPE.grid**2
THING, COLOR = (list(DENSE_LABELS).index(name) for name in ("thing", "color"))


def samples(plan, count, seed=3):
    return list(islice(training_samples(seed, SHAPE, plan, WORD_IDS), count))


def questions_of(sample):
    """Kind, words and answer of each question, with the tokens to look at."""
    for ids, kind, focus in zip(sample.words, sample.category, sample.focus, strict=True):
        *words, answer = [WORDS[i] for i in ids if i]
        yield LESSON_KINDS[kind], words, answer, focus


@pytest.mark.parametrize("seed", range(8))
def test_what_a_cut_tile_asks_is_true_of_the_things_inside_its_frame(seed):
    plan = SampleSpec(lone_pad=True, cut=1.0, kinds=("count", "presence", "verify"), questions=12)
    scene = pads._cut_tile(random.Random(seed), SHAPE, plan)
    world = make_world(random.Random(seed).getrandbits(48), 4096, 4096)
    frame = scene.pyramid.box_scene(scene.tile)
    things = [t for s in world.sites for t in s.things if t.box.share_inside(frame) >= 0.4]
    for question in islice(scene.questions, 12):
        words = question.text.lower().rstrip("?").split()
        kind = next(k for k in THINGS if {k, f"{k}s"} & set(words))
        colors = [word for word in words if word in COLORS]
        found = [t for t in things if t.kind == kind and t.color in (colors or COLORS)]
        if question.category == "count":
            assert question.answer == str(len(found))
        else:
            assert question.answer == ("yes" if found else "no")


def test_most_cut_tiles_show_some_thing_and_few_show_none():
    plan = SampleSpec(lone_pad=True, cut=1.0, kinds=KINDS, questions=1)
    shown = [(sample.dense[THING] > 0).any() for sample in samples(plan, 40)]
    assert 0.6 < np.mean(shown) < 1


def test_a_close_up_shows_one_thing_and_asks_about_nothing_else():
    plan = SampleSpec(lone_pad=True, close_up=1.0, kinds=KINDS, questions=6)
    for sample in samples(plan, 12):
        assert 0 < sample.visible.sum() <= 16 < TOKENS
        for kind, words, answer, focus in questions_of(sample):
            assert kind != "object shape"
            if kind in ("verify", "object color", "object status"):
                assert (focus & sample.visible).sum() > 0.25 * focus.sum()
            if kind == "object color":
                labels = sample.dense[COLOR][focus]
                assert list(COLORS).index(answer) in labels
            if kind == "count" and answer == "0":
                plural = next(word for word in words if word[:-1] in THINGS)
                label = 1 + THINGS.index(plural[:-1])
                assert (sample.dense[THING][sample.visible] == label).mean() < 0.5


def test_no_answer_of_yes_or_no_comes_much_more_often_than_the_other():
    plan = SampleSpec(lone_pad=True, kinds=("count", "verify", "presence"), questions=12)
    answers = Counter(
        (kind, answer)
        for sample in samples(plan, 40)
        for kind, _, answer, _ in questions_of(sample)
    )
    for kind in ("verify", "presence"):
        yes, no = answers[kind, "yes"], answers[kind, "no"]
        assert 0.35 < yes / (yes + no) < 0.65, kind
    assert sum(answers["count", str(n)] for n in range(2, 6)) > 0.25 * sum(
        count for (kind, _), count in answers.items() if kind == "count"
    )


@pytest.fixture(scope="module")
def dated():
    return samples(SampleSpec(lone_pad=True, dates=2, kinds=CHANGES, questions=6), 24)


def test_each_date_stands_behind_its_word_and_shows_the_same_places(dated):
    for sample in dated:
        assert [WORDS[i] for i in sample.labels] == ["before", "after"]
        assert sample.tiles.shape == (2, SHAPE.tile_size, SHAPE.tile_size, 3)
        assert np.array_equal(*np.split(sample.places, 2))
        assert not np.array_equal(*sample.tiles)
        before, after = np.split(sample.group, 2)
        assert before.tolist() == [-1] + [0] * TOKENS
        assert after.tolist() == [-1] + [1] * TOKENS
        assert sample.visible.all()
        assert not sample.focus[:, [0, TOKENS + 1]].any()


def test_what_came_or_went_is_seen_at_the_one_date_and_not_at_the_other(dated):
    checked = Counter()
    for sample in dated:
        before, after = np.split(sample.dense[THING], 2)
        for kind, _, answer, focus in questions_of(sample):
            cells, also = np.split(np.delete(focus, [0, TOKENS + 1]), 2)
            assert np.array_equal(cells, also)
            if kind in ("appeared", "gone"):
                label = 1 + THINGS.index(answer)
                there, away = (after, before) if kind == "appeared" else (before, after)
                assert label in there[cells]
                assert (there[cells] == label).sum() > (away[cells] == label).sum()
                checked[kind] += 1
    assert min(checked["appeared"], checked["gone"]) > 5


def test_two_dates_of_a_scene_show_every_tile_twice():
    plan = SampleSpec(
        dates=2, kinds=CHANGES, coarse_levels=0, native_tiles=2, questions=4, scene_sides=(4096,)
    )
    (sample,) = samples(plan, 1)
    places = plan.tiles * TOKENS
    assert len(sample.tiles) == plan.tiles == 6
    assert len(sample.places) == places
    assert len(sample.visible) == len(sample.group) == sample.focus.shape[1] == places + 2
    assert set(sample.group.tolist()) == {-1, 0, 1, 2, 3}
    assert np.array_equal(*np.split(sample.visible, 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kinds": ("count", "weather")}, "weather"),
        ({"lone_pad": True, "kinds": ("verify",)}, "'count'"),
        ({"dates": 2, "kinds": ("appeared",)}, "'new count'"),
    ],
)
def test_a_plan_that_could_run_out_of_questions_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SampleSpec(**changes)
