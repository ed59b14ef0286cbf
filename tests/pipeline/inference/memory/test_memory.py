"""Stored keys and values of tiles: what a decoder makes of them is what it would have made."""

from dataclasses import replace

import pytest
import torch
from family_toys import QUESTION, host_of, stock_inputs, stock_logits, tokens_of, variant_of
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.inference.attention.rows import rotate
from geofovea.pipeline.inference.decoder.forward import forward
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.memory.assembly import StoredPrefix
from geofovea.pipeline.inference.memory.ready import ReadyStates
from geofovea.pipeline.inference.memory.rotation import turned, unturned
from geofovea.pipeline.inference.memory.selected import SelectiveRun
from geofovea.regionfocus.attention_mode import AttentionMode
from geofovea.regionfocus.cache_policies.base import CacheView
from geofovea.regionfocus.cache_policies.compresskv import CompressKv
from geofovea.regionfocus.cache_policies.registry import PREFIX_POLICY_NAMES, make_cache_policy
from geofovea.regionfocus.cache_policies.spatten import SpattenKv
from geofovea.regionfocus.cache_policies.tokenselect import TokenSelect
from geofovea.regionfocus.tokens import TokenSet

EXACT = make_cache_policy("exact")
ABLE = [name for name in FAMILIES if host_of(name).stored_prompts is not None]
CHOICES = ("airport", "harbor", "field")
few = settings(max_examples=10, deadline=None)


def host(family="llava"):
    return host_of(family)


def alike(found, expected, tolerance=2e-5):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_families_whose_tiles_stand_before_the_question_have_a_memory():
    assert "llava" in ABLE
    # positions of three axes depend on what else is shown
    assert not [name for name in ABLE if FAMILIES[name].axes == 3]


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mistral"])
@given(st.integers(0, 999), st.integers(1, 20))
@few
def test_a_position_that_is_taken_off_can_be_put_on_again(kind, seed, n):
    decoder = variant_of("llava", text={"model_type": kind}).decoder
    made = torch.Generator().manual_seed(seed)
    keys = torch.randn(3, 2, n, 16, generator=made)
    positions = torch.randint(500, (n,), generator=made)
    alike(unturned(decoder, turned(decoder, keys, positions), positions), keys, 1e-4)


@pytest.mark.parametrize("scaling", [{}, {"rope_type": "dynamic", "factor": 2.0}])
def test_positions_that_are_looked_up_turn_keys_as_the_decoder_does(scaling):
    rope = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4} | scaling}
    decoder = variant_of("llava", text={"model_type": "llama"} | rope).decoder
    made = torch.Generator().manual_seed(1)
    # beyond what was looked up before, and back
    for highest in (40, 3000, 1500):
        keys = torch.randn(2, 2, 30, 16, generator=made)
        positions = torch.randint(highest, (30,), generator=made)
        cos, sin = decoder.rotary_emb(keys, positions[None])
        expected = rotate(decoder.layers[0].self_attn, keys, cos, sin)
        assert torch.equal(turned(decoder, keys, positions), expected)


def rows_of(states, index, depth):
    """Keys and values of some tokens of a tile between its words, in the first layers."""
    pairs = [layer.restore() for layer in states.layers[:depth]]
    chosen = slice(None) if index is None else index
    joined = []
    for words, vision in zip(
        (states.around.keys, states.around.values), zip(*pairs, strict=True), strict=True
    ):
        before, behind = words[:depth, :, : states.opening], words[:depth, :, states.opening :]
        joined.append(torch.cat([before, torch.stack(vision)[:, :, chosen], behind], 2))
    return joined


