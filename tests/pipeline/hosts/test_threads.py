"""Threads that share a host, a session, a scene or an endpoint are answered as if alone."""

import asyncio
import sys
import threading
from functools import partial

import pytest
import torch
from chat_server import says, status
from dual_encoders import KINDS, write_encoder
from family_toys import host_of, pixels, row_of_tiles, tokens_of
from pipeline_toys import QUESTION, llava_host, random_llava
from published_toys import write_published

import geofovea as gf
from geofovea.pipeline.engine.token_store import TokenEntry
from geofovea.pipeline.focus.dual_encoder import load_dual_encoder
from geofovea.pipeline.hosts import load as models
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.hosts.region_focus import DistilledFocus
from geofovea.pipeline.inference.decoder.run import last_row_logits
from geofovea.pipeline.inference.decoder.shared_prefix import pack_prompts
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.system.model_lock import models_at_rest
from geofovea.pipeline.training.focus_quality import host_rows
from geofovea.regionfocus.reductions.registry import (
    DECODER_REDUCTION_NAMES,
    ENCODER_REDUCTION_NAMES,
    make_decoder_reduction,
    make_encoder_reduction,
)
from geofovea.tiling.machine.lru import LruCache

FEW = gf.Budget(tiles=8, tokens=40)
QUESTIONS = (
    QUESTION,
    "How many boats are at the harbour?",
    "Are there cars?",
    "What is the shape of the field at the village?",
)


