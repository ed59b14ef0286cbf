"""Prompts of several dates are those of their images one after the other, in every family."""

import pytest
import torch
from family_toys import QUESTION, host_of, tokens_of

from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.inference.prompts.sight import NO_BLOCK, Sight
from geofovea.regionfocus.dated_tokens import DatedTokens

KINDS = ("llava", "qwen2_5_vl", "qwen3_vl", "gemma3", "paligemma", "pixtral", "glm4v")


@pytest.fixture(params=[kind for kind in KINDS if kind in FAMILIES])
def host(request):
    return host_of(request.param)


def test_one_date_without_words_is_the_plain_prompt(host):
    tokens = tokens_of(host, 2)
    plain = host._prompts.sequence(QUESTION, tokens)
    dated = host._prompts.sequence(QUESTION, DatedTokens(("",), (tokens,)))
    for name in ("embedded", "positions", "visual", "deep", "blocks"):
        first, second = getattr(plain, name), getattr(dated, name)
        assert (first is None) == (second is None), name
        if first is not None:
            torch.testing.assert_close(first, second)
    assert plain.next_position == dated.next_position


def test_dates_follow_each_other_and_keep_their_tokens(host):
    sets = (tokens_of(host, 2, seed=5), tokens_of(host, 1, seed=6))
    dated = host._prompts.sequence(QUESTION, DatedTokens(("Is", "the"), sets))
    alone = [host._prompts.sequence(QUESTION, each) for each in sets]
    counts = [len(each.visual) for each in alone]
    assert len(dated.visual) == sum(counts)
    assert bool((dated.visual.diff() > 0).all())
    seen = dated.embedded[0, dated.visual]
    expected = torch.cat([each.embedded[0, each.visual] for each in alone])
    torch.testing.assert_close(seen, expected)
    if dated.deep is not None:
        torch.testing.assert_close(dated.deep, torch.cat([each.deep for each in alone], dim=1))
    # no position of the second date lies before one of the first
    rows = dated.positions.reshape(-1, len(dated))
    edge = int(dated.visual[counts[0]])
    assert bool((rows[:, edge:].amin(1) > rows[:, : dated.visual[counts[0] - 1]].amax(1)).all())


def test_tiles_of_two_dates_do_not_see_each_other_both_ways(host):
    sets = (tokens_of(host, 2, seed=5), tokens_of(host, 2, seed=6))
    dated = host._prompts.sequence(QUESTION, DatedTokens(("Is", "the"), sets))
    sight = host._prompts.layout.sight
    if sight is Sight.CAUSAL:
        assert dated.blocks is None
    elif sight is Sight.PROMPT:
        assert not dated.blocks.any()
    else:
        assert len(dated.blocks.unique()) == 4 + 1
        assert int(dated.blocks[0]) == NO_BLOCK


def test_a_model_answers_from_both_dates(host):
    first, second = tokens_of(host, 1, seed=5), tokens_of(host, 1, seed=6)
    pairs = [(first, second), (first, first), (second, second)]
    prompts = [host._prompts.sequence(QUESTION, DatedTokens(("Is", "the"), pair)) for pair in pairs]
    assert not torch.equal(prompts[0].embedded, prompts[1].embedded)
    answer = host.generate(QUESTION, DatedTokens(("Is", "the"), pairs[0]))
    assert answer.log_probabilities


def test_a_date_that_shows_nothing_leaves_its_words_alone():
    host = host_of("llava")
    tokens = tokens_of(host, 1)
    nothing = tokens.select(torch.zeros(len(tokens), dtype=torch.bool))
    both = host._prompts.sequence(QUESTION, DatedTokens(("Is", "the"), (tokens, nothing)))
    assert len(both.visual) == len(tokens)
    assert host.generate(QUESTION, DatedTokens(("Is", "the"), (nothing, nothing))) is not None
