"""Decoders of many kinds: what is done with them is what they would do, or it is refused."""

from dataclasses import replace

import pytest
import torch
from pipeline_toys import QUESTION, enliven, llava_host
from transformers import AutoConfig, AutoModel, CLIPVisionConfig, LlavaConfig
from transformers import LlavaForConditionalGeneration as Llava

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.region_focus import with_decoder_access
from geofovea.pipeline.inference.attention.support import (
    attention_window,
    can_batch,
    can_read_rows,
    can_run_layers,
)
from geofovea.pipeline.inference.decoder.choice_scoring import word_scores
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.pruned import PrunedRun
from geofovea.pipeline.inference.decoder.run import DecoderRun, last_row_logits
from geofovea.pipeline.inference.prompts.batch import PromptBatch
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.pipeline.training.embedded_model import vocabulary
from geofovea.regionfocus.reductions.registry import make_decoder_reduction
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid

WORDS = vocabulary()
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
MORE = {
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 64},
    "gemma3_text": {"query_pre_attn_scalar": 1},
    "granite": {"embedding_multiplier": 3.0, "attention_multiplier": 0.3},
    "ministral": {"sliding_window": 64},
    "mixtral": {"num_local_experts": 4},
    "qwen2_moe": EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": 16},
    "qwen3_moe": EXPERTS | {"num_experts": 4},
    "smollm3": {"no_rope_layer_interval": 2},
}
BY_LAYER = ("llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe")
READ_ONLY = ("gemma", "gemma2", "gemma3_text", "gpt_oss", "granite", "ministral")
NEITHER = ("hunyuan_v1_dense", "olmo2", "phi3", "smollm3")


def text_config(kind, layers=3, **more):
    """Six query heads on two of keys; a width that is not that of all heads together."""
    sizes = {
        "vocab_size": len(WORDS),
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "bos_token_id": WORDS.index("<s>"),
        "eos_token_id": WORDS.index("</s>"),
        "pad_token_id": WORDS.index("<pad>"),
    }
    return AutoConfig.for_model(kind, **sizes | MORE.get(kind, {}) | more)


def decoder_of(kind):
    torch.manual_seed(2)
    config = text_config(kind)
    config._attn_implementation = "eager"
    decoder = AutoModel.from_config(config).eval()
    enliven(decoder)
    return decoder


def host_of(text, **settings):
    """A LLaVA around a decoder, 16 tokens a tile, and all tokens of two tiles."""
    torch.manual_seed(4)
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    vision |= {"num_hidden_layers": 2, "image_size": 32, "patch_size": 8}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**vision, projection_dim=32),
        text_config=text,
        image_token_id=WORDS.index("<image>"),
        tie_word_embeddings=False,
    )
    model = Llava(config).eval()
    enliven(model)
    host = llava_host(model, **settings)
    pyramid = Pyramid(64, 32, 32)
    features = torch.randn(2, 16, text.hidden_size, generator=torch.Generator().manual_seed(4))
    return host, tokens_of_tiles(features, (4, 4), list(pyramid.tiles(0)), pyramid)


def prompt(length=23):
    embedded = torch.randn(1, length, 48, generator=torch.Generator().manual_seed(6))
    visual = torch.tensor([2, 3, 5, 6, 9, 14])
    return PromptSequence(embedded, torch.arange(length)[None], visual, None, length)


@pytest.mark.parametrize("kind", [*BY_LAYER, *READ_ONLY])
@torch.no_grad()
def test_a_row_of_attention_that_is_read_is_that_of_the_decoder_itself(kind):
    decoder, asked = decoder_of(kind), prompt()
    assert can_read_rows(decoder)
    caught = {}
    for number, layer in enumerate(decoder.layers):
        layer.self_attn.register_forward_hook(
            lambda module, args, output, number=number: caught.update({number: output[1]})
        )
    DecoderRun(decoder, PromptBatch.of([asked])).prefill()
    for number in range(len(decoder.layers)):
        found = last_row_logits(decoder, [number], [asked])[0][0].softmax(-1)
        row = caught[number][0, :, -1, asked.visual]
        expected = row / row.sum(-1, keepdim=True)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert float(expected.max()) > 1.4 / len(asked.visual), "a flat row would prove little"