@torch.inference_mode()
def test_the_cache_of_a_prompt_holds_its_tiles_end_to_end_and_grows_behind_them():
    model = host()
    prompts, (tokens, _) = model.stored_prompts, two(model)
    chosen = tokens.select(torch.arange(1, len(tokens), 2))
    sequence = prompts.prompts.sequence(QUESTION, chosen)
    stored = prompts._stored_tiles(chosen, prompts.store(tokens, EXACT))
    prefix = StoredPrefix(stored.words, stored.tiles, sequence)
    parts = [(stored.words.keys, stored.words.values)]
    parts += [rows_of(rows.states, rows.index, 2) for rows in stored.tiles]
    keys, values = (torch.cat([part[:2] for part in each], 2) for each in zip(*parts, strict=True))
    keys = turned(prompts.decoder, keys, sequence.positions[0, : prefix.length])
    cache = prefix.cache(prompts.decoder, 2, room=3)
    for layer in range(2):
        assert torch.equal(cache.layers[layer].keys[0], keys[layer])
        assert torch.equal(cache.layers[layer].values[0], values[layer])
    # within the room, and past it
    for count in (2, 4):
        new = torch.ones_like(keys[:1, :, :2])
        longer, _ = cache.update(new, new, 1)
        expected = torch.cat([keys[1], torch.ones_like(keys[1, :, :count])], 1)
        assert torch.equal(longer[0], expected)


@pytest.mark.parametrize(
    ("family", "focus"),
    [*((family, {}) for family in ABLE), ("llava", {"focus_layer": 0})],
    ids=str,
)
def test_one_tile_out_of_the_memory_is_read_as_the_stock_decoder_reads_it(family, focus):
    model = host_of(family, **focus)
    assert not focus or model.attention_mode.layers == (0,)
    tokens = tokens_of(model, 1)
    tiles = model.stored_prompts.store(tokens, EXACT)
    alike(
        model.stored_prompts.scores(QUESTION, [tokens], tiles, {})[0],
        model.scores(QUESTION, tokens),
    )
    for choices in ((), CHOICES):
        stock = model.generate(QUESTION, tokens, choices=choices)
        ours, _ = model.stored_prompts.generate(Prompt(QUESTION, tokens, choices), tiles)
        assert (ours.text, ours.text_tokens) == (stock.text, stock.text_tokens)
        assert ours.log_probabilities == pytest.approx(stock.log_probabilities, abs=2e-4)
        assert ours.choices == pytest.approx(stock.choices, abs=2e-4)


def two(model):
    """Two tiles, and each of them alone."""
    tokens = tokens_of(model, 2)
    return tokens, [tokens.select(tokens.tile_index == i) for i in range(2)]


@pytest.mark.parametrize("family", ABLE)
def test_what_is_stored_of_a_tile_does_not_depend_on_the_others(family):
    model = host_of(family)
    tokens, alone = two(model)
    together = model.stored_prompts.store(tokens, EXACT)
    for one in alone:
        (tile,) = one.tiles
        single = model.stored_prompts.store(one, EXACT)[tile]
        index = torch.arange(single.states.count)
        for a, b in zip(
            rows_of(single.states, index, 3), rows_of(together[tile].states, index, 3), strict=True
        ):
            alike(a, b)


def test_tiles_in_another_order_only_move_keys():
    model = host()
    tokens, (first, second) = two(model)
    tiles = model.stored_prompts.store(tokens, EXACT)
    turned_round = TokenSet.concat([second, first])
    prompts = model.stored_prompts
    forth = prompts.scores(QUESTION, [tokens], tiles, {})[0]
    back = prompts.scores(QUESTION, [turned_round], tiles, {})[0]
    assert not torch.allclose(forth, back[torch.cat([torch.arange(16, 32), torch.arange(16)])])
    again = prompts.scores(QUESTION, [tokens], tiles, {})[0]
    assert torch.equal(forth, again)


