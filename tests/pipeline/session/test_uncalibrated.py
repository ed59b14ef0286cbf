"""An answer says how its focus was read, and once that nobody measured it."""

import dataclasses

from pipeline_toys import QUESTION, llava_host, random_llava

import geofovea as gf
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.regionfocus.budget import Budget

FEW = Budget(tiles=12, tokens=60)


def named(host: LvlmHost, name: str) -> LvlmHost:
    host.name = name
    return host


def asked(host, scene_path):
    return gf.SceneSession(gf.open_scene(scene_path), host).ask(QUESTION, budget=FEW)


def test_a_focus_that_nobody_measured_is_told_once_and_counted_with_its_neutral_questions(
    scene_path,
):
    host = named(llava_host(random_llava(), focus_layer=None), "never-measured")
    first, second = asked(host, scene_path), asked(host, scene_path)
    told = [w for w in first.warnings if "geofovea calibrate --model never-measured" in w]
    assert len(told) == 1
    assert not [w for w in second.warnings if "geofovea calibrate" in w]
    focus = first.to_json()["cost"]["focus"]
    assert (focus["origin"], focus["correction"]) == ("default", "relative")
    assert focus["tokens_scored"] > 0


def test_without_a_shared_prefix_neutral_questions_cost_their_tokens(scene_path):
    settings = {"focus_layer": None, "template": "{question} {image} ?"}
    relative = llava_host(random_llava(), **settings)
    raw = relative.with_attention(dataclasses.replace(relative.attention_mode, correction="raw"))
    one, two = (asked(host, scene_path).cost.focus for host in (raw, relative))
    assert one.tokens_scored > 0
    per_look = two.tokens_scored / one.tokens_scored
    assert 1.5 < per_look <= 2.5


def test_an_answer_tells_how_often_the_question_was_put_about_each_look(scene_path):
    host = llava_host(random_llava(), focus_layer=None)
    mode = dataclasses.replace(host.attention_mode, wordings=("So: {question}",), halvings=2)
    told = [
        asked(each, scene_path).to_json()["cost"]["focus"]
        for each in (host, host.with_attention(mode))
    ]
    ways = [(len(host.attention_mode.wordings), host.attention_mode.halvings), (1, 2)]
    assert [(focus["wordings"], focus["halvings"]) for focus in told] == ways


def test_a_focus_that_somebody_chose_is_not_warned_of(scene_path):
    answer = asked(named(llava_host(random_llava()), "chosen-by-hand"), scene_path)
    assert not [w for w in answer.warnings if "calibrate" in w]
    assert answer.cost.focus.origin == "chosen"
    assert answer.cost.focus.layers == (1,)


def test_a_focus_without_attention_says_nothing_of_it(scene_path):
    host = named(llava_host(random_llava(), focus_layer=None), "unused-attention")
    session = gf.SceneSession(gf.open_scene(scene_path), host)
    answer = session.ask(QUESTION, budget=FEW, focus="overview")
    assert answer.cost.focus is None
    assert not [w for w in answer.warnings if "calibrate" in w]
