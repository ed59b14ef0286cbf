"""Reductions inside the decoder of every family: a dropped row leaves no trace, and is not run."""

from dataclasses import replace

import pytest
import torch
from dropped_rows import logits_with_hidden_rows
from family_toys import (
    OF_ANY_SIZE,
    QUESTION,
    host_of,
    stock_decoder_inputs,
    stock_inputs,
    tokens_of,
)
from hidden_tokens import some

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.inference.decoder.pruned import pruned_run, vision_lengths
from geofovea.regionfocus.reductions.decoder.fastv import FastV
from geofovea.regionfocus.reductions.decoder.pyramiddrop import PyramidDrop
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.decoder.sparsevlm import SparseVlm
from geofovea.regionfocus.reductions.decoder.todre import TodreDropAll
from geofovea.regionfocus.reductions.registry import DECODER_REDUCTION_NAMES, make_decoder_reduction

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
# these see images both ways, or have layers that hold a state in the place of keys
OUTSIDE = ("gemma3", "paligemma", "qwen3_5", "qwen3_5_moe")
INSIDE = {name: kind for name, kind in FAMILIES.items() if name not in OUTSIDE}
CASES = [(family, policy) for family, kind in INSIDE.items() for policy in kind.policies]
NATIVE = [(f, "original" if f in OF_ANY_SIZE else "compact") for f in INSIDE]


def prompt_of(host, tokens):
    """The host's own prompt, and a mark for each of its vision tokens."""
    return host._prompts.layout.sequence(host._prompts.words.ids(QUESTION), tokens)


def tokens_with_importance(host):
    tokens = tokens_of(host)
    weights = torch.rand(len(tokens), generator=torch.Generator().manual_seed(2))
    return replace(tokens, importance=weights)


@torch.no_grad()
def answered(host, run, embedded, words):
    """Logits of the next words of an answer, ``(words, V)``, and their ids."""
    logits, ids, hidden = [], [], embedded
    for _ in range(words):
        logits.append(host._family.logits(run.advance(hidden))[0])
        ids.append(int(logits[-1].argmax()))
        hidden = host._model.get_input_embeddings()(torch.tensor([[ids[-1]]]))
    return torch.stack(logits), ids


def stock_prompt(host, family, prompt, policy):
    """What the stock model hands to its decoder, at the positions of a policy."""
    stock = stock_decoder_inputs(host, family, stock_inputs(host, family))
    if policy == dict(NATIVE)[family]:
        length = stock["inputs_embeds"].shape[1]
        ids = stock.get("position_ids")
        stock["position_ids"] = torch.arange(length)[None] if ids is None else ids[-3:]
        return stock
    # of other policies no stock model knows: theirs are compared with it in test_parity
    marks = torch.zeros(1, len(prompt), dtype=torch.bool)
    marks[0, prompt.visual] = True
    own = {"inputs_embeds": prompt.embedded, "position_ids": prompt.positions}
    if prompt.deep is not None:
        own |= {"visual_pos_masks": marks, "deepstack_visual_embeds": list(prompt.deep)}
    return own


def reductions(names):
    """Each with two steps, one of them between layers that DeepStack adds to."""
    for name in names:
        if name == "todre_drop_all":
            yield TodreDropAll(2, threshold=1.0)
            continue
        kind = type(make_decoder_reduction(name))
        steps = ((3, 8),) if name == "catp_decoder" else ((1, 40), (3, 10))
        yield kind(schedule=Schedule.of(*steps))


def check(host, family, policy, reduction, tokens):
    prompt = prompt_of(host, tokens)
    run = pruned_run(host._decoder, prompt, tokens, reduction)
    seen = []
    embed = host._model.get_input_embeddings()
    hooks = [
        layer.self_attn.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append((args or [kwargs["hidden_states"]])[0].shape[1]),
            with_kwargs=True,
        )
        for layer in host._decoder.layers
    ]
    logits, ids = answered(host, run, prompt.embedded, 1)
    for hook in hooks:
        hook.remove()
    more, rest = answered(host, run, embed(torch.tensor([ids])), 2)
    first = int(prompt.visual[0])
    drops = []
    for drop in run.drops:
        stays = torch.isin(prompt.visual - first, drop.stayed).nonzero()[:, 0]
        drops.append((drop.layer, stays, drop.kept.features))
    is_compact = torch.equal(
        prompt.positions, torch.arange(len(prompt)).expand_as(prompt.positions)
    )
    expected = logits_with_hidden_rows(
        host,
        stock_prompt(host, family, prompt, policy),
        prompt.visual,
        drops,
        [*ids, *rest[:-1]],
        contiguous=reduction.positions == "contiguous" and is_compact,
    )
    torch.testing.assert_close(torch.cat([logits, more]), expected, **CLOSE)
    # what was dropped was not computed, and not kept
    assert seen == run.lengths
    words = len(prompt) - len(tokens)
    assert [n - words for n in run.lengths] == list(vision_lengths(run, prompt))
    assert min(seen) < len(prompt)
    return expected


