"""A mode of attention says which rows count, and refuses what cannot be meant."""

import json
from dataclasses import replace

import pytest

from geofovea.errors import ModelError
from geofovea.regionfocus.attention_mode import (
    NEUTRAL_QUESTIONS,
    WORDINGS,
    AttentionMode,
    default_mode,
    early_layers,
    middle_layers,
)


@pytest.mark.parametrize(
    ("depth", "layers"),
    [(1, (0,)), (2, (1,)), (4, (2,)), (24, (10, 12, 14)), (28, (11, 14, 17)), (32, (13, 16, 19))],
)
def test_the_middle_of_a_decoder_is_this(depth, layers):
    assert middle_layers(range(depth)) == layers


@pytest.mark.parametrize(
    ("layers", "below", "early"),
    [
        (range(4), 2, (1,)),
        (range(28), 11, (6,)),
        (range(32), 3, (2,)),
        (range(3), 1, (0,)),
        ([5, 11, 17, 23, 29], 17, (11,)),
        (range(4), 0, ()),
    ],
)
def test_the_early_layer_of_a_decoder_is_this(layers, below, early):
    assert early_layers(layers, below) == early


def test_a_mode_reads_its_early_layers_beside_its_own():
    assert default_mode(range(28), reuses_prefix=True).read_layers == (6, 11, 14, 17)
    assert default_mode(range(1), reuses_prefix=True).read_layers == (0,)
    for correction in ("raw", "masked", "detrended"):
        mode = AttentionMode((3,), correction=correction, early=(1,), halvings=2)
        assert (mode.read_layers, mode.halvings) == ((3,), 0)


def test_layers_that_see_a_window_alone_are_passed_over():
    assert middle_layers([5, 11, 17, 23, 29]) == (17, 23)


def test_a_mode_comes_back_from_json_as_it_was():
    mode = AttentionMode((3, 5), ((3, 0), (5, 7)), "masked", "median")
    default = default_mode(range(32), reuses_prefix=True)
    for each in (mode, default, replace(default, halvings=2)):
        assert AttentionMode.from_json(json.loads(json.dumps(each.to_json()))) == each
    as_read = {"layers": [3, 5], "heads": [[3, 0], [5, 7]], "correction": "masked"}
    assert AttentionMode.from_json(as_read | {"pooling": "median"}) == mode


def test_where_further_questions_are_dear_one_neutral_question_has_to_do():
    assert default_mode(range(32), reuses_prefix=True).neutral == NEUTRAL_QUESTIONS
    assert len(default_mode(range(32), reuses_prefix=False).neutral) == 1
    assert default_mode(range(32), reuses_prefix=True).wordings == WORDINGS
    assert default_mode(range(32), reuses_prefix=False).wordings == ()


def test_a_wording_takes_the_question_as_it_is():
    mode = AttentionMode((3,), wordings=("Question: {question}",))
    assert mode.reworded("Is {this} it?") == ["Question: Is {this} it?"]


def test_a_mode_that_was_stored_without_wordings_early_layers_and_halvings_has_none():
    record = default_mode(range(32), reuses_prefix=True).to_json()
    del record["wordings"], record["early"], record["halvings"]
    read = AttentionMode.from_json(record)
    assert (read.wordings, read.early, read.halvings) == ((), (), 0)


def test_raw_attention_is_compared_with_nothing():
    assert AttentionMode((0,), correction="raw").neutral == ()


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (None, "object with layers"),
        ({}, "object with layers"),
        ([[3]], "object with layers"),
        ({"layers": []}, "layers"),
        ({"layers": [3], "halvings": 3}, "choose 0 to 2"),
        ({"layers": [-1]}, "layers"),
        ({"layers": [2, 1]}, "layers"),
        ({"layers": [True]}, "layers"),
        ({"layers": "3"}, "layers"),
        ({"layers": [3], "heads": [[2, 0]]}, "heads"),
        ({"layers": [3], "heads": [[3]]}, "heads"),
        ({"layers": [3], "heads": []}, "heads"),
        ({"layers": [3], "heads": [{}]}, "heads"),
        ({"layers": [3], "heads": [[3, {}]]}, "heads"),
        ({"layers": 3, "heads": [[3, 0]]}, "layers"),
        ({"layers": [3], "wordings": [{}]}, "wordings"),
        ({"layers": [3], "early": [3]}, "below the first of its layers"),
        ({"layers": [3], "early": 2}, "below the first of its layers"),
        ({"layers": [3], "early": [2, 1]}, "below the first of its layers"),
        ({"layers": [3], "heads": [[3, 0], [3, 0]]}, "heads"),
        ({"layers": [3], "correction": "magic"}, "choose one of raw, relative"),
        ({"layers": [3], "pooling": "max"}, "choose one of mean, median"),
        ({"layers": [3], "neutral": []}, "neutral"),
        ({"layers": [3], "wordings": "Question: {question}"}, "wordings"),
        ({"layers": [3], "wordings": ["Question:"]}, "wordings"),
        ({"layers": [3], "wordings": ["{question}"]}, "wordings"),
        ({"layers": [3], "wordings": ["{question} {question}"]}, "wordings"),
        ({"layers": [3], "wordings": ["a {question}", "a {question}"]}, "wordings"),
        ({"layers": [3], "wordings": [f"{i} {{question}}" for i in range(5)]}, "wordings"),
        ({"layers": [3], "neutral": [" "]}, "neutral"),
        ({"layers": [3], "neutral": ["What is it?"] * 9}, "neutral"),
        ({"layers": [3], "correction": "masked", "neutral": ["What is it?"]}, "three for masked"),
        ({"layers": [3], "head": 2}, r"no \['head'\]"),
    ],
)
def test_a_mode_that_cannot_be_meant_is_refused(record, words):
    with pytest.raises(ModelError, match=words):
        AttentionMode.from_json(record)
