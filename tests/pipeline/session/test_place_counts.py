"""How many there are at a place: found one by one, where a model's errors of that are known."""

from dataclasses import replace

import pytest

import geofovea as gf
from geofovea.datasets.synthetic.questions import ask_world
from geofovea.pipeline.engine.metered_generator import MeteredGenerator
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.regionfocus.budget import Budget

ONE_BY_ONE = "found one by one"


@pytest.fixture
def session(embedded_host, scene_path):
    return gf.SceneSession(gf.open_scene(scene_path), embedded_host)


@pytest.fixture
def question(world):
    """The one with the largest number."""
    counts = [each for each in ask_world(world, per_category=8) if each.category == "count"]
    return max(counts, key=lambda each: int(each.answer))


def is_counted(answer):
    return any(ONE_BY_ONE in warning for warning in answer.warnings)


def test_a_number_at_a_place_is_counted_in_the_tiles_of_the_search(session, question):
    answer = session.ask(question.text)
    assert is_counted(answer)
    assert int(question.answer) > 1
    assert answer.text == question.answer
    assert 0 < answer.confidence < 1
    assert {piece.tile.level for piece in answer.evidence} == {0}
    budget, cost = session.host.default_budget, answer.cost
    assert cost.tiles_encoded <= budget.tiles
    assert 0 < cost.tokens_llm <= budget.tokens


@pytest.mark.parametrize(
    "options",
    [
        {"geometry": "off"},
        {"reduction": "top_score"},
        {"choices": ("1", "2", "3")},
        {"budget": Budget(tiles=48, tokens=30)},
        {"focus": "uniform"},
        {"route": "none"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_the_model_reads_the_number_where_the_options_or_the_budget_leave_it_to_it(
    session, question, options
):
    answer = session.ask(question.text, **options)
    assert not is_counted(answer)
    assert answer.text
    if "budget" in options:
        assert answer.cost.tokens_llm <= options["budget"].tokens


def test_a_number_that_is_read_after_a_count_is_counted_as_read_from_the_memory(
    embedded_host, scene_path, question
):
    scene, memory = gf.open_scene(scene_path), gf.MemoryOptions()
    session = gf.SceneSession(scene, embedded_host, memory=memory)
    answer = session.ask(question.text)
    assert is_counted(answer)
    looked = sum(len(look.token_scores) for look in answer.looks)
    # each look is read to be scored; the count may score tiles again
    assert answer.cost.memory.entries_read >= looked + answer.cost.reductions[-1].tokens_out


@pytest.mark.parametrize(
    ("read", "number", "has_note"), [("5", "5", True), ("2", "3", False), ("unclear", "3", False)]
)
def test_of_two_numbers_for_several_things_the_larger_is_the_answer(
    session, question, monkeypatch, read, number, has_note
):
    counted = session.ask(question.text)
    assert counted.text == "3"
    told = Generation(read, (-0.1,))
    monkeypatch.setattr(MeteredGenerator, "generate", lambda *_: told)
    answer = session.ask(question.text)
    assert answer.text == number
    notes = [w for w in answer.warnings if "from all tokens together" in w]
    assert [f"read {read} " in note and "3 were found" in note for note in notes] == [
        True
    ] * has_note
    assert answer.cost.tokens_llm == counted.cost.tokens_llm


def test_a_model_whose_errors_are_not_measured_reads_the_number(
    embedded_host, scene_path, question, monkeypatch
):
    monkeypatch.setattr(embedded_host, "presence", replace(embedded_host.presence, confusion=None))
    session = gf.SceneSession(gf.open_scene(scene_path), embedded_host)
    assert not is_counted(session.ask(question.text))
