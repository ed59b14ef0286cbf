"""Tokens that wait: nothing is computed twice, what comes back equals a plain reference."""

import pytest
import torch
from decoder_models import DEPTH, FAMILIES, WIDTH, make_model

from geofovea.pipeline.inference.decoder.lazy import LazyRun, planned_run
from geofovea.pipeline.inference.decoder.planned import PlannedRun
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.regionfocus.layer_plans.ima import Ima
from geofovea.regionfocus.layer_plans.lazyllm import LazyLlm

BEFORE, SHOWN, AFTER = 3, 20, 6
LENGTH = BEFORE + SHOWN + AFTER
VISUAL = torch.arange(BEFORE, BEFORE + SHOWN)
STEPS = 6


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return make_model(request.param)


def make_prompt(shown=SHOWN, seed=1):
    length = BEFORE + shown + AFTER
    embedded = torch.randn(1, length, WIDTH, generator=torch.Generator().manual_seed(seed))
    return PromptSequence(embedded, torch.arange(length)[None], VISUAL[:shown], None, length)


@torch.no_grad()
def decode(model, run):
    """States of the answer's first tokens, and the tokens that were put in."""
    states, chosen = [run.prefill()], []
    for step in range(STEPS):
        chosen.append(7 * step + 3)
        states.append(run.advance(model.get_input_embeddings()(torch.tensor([[chosen[-1]]]))))
    return torch.cat(states), chosen


@torch.no_grad()
def reference(model, chosen, method, prompt):
    """The rule read literally: states and keys of each token and layer in a table, one by one."""
    embeds = torch.cat([prompt.embedded[0], model.get_input_embeddings()(torch.tensor(chosen))])
    length = len(prompt.embedded[0])
    layers, inputs, results, computed = model.model.layers, {}, [], []
    for place in range(length - 1, len(embeds)):
        fresh = range(length) if place == length - 1 else [place]
        inputs |= {(0, p): embeds[p] for p in fresh}
        seen = set(range(place + 1))
        for number, layer in enumerate(layers):
            running = [
                p for p in sorted(seen) if (number, p) in inputs and (number + 1, p) not in inputs
            ]
            computed += [(number, p) for p in running]
            entries = [p for p in sorted(seen) if (number, p) in inputs]
            outputs, attention = literal_layer(model, layer, number, inputs, running, entries)
            inputs |= {(number + 1, p): state for p, state in outputs.items()}
            if method.share_behind(number, DEPTH):
                candidates = [p for p in entries if p in prompt.visual.tolist()]
                row = torch.stack([attention[entries.index(p)] for p in candidates])
                wanted = {candidates[i] for i in method.wanted(row, number, DEPTH).tolist()}
                seen -= set(candidates) - wanted
        results.append(model.model.norm(inputs[DEPTH, place]))
    return torch.stack(results), computed


def literal_layer(model, layer, number, inputs, running, entries):
    """One layer over the entries with a mask, of which the rows that run are taken."""
    hidden = torch.stack([inputs[number, p] for p in entries])[None]
    rotary = model.model.rotary_emb(hidden, torch.tensor(entries)[None])
    attention = layer.self_attn
    lowest = torch.finfo(torch.float32).min
    mask = torch.full((len(entries), len(entries)), lowest).triu(1)[None, None]
    normed = layer.input_layernorm(hidden)
    attention.config._attn_implementation, kernel = (
        "eager",
        attention.config._attn_implementation,
    )
    mixed, weights = attention(normed, position_embeddings=rotary, attention_mask=mask)
    attention.config._attn_implementation = kernel
    after = hidden + mixed
    after = after + layer.mlp(layer.post_attention_layernorm(after))
    return {p: after[0, entries.index(p)] for p in running}, weights[0, :, -1].mean(0)


def test_the_answer_is_that_of_the_rule_read_literally(model):
    method = LazyLlm()
    run = LazyRun(model.model, make_prompt(), method)
    states, chosen = decode(model, run)
    expected, computed = reference(model, chosen, method, make_prompt())
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-4)
    in_caches = sorted((n, p) for n, which in enumerate(run._which) for p in which.tolist())
    assert in_caches == sorted(computed)
    # every token and layer once, and some came back
    assert len(set(computed)) == len(computed)
    first = LazyRun(model.model, make_prompt(), method)
    first.prefill()
    vision = [int(torch.isin(which, VISUAL).sum()) for which in run._which]
    assert sum(vision) > sum(first.tokens_by_layer)
    assert max(vision) <= SHOWN


@pytest.mark.parametrize("seed", range(4))
def test_a_word_reads_no_more_than_it_wants_once_every_token_has_come_back(model, seed):
    method, prompt = LazyLlm(), make_prompt(2, seed)
    run = LazyRun(model.model, prompt, method)
    states, chosen = decode(model, run)
    expected, _ = reference(model, chosen, method, prompt)
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-4)


def test_what_waits_and_what_ran_is_all_there_is(model):
    run = LazyRun(model.model, make_prompt(), LazyLlm())
    decode(model, run)
    waiting = [set(places) for places in run.waiting]
    for number, which in enumerate(run._which):
        before = set().union(*waiting[: number + 1])
        assert set(which.tolist()) | before == set(range(LENGTH + STEPS))
        assert not set(which.tolist()) & before
        assert run.cache.get_seq_length(number) == len(which)


def test_a_share_of_nothing_is_the_plain_run_to_the_bit(model):
    nothing = planned_run(model.model, make_prompt(), LazyLlm((0.0, 0.0, 0.0)))
    plain = planned_run(model.model, make_prompt(), Ima(start=DEPTH))
    assert (type(nothing), type(plain)) == (LazyRun, PlannedRun)
    assert torch.equal(decode(model, nothing)[0], decode(model, plain)[0])
    assert nothing.waiting == [{}] * DEPTH


def test_tokens_leave_behind_the_quarters_and_fewer_run_there(model):
    run = LazyRun(model.model, make_prompt(), LazyLlm())
    run.prefill()
    # 20, less 30 %, less half, less 70 %, each rounded up; 4.5 is the fifth layer
    assert run.tokens_by_layer == (20, 20, 14, 7, 7, 3)
    assert [len(places) for places in run.waiting] == [0, 0, 6, 7, 0, 4]
