"""A prefix that was kept gives the scores that a whole run gives, and only to the same tokens."""

import pytest
import torch
from pipeline_toys import QUESTION, llava_host, random_llava

import geofovea as gf
from geofovea.pipeline.hosts.base import SupportsPrefixCache
from geofovea.pipeline.inference.decoder.prefix_cache import PrefixCache
from geofovea.pipeline.inference.decoder.run import last_row_logits
from geofovea.regionfocus.budget import Budget

FEW = Budget(tiles=12, tokens=60)
OTHER = "How many boats are at the harbour?"


@pytest.fixture
def session(scene_path):
    """A session of a random LLaVA with grouped heads, whose focus layer is its last."""
    return gf.SceneSession(gf.open_scene(scene_path), llava_host(random_llava(), focus_layer=2))


@pytest.fixture
def tokens(session):
    """Tokens of two tiles."""
    return session.tokens(list(session.pyramid.tiles(2))[:2])


def counted(host):
    """Lengths of the sequences that run through the first layer of a host, as they come."""
    lengths = []

    def listen(_module, args, kwargs):
        lengths.append((args[0] if args else kwargs["hidden_states"]).shape[1])

    host.decoder.layers[0].register_forward_pre_hook(listen, with_kwargs=True)
    return lengths


def test_scores_are_those_of_a_whole_run(session, tokens):
    host = session.host
    assert isinstance(host, SupportsPrefixCache)
    for question in (QUESTION, OTHER, QUESTION):
        whole, again = host.scores(question, tokens), host.scores_again(question, tokens)
        torch.testing.assert_close(again, whole, atol=1e-5, rtol=0)
        assert whole.std() > 1e-3


def test_scores_of_a_trained_kind_are_those_of_a_whole_run(make_session):
    session = make_session()
    tokens = session.tokens(list(session.pyramid.tiles(session.pyramid.base_level)))
    for question in (QUESTION, OTHER):
        whole = session.host.scores(question, tokens)
        again = session.host.scores_again(question, tokens)
        torch.testing.assert_close(again, whole, atol=1e-5, rtol=0)


def test_a_second_question_runs_its_own_words_alone(session, tokens):
    lengths = counted(session.host)
    session.host.scores_again(QUESTION, tokens)
    session.host.scores_again(OTHER, tokens)
    prefix, first, second = lengths
    assert prefix >= len(tokens)
    assert max(first, second) < 20


def test_other_tokens_of_the_same_tiles_are_not_taken_for_them(session, tokens):
    host = session.host
    host.scores_again(QUESTION, tokens)
    features = tokens.features.clone()
    features[-1] += 0.5  # the last token only: what the key is made of stays as it was
    changed = type(tokens)(features, tokens.tiles, tokens.tile_index, tokens.boxes_scene)
    again, whole = host.scores_again(QUESTION, changed), host.scores(QUESTION, changed)
    torch.testing.assert_close(again, whole, atol=1e-5, rtol=0)
    assert (whole - host.scores(QUESTION, tokens)).abs().max() > 1e-4


def test_memory_is_bounded_and_a_small_one_still_scores(session, tokens):
    host = session.host
    (whole,) = last_row_logits(host.decoder, [2], [host._prompts.sequence(QUESTION, tokens)])
    one = PrefixCache(host.decoder, [2])
    one.logits([host._prompts.sequence(QUESTION, tokens)])
    size = one.nbytes
    assert size > tokens.features.nbytes
    for limit, kept in ((size - 1, 0), (size, size), (int(1.5 * size), size)):
        memory = PrefixCache(host.decoder, [2], limit)
        for some in (tokens, tokens.select(torch.arange(len(tokens)).flip(0)), tokens):
            (logits,) = memory.logits([host._prompts.sequence(QUESTION, some.in_reading_order())])
            assert memory.nbytes <= limit
        torch.testing.assert_close(
            logits,
            *last_row_logits(
                host.decoder, [2], [host._prompts.sequence(QUESTION, tokens.in_reading_order())]
            ),
            atol=1e-5,
            rtol=0,
        )
        assert memory.nbytes == kept
    assert whole.shape[-1] == len(tokens)


def test_a_prompt_that_asks_before_it_shows_reuses_nothing(scene_path):
    host = llava_host(random_llava(), template="{question} {image} ?")
    session = gf.SceneSession(gf.open_scene(scene_path), host)
    tokens = session.tokens(list(session.pyramid.tiles(2))[:2])
    lengths = counted(host)
    for question in (QUESTION, OTHER):
        again = host.scores_again(question, tokens)
        torch.testing.assert_close(again, host.scores(question, tokens), atol=0, rtol=0)
    assert min(lengths) > len(tokens)


def test_a_session_reuses_the_start_of_its_descent_and_answers_alike(make_session):
    shared = make_session()
    host = shared.host
    for question in (QUESTION, OTHER, QUESTION):
        reused = shared.ask(question, budget=FEW)
        runs = host._attention.prefixes.runs
        plain = make_session()
        host._attention.reuses_prefix, before = False, host._attention.reuses_prefix
        try:
            whole = plain.ask(question, budget=FEW)
        finally:
            host._attention.reuses_prefix = before
        assert reused.text == whole.text
        assert [e.tile for e in reused.evidence] == [e.tile for e in whole.evidence]
    shared.ask(OTHER, budget=FEW)
    assert host._attention.prefixes.runs == runs
