"""A session looks where the question sends it, shows what it found there, and keeps its budgets."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_toys import QUESTION

import geofovea as gf
from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import BudgetError, ModelError
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.focus.stopping import StopAt
from geofovea.pipeline.hosts.base import Capabilities
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.search.router import route_question
from geofovea.regionfocus.strategies import DESCENT_NAMES, ROUTE_NAMES

COMPARE = "Is the camp north of the stadium?"
COUNT = "How many ships are in the scene?"
OURS = [name for name in DESCENT_NAMES if name != "published"]
stops = st.one_of(
    st.none(),
    st.builds(
        StopAt,
        st.one_of(st.none(), st.floats(0, 3)),
        st.one_of(st.none(), st.floats(0.01, 1)),
    ),
)


@pytest.fixture(scope="module")
def shared(tiny_host, scene_path):
    return gf.SceneSession(gf.open_scene(scene_path), tiny_host)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    tiles=st.integers(1, 60),
    tokens=st.integers(1, 900),
    descent=st.sampled_from(OURS),
    route=st.sampled_from(ROUTE_NAMES),
    question=st.sampled_from([QUESTION, COMPARE, COUNT]),
    stop=stops,
    concentrated=st.booleans(),
)
def test_no_policy_exceeds_its_budget(
    shared, tiny_host, tiles, tokens, descent, route, question, stop, concentrated
):
    reached = []
    generate = type(tiny_host).generate

    def counted(asked, kept):
        reached.append(len(kept))
        return generate(tiny_host, asked, kept)

    tiny_host.generate = counted
    try:
        answer = shared.ask(
            question,
            budget=Budget(tiles=tiles, tokens=tokens),
            descent=descent,
            route=route,
            stop=stop,
            concentrated=concentrated,
        )
    finally:
        del tiny_host.generate
    assert 1 <= answer.cost.tiles_encoded <= tiles
    assert 1 <= sum(reached) == answer.cost.tokens_llm <= tokens
    assert answer.stopped
    assert answer.route.reason


@pytest.mark.parametrize("seed", [1, 5, 11])
def test_questions_of_the_synthetic_world_are_routed_by_their_category(seed):
    for question in ask_world(make_world(seed, 8192, 8192), 6):
        expected = "one"
        if len(question.places) > 1:
            expected = "several"
        assert route_question(question.text).word == expected, question.text


def test_a_global_question_is_answered_from_above(make_session):
    answer = make_session().ask("Is this a rural or urban scene?")
    assert answer.route.word == "none"
    assert min(look.level for look in answer.looks) > 0
    assert answer.to_json()["route"]["reason"] == "'rural or urban' asks about the whole scene"
    assert answer.to_json()["stopped"] == answer.stopped == "tiles"


def test_one_place_is_shown_for_a_question_about_one(make_session):
    session = make_session()
    native = [e.tile for e in session.ask(QUESTION, route="one").evidence if e.tile.level == 0]
    everything = session.ask(QUESTION, route="one", concentrated=False)
    assert 1 <= len(native) < sum(e.tile.level == 0 for e in everything.evidence)
    assert max(t.row for t in native) - min(t.row for t in native) <= 2
    assert max(t.col for t in native) - min(t.col for t in native) <= 2


def test_ways_of_looking_without_a_question_have_no_route(make_session):
    answer = make_session().ask(QUESTION, focus="uniform")
    assert answer.route is None
    assert answer.to_json()["route"] is None


def test_impossible_ways_are_refused(make_session):
    for options in ({"descent": "deepest"}, {"route": "two"}):
        with pytest.raises(ModelError, match="choose one of"):
            make_session().ask(QUESTION, **options)
    for limits in ({"confidence": 0}, {"confidence": 1.1}, {"flatness": -1}):
        with pytest.raises(BudgetError):
            StopAt(**limits)


class CountingHost:
    """Sees pixels, looks at bright ones, and counts what is connected in what it is shown."""

    name = "counting"
    tile_size = 16
    grid = (16, 16)
    default_budget = Budget(tiles=120, tokens=20_000)
    capabilities = Capabilities(attention=True, domain="general", context=10**6)

    def encode(self, pixels, tiles, pyramid):
        return torch.from_numpy(pixels[..., :1].reshape(len(pixels), 256, 1) / 255.0).float()

    def scores(self, question, tokens):
        return tokens.features[:, 0] ** 2

    def generate(self, question, tokens):
        finest = tokens.at_level(int(tokens.levels.min()))
        bright = finest.boxes_scene[finest.features[:, 0] > 0.5]
        left = {(int(x), int(y)) for x, y in bright[:, :2].tolist()}
        count = 0
        while left:
            count += 1
            edge = [left.pop()]
            while edge:
                x, y = edge.pop()
                near = {(x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)} & left
                left -= near
                edge += near
        return Generation(str(count), (-0.1,))

    def unknown_words(self, question):
        return []


def bright_squares():
    """Four squares: on two corners of four tiles, on an edge, and inside of a tile."""
    pixels = np.full((3, 256, 256), 8, np.uint8)
    for x, y in ((29, 29), (60, 173), (157, 52), (198, 214)):
        pixels[:, y : y + 6, x : x + 6] = 250
    return pixels


def test_a_count_over_tiles_counts_nothing_twice_at_a_seam(make_tiff):
    host = CountingHost()
    session = gf.SceneSession(gf.open_scene(make_tiff(bright_squares())), host)
    answer = session.ask(COUNT)
    native = {e.tile for e in answer.evidence if e.tile.level == 0}
    tiles = [session.tiles.of([tile], QuestionUsage()) for tile in sorted(native)]
    naive = sum(int(host.generate(COUNT, tokens).text) for tokens in tiles)
    assert answer.route.is_count
    assert (answer.text, naive) == ("4", 11)
    assert answer.confidence == pytest.approx(np.exp(-0.4))
    assert any("sum over 4 of 4 places" in warning for warning in answer.warnings)


def test_a_sure_model_ends_the_descent_and_pays_for_being_asked(make_tiff):
    session = gf.SceneSession(gf.open_scene(make_tiff(bright_squares())), CountingHost())
    budget = Budget(tiles=40, tokens=300)
    # this model is sure of every answer by 0.905
    sure = session.ask(QUESTION, budget=budget, stop=StopAt(confidence=0.9))
    assert (sure.stopped, sure.cost.tokens_llm) == ("confident", 50)
    assert sure.looks[-1].level > 0
    assert any("sure enough" in warning for warning in sure.warnings)
    unsure = session.ask(QUESTION, budget=budget, stop=StopAt(confidence=0.95))
    assert (unsure.stopped, unsure.cost.tokens_llm) == ("native", 300)


def test_no_probe_asks_with_the_few_tokens_that_three_probes_leave(make_tiff):
    host, probed = CountingHost(), []
    generate = host.generate

    def noted(question, tokens):
        probed.append(len(tokens))
        return generate(question, tokens)

    host.generate = noted
    session = gf.SceneSession(gf.open_scene(make_tiff(bright_squares())), host)
    # half of 70 tokens are 3 times 11, and 2
    session.ask(QUESTION, budget=Budget(tiles=40, tokens=70), stop=StopAt(confidence=0.95))
    assert probed == [11, 11, 11, 37]


def test_a_share_of_tokens_is_that_of_the_answer_whatever_probes_took(make_tiff):
    session = gf.SceneSession(gf.open_scene(make_tiff(bright_squares())), CountingHost())
    answer = session.ask(
        QUESTION,
        budget=Budget(tiles=40, tokens=300),
        reduction="focus_spread:0.005",
        stop=StopAt(confidence=0.95),
    )
    (stage,) = answer.cost.reductions
    assert answer.cost.tokens_llm == 3 * 50 + round(0.005 * stage.tokens_in)
