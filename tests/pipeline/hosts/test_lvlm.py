"""The host answers as the stock model does, and a token that was dropped leaves no trace."""

import numpy as np
import pytest
import torch
from pipeline_toys import QUESTION, llava_host, random_llava
from small_tiles import PYRAMID, TILES, pictures, tokens_of

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.training.embedded_model import build_tokenizer, vocabulary
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid, Tile

WORDS = vocabulary()


def stock_inputs(question, tokens):
    """Placeholder prompt and normalized pixels, as a processor would make them."""
    tokenizer = build_tokenizer()
    after = tokenizer.encode(f" {question} is", add_special_tokens=False)
    ids = [WORDS.index("what"), *[WORDS.index("<image>")] * tokens, *after]
    pixels = torch.from_numpy(pictures(1)).float() / 255
    mean = torch.tensor((0.48145466, 0.4578275, 0.40821073))
    std = torch.tensor((0.26862954, 0.26130258, 0.27577711))
    return {
        "input_ids": torch.tensor([ids]),
        "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
        "pixel_values": ((pixels - mean) / std).permute(0, 3, 1, 2),
    }


@pytest.fixture(scope="module", params=[-2, -1])
def model(request):
    return random_llava(request.param)


def test_a_llava_host_keeps_the_protocol(model):
    host = llava_host(model)
    assert isinstance(host, Host)
    assert (host.tile_size, host.grid) == (32, (4, 4))
    assert host.capabilities.attention
    assert not llava_host(model, focus_layer=3).capabilities.attention


@torch.no_grad()
def test_with_all_tokens_the_first_step_is_that_of_the_stock_model(model, first_logits):
    host = llava_host(model)
    expected = model(**stock_inputs(QUESTION, 16)).logits[0, -1]
    found = first_logits(host, QUESTION, tokens_of(host))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    blind = first_logits(host, QUESTION, None)
    assert (blind - expected).abs().max() > 0.01, "the picture must matter for this to prove much"


def test_with_all_tokens_the_greedy_text_is_that_of_the_stock_model(model):
    host = llava_host(model)
    inputs = stock_inputs(QUESTION, 16)
    made = model.generate(**inputs, do_sample=False, max_new_tokens=16)
    new = made[0, inputs["input_ids"].shape[1] :]
    generation = host.generate(QUESTION, tokens_of(host))
    assert generation.text == build_tokenizer().decode(new, skip_special_tokens=True).strip()
    assert len(generation.log_probabilities) == int((new != WORDS.index("</s>")).sum())
    assert all(value <= 0 for value in generation.log_probabilities)


@torch.no_grad()
def test_a_pruned_run_is_the_full_run_with_the_pruned_keys_hidden(model, first_logits):
    host = llava_host(model)
    tokens = tokens_of(host, 3)
    keep = torch.zeros(48, dtype=torch.bool)
    keep[torch.randperm(48, generator=torch.Generator().manual_seed(1))[:19]] = True
    after = build_tokenizer().encode(f" {QUESTION} is", add_special_tokens=False)
    embed = model.get_input_embeddings()
    hidden = torch.cat(
        [
            embed(torch.tensor([[WORDS.index("what")]])),
            tokens.features[None],
            embed(torch.tensor([after])),
        ],
        1,
    )
    length = hidden.shape[1]
    seen = torch.ones(length, dtype=torch.bool)
    seen[1:49] = keep
    mask = torch.ones(length, length, dtype=torch.bool).tril() & seen
    bias = torch.zeros(1, 1, length, length).masked_fill(~mask, torch.finfo(torch.float32).min)
    output = model.model.language_model(
        inputs_embeds=hidden,
        attention_mask=bias,
        position_ids=(seen.cumsum(0) - 1)[None].clamp_min(0),
    )
    expected = model.lm_head(output.last_hidden_state[0, -1])
    found = first_logits(host, QUESTION, tokens.select(keep))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    whole = first_logits(host, QUESTION, tokens)
    assert (whole - expected).abs().max() > 0.01, "pruning must matter for this to prove much"


@torch.no_grad()
def test_scores_are_the_eager_attention_of_the_last_word_and_sum_to_one(model):
    host = llava_host(model)
    scores = host.scores(QUESTION, tokens_of(host))
    inputs = stock_inputs(QUESTION, 16)
    attention = model(**inputs, output_attentions=True).attentions[1][0, :, -1, 1:17]
    expected = (attention / attention.sum(-1, keepdim=True)).mean(0)
    assert scores.device.type == "cpu"
    assert scores.dtype == torch.float32
    assert float(scores.sum()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)
    assert float(scores.max()) > 1.3 / 16, "a flat attention would make the comparison worthless"