def test_two_tiles_are_those_of_a_decoder_in_which_each_sees_itself_alone():
    """Another way to the same numbers: the stock cache of each tile, joined at other positions."""
    model = host()
    tokens, alone = two(model)
    decoder, prompts = model.decoder, model._prompts
    joined, shift = DynamicCache(config=decoder.config), 0
    whole = prompts.sequence(QUESTION, tokens, answer=0)
    first = int(whole.visual[0])
    for number, one in enumerate(alone):
        sequence = prompts.sequence(QUESTION, one, answer=0)
        end = first + len(one)
        cache = DynamicCache(config=decoder.config)
        positions = torch.arange(end)[None].clone()
        # a tile that stands later is run at its place, behind words that stand before it
        positions[:, first:] += shift
        with torch.inference_mode():
            forward(
                decoder,
                inputs_embeds=sequence.embedded[:, :end],
                position_ids=torch.arange(end)[None],
                attention_mask=torch.ones(1, end, dtype=torch.long),
                cache=cache,
            )
        start = 0 if number == 0 else first
        for layer, states in enumerate(cache.layers):
            keys = unturned(decoder, states.keys, torch.arange(end))
            keys = turned(decoder, keys, positions[0])
            joined.update(keys[:, :, start:], states.values[:, :, start:], layer)
        shift += len(one)
    tail = whole.behind(first + len(tokens))
    with torch.inference_mode():
        hidden = forward(
            decoder,
            inputs_embeds=tail.embedded,
            position_ids=tail.positions,
            attention_mask=torch.ones(1, len(whole), dtype=torch.long),
            cache=joined,
        ).last_hidden_state[:, -1]
        logs = model._model.lm_head(hidden)[0].log_softmax(-1)
    tiles = model.stored_prompts.store(tokens, EXACT)
    answer, _ = model.stored_prompts.generate(Prompt(QUESTION, tokens), tiles)
    assert answer.log_probabilities[0] == pytest.approx(float(logs.max()), abs=1e-4)


@pytest.mark.parametrize("family", ABLE)
def test_queries_of_the_first_look_serve_a_later_one_wherever_its_words_stand(family):
    """In the first layer queries come from words alone, so that a fresh run says the same."""
    model = host_of(family)
    prompts = replace(model.stored_prompts, mode=AttentionMode(layers=(0,)))
    tokens, (first, _) = two(model)
    tiles = prompts.store(tokens, EXACT)
    queries = {}
    prompts.scores(QUESTION, [first], tiles, queries)
    assert list(queries) == [QUESTION, *prompts.mode.neutral]
    later = prompts.scores(QUESTION, [tokens], tiles, queries)[0]
    alike(later, prompts.scores(QUESTION, [tokens], tiles, {})[0])


@pytest.mark.parametrize("neutral", [(), ("What is this?",)])
@pytest.mark.parametrize("family", ABLE)
def test_looks_that_are_scored_together_score_as_each_alone(family, neutral):
    model = host_of(family)
    correction = "relative" if neutral else "raw"
    mode = AttentionMode(layers=(0, 1), correction=correction, neutral=neutral)
    prompts = replace(model.stored_prompts, mode=mode)
    tokens, (first, second) = two(model)
    tiles = prompts.store(tokens, EXACT)
    looks = [tokens, first, tokens.select(torch.arange(1, len(tokens), 3)), second] * 3
    queries = {}
    together = prompts.scores(QUESTION, looks, tiles, queries)
    assert list(queries) == [QUESTION, *neutral]
    for look, scores in zip(looks, together, strict=True):
        (alone,) = prompts.scores(QUESTION, [look], tiles, queries)
        torch.testing.assert_close(scores, alone, rtol=0, atol=1e-6)
    assert together[0].std() > 1e-4


def test_what_was_restored_is_held_within_its_room():
    entries = [make_cache_policy("plain").store(view) for view in views(3)]
    size = sum(states.nbytes for states in entries[0].restore())
    ready = ReadyStates(2 * size)
    pairs = [ready.of(each) for each in entries]
    assert ready.nbytes == 2 * size
    # the last two are held, the first is restored anew, to the same numbers
    assert ready.of(entries[2])[0] is pairs[2][0]
    again = ready.of(entries[0])[0]
    assert again is not pairs[0][0]
    assert torch.equal(again, pairs[0][0])


def views(count):
    made = torch.Generator().manual_seed(1)
    keys, values = torch.randn(2, count, 2, 40, 16, generator=made)
    every = torch.arange(40)
    return [CacheView(k, v, every) for k, v in zip(keys, values, strict=True)]


