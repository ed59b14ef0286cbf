"""Every family answers as its stock model does, and a dropped token leaves no trace."""

import pytest
import torch
from family_toys import (
    OF_ANY_SIZE,
    QUESTION,
    SHAPES,
    host_of,
    stock_decoder_inputs,
    stock_inputs,
    stock_logits,
    stock_text,
    tokens_of,
)
from hidden_tokens import full_positions, masked_logits, some, visible_where

from geofovea.pipeline.hosts.base import Host, SupportsContextRoom
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.inference.decoder.run import DecoderRun
from geofovea.pipeline.inference.prompts.batch import PromptBatch
from geofovea.pipeline.inference.prompts.sight import NO_BLOCK, Sight

CASES = [(family, shape) for family in FAMILIES for shape in SHAPES]
POLICIES = [(family, p) for family, kind in FAMILIES.items() for p in kind.policies]


def native(family):
    """The policy whose positions are those of the stock prompt."""
    return "original" if family in OF_ANY_SIZE else "compact"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_host_of_every_family_keeps_the_protocol(family):
    host = host_of(family)
    assert isinstance(host, Host)
    assert isinstance(host, SupportsContextRoom)
    assert host.capabilities.attention
    assert host.capabilities.positions == FAMILIES[family].policies[0]


@pytest.mark.parametrize(("family", "shape"), CASES)
def test_without_pruning_the_first_step_is_that_of_the_stock_model(family, shape, first_logits):
    host = host_of(family, shape, positions=native(family))
    inputs = stock_inputs(host, family)
    expected = stock_logits(host, family, inputs)
    found = first_logits(host, QUESTION, tokens_of(host))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    other = first_logits(host, QUESTION, tokens_of(host, seed=6))
    assert (other - expected).abs().max() > 0.01, "the picture must matter for this to prove much"


@pytest.mark.parametrize(("family", "shape"), CASES)
def test_without_pruning_the_greedy_text_is_that_of_the_stock_model(family, shape):
    host = host_of(family, shape, positions=native(family))
    expected = stock_text(host, family, stock_inputs(host, family))
    assert host.generate(QUESTION, tokens_of(host)).text == expected
    assert expected


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("family", "policy"), POLICIES)
def test_a_pruned_run_is_the_full_run_with_the_pruned_keys_hidden(
    family, policy, shape, first_logits
):
    host = host_of(family, shape, positions=policy)
    tokens = tokens_of(host)
    sequence = stock_decoder_inputs(host, family, stock_inputs(host, family))
    keep = some(len(tokens))
    if policy == "scene":
        sequence = in_one_frame(host, sequence, tokens)
    visual = host._prompts.layout.sequence(host._prompts.words.ids(QUESTION), tokens).visual
    length = sequence["inputs_embeds"].shape[1]
    visible = visible_where(host, family, length, visual, keep)
    positions = full_positions(host, sequence, policy, visible, tokens)
    expected = masked_logits(host, sequence, visible, positions)
    found = first_logits(host, QUESTION, tokens.select(keep))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    whole = first_logits(host, QUESTION, tokens)
    assert (whole - expected).abs().max() > 0.01, "pruning must matter for this to prove much"


def in_one_frame(host, sequence, tokens):
    """The stock sequence without the words between its tiles, which are one image now."""
    layout = host._prompts.layout.sequence(host._prompts.words.ids(QUESTION), tokens)
    n = host.grid[0] * host.grid[1]
    # what, start, n tokens, [end, start,] n tokens, end, question
    length = sequence["inputs_embeds"].shape[1]
    stays = torch.ones(length, dtype=torch.bool)
    stays[[2 + n, 3 + n]] = False
    cut = {"inputs_embeds": sequence["inputs_embeds"][:, stays]}
    assert cut["inputs_embeds"].shape[1] == len(layout)
    if "visual_pos_masks" in sequence:
        cut["visual_pos_masks"] = sequence["visual_pos_masks"][:, stays]
        cut["deepstack_visual_embeds"] = sequence["deepstack_visual_embeds"]
    return cut


@pytest.mark.parametrize(("family", "policy"), POLICIES)
@torch.no_grad()
def test_scores_are_the_eager_attention_of_the_last_word(family, policy):
    host = host_of(family, positions=policy)
    tokens = tokens_of(host)
    tokens = tokens.select(some(len(tokens)))
    scores = host.scores(QUESTION, tokens)
    sequence = host._prompts.layout.sequence(host._prompts.words.ids(QUESTION), tokens)
    caught = {}

    def catch(module, args, output):
        caught["attention"] = output[1]

    config = host._decoder.config
    kernel, config._attn_implementation = config._attn_implementation, "eager"
    hook = host._decoder.layers[1].self_attn.register_forward_hook(catch)
    try:
        DecoderRun(host._decoder, PromptBatch.of([sequence])).prefill()
    finally:
        hook.remove()
        config._attn_implementation = kernel
    attention = caught["attention"][0, :, -1, sequence.visual]
    expected = (attention / attention.sum(-1, keepdim=True)).mean(0)
    assert float(scores.sum()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)
    assert float(scores.max()) > 1.5 / len(tokens), "a flat attention would prove little"


@pytest.mark.parametrize("family", FAMILIES)
def test_decoding_goes_on_where_the_prompt_ended(family):
    # greedy decoding with a cache is the greedy choice of ever longer prompts without one
    host = host_of(family, positions=FAMILIES[family].policies[-1])
    tokens = tokens_of(host)
    tokens = tokens.select(some(len(tokens)))
    ids = host._prompts.words.ids(QUESTION)
    answer = []
    for _ in range(6):
        longer = type(ids)(ids.before, [*ids.after, *answer])
        sequence = host._prompts.layout.sequence(longer, tokens)
        if answer and FAMILIES[family].sight is Sight.PROMPT:
            # an answer sees what is before it, and no prompt sees its answer
            sequence.blocks[-len(answer) :] = NO_BLOCK
        state = DecoderRun(host._decoder, PromptBatch.of([sequence])).prefill()
        with torch.no_grad():
            answer.append(int(host._model.lm_head(state).argmax()))
    text = host._tokenizer.decode(answer, skip_special_tokens=True).strip()
    assert host.generate(QUESTION, tokens).text.startswith(text)
