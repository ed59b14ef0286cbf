"""What a page sends is checked whole: of the wrong kind, out of bounds, or above the server's."""

import json

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from pipeline_toys import QUESTION

from geofovea.errors import BudgetError, GeoFoveaError, GeometryError, QuestionError
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.request import MAX_QUESTION_LENGTH
from geofovea.pipeline.viewer.job_request import BadJobError, JobRequest
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.opening import open_scene

MOST = Budget(tiles=20, tokens=100)
RIGHT = {"scene": "1", "question": QUESTION}


@pytest.fixture(scope="module")
def scene(scene_path):
    return open_scene(scene_path)


def made(scene, **more):
    return JobRequest.from_json(RIGHT | more).request(scene, MOST, AnswerOptions())


def test_a_plain_question_gets_the_budget_of_the_server(scene):
    request = made(scene)
    assert (request.question, request.budget, request.region) == (QUESTION, MOST, None)


@pytest.mark.parametrize(
    "sent",
    [
        None,
        [],
        "text",
        1,
        {},
        {"scene": "1"},
        {"question": QUESTION},
        RIGHT | {"scene": 1},
        RIGHT | {"question": None},
        RIGHT | {"question": ["a"]},
        RIGHT | {"path": "/etc/passwd"},
        RIGHT | {"region": [0, 0, 1, 1]},
        RIGHT | {"region": "all"},
        RIGHT | {"budget": 5},
        RIGHT | {"choices": "yes"},
        RIGHT | {"choices": [1, 2]},
        RIGHT | {"choices": {"a": "b"}},
        RIGHT | {"task": "sweep"},
        RIGHT | {"task": ["find"]},
        RIGHT | {"task": "find", "sweep": 1},
        RIGHT | {"task": "count", "sweep": True},
        RIGHT | {"task": "changes"},
        RIGHT | {"task": "changes", "before": 2},
        RIGHT | {"task": "changes", "before": RIGHT["scene"]},
        RIGHT | {"task": "find", "before": "2"},
        RIGHT | {"task": "compare", "before": "2"},
    ],
)
def test_what_is_no_job_is_refused(sent):
    with pytest.raises(BadJobError):
        JobRequest.from_json(sent)


@pytest.mark.parametrize("question", ["", "   ", "x" * (MAX_QUESTION_LENGTH + 1)])
def test_an_empty_or_endless_question_is_refused(scene, question):
    with pytest.raises(QuestionError):
        made(scene, question=question)


@pytest.mark.parametrize(
    ("limits", "budget"),
    [
        ({}, MOST),
        ({"tiles": 5}, Budget(tiles=5, tokens=100)),
        ({"tiles": 20, "tokens": 100}, MOST),
        ({"tiles": None}, MOST),
        ({"seconds": 3.5}, Budget(tiles=20, tokens=100, seconds=3.5)),
    ],
)
def test_a_budget_may_be_smaller_than_that_of_the_server(scene, limits, budget):
    assert made(scene, budget=limits).budget == budget


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"tiles": 21}, "allows tiles up to 20"),
        ({"tokens": 10**9}, "allows tokens up to 100"),
        ({"tiles": 0}, "."),
        ({"tiles": -1}, "."),
        ({"tiles": True}, "a limit is a number"),
        ({"tiles": "9"}, "a limit is a number"),
        ({"tiles": [1]}, "a limit is a number"),
        ({"tiles": float("nan")}, "."),
        ({"path": 1}, "a budget limits"),
        ({"seconds": float("inf")}, "."),
    ],
)
def test_a_budget_above_the_server_or_impossible_is_refused(scene, limits, message):
    with pytest.raises(BudgetError, match=message):
        made(scene, budget=limits)


def test_a_limit_of_the_server_holds_where_a_page_names_none(scene):
    most = Budget(tiles=20, tokens=100, seconds=5)
    request = JobRequest.from_json(RIGHT | {"budget": {"tiles": 3}})
    assert request.request(scene, most, AnswerOptions()).budget.seconds == 5
    request = JobRequest.from_json(RIGHT | {"budget": {"seconds": 6}})
    with pytest.raises(BudgetError, match="allows seconds up to 5"):
        request.request(scene, most, AnswerOptions())


def test_a_region_is_a_box_or_a_polygon_cut_at_the_edge_of_the_scene(scene):
    box = made(scene, region={"box": [-50, 100, 300, 400.5]}).region
    assert box.geometry.bounds == (0, 100, 300, 400.5)
    triangle = made(scene, region={"polygon": [[0, 0], [200, 0], [0, 200]]}).region
    assert triangle.geometry.area == 20_000


@pytest.mark.parametrize(
    "region",
    [
        {},
        {"box": [0, 0, 1]},
        {"box": [0, 0, 1, "2"]},
        {"box": [0, 0, 1, True]},
        {"box": None},
        {"box": [0, 0, 0, 5]},
        {"box": [0, 0, 1e308, 1e308]},
        {"box": [float("nan"), 0, 1, 1]},
        {"box": [5000, 5000, 6000, 6000]},
        {"box": [0, 0, 1, 1], "polygon": [[0, 0], [1, 0], [0, 1]]},
        {"polygon": []},
        {"polygon": [[0, 0], [1, 0]]},
        {"polygon": [[0, 0], [1, 0], [0, None]]},
        {"polygon": [[0, 0], [9, 9], [9, 0], [0, 9]]},
        {"polygon": [[0, 0], [1, 1], [2, 2]]},
        {"polygon": [[i, i % 7] for i in range(1001)]},
        {"path": "/etc/passwd"},
    ],
)
def test_an_impossible_region_is_refused(scene, region):
    with pytest.raises(GeometryError):
        made(scene, region=region)


def test_choices_are_those_of_a_session(scene):
    assert made(scene, choices=["red", " green "]).choices == ("red", "green")
    with pytest.raises(QuestionError, match="2 to 26 choices"):
        made(scene, choices=["red"])


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"scene": st.just("1"), "question": st.just("What is it?")},
        optional={
            "region": st.dictionaries(st.sampled_from(["box", "polygon"]), anything) | anything,
            "budget": st.dictionaries(st.sampled_from(["tiles", "tokens", "x"]), anything),
            "choices": anything,
        },
    )
)
def test_whatever_is_sent_is_taken_or_refused_in_words(scene, sent):
    try:
        request = JobRequest.from_json(json.loads(json.dumps(sent)))
        request = request.request(scene, MOST, AnswerOptions())
    except GeoFoveaError as error:
        reason = str(error)
        event("refused")
    else:
        reason = "taken"
        assert request.budget.tiles <= MOST.tiles
        assert request.budget.tokens <= MOST.tokens
    assert reason
