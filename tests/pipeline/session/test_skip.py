"""Work skipped inside the decoder, from the option of a question to the cost of its answer."""

import pytest
from pipeline_toys import QUESTION

import geofovea as gf
from geofovea.errors import ModelError
from geofovea.pipeline.hosts.learned.trained_parts import layer_method
from geofovea.pipeline.inference.decoder.planned import PlannedRun
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.settings import AskSettings
from geofovea.regionfocus.layer_plans.deepstack import DeepStack
from geofovea.regionfocus.layer_plans.registry import LAYER_METHOD_NAMES


@pytest.mark.parametrize("name", LAYER_METHOD_NAMES)
def test_every_method_answers_within_the_budget_and_says_what_ran(make_session, name):
    session = make_session()
    budget = gf.Budget(tiles=6, tokens=40)
    # by default it begins in the last layer of this decoder, which it leaves alone
    skip = "var:1" if name == "var" else name
    answer = session.ask(QUESTION, budget=budget, skip=skip)
    assert answer.text
    assert 0 < answer.cost.tokens_llm <= 40
    depth = session.host._decoder.config.num_hidden_layers
    ran = answer.cost.vision_layers
    assert 0 < ran <= depth * answer.cost.tokens_llm
    assert answer.cost.to_json()["vision_layers"] == ran


def test_frozen_layers_run_no_vision_and_cost_less(make_session):
    session = make_session()
    plain = session.ask(QUESTION)
    assert plain.cost.vision_layers is None
    assert "vision_layers" not in plain.cost.to_json()
    frozen = session.ask(QUESTION, skip="ima:1")
    assert frozen.cost.vision_layers == frozen.cost.tokens_llm
    assert frozen.cost.flops.full.prefill < plain.cost.flops.full.prefill
    assert frozen.cost.flops.published_tera < plain.cost.flops.published_tera


LAST = {"ima": 2, "yopo": 2, "dyvte": 2, "var": 1, "aki": 1, "deepstack": 2, "lazyllm": 1}
"""The last layer from which on a method does something in a decoder of three."""


@pytest.mark.parametrize("name", LAYER_METHOD_NAMES)
def test_a_first_layer_from_which_nothing_happens_is_refused_with_the_last_one_that_does(
    make_session, name
):
    host = make_session().host
    depth = host._decoder.config.num_hidden_layers
    assert depth == 3
    layer_method(host, f"{name}:{LAST[name]}")
    for start in (LAST[name] + 1, depth, 99, 999_999_999):
        with pytest.raises(
            ModelError, match=f"nothing from layer {start} .* 3 layers.*{name}:{LAST[name]} "
        ):
            layer_method(host, f"{name}:{start}")


@pytest.mark.parametrize("text", ["saisa:1", "atp:0", "saisa:"])
def test_a_method_trained_for_its_layers_takes_no_first_one(make_session, text):
    name = text.partition(":")[0]
    with pytest.raises(ModelError, match=f"takes no first layer; write {name}$"):
        layer_method(make_session().host, text)


def test_tiles_of_the_prompt_are_the_tiles_of_the_tokens(make_session, monkeypatch):
    tiles = []
    prepare = PlannedRun.__init__

    def noted(run, decoder, sequence, method, tile_index=None):
        tiles.append(len(tile_index.unique()))
        assert len(tile_index) == len(sequence.visual)
        prepare(run, decoder, sequence, method, tile_index)

    monkeypatch.setattr(PlannedRun, "__init__", noted)
    make_session().ask(QUESTION, skip="yopo")
    assert max(tiles) > 1


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"skip": "none such"}, "choose one of ima, yopo"),
        ({"skip": "ima:last"}, "ima:2"),
        ({"skip": "ima", "reduction": "fastv"}, "fastv"),
    ],
    ids=str,
)
def test_what_cannot_be_skipped_is_refused_before_a_tile_is_read(make_session, how, message):
    session = make_session()

    def read(*args, **kwargs):
        raise AssertionError("a tile was read")

    session.reader.read = read
    with pytest.raises(ModelError, match=message):
        session.ask(QUESTION, **how)


def test_a_run_with_other_work_skipped_is_another_run():
    plain, skips = (
        AskSettings("owner/model", options=AnswerOptions(skip=s)) for s in (None, "ima")
    )
    assert "skip" not in plain.described()
    assert plain.hash != skips.hash


def test_a_stacked_level_takes_no_place_in_the_sequence(make_session):
    budget = gf.Budget(tiles=12, tokens=30)
    plain = make_session().ask(QUESTION, budget=budget, descent="geometric")
    stacked = make_session().ask(QUESTION, budget=budget, descent="geometric", skip="deepstack")
    cost = stacked.cost
    assert cost.tiles_by_level == plain.cost.tiles_by_level
    assert 0 < cost.tokens_beside <= 4 * cost.tokens_llm <= 4 * 30
    assert cost.to_json()["tokens_beside"] == cost.tokens_beside
    assert plain.cost.tokens_beside == 0
    assert min(plain.cost.tiles_by_level) == 0
    assert stacked.text


def test_groups_for_which_there_is_no_layer_are_told(make_session):
    answer = make_session().ask(QUESTION, budget=gf.Budget(tiles=6, tokens=30), skip="deepstack:2")
    assert [w for w in answer.warnings if w.startswith("deepstack added 1 of 4 groups")]
    assert DeepStack(start=0).shortfall(3).startswith("deepstack added 3 of 4 groups")
    assert DeepStack(start=1, interval=2).shortfall(8) is None


def test_a_level_that_could_be_added_and_is_not_there_is_told(make_session):
    answer = make_session().ask(QUESTION, budget=gf.Budget(tiles=1, tokens=30), skip="deepstack")
    assert answer.cost.tokens_beside == 0
    assert [w for w in answer.warnings if w.startswith("deepstack added nothing: ")]