def test_asking_for_scores_changes_no_answer_that_follows(model):
    host = llava_host(model)
    tokens = tokens_of(host)
    before = host.generate(QUESTION, tokens)
    host.scores(QUESTION, tokens)
    assert host.generate(QUESTION, tokens) == before


@pytest.mark.parametrize("pool", [1, 2])
def test_tiles_encoded_one_by_one_equal_tiles_encoded_together(model, pool):
    host = llava_host(model, pool=pool)
    pixels, tiles = pictures(6), TILES
    together = host.encode(pixels, tiles, PYRAMID)
    alone = [host.encode(pixels[i : i + 1], tiles[i : i + 1], PYRAMID) for i in range(6)]
    assert together.shape == (6, 16 // pool**2, 32)
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_more_tiles_than_one_pass_takes_are_all_encoded_in_their_order(model):
    host = llava_host(model)
    pyramid = Pyramid(32 * 20, 32, 32)
    tiles, pixels = list(pyramid.tiles(0)), pictures(20)
    together = host.encode(pixels, tiles, pyramid)
    assert len(together) == 20
    for index in (0, 15, 16, 19):
        alone = host.encode(pixels[index : index + 1], [tiles[index]], pyramid)[0]
        torch.testing.assert_close(together[index], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_pooled_tokens_are_means_of_two_by_two_neighbors(model):
    fine = llava_host(model).encode(pictures(1), TILES[:1], PYRAMID)[0].reshape(4, 4, -1)
    pooled = llava_host(model, pool=2).encode(pictures(1), TILES[:1], PYRAMID)[0]
    expected = fine.reshape(2, 2, 2, 2, -1).mean((1, 3)).flatten(0, 1)
    torch.testing.assert_close(pooled, expected, atol=1e-6, rtol=1e-5)


def test_a_token_knows_its_place_only_where_the_model_has_learnt_places(tiny_host, model):
    pyramid = Pyramid(2048, 2048, 64)
    pixels = np.repeat(np.full((1, 64, 64, 3), 90, np.uint8), 2, 0)
    here, there = tiny_host.encode(pixels, [Tile(0, 0, 0), Tile(0, 31, 31)], pyramid)
    assert not torch.allclose(here, there, atol=1e-3)
    same = np.repeat(pictures(1), 2, 0)
    here, there = llava_host(model).encode(same, TILES[:2], PYRAMID)
    torch.testing.assert_close(here, there)


def test_a_blind_answer_takes_no_tokens_at_all(model):
    host = llava_host(model)
    blind = host.generate(QUESTION, None)
    tokens = tokens_of(host)
    none = TokenSet(
        tokens.features[:0], (), torch.zeros(0, dtype=torch.int64), tokens.boxes_scene[:0]
    )
    assert host.generate(QUESTION, none) == blind


def test_a_prompt_longer_than_the_context_is_refused_with_advice():
    host = llava_host(random_llava(-2, context=40))
    with pytest.raises(ModelError, match=r"takes 40: set a smaller token budget"):
        host.generate(QUESTION, tokens_of(host))
    host = llava_host(random_llava(-2, context=20))
    with pytest.raises(ModelError, match=r"takes 20"):
        host.scores(QUESTION, tokens_of(host))


def test_words_without_a_token_are_named(model):
    host = llava_host(model)
    assert host.unknown_words("What is the zeppelin at the Airport?") == ["zeppelin"]
    assert host.unknown_words(QUESTION) == []


def test_a_question_that_looks_like_a_template_stays_a_question(model):
    host = llava_host(model)
    tokens = tokens_of(host)
    assert isinstance(host.generate("what {image} {question} is", tokens).text, str)


def test_special_words_in_a_question_are_left_out(model):
    host = llava_host(model)
    tokens = tokens_of(host)
    plain = host.generate("what color is the plane ?", tokens)
    assert host.generate("what color </s> is the <image> plane ?", tokens) == plain


def test_the_words_of_a_question_are_made_once_and_looked_up_at_once(monkeypatch):
    host = llava_host(random_llava())
    tokens, encode, made, looked_up = tokens_of(host, 2), host._prompts.words._encode, [], []
    monkeypatch.setattr(
        host._prompts.words, "_encode", lambda text, **how: made.append(text) or encode(text, **how)
    )
    hook = host._model.get_input_embeddings().register_forward_hook(
        lambda module, ids, found: looked_up.append(len(found))
    )
    first, second = host.scores(QUESTION, tokens), host.scores(QUESTION, tokens)
    hook.remove()
    assert torch.equal(first, second)
    assert len(made) == 1, "the whole text, once"
    assert len(looked_up) == 2, "once a prompt"
    for number in range(300):
        host._prompts.words.ids(f"{number}?")
    assert len(host._prompts.words._prompts) <= 64