@pytest.fixture(autouse=True)
def often():
    """Threads take turns a hundred times as often as by default."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


def in_threads(works, count=3, times=2):
    """What every thread made of every piece of work, each beginning with another one."""
    found, barrier = [[] for _ in works], threading.Barrier(count)

    def run(first):
        barrier.wait()
        for i in range(times * len(works)):
            place = (first + i) % len(works)
            try:
                made = works[place]()
            except Exception as error:
                made = error
            found[place].append(made)

    threads = [threading.Thread(target=run, args=(i * len(works) // count,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads), "threads wait for each other"
    return found


def check_as_alone(works, **options):
    """Whatever a thread makes beside others is what is made alone, to the bit."""
    alone = [work() for work in works]
    assert len({repr(each) for each in alone}) > 1
    for one, made in zip(alone, in_threads(works, **options), strict=True):
        assert [repr(each) for each in made] == [repr(one)] * len(made)


def exact(tensor):
    return tuple(tensor.shape), tensor.float().numpy().tobytes()


def answer_key(answer):
    looks = [(look.level, look.tiles, look.token_scores.tobytes()) for look in answer.looks]
    evidence = [(e.tile, e.score, e.tokens) for e in answer.evidence]
    cost = answer.cost
    spent = (cost.tokens_llm, cost.tokens_total, cost.tiles_by_level, cost.endpoint)
    return answer.text, answer.confidence, answer.choices, evidence, looks, spent


def encodings(host):
    pyramid, tiles = row_of_tiles(host, 3)
    plans = (
        [EncodePlan()]
        if host._tiles.clip is None
        else [
            EncodePlan(frozenset({"cls_attention", "received", "keys", "encoder_hidden"})),
            *(
                EncodePlan(reduction=make_encoder_reduction(n), share=0.5)
                for n in ENCODER_REDUCTION_NAMES
            ),
        ]
    )

    def encode(seed):
        return exact(host.encode(pixels(3, host.tile_size, seed), tiles, pyramid))

    def planned(seed, plan):
        made = host.encode_planned(pixels(3, host.tile_size, seed), tiles, pyramid, plan)
        told = [
            (name, exact(t)) for s in made.signals for name, t in s.items() if torch.is_tensor(t)
        ]
        return exact(made.features), made.patches_left, told

    works = [partial(encode, seed) for seed in (1, 2)]
    return works + (
        [] if host._tiles.clip is None else [partial(planned, 3, plan) for plan in plans]
    )


def looks_and_answers(host, reductions=()):
    tokens = tokens_of(host, 2)

    def answer(question, choices=(), reduction=None):
        made = host.generate(question, tokens, reduction, choices=choices)
        return made.text, made.log_probabilities, made.choices, made.tokens_by_layer

    works = [partial(answer, q) for q in QUESTIONS[:2]]
    works += [partial(answer, QUESTION, ("boat", "plane")), partial(host.unknown_words, QUESTION)]
    works += [partial(answer, QUESTION, reduction=each) for each in reductions]
    if host.capabilities.attention:
        works += [lambda q=q: exact(host.scores(q, tokens)) for q in QUESTIONS[:2]]
        works += [lambda q=q: exact(host.scores_again(q, tokens)) for q in QUESTIONS[:2]]
        asked = [(q, tokens) for q in QUESTIONS]
        works.append(lambda: [exact(s) for s in host.scores_together(asked)])
    return works


@pytest.mark.parametrize("family", FAMILIES)
def test_threads_share_a_host_of_every_family(family):
    host = host_of(family)
    check_as_alone(encodings(host) + looks_and_answers(host))


def test_threads_share_an_encoder_whose_signals_are_recorded_and_one_that_drops():
    check_as_alone(encodings(llava_host(random_llava())))


def test_threads_share_a_decoder_that_drops_in_every_way():
    host = llava_host(random_llava())
    named = [n for n in DECODER_REDUCTION_NAMES if n != "vflowopt_decoder"]
    check_as_alone(looks_and_answers(host, [make_decoder_reduction(n) for n in named]), times=1)


def test_threads_share_what_is_kept_of_prompts_when_it_is_forgotten_meanwhile():
    host = llava_host(random_llava())
    assert host._attention.reuses_prefix
    works = looks_and_answers(host)
    alone = [repr(work()) for work in works]
    found = in_threads([*works, host.forget_prefixes])
    for one, made in zip(alone, found, strict=False):
        assert {repr(each) for each in made} == {one}


def test_a_hook_hears_the_thread_that_set_it_alone():
    # the functions below the host take no lock
    host = llava_host(random_llava())
    sequences = [host._prompts.sequence(q, tokens_of(host, 2), answer=0) for q in QUESTIONS]

    def look(sequence):
        with torch.inference_mode():
            return exact(last_row_logits(host.decoder, [1], [sequence])[0][0])

    check_as_alone([partial(look, sequence) for sequence in sequences], times=8)


def test_a_decoder_that_runs_with_another_kernel_is_not_asked_meanwhile():
    host = llava_host(random_llava())  # with eager attention, where rows are read with sdpa
    tokens = tokens_of(host, 2)
    packs = pack_prompts([host.decoder_input(q, tokens) for q in QUESTIONS], torch.float32)
    works = [lambda p=p: exact(host_rows(host, p, (1,))[1]) for p in packs]
    check_as_alone(works + looks_and_answers(host))
    assert host.decoder.config._attn_implementation == "eager"


def test_threads_share_a_region_focus_module(make_session, tiny_host, monkeypatch):
    module = DistilledFocus(tiny_host.decoder, (0, 1))
    monkeypatch.setattr(tiny_host, "_region_focus", module)
    monkeypatch.setattr(tiny_host, "_focus_folder", "somewhere")
    tokens = make_session().tokens(list(make_session().pyramid.tiles(4)))
    check_as_alone([lambda q=q: exact(tiny_host.region_scores(q, tokens)) for q in QUESTIONS])


@pytest.mark.parametrize("kind", KINDS)
def test_threads_share_a_dual_encoder_and_load_it_once(kind, tmp_path):
    folder = str(write_encoder(tmp_path / kind, kind))
    loaded = in_threads([partial(load_dual_encoder, folder)], count=4)[0]
    assert len({id(encoder) for encoder in loaded}) == 1
    encoder = loaded[0]
    works = [lambda q=q: exact(encoder.embed_text(q)) for q in QUESTIONS]
    works += [lambda s=s: exact(encoder.embed_pictures(list(pixels(4, 40, s)))) for s in (1, 2)]
    check_as_alone(works)


def test_threads_that_want_a_model_load_it_once(tiny_folder):
    models._load.cache_clear()
    (loaded,) = in_threads([partial(load_host, str(tiny_folder))], count=4, times=1)
    assert len({id(host) for host in loaded}) == 1


def test_no_model_runs_while_another_is_loaded(make_session):
    session = make_session()
    began, may_end, seen = threading.Event(), threading.Event(), []

    def load():
        with models_at_rest():
            began.set()
            may_end.wait(30)
            seen.append("loaded")

    def ask():
        session.ask(QUESTION, budget=FEW)
        seen.append("answered")

    loading = threading.Thread(target=load)
    loading.start()
    began.wait(30)
    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(0.3)
    may_end.set()
    loading.join(30)
    asking.join(30)
    assert seen == ["loaded", "answered"]


REDUCTIONS = ("focus_spread", "divprune+transprune", "fastervlm", "flowcut+fastv", "catp")


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_sessions_of_threads_share_a_host_and_a_scene(reduction, make_png):
    host, scene = llava_host(random_llava()), gf.open_scene(make_png(256, 200))

    def ask(question):
        session = gf.SceneSession(scene, host)
        return answer_key(session.ask(question, budget=FEW, reduction=reduction))

    check_as_alone([partial(ask, question) for question in QUESTIONS])


@pytest.mark.parametrize("focus", ["attention", "similarity"])
def test_threads_share_one_session(focus, make_session, tmp_path):
    model = str(write_encoder(tmp_path / "clip", "clip")) if focus == "similarity" else None
    session = make_session()

    def ask(question, choices=()):
        answer = session.ask(question, budget=FEW, focus=focus, focus_model=model, choices=choices)
        return answer_key(answer)

    works = [partial(ask, question) for question in QUESTIONS]
    check_as_alone([*works, partial(ask, QUESTION, ("red", "blue"))])


def test_threads_that_share_a_session_encode_each_tile_once(make_session, monkeypatch):
    session, encoded = make_session(), []
    encode = session.host.encode

    def counted(pixels, tiles, pyramid):
        encoded.extend(tiles)
        return encode(pixels, tiles, pyramid)

    monkeypatch.setattr(session.host, "encode", counted)
    (answers,) = in_threads([lambda: session.ask(QUESTION, budget=FEW)], count=4, times=1)
    assert len({answer.text for answer in answers}) == 1
    assert len(encoded) == len(set(encoded)) == sum(a.cost.tiles_read for a in answers)
    assert sum(a.cost.seconds["open"] > 0 for a in answers) == 1


def test_groups_of_threads_share_a_session(make_session):
    session = make_session()

    def ask_many(questions):
        return [answer.text for answer in session.ask_many(questions)]

    check_as_alone([partial(ask_many, QUESTIONS), partial(ask_many, QUESTIONS[::-1])])


def test_tasks_of_an_event_loop_share_a_session(make_session):
    session = make_session()
    ask = partial(session.ask, budget=FEW)
    alone = [answer_key(ask(question)) for question in QUESTIONS]

    async def main():
        return await asyncio.gather(*(asyncio.to_thread(ask, q) for q in QUESTIONS * 3))

    assert [answer_key(answer) for answer in asyncio.run(main())] == alone * 3


@pytest.mark.parametrize("way", [{}, {"descent": "published"}], ids=["descent", "published"])
def test_threads_share_a_published_model(way, make_png, tmp_path):
    host = load_host(str(write_published(tmp_path / "tiny")))
    scene = gf.open_scene(make_png(560, 1300))
    budget = None if way else gf.Budget(tiles=7, tokens=100)

    def ask(question):
        session = gf.SceneSession(scene, host)
        return answer_key(session.ask(question, focus="rfm", budget=budget, **way))

    check_as_alone([partial(ask, question) for question in QUESTIONS[:2]], count=2, times=1)


def test_answers_of_an_endpoint_tell_what_each_of_them_spent(server, make_png):
    server.otherwise = says("yes", usage=(500, 2))
    host = load_host("openai:m", endpoint=EndpointSettings(server.url))
    session = gf.SceneSession(gf.open_scene(make_png(300, 300)), host)

    def ask(question):
        return session.ask(question, focus="overview").cost.endpoint

    found = [use for made in in_threads([partial(ask, q) for q in QUESTIONS]) for use in made]
    assert {use.calls for use in found} == {1}
    assert sum(use.prompt_tokens for use in found) == host.use.prompt_tokens
    assert host.use.calls == len(server.requests) == len(found)


def test_threads_learn_at_once_what_an_endpoint_does_not_take(server):
    together = threading.Barrier(3)

    def refuses(handler, request):
        if "logprobs" not in request:
            says("yes")(handler, request)
            return
        together.wait(30)  # all have sent it before any is told
        status(400, "logprobs is not supported")(handler, request)

    server.otherwise = refuses
    host = load_host("openai:other", endpoint=EndpointSettings(server.url))
    (made,) = in_threads([lambda: host.generate(QUESTION, None).text], count=3, times=1)
    assert made == ["yes"] * 3


def test_a_cache_of_tokens_keeps_its_limit_among_threads():
    entry = TokenEntry(torch.zeros(8, 4), torch.ones(8, dtype=torch.bool))
    cache = LruCache(10 * entry.nbytes, lambda each: each.nbytes)

    def use(first):
        for key in range(first, first + 200):
            cache.put(key % 30, entry)
            cache.get((key + 7) % 30)
        return first

    for made in in_threads([partial(use, first) for first in range(6)]):
        assert len(set(map(repr, made))) == 1
    assert cache.nbytes == sum(e.nbytes for e in cache._values.values()) <= 10 * entry.nbytes
