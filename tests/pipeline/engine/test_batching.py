"""Questions in a batch are answered as each would be alone, and what they share is done once."""

import shutil

import pytest
import torch
from family_toys import QUESTION, host_of, tokens_of
from pipeline_toys import llava_host, random_llava

import geofovea as gf
from geofovea.errors import ModelError, QuestionError
from geofovea.pipeline.engine.token_store_upkeep import tokens_folder
from geofovea.pipeline.focus.stopping import StopAt
from geofovea.pipeline.hosts.base import SupportsBatching
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.plan import fitting_budget
from geofovea.pipeline.session.request import AskRequest
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.tokens import TokenSet

QUESTIONS = (
    "What is the color of the plane at the airport?",
    "How many boats are at the harbour?",
    "Are there cars?",
    "What is the shape of the field at the village?",
    "What is the color of the plane at the airport?",
)
FEW = Budget(tiles=12, tokens=60)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A cache folder of its own."""
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("GEOFOVEA_CACHE_TOKENS", raising=False)


def some_tokens(host):
    """Token sets of unlike lengths: three tiles, one, some tokens of two, and of one other."""
    three, other = tokens_of(host, 3), tokens_of(host, 2, seed=8)
    n = len(three) // 3
    return [
        three,
        three.select(torch.arange(n)),
        other.select(torch.tensor([0, 1, n, n + 1, 2 * n - 1])),
        other.select(torch.arange(n, 2 * n)),
        three,
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_side_by_side_every_family_scores_as_alone(family):
    host = host_of(family)
    assert isinstance(host, SupportsBatching)
    asked = list(zip(QUESTIONS, some_tokens(host), strict=True))
    for again in (False, True):
        together = host.scores_together(asked, again=again)
        for (question, tokens), found in zip(asked, together, strict=True):
            alone = host.scores(question, tokens)
            torch.testing.assert_close(found, alone, atol=1e-5, rtol=0)
    assert alone.std() > 1e-4


@pytest.mark.parametrize("policy", [None, "original"])
@pytest.mark.parametrize("family", FAMILIES)
def test_side_by_side_every_family_answers_as_alone(family, policy):
    host = host_of(family, positions=policy)
    prompts = [Prompt(q, t) for q, t in zip(QUESTIONS, some_tokens(host), strict=True)]
    prompts += [Prompt(QUESTION, None), Prompt(QUESTION, prompts[0].tokens, ("boat", "plane"))]
    together = host.generate_together(prompts)
    for prompt, found in zip(prompts, together, strict=True):
        alone = host.generate(prompt.question, prompt.tokens, choices=prompt.choices)
        assert found.text == alone.text
        assert found.text_tokens == alone.text_tokens
        assert found.log_probabilities == pytest.approx(alone.log_probabilities, abs=1e-5)
        assert found.choices == pytest.approx(alone.choices, abs=1e-5)
    assert len({each.text for each in together}) > 1


def test_answers_of_unlike_lengths_do_not_see_each_other():
    """One answer ends at once, the other goes on: the padding between is hidden from both."""
    host = host_of("llava")
    long, short = some_tokens(host)[0], some_tokens(host)[3]
    prompts = [Prompt(QUESTIONS[0], long), Prompt(QUESTIONS[2], short)]
    alone = [host.generate(p.question, p.tokens) for p in prompts]
    first = host._tokenizer(alone[1].text.split()[0])["input_ids"][-1]
    host._writer.stop.add(first)
    try:
        ended, went_on = (host.generate_together(prompts)[i] for i in (1, 0))
    finally:
        host._writer.stop.discard(first)
    assert (ended.text, ended.log_probabilities) == ("", ())
    kept = alone[0].text.split()
    assert went_on.text.split() == kept[: len(went_on.text.split())]


def test_a_decoder_with_a_window_answers_one_after_the_other():
    model = random_llava()
    host, widths = llava_host(model), []
    host.decoder.register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    prompts = [Prompt(question, None) for question in QUESTIONS[:2]]
    host.generate_together(prompts)
    assert set(widths) == {2}
    widths.clear()
    # a window counts the padding, too
    model.config.text_config.sliding_window = 8
    model.config.text_config.layer_types = ["sliding_attention"] * 3
    host.generate_together(prompts)
    assert set(widths) == {1}


def same(found, alone):
    assert isinstance(found, gf.Answer), found
    assert found.text == alone.text
    assert found.confidence == pytest.approx(alone.confidence, abs=1e-5)
    assert found.warnings == alone.warnings
    assert found.stopped == alone.stopped
    assert [look.tiles for look in found.looks] == [look.tiles for look in alone.looks]
    assert [e.tile for e in found.evidence] == [e.tile for e in alone.evidence]
    for name in ("tiles_encoded", "tiles_by_level", "tokens_total", "tokens_llm", "budget"):
        assert getattr(found.cost, name) == getattr(alone.cost, name)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"descent": "geometric"},
        {"focus": "uniform"},
        {"reduction": "divprune"},
        {"reduction": "fastv:0.5"},
        {"stop": StopAt(confidence=0.9)},
    ],
    ids=str,
)
def test_a_session_answers_many_as_one_by_one(make_session, how):
    asked = [AskRequest(question, FEW, AnswerOptions(**how)) for question in QUESTIONS]
    one, many = make_session(), make_session()
    alone = [one.ask(question, budget=FEW, **how) for question in QUESTIONS]
    found = many.ask_many(asked)
    for each, other in zip(found, alone, strict=True):
        same(each, other)
        assert each.cost.tokens_llm <= FEW.tokens
        assert each.cost.tiles_encoded <= FEW.tiles
    # who is first to ask pays for a tile, and all together pay for each once
    assert sum(a.cost.tiles_read for a in found) == sum(a.cost.tiles_read for a in alone)


def test_options_are_those_of_each_question(make_session):
    more = Budget(tiles=16, tokens=90)
    asked = [
        AskRequest(QUESTIONS[0], FEW, choices=("red", "green", "blue")),
        AskRequest(QUESTIONS[1], more, AnswerOptions(descent="geometric")),
        AskRequest(QUESTIONS[2], FEW, AnswerOptions(focus="overview")),
        AskRequest(QUESTIONS[3], Budget(tiles=12, tokens=60, seconds=600.0)),
    ]
    one = make_session()
    alone = [
        one.ask(
            a.question,
            budget=a.budget,
            choices=a.choices,
            descent=a.options.descent,
            focus=a.options.focus,
        )
        for a in asked
    ]
    found = make_session().ask_many(asked)
    for each, other in zip(found, alone, strict=True):
        same(each, other)
    assert [c.letter for c in found[0].choices] == ["A", "B", "C"]


def test_questions_that_read_other_things_of_a_tile_are_answered_as_alone(make_session):
    reductions = ["focus_spread", "visionzip", "tome", "focus_spread", "holov"]
    asked = [
        AskRequest(question, FEW, AnswerOptions(reduction=name))
        for question, name in zip(QUESTIONS * 2, reductions, strict=False)
    ]
    one = make_session()
    alone = [one.ask(a.question, budget=FEW, reduction=a.options.reduction) for a in asked]
    found = make_session().ask_many(asked)
    for each, other in zip(found, alone, strict=True):
        same(each, other)


def test_a_tile_that_several_want_is_encoded_once_and_in_common_batches(make_session, tiny_host):
    session, batches, rows = make_session(), [], []
    plain = tiny_host.encode

    def encode(pixels, tiles, pyramid):
        batches.append(list(tiles))
        return plain(pixels, tiles, pyramid)

    hook = tiny_host.decoder.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    tiny_host.encode = encode
    try:
        found = session.ask_many([AskRequest(q, FEW) for q in QUESTIONS])
    finally:
        del tiny_host.encode
        hook.remove()
    encoded = [tile for some in batches for tile in some]
    assert len(set(encoded)) == len(encoded) == sum(a.cost.tiles_read for a in found)
    waves = max(len(a.looks) for a in found)
    assert len(batches) <= waves + len(QUESTIONS)
    assert max(rows) >= 3, "looks or answers went through the decoder together"


def test_a_question_that_cannot_be_answered_spoils_no_other(make_session):
    asked = [
        AskRequest(QUESTIONS[0], FEW),
        AskRequest("  ", FEW),
        AskRequest(QUESTIONS[1], FEW, AnswerOptions(focus="none such")),
        AskRequest("What is " + "the color of " * 130 + "the plane?", FEW),
        AskRequest(QUESTIONS[2], FEW),
    ]
    session = make_session()
    found = session.ask_many(asked)
    assert isinstance(found[1], QuestionError)
    assert isinstance(found[2], ModelError)
    alone = make_session()
    for i in (0, 4):
        same(found[i], alone.ask(asked[i].question, budget=FEW))
    # nothing of a failure stays behind
    same(session.ask(QUESTIONS[3], budget=FEW), alone.ask(QUESTIONS[3], budget=FEW))


def test_a_prompt_too_long_for_the_context_fails_alone(scene_path):
    host = llava_host(random_llava(context=100))
    long = "What is the color of the plane at the airport" + " at the airport" * 30 + "?"
    session = gf.SceneSession(gf.open_scene(scene_path), host)
    first, refused, last = session.ask_many(
        [AskRequest(q, FEW) for q in (QUESTION, long, QUESTIONS[1])]
    )
    assert isinstance(refused, ModelError)
    assert "ask in fewer words" in str(refused)
    alone = gf.SceneSession(gf.open_scene(scene_path), host)
    same(first, alone.ask(QUESTION, budget=FEW))
    same(last, alone.ask(QUESTIONS[1], budget=FEW))
    assert fitting_budget(host, QUESTION, FEW, ())[0].tokens == FEW.tokens


def test_what_does_not_fit_the_device_together_is_halved(make_session, tiny_host):
    alone = [make_session().ask(q, budget=FEW) for q in QUESTIONS]
    failures = []

    def limited(module, args, kwargs):
        if len(kwargs["inputs_embeds"]) > 2:
            failures.append(len(kwargs["inputs_embeds"]))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    hook = tiny_host.decoder.register_forward_pre_hook(limited, with_kwargs=True)
    try:
        found = make_session().ask_many([AskRequest(q, FEW) for q in QUESTIONS])
    finally:
        hook.remove()
    assert failures
    for each, other in zip(found, alone, strict=True):
        same(each, other)


def test_what_does_not_fit_the_device_alone_is_an_error_of_its_question(make_session, tiny_host):
    def limited(module, args, kwargs):
        if kwargs["inputs_embeds"].shape[1] > 45:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    small, large = Budget(tiles=12, tokens=10), Budget(tiles=12, tokens=60)
    asked = [
        AskRequest(q, b, AnswerOptions(focus="uniform"))
        for q, b in zip(QUESTIONS, (small, large) * 2, strict=False)
    ]
    alone = make_session()
    expected = [alone.ask(a.question, budget=a.budget, focus="uniform") for a in asked]
    hook = tiny_host.decoder.register_forward_pre_hook(limited, with_kwargs=True)
    try:
        found = make_session().ask_many(asked)
    finally:
        hook.remove()
    for i in (0, 2):
        same(found[i], expected[i])
    for i in (1, 3):
        assert isinstance(found[i], ModelError)
        assert "set a smaller token budget" in str(found[i])


def test_costs_of_time_add_up_to_what_was_spent(make_session):
    session = make_session()
    found = session.ask_many([AskRequest(q, FEW) for q in QUESTIONS])
    for answer in found:
        seconds = dict(answer.cost.seconds)
        total = seconds.pop("total")
        assert all(value >= 0 for value in seconds.values())
        assert sum(seconds.values()) <= total * 1.001
        assert seconds["focus"] > 0
        assert seconds["answer"] > 0
    # the last one wants what the first one had read and encoded
    assert found[-1].cost.tiles_read == 0
    assert found[-1].cost.seconds["encode"] == 0


@pytest.mark.parametrize("state", ["cold", "warm", "damaged", "full"])
def test_many_answers_are_those_of_no_cache_whatever_its_state(
    make_session, scene_path, tmp_path, state, monkeypatch
):
    scene = shutil.copy(scene_path, tmp_path / "scene.tif")
    alone = make_session(scene, cache_tokens=False)
    expected = [alone.ask(q, budget=FEW) for q in QUESTIONS]
    asked = [AskRequest(q, FEW) for q in QUESTIONS]
    if state == "full":
        monkeypatch.setenv("GEOFOVEA_TOKENS_GB", "1e-4")
    if state != "cold":
        make_session(scene, cache_tokens=True).ask_many(asked)
    kept = sorted(tokens_folder().glob("*/*.safetensors"))
    if state == "damaged":
        for path in kept[::2]:
            whole = path.read_bytes()
            path.write_bytes(whole[:-9] + bytes(9))
    found = make_session(scene, cache_tokens=True).ask_many(asked)
    for each, other in zip(found, expected, strict=True):
        assert (each.text, each.stopped) == (other.text, other.stopped)
        assert each.confidence == pytest.approx(other.confidence, abs=1e-5)
        assert [x.tiles for x in each.looks] == [x.tiles for x in other.looks]
    read, of_all = (sum(a.cost.tiles_read for a in some) for some in (found, expected))
    if state == "warm":
        assert read == 0
    elif state == "cold":
        assert read == of_all
    elif state == "damaged":
        assert 0 < read < of_all
    else:
        # which tiles a full folder has left is not for this test to say
        assert 0 < read <= of_all


def test_a_black_box_is_asked_one_by_one(make_session):
    """A host that cannot take questions side by side still takes many."""

    class Plain:
        def __init__(self, host):
            self.__dict__.update(host=host)

        def __getattr__(self, name):
            if name in ("scores_together", "generate_together"):
                raise AttributeError(name)
            return getattr(self.host, name)

    session = make_session()
    plain = gf.SceneSession(session.scene, Plain(session.host))
    assert not isinstance(plain.host, SupportsBatching)
    found = plain.ask_many([AskRequest(q, FEW) for q in QUESTIONS[:2]])
    for each, question in zip(found, QUESTIONS, strict=False):
        same(each, session.ask(question, budget=FEW))


def test_many_takes_plain_questions_and_none(make_session):
    session = make_session()
    assert session.ask_many([]) == []
    (answer,) = session.ask_many(["What is the color of the plane at the airport?"])
    assert isinstance(answer, gf.Answer)
    assert isinstance(session.tokens(list(session.pyramid.tiles(1))[:1]), TokenSet)