@pytest.mark.parametrize("kind", BY_LAYER)
@torch.no_grad()
def test_layers_that_are_run_one_by_one_do_what_the_decoder_does(kind):
    decoder, asked = decoder_of(kind), prompt()
    assert can_run_layers(decoder)
    run = PrunedRun(decoder)
    step = torch.randn(1, 1, 48, generator=torch.Generator().manual_seed(7))
    whole = decoder(inputs_embeds=torch.cat([asked.embedded, step], dim=1)).last_hidden_state[0]
    torch.testing.assert_close(run.advance(asked.embedded)[0], whole[-2], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(run.advance(step)[0], whole[-1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", [*READ_ONLY, *NEITHER])
def test_a_decoder_that_does_more_than_its_layers_is_never_run_by_them(kind):
    host, tokens = host_of(text_config(kind))
    assert "decoder_layer" not in host.capabilities.stages
    with pytest.raises(ModelError, match=f"'{kind}' decoder cannot be run one by one"):
        host.generate(QUESTION, tokens, make_decoder_reduction("fastv"))
    with pytest.raises(ModelError, match="choose"):
        with_decoder_access(host)


@pytest.mark.parametrize("kind", NEITHER)
def test_a_decoder_whose_attention_is_not_known_answers_and_refuses_to_focus(kind):
    host, tokens = host_of(text_config(kind))
    assert not can_read_rows(host._decoder)
    assert not host.capabilities.attention
    with pytest.raises(ModelError, match=f"a '{kind}' decoder, cannot be read; choose"):
        host.scores(QUESTION, tokens)
    sequence = host._prompts.layout.sequence(host._prompts.words.ids(QUESTION), tokens)
    with torch.no_grad():
        logits = host._model(inputs_embeds=sequence.embedded).logits[0, -1]
    said = host.generate(QUESTION, tokens)
    assert said.log_probabilities[0] == pytest.approx(float(logits.log_softmax(-1).max()), abs=1e-4)


def windowed(kind, window, layers=3):
    """A decoder with a window; of Qwen2, the first layer sees all."""
    more = {"use_sliding_window": True, "max_window_layers": 1} if kind == "qwen2" else {}
    return text_config(kind, layers=layers, sliding_window=window, **more)


@pytest.mark.parametrize("kind", ["mistral", "qwen2"])
def test_words_to_choose_from_are_scored_beyond_the_window_of_a_decoder(kind):
    host, tokens = host_of(windowed(kind, 9))
    assert not can_batch(host._decoder)
    choices = ("red", "blue ship at the airport")
    found = host.generate(QUESTION, tokens, choices=choices).choices
    sequence = host._prompts.layout.sequence(host._prompts.words.ids(QUESTION), tokens)

    @torch.no_grad()
    def behind(ids):
        embedded = torch.cat([sequence.embedded, host._embedding.of_ids(ids)[None]], dim=1)
        return host._model(inputs_embeds=embedded).logits[0, -len(ids) - 1 :].log_softmax(-1)

    ids = [host._prompts.words.word_ids(choice) for choice in choices]
    first = behind([0])[0]
    expected = word_scores(first, ids, host._writer.stop, lambda some: behind(list(some))[1:])
    assert found == pytest.approx(expected.tolist(), abs=1e-3)


def test_tiles_beyond_the_window_of_the_focus_layer_are_scored_in_groups():
    host, tokens = host_of(windowed("mistral", 32))
    assert attention_window(host._decoder, 1) == 32
    rows = []
    for number in (0, 1):
        alone = tokens.select(tokens.tile_index == number)
        ids = host._prompts.words.ids(QUESTION)
        shown = host._prompts.layout.sequence(ids, alone)
        assert len(shown) <= 32 < len(host._prompts.layout.sequence(ids, tokens))
        with torch.no_grad():
            rows += [each[0] for each in last_row_logits(host._decoder, [1], [shown])]
    expected = torch.cat(rows, dim=1).softmax(-1).mean(0)
    torch.testing.assert_close(host.scores(QUESTION, tokens), expected, atol=1e-6, rtol=0)
    # gaps between positions are no places
    gaps = replace(host._prompts.layout, policy="original")
    object.__setattr__(host._prompts, "layout", gaps)
    few = tokens.select(torch.tensor([0, 3, 15, 16, 30, 31]))
    shown = host._prompts.layout.sequence(host._prompts.words.ids(QUESTION), few)
    with torch.no_grad():
        together = last_row_logits(host._decoder, [1], [shown])[0][0].softmax(-1).mean(0)
    assert len(shown) <= 32 < shown.next_position
    torch.testing.assert_close(host.scores(QUESTION, few), together, atol=1e-6, rtol=0)
    host, _ = host_of(windowed("mistral", 12))
    with pytest.raises(ModelError, match=r"sees 12 tokens back.*set focus_layer"):
        host.scores(QUESTION, tokens)


def test_a_focus_layer_that_sees_all_scores_whatever_other_layers_see():
    text = windowed("qwen2", 9)
    host, tokens = host_of(text, focus_layer=0)
    assert attention_window(host._decoder, 0) is None
    assert float(host.scores(QUESTION, tokens).sum()) == pytest.approx(1, abs=1e-5)


def test_prompts_whose_length_turns_their_positions_do_not_change_each_other():
    half = 4
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * half,
        "long_factor": [2.0 + i for i in range(half)],
        # between the lengths of the prompts below
        "original_max_position_embeddings": 40,
        "factor": 8.0,
    }
    host, tokens = host_of(text_config("llama", rope_parameters=rope))
    few = tokens.select(torch.arange(24))
    lengths = [len(host._prompts.sequence(QUESTION, some)) for some in (few, tokens)]
    assert 0.75 * lengths[1] < lengths[0] < 40 < lengths[1], "they must run side by side"
    prompts = [Prompt(QUESTION, tokens), Prompt(QUESTION, few), Prompt("plane ?", few)]
    assert host.generate_together(prompts) == [
        host.generate(each.question, each.tokens) for each in prompts
    ]
    asked = [(QUESTION, tokens), (QUESTION, few)]
    for found, alone in zip(host.scores_together(asked), asked, strict=True):
        torch.testing.assert_close(found, host.scores(*alone))
        torch.testing.assert_close(host.scores_again(*alone), found)
    assert not host._attention.reuses_prefix
