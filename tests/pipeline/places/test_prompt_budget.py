"""The tokens of all prompts about a tile stay within the budget, and what they left out is told."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from family_toys import host_of

import geofovea as gf
from geofovea.errors import BudgetError
from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.prompts.presence import PresenceWords
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.places import counting
from geofovea.pipeline.places.in_tile.looking import TileLooker
from geofovea.tiling.pyramid import Tile

SIDE = 4
ATTRIBUTE = "Is the {noun} {attribute}?"


@cache
def host(family, has_numbers=False):
    model = host_of(family)
    answers = ("1", "2", "0") if has_numbers else ("yes", "no")
    model.presence = PresenceWords(answers=answers, attribute=ATTRIBUTE)
    return model


@pytest.fixture
def writes_a_box(monkeypatch):
    """Random weights write no box: the text of the real answer is replaced by one."""

    class Writer:
        def __init__(self, of):
            self.of = of

        def generate(self, question, tokens):
            reply = self.of.generate(question, tokens)
            assert isinstance(reply, Generation)
            return replace(reply, text='[{"bbox_2d": [4, 4, 12, 12], "label": "plane"}]', marked="")

    answering = LvlmHost.answering
    monkeypatch.setattr(LvlmHost, "answering", lambda self, _: Writer(answering(self, 4)))


def scene_of(model):
    shape = (SIDE * model.tile_size, SIDE * model.tile_size, 3)
    pixels = np.random.default_rng(990001).integers(1, 255, shape, dtype=np.uint8)
    return gf.open(pixels, model=model)


@pytest.mark.parametrize("has_numbers", [False, True])
@pytest.mark.parametrize(
    ("phrase", "prompts", "outlines"),
    [
        ("plane", 1, {"tokens"}),
        ("plane", 3.5, {"box"}),
        ("plane", 20, {"box"}),
        ("white plane", 3.5, {"box"}),
        ("white plane", 20, {"box"}),
        ("small white plane", 8, {"box"}),
    ],
)
def test_prompts_of_all_kinds_stay_within_the_tokens(
    writes_a_box, phrase, has_numbers, prompts, outlines
):
    model = host("qwen2_5_vl", has_numbers)
    tokens = int(prompts * model.grid[0] * model.grid[1])
    scene, options = scene_of(model), {"min_score": 0.001, "tokens": tokens, "tiles": 100}
    for places in (scene.find(phrase, **options), scene.count(phrase, **options).places):
        assert 0 < places.cost.tokens_llm <= tokens
        assert 0 < places.coverage.tiles_looked < SIDE**2
        assert places.coverage.stopped == "tokens"
        assert outlines <= {place.outline for place in places}
        by_attention = any(place.outline == "tokens" for place in places)
        told = any("before the model could write boxes" in each for each in places.warnings)
        assert told >= by_attention


def test_as_many_tiles_are_drawn_as_their_prompts_leave_tokens_for(monkeypatch):
    model, drawn = host("qwen2_5_vl", has_numbers=True), []

    def make_strata(*args):
        strata = strata_of(*args)
        drawn.extend(index for each in strata for index in each.drawn)
        return strata

    strata_of = counting.make_strata
    monkeypatch.setattr(counting, "make_strata", make_strata)
    per_tile = model.grid[0] * model.grid[1]
    # each tile takes two prompts: a number, and a choice among all
    count = scene_of(model).count("plane", tokens=22 * per_tile, tiles=15)
    looked = count.coverage.tiles_looked
    assert 22 * per_tile // 3 < count.cost.tokens_llm <= 22 * per_tile
    assert 0.8 * looked <= len(drawn) <= looked < 15


@pytest.mark.parametrize("phrase", ["plane", "white plane"])
def test_a_whole_budget_brings_the_boxes_of_every_tile(writes_a_box, phrase):
    places = scene_of(host("qwen2_5_vl")).find(phrase, min_score=0.001, second_look=False)
    assert places.coverage.is_complete
    assert [place.outline for place in places] == ["box"] * SIDE**2
    assert places.cost.tokens_llm <= places.cost.budget.tokens


def test_every_prompt_is_among_the_runs_of_the_decoder(writes_a_box):
    model = host("qwen2_5_vl")
    session = scene_of(model)
    calls = DirectCalls(model, session.tiles)
    usage = QuestionUsage.of(model, EncodePlan(), StageClock(calls.now))
    budget = gf.Budget(tiles=9, tokens=10**6)
    looker = TileLooker(model, session.pyramid, "white plane", calls, usage, budget, min_score=1e-3)
    looker.look([Tile(0, 0, 0), Tile(0, 0, 1)])
    assert [place.outline for place in looker.places] == ["box"] * 2
    # presence, boxes and an adjective
    assert len(looker.asker.runs) == 6
    assert sum(run.vision_tokens for run in looker.asker.runs) == looker.asker.tokens


def test_tokens_that_end_before_the_adjective_leave_the_tile_out(writes_a_box):
    model = host("qwen2_5_vl")
    tokens = 2 * model.grid[0] * model.grid[1]
    scene, options = scene_of(model), {"min_score": 0.001, "tokens": tokens, "tiles": 100}
    places = scene.find("white plane", **options)
    assert (len(places), places.coverage.tiles_looked, places.cost.tiles_encoded) == (0, 0, 1)
    assert places.cost.tokens_llm == tokens
    assert any("before the adjectives" in each for each in places.warnings)
    with pytest.raises(
        BudgetError, match=f"tokens={tokens} cannot hold .* allow {3 * tokens // 2}"
    ):
        scene.count("white plane", **options)