@pytest.mark.parametrize(("family", "policy"), NATIVE)
def test_dropped_rows_are_the_stock_model_with_these_columns_hidden(family, policy):
    host = host_of(family, "deep", positions=policy)
    tokens = tokens_with_importance(host)
    everything = logits_with_hidden_rows(
        host, stock_prompt(host, family, prompt_of(host, tokens), policy),
        prompt_of(host, tokens).visual, [], [], contiguous=False,
    )  # fmt: skip
    for reduction in reductions(DECODER_REDUCTION_NAMES):
        expected = check(host, family, policy, reduction, tokens)
        assert (expected[0] - everything[0]).abs().max() > 1e-3, reduction.name


@pytest.mark.parametrize(("family", "policy"), [case for case in CASES if case not in NATIVE])
def test_so_they_are_at_positions_of_any_policy(family, policy):
    host = host_of(family, "deep", positions=policy)
    tokens = tokens_with_importance(host)
    for reduction in reductions(("fastv", "pyramiddrop", "sparsevlm")):
        check(host, family, policy, reduction, tokens)


@pytest.mark.parametrize("family", [family for family, kind in INSIDE.items() if kind.axes == 3])
def test_what_an_earlier_choice_left_keeps_row_and_column(family):
    """Tokens that were chosen before the decoder stand in gaps; survivors keep their place."""
    host = host_of(family, "deep", positions="original")
    tokens = tokens_with_importance(host)
    chosen = tokens.select(some(len(tokens), share=0.7).nonzero()[:, 0])
    for kind in (FastV, PyramidDrop):
        reduction = kind(schedule=Schedule.of((1, 20), (2, 9)))
        prompt = prompt_of(host, chosen)
        run = pruned_run(host._decoder, prompt, chosen, reduction)
        placed = []
        hook = host._decoder.rotary_emb.register_forward_pre_hook(
            lambda _, args, placed=placed: placed.append(args[1].clone())
        )
        run.advance(prompt.embedded)
        hook.remove()
        assert [ids.shape[-1] for ids in placed] == [len(prompt), *run.lengths[1:3]]
        before = {tuple(p.tolist()) for p in prompt.positions[:, 0].T}
        assert {tuple(p.tolist()) for p in placed[-1][:, 0].T} < before


@pytest.mark.parametrize(("family", "policy"), CASES)
def test_a_reduction_that_drops_nothing_says_what_the_stock_run_says(family, policy, first_logits):
    host = host_of(family, positions=policy)
    tokens = tokens_of(host)
    keeps = SparseVlm(schedule=Schedule.of((1, 1.0), (2, 1.0)))
    prompt = prompt_of(host, tokens)
    run = pruned_run(host._decoder, prompt, tokens, keeps)
    logits, _ = answered(host, run, prompt.embedded, 1)
    torch.testing.assert_close(
        logits[0], first_logits(host, QUESTION, tokens), atol=1e-6, rtol=1e-6
    )
    assert host.generate(QUESTION, tokens, keeps).text == host.generate(QUESTION, tokens).text


@pytest.mark.parametrize("family", ["glm4v", "qwen3_vl"])
def test_what_a_sublayer_adds_is_watched_behind_its_norm(family):
    """States before and behind a layer differ by what both of its sublayers were seen to add."""
    host = host_of(family, "deep", positions="original")
    tokens = tokens_of(host)
    seen, states = {}, []

    class Watcher(FastV):
        def watched(self, depth):
            return frozenset({3})

        def watch(self, view, sublayer, before, after):
            seen[sublayer] = after

    hook = host._decoder.layers[3].register_forward_hook(
        lambda _, args, kwargs, output: states.extend(
            [args[0], output[0] if isinstance(output, tuple) else output]
        ),
        with_kwargs=True,
    )
    prompt = prompt_of(host, tokens)
    pruned_run(host._decoder, prompt, tokens, Watcher()).advance(prompt.embedded)
    hook.remove()
    added = seen["attention"] + seen["feed_forward"]
    torch.testing.assert_close(states[1][0], states[0][0] + added, **CLOSE)


@pytest.mark.parametrize("family", OUTSIDE)
def test_a_decoder_that_is_more_than_causal_attention_is_not_shortened(family):
    host = host_of(family)
    assert "decoder_layer" not in host.capabilities.stages
    with pytest.raises(ModelError, match="choose a reduction that acts before the decoder"):
        host.generate(QUESTION, tokens_of(host), FastV())
