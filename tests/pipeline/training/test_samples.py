"""Samples show what they claim to, and label it truly."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from geofovea.datasets.synthetic.vocabulary import CATEGORIES
from geofovea.errors import DataError
from geofovea.pipeline.training.embedded_model import ModelShape, vocabulary
from geofovea.pipeline.training.lessons.dense_labels import DENSE_LABELS, IGNORED
from geofovea.pipeline.training.lessons.spec import LESSON_KINDS
from geofovea.pipeline.training.samples import SampleSpec, training_samples

SHAPE = ModelShape()
WORD_IDS = {word: index for index, word in enumerate(vocabulary())}
NEAR = SampleSpec(
    overview=False,
    coarse_levels=1,
    coarse_tiles=1,
    native_tiles=4,
    questions=16,
    scene_sides=(4096, 16384),
    distracted=0,
    alone=0,
    dropped=0,
)
CROWDED = replace(NEAR, native_tiles=0, crowded_tiles=3, questions=0)

LONE_PAD = SampleSpec(lone_pad=True, crowded_tiles=1, questions=12)


@pytest.fixture(scope="module")
def near():
    return list(islice(training_samples(11, SHAPE, NEAR, WORD_IDS), 6))


@pytest.fixture(scope="module")
def crowded():
    return list(islice(training_samples(11, SHAPE, CROWDED, WORD_IDS), 4))


def words_of(sample, row):
    spelled = {index: word for word, index in WORD_IDS.items()}
    ids = [i for i in sample.words[row].tolist() if i != WORD_IDS["<pad>"]]
    return [spelled[i] for i in ids]


def test_every_word_that_a_question_or_answer_uses_has_a_token(near):
    for sample in near:
        assert sample.words.min() >= 0
        assert not (sample.words == WORD_IDS["<unk>"]).any()


def test_the_targets_are_the_answer_behind_the_question_and_then_the_end(near):
    for sample in near:
        for row, targets in enumerate(sample.targets):
            said = words_of(sample, row)
            places = np.flatnonzero(targets != IGNORED)
            assert said[places[0]] == "?"
            assert targets[places[0]] == WORD_IDS[said[-1]]
            assert targets[places[1]] == WORD_IDS["</s>"]
            assert len(places) == 2


def test_some_token_lies_where_a_question_about_one_thing_says_to_look(near):
    for sample in near:
        shown = (sample.focus & sample.visible).any(1)
        assert shown.mean() > 0.5
        assert sample.focus.shape == (NEAR.questions, NEAR.tiles * SHAPE.grid**2)


def test_the_color_that_is_asked_for_is_the_label_of_the_tokens_to_look_at(near):
    color = list(DENSE_LABELS).index("color")
    names = ("red", "green", "blue", "white", "black", "yellow", "orange", "purple")
    checked = 0
    for sample in near:
        for row in np.flatnonzero(sample.category == CATEGORIES.index("object color")):
            labels = sample.dense[color][sample.focus[row]]
            labels = labels[labels != IGNORED]
            if len(labels):
                answer = words_of(sample, row)[-1]
                assert names.index(answer) in labels
                checked += 1
    assert checked > 5


def test_a_dropped_share_hides_tokens_and_none_hides_only_padding(near):
    assert all(sample.visible.mean() > 0.8 for sample in near)
    plan = replace(NEAR, dropped=0.9)
    hidden = [
        1 - sample.visible.mean()
        for sample in islice(training_samples(3, SHAPE, plan, WORD_IDS), 6)
    ]
    assert max(hidden) > 0.1


def test_a_sample_shown_alone_shows_one_level_and_counts_no_answer_that_needs_another():
    plan = replace(NEAR, alone=1.0)
    for sample in islice(training_samples(5, SHAPE, plan, WORD_IDS), 12):
        shown = set(sample.group[sample.visible].tolist())
        assert len(shown) == 1
        details = sample.category != CATEGORIES.index("rural or urban")
        details &= sample.category != CATEGORIES.index("reasoning")
        if shown == {0}:
            assert not sample.answered[details].any()


def test_questions_count_where_their_place_is_shown_and_not_for_strangers(near):
    for sample in near:
        looked = (sample.focus & sample.visible).any(1)
        assert (looked | ~sample.answered).all()
    assert np.mean([sample.answered.mean() for sample in near]) > 0.4
    plan = replace(NEAR, strangers=1.0)
    details = {CATEGORIES.index(name) for name in ("object color", "object status", "count")}
    for sample in islice(training_samples(5, SHAPE, plan, WORD_IDS), 6):
        is_detail = np.isin(sample.category, list(details))
        assert not sample.answered[is_detail].any()


def test_a_distracted_sample_counts_every_answer():
    plan = replace(NEAR, distracted=1.0)
    assert all(
        sample.answered.all() for sample in islice(training_samples(5, SHAPE, plan, WORD_IDS), 6)
    )


def test_crowded_samples_have_names_to_learn_and_nothing_to_answer(crowded):
    thing, site = (list(DENSE_LABELS).index(name) for name in ("thing", "site"))
    per_tile = SHAPE.grid**2
    for sample in crowded:
        assert sample.words.shape == (0, CROWDED.question_length)
        assert sample.tiles.shape[0] == CROWDED.tiles
        crowd = sample.dense[:, per_tile:]
        assert (crowd[thing] > 0).mean() > 0.3
        assert (crowd[site] == IGNORED).all()
        assert (sample.dense[site, :per_tile] != IGNORED).any()


def test_the_tile_of_a_lone_pad_shows_what_its_questions_are_about():
    tokens = SHAPE.grid**2
    labels = list(DENSE_LABELS)
    for sample in islice(training_samples(5, SHAPE, LONE_PAD, WORD_IDS), 8):
        assert sample.tiles.shape == (2, SHAPE.tile_size, SHAPE.tile_size, 3)
        assert sample.places.shape == (tokens, 3)
        assert sample.answered.all()
        assert "rural or urban" not in {LESSON_KINDS[c] for c in sample.category}
        # a pad of no scene does not look like the site whose name it has
        for name in ("site", "setting"):
            assert (sample.dense[labels.index(name), :tokens] == IGNORED).all()
        things = sample.dense[labels.index("thing"), :tokens]
        assert sample.focus.any(1).all()
        for row in np.flatnonzero(sample.category == CATEGORIES.index("object color")):
            assert (things[sample.focus[row]] > 0).any()


def test_a_count_looks_at_what_it_counts_and_at_the_whole_pad_if_there_is_none():
    counts = CATEGORIES.index("count")
    seen = set()
    for sample in islice(training_samples(6, SHAPE, LONE_PAD, WORD_IDS), 12):
        for row in np.flatnonzero(sample.category == counts):
            number = int(words_of(sample, row)[-1])
            share = sample.focus[row].mean()
            seen.add(number)
            # a thing touches at most 3 x 3 tokens
            assert share == 1 if number == 0 else 0 < share <= min(1, 9 * number / SHAPE.grid**2)
    assert {0, 1} <= seen


def test_equal_arguments_give_equal_samples(crowded):
    again = list(islice(training_samples(11, SHAPE, CROWDED, WORD_IDS), 4))
    for one, other in zip(crowded, again, strict=True):
        for name, value in vars(one).items():
            assert np.array_equal(value, getattr(other, name)), name


@pytest.mark.parametrize("plan", [NEAR, CROWDED, LONE_PAD])
def test_samples_of_the_second_world_have_the_same_shapes_and_other_pictures(plan):
    one, two = (
        next(training_samples(5, SHAPE, replace(plan, world=world), WORD_IDS)) for world in (1, 2)
    )
    assert two.tiles.shape == one.tiles.shape
    assert two.dense.shape == one.dense.shape
    assert two.words.shape == one.words.shape
    assert (two.tiles != one.tiles).mean() > 0.5
    again = next(training_samples(5, SHAPE, replace(plan, world=2), WORD_IDS))
    assert (again.tiles == two.tiles).all()
    assert not (two.words == WORD_IDS["<unk>"]).any()


def test_a_plan_of_a_world_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match="1 or 2, got world=3"):
        replace(NEAR, world=3)