@given(st.sets(st.integers(0, 31), min_size=1), st.integers(0, 99))
@few
def test_some_tokens_of_stored_tiles_are_read_without_the_others(chosen, seed):
    model = host()
    tokens = tokens_of(model, 2, seed=seed)
    some = tokens.select(torch.tensor(sorted(chosen)))
    tiles = model.stored_prompts.store(tokens, EXACT)
    scores = model.stored_prompts.scores(QUESTION, [some], tiles, {})[0]
    assert scores.shape == (len(chosen),)
    assert float(scores.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", PREFIX_POLICY_NAMES)
def test_fewer_bits_stay_near_what_they_stand_for(name):
    model = host()
    tokens = tokens_of(model, 2)
    exact = model.stored_prompts.store(tokens, EXACT)
    coded = model.stored_prompts.store(tokens, make_cache_policy(name))
    scores = [
        model.stored_prompts.scores(QUESTION, [tokens], tiles, {})[0] for tiles in (exact, coded)
    ]
    assert float((scores[0] - scores[1]).abs().sum()) < 0.7
    if name != "exact":
        assert sum(t.nbytes for t in coded.values()) < 0.7 * sum(t.nbytes for t in exact.values())


def test_a_stock_prompt_of_one_tile_is_what_the_first_word_is_read_from():
    model = host()
    tokens = tokens_of(model, 1)
    logits = stock_logits(model, "llava", stock_inputs(model, "llava", 1))
    tiles = model.stored_prompts.store(tokens, EXACT)
    answer, _ = model.stored_prompts.generate(Prompt(QUESTION, tokens), tiles)
    expected = float(logits.flatten().log_softmax(-1).max())
    assert answer.log_probabilities[0] == pytest.approx(expected, abs=1e-4)


def read_by(model, reader, tokens):
    tiles = model.stored_prompts.store(tokens, EXACT)
    return model.stored_prompts.generate(Prompt(QUESTION, tokens), tiles, reader)


@pytest.mark.parametrize("reader", [TokenSelect(share=1), CompressKv(share=1), SpattenKv(share=1)])
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_words_that_may_read_everything_answer_as_the_stock_layers_do(kind, reader):
    model = variant_of("llava", text={"model_type": kind})
    tokens = tokens_of(model, 2)
    stock, whole = read_by(model, None, tokens)
    ours, entries = read_by(model, reader, tokens)
    assert whole == len(tokens)
    assert entries >= len(tokens) * len(model.decoder.layers)
    assert ours.text == stock.text
    assert ours.log_probabilities == pytest.approx(stock.log_probabilities, abs=2e-4)


def test_each_word_attends_to_as_many_entries_as_it_may():
    model = host()
    tokens = tokens_of(model, 2)
    answer, entries = read_by(model, TokenSelect(share=0.25, least=1), tokens)
    sequence = model._prompts.sequence(QUESTION, tokens, answer=0)
    # words behind the picture, and those of the answer that were fed back
    words = len(sequence) - int(sequence.visual[-1]) - 1 + len(answer.log_probabilities) - 1
    assert entries == words * len(tokens) // 4 * len(model.decoder.layers)


@pytest.mark.parametrize("policy", [CompressKv, SpattenKv])
def test_entries_that_are_dropped_behind_the_question_leave_the_cache(policy):
    model = host()
    prompts, tokens = model.stored_prompts, tokens_of(model, 2)
    tiles = prompts.store(tokens, EXACT)
    sequence = model._prompts.sequence(QUESTION, tokens, answer=0)
    run = SelectiveRun(model.decoder, prompts._prefix(sequence, tokens, tiles), policy(share=0.25))
    with torch.inference_mode():
        run.prefill()
        assert {layer.keys.shape[2] for layer in run._cache.layers} == {
            len(sequence) - len(tokens) * 3 // 4
        }
        # a look ahead is forgotten again
        before = [layer.keys for layer in run._cache.layers]
        run.peek(sequence.embedded[:, -2:])
        run.advance(sequence.embedded[:, -1:])
    assert all(
        torch.equal(layer.keys[:, :, : old.shape[2]], old)
        for layer, old in zip(run._cache.layers, before, strict=True)
    )
    assert {layer.keys.shape[2] for layer in run._cache.layers} == {before[0].shape[2] + 1}


def test_a_decoder_whose_layers_cannot_be_run_apart_takes_no_reader():
    model = variant_of("llava", text={"model_type": "qwen3_moe"})
    with pytest.raises(ModelError, match="leave tokenselect out"):
        read_by(model, TokenSelect(), tokens_of(model, 1))
