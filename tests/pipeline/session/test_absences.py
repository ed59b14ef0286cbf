"""A place or thing that the scene does not show: the answer says so where that can be known."""

from dataclasses import replace

import pytest
import torch

import geofovea as gf
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.versions import world_of
from geofovea.datasets.synthetic.vocabulary import SITES, THINGS
from geofovea.errors import ModelError
from geofovea.pipeline.answers.evidence import Evidence
from geofovea.pipeline.focus.visual_search import SearchResult
from geofovea.pipeline.hosts.load import EMBEDDED_EARTH, load_host
from geofovea.pipeline.inference.prompts.presence import PresenceWords
from geofovea.pipeline.session.absences import absence_warnings
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.search.router import Route
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Box, Pyramid, Tile

SIGN = "the scene may not show the "
QUESTION = "What color is the plane at the {}?"


@pytest.fixture
def session(embedded_host, scene_path):
    return gf.SceneSession(gf.open_scene(scene_path), embedded_host)


@pytest.fixture
def without_dual_encoder(embedded_host, monkeypatch):
    monkeypatch.setattr(embedded_host, "parts", None)
    return embedded_host


def absence_of(session, question, route, evidence):
    pyramid = Pyramid(session.scene.width, session.scene.height, session.host.tile_size)
    tokens = tokens_of_tiles(torch.zeros(1, 36, 8), (6, 6), [Tile(0, 0, 0)], pyramid)
    descent = Descent((LevelLook(0, tokens.tiles, tokens, torch.zeros(36)),), "native")
    result = SearchResult(descent, descent, route=Route(route, "a test"))
    return absence_warnings(session.host, question, result, evidence, session.scene, pyramid)


def has_doubt(answer):
    return any(SIGN in warning for warning in answer.warnings)


def test_answers_about_absent_places_say_so_and_claim_no_confidence(session, world):
    shown = {site.kind for site in world.sites}
    absent = [site for site in SITES if site not in shown][:3]
    for site in absent:
        answer = session.ask(QUESTION.format(site))
        assert [site in warning for warning in answer.warnings if SIGN in warning] == [True]
        assert not answer.confidence_known
        assert session.measure(f"How large is the {site}?").text == ""


def test_in_the_second_world_its_demo_model_notices_absent_places(tmp_path):
    world = world_of(2, 7, 1024, 1024)
    write_scene(world, tmp_path / "earth.tif")
    session = gf.SceneSession(gf.open_scene(tmp_path / "earth.tif"), load_host(EMBEDDED_EARTH))
    (shown,) = world.named_sites
    thing = shown.things[0].kind
    question = f"What color is the {thing} at the {{}}?"
    assert not has_doubt(session.ask(question.format(shown.kind)))
    for site in [site for site in SITES if site != shown.kind][:3]:
        answer = session.ask(question.format(site))
        assert has_doubt(answer)
        assert not answer.confidence_known


def test_of_two_places_the_absent_one_is_named(session, world):
    shown = [site.kind for site in world.named_sites]
    absent = next(site for site in SITES if site not in {each.kind for each in world.sites})
    question = f"Are there more trucks at the {shown[0]} or at the {absent}?"
    doubts = [warning for warning in session.ask(question).warnings if SIGN in warning]
    assert [(absent in doubt, shown[0] in doubt) for doubt in doubts] == [(True, False)]


@pytest.mark.parametrize(
    ("question", "route", "scores", "is_doubted"),
    [
        (QUESTION.format("camp"), "one", {0: (0.5, 0.3), 3: (1.0,)}, True),
        (QUESTION.format("camp"), "one", {0: (0.5, 0.45), 3: (0.2,)}, False),
        (QUESTION.format("camp"), "several", {0: (0.5,)}, False),
        (QUESTION.format("camp"), "one", {3: (0.5,)}, False),
        ("What color is the plane?", "one", {0: (0.5,)}, False),
        ("How many planes are in the scene?", "one", {0: (0.5,)}, False),
    ],
)
def test_without_a_dual_encoder_scattered_attention_at_native_resolution_is_a_sign(
    session, without_dual_encoder, question, route, scores, is_doubted
):
    evidence = [
        Evidence(Tile(level, 0, number), Box(0, 0, 192, 192), score, 36)
        for level, some in scores.items()
        for number, score in enumerate(some)
    ]
    warnings = absence_of(session, question, route, evidence)
    assert [SIGN in warning for warning in warnings] == [True] * is_doubted


def test_what_is_there_is_not_doubted(session, world):
    for site in world.named_sites:
        thing = site.things[0].kind
        answer = session.ask(f"What color is the {thing} at the {site.kind}?")
        assert not has_doubt(answer)
        assert answer.confidence_known


def test_an_answer_about_a_thing_that_is_not_there_says_so_and_claims_no_confidence(session, world):
    pairs = [(t, s) for s in world.named_sites for t in THINGS if not s.of_kind(t)]
    doubted = 0
    for thing, site in pairs:
        answer = session.ask(f"What color is the {thing} at the {site.kind}?")
        doubts = [warning for warning in answer.warnings if SIGN in warning]
        doubted += [thing in doubt for doubt in doubts] == [True]
        assert answer.confidence_known == (not doubts)
    assert doubted > len(pairs) / 2
    # these say that there may be none
    thing, site = pairs[0]
    for question in (
        f"How many {thing}s are at the {site.kind}?",
        f"Is there a {thing} at the {site.kind}?",
    ):
        assert not has_doubt(session.ask(question))


def test_a_question_about_no_named_place_is_not_doubted(session):
    assert not has_doubt(session.ask("Is this area rural or urban?"))


def test_a_model_of_which_no_share_is_known_doubts_nothing(
    session, without_dual_encoder, monkeypatch
):
    words = replace(without_dual_encoder.presence, share=None)
    monkeypatch.setattr(without_dual_encoder, "presence", words)
    piece = Evidence(Tile(0, 0, 0), Box(0, 0, 192, 192), 0.1, 36)
    assert absence_of(session, QUESTION.format("camp"), "one", [piece]) == ()


@pytest.mark.parametrize("share", [0, -0.1, 1.5, "0.9", True])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ModelError, match="presence share"):
        PresenceWords(share=share)


@pytest.mark.parametrize("end", ["", ".", "\u061f\u200f"])
def test_a_question_without_its_mark_has_the_answer_and_no_doubt_about_the_place(
    session, world, end
):
    question = QUESTION.format(world.named_sites[0].kind)
    asked, typed = session.ask(question), session.ask(question.removesuffix("?") + end)
    assert (typed.text, typed.confidence) == (asked.text, asked.confidence)
    assert typed.warnings == asked.warnings
