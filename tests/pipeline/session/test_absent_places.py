"""A place that the scene does not show: the answer says so where that can be known."""

from dataclasses import replace

import pytest

import geofovea as gf
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.vocabulary import SITES
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import ModelError
from geofovea.pipeline.answers.evidence import Evidence
from geofovea.pipeline.inference.prompts.presence import PresenceWords
from geofovea.pipeline.session.answer_warnings import scattered_warnings
from geofovea.regionfocus.search.router import Route
from geofovea.tiling.pyramid import Box, Tile

SIGN = "the scene may not show the place"
QUESTION = "What color is the plane at the {}?"


@pytest.fixture
def session(embedded_host, scene_path):
    return gf.SceneSession(gf.open_scene(scene_path), embedded_host)


def has_doubt(answer):
    return any(SIGN in warning for warning in answer.warnings)


@pytest.mark.slow
def test_most_answers_about_absent_places_say_so_and_claim_no_confidence(embedded_host, tmp_path):
    world = make_world(942_002, 4096, 4096)
    write_scene(world, tmp_path / "scene.tif")
    session = gf.SceneSession(gf.open_scene(tmp_path / "scene.tif"), embedded_host)
    shown = {site.kind for site in world.sites}
    answers = [session.ask(QUESTION.format(site)) for site in SITES if site not in shown][:6]
    doubted = [answer for answer in answers if has_doubt(answer)]
    assert len(doubted) >= len(answers) / 2
    assert not any(answer.confidence_known for answer in doubted)


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
def test_scattered_attention_at_native_resolution_is_a_sign(
    embedded_host, question, route, scores, is_doubted
):
    evidence = [
        Evidence(Tile(level, 0, number), Box(0, 0, 192, 192), score, 36)
        for level, some in scores.items()
        for number, score in enumerate(some)
    ]
    warnings = scattered_warnings(embedded_host, question, Route(route, "a test"), evidence)
    assert [SIGN in warning for warning in warnings] == [True] * is_doubted


def test_places_that_are_there_are_not_doubted(session, world):
    for site in world.named_sites:
        answer = session.ask(QUESTION.format(site.kind))
        assert not has_doubt(answer)
        assert answer.confidence_known


def test_a_question_about_no_named_place_is_not_doubted(session):
    assert not has_doubt(session.ask("Is this area rural or urban?"))


def test_a_model_of_which_no_share_is_known_doubts_nothing(embedded_host, monkeypatch):
    monkeypatch.setattr(embedded_host, "presence", replace(embedded_host.presence, share=None))
    piece = Evidence(Tile(0, 0, 0), Box(0, 0, 192, 192), 0.1, 36)
    route = Route("one", "a test")
    assert scattered_warnings(embedded_host, QUESTION.format("camp"), route, [piece]) == ()


@pytest.mark.parametrize("share", [0, -0.1, 1.5, "0.9", True])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ModelError, match="presence share"):
        PresenceWords(share=share)


@pytest.mark.parametrize("end", ["", " ", ".", "\uff1f", "\u061f\u200f"])
def test_a_question_without_its_mark_has_the_answer_and_no_doubt_about_the_place(
    session, world, end
):
    question = QUESTION.format(world.named_sites[0].kind)
    asked, typed = session.ask(question), session.ask(question.removesuffix("?") + end)
    assert (typed.text, typed.confidence) == (asked.text, asked.confidence)
    assert typed.warnings == asked.warnings
