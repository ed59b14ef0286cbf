"""Operations are counted as published, to the last digit, and in full, against a real counter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from family_toys import EXPERTS, tokens_of, variant_of
from pipeline_toys import QUESTION, llava_host, random_llava
from real_structures import STRUCTURES
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlavaConfig, Qwen2_5_VLConfig
from transformers.models.qwen3_5 import modeling_qwen3_5
from transformers.models.qwen3_5_moe import modeling_qwen3_5_moe

import geofovea as gf
from geofovea.errors import ModelError
from geofovea.pipeline.focus.stopping import StopAt
from geofovea.pipeline.hosts.families.llava import LlavaFamily
from geofovea.pipeline.hosts.families.qwen_vl import Qwen25VLFamily
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.hosts.flops import DecoderPass, ShownTokens, count_flops, published_tera
from geofovea.pipeline.hosts.shapes import DecoderShape, EncoderShape, HostShape
from geofovea.pipeline.hosts.usage import MemoryUse
from geofovea.pipeline.inference.decoder.run import DecoderRun
from geofovea.pipeline.inference.prompts.batch import PromptBatch
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.dated_tokens import DatedTokens

QWEN2_7B = DecoderShape(28, 3584, 28, 4, 128, 18944, 152_064)
CLIP_L = EncoderShape(23, 1024, 4096, 576, 588, 1)


def published(*runs):
    """The sum over ``(layers, tokens)``."""
    return sum(published_tera(layers, tokens, 3584, 18944) for layers, tokens in runs)


@pytest.mark.parametrize(
    ("runs", "tera"),
    [
        # any-resolution tiling with pooled tiles: a thumbnail of 576 and 144 tiles of 144
        ([(28, 21_312)], 243.37),
        # PruMerge++
        ([(28, 5_328)], 43.75),
        # VisionZip
        ([(28, 9_280)], 83.56),
        # FastV: half of the tokens after the second layer
        ([(2, 21_312), (26, 10_656)], 109.21),
        # PyramidDrop: half of them after each quarter
        ([(7, 21_312), (7, 10_656), (7, 5_328), (7, 2_664)], 101.62),
        # pruning by a region focus module of four layers
        ([(4, 21_312), (28, 5_760)], 82.56),
        # the pyramid of four levels
        ([(4, 1_872), (4, 5_760), (4, 7_776), (28, 2_376)], 36.61),
    ],
)
def test_the_published_table_is_reproduced(runs, tera):
    assert published(*runs) == pytest.approx(tera, abs=0.005)


@pytest.mark.parametrize(
    ("tiles", "scored", "tokens", "encode", "prefill"),
    [
        # worked out by hand and by another program, 64 text tokens
        (145, [], 21_312, 55.8, 370.7),
        (145, [21_312], 5_760, 55.8, 82.8),
        (96, [1_872, 5_760, 7_776], 2_376, 37.0, 33.0),
    ],
)
def test_the_full_count_of_a_7b_host(tiles, scored, tokens, encode, prefill):
    found = count_flops(
        HostShape(CLIP_L, QWEN2_7B, 4),
        tiles_encoded=tiles,
        scored=[ShownTokens(count) for count in scored],
        runs=[DecoderPass(tokens, 64, 1)],
    ).full
    assert found.encode == pytest.approx(encode, rel=0.01)
    assert found.prefill == pytest.approx(prefill, rel=0.01)
    assert found.decode == 0
    assert found.total == pytest.approx(found.encode + found.focus + found.prefill)


def test_a_run_that_took_nothing_from_a_memory_counts_whole_beside_one_that_did():
    def prefill(*runs, memory):
        shape = HostShape(CLIP_L, QWEN2_7B, 4)
        return count_flops(shape, tiles_encoded=0, scored=[], runs=runs, memory=memory).full.prefill

    whole, behind = DecoderPass(208, 64, 1), DecoderPass(524, 64, 1, is_from_memory=True)
    alone = prefill(behind, memory=MemoryUse())
    assert alone < prefill(whole, memory=None)
    both = prefill(whole, behind, memory=MemoryUse())
    assert both == pytest.approx(prefill(whole, memory=None) + alone)


def test_the_full_count_is_what_torch_counts():
    model = random_llava()
    shape = llava_host(model).shape
    tiles, prompt = 3, 21
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        tower = model.model.vision_tower(torch.rand(tiles, 3, 32, 32), output_hidden_states=True)
        model.model.multi_modal_projector(tower.hidden_states[-2][:, 1:])
    assert counted.get_total_flops() == shape.encoder.tiles(tiles, 32)
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        output = model.model.language_model(inputs_embeds=torch.rand(1, prompt, 32))
        model.lm_head(output.last_hidden_state[:, -1])
    # eager attention also computes the masked half, which nothing needs
    masked = 2 * 3 * 2 * 32 * prompt * (prompt - 1) / 2
    expected = shape.decoder.prefill(prompt) + shape.decoder.logits(1) + masked
    # the angles of the rotary embedding are a product too, and not worth counting
    assert counted.get_total_flops() == pytest.approx(expected, rel=5e-4)


GPT_OSS = {"model_type": "gpt_oss", "num_local_experts": 4, "num_experts_per_tok": 3}
GPT_OSS |= {"sliding_window": 9, "head_dim": 16}
BUILDS = {
    "llava": ("llava", {}),
    "llava: layers together": ("llava", {"vision_feature_layer": [-2, -1]}),
    "llava: heads of another width": ("llava", {"text": {"head_dim": 24}}),
    "llava_next": ("llava_next", {}),
    "llava_onevision": ("llava_onevision", {}),
    "llava_onevision: with a head": ("llava_onevision", {"vision": {"vision_use_head": True}}),
    "qwen2_5_vl": ("qwen2_5_vl", {"tile": 40}),
    "qwen2_5_vl: three by three": (
        "qwen2_5_vl",
        {"tile": 48, "vision": {"spatial_merge_size": 3, "window_size": 24}},
    ),
    "qwen3_vl": ("qwen3_vl", {"tile": 40}),
    "qwen3_vl: not deep": ("qwen3_vl", {"tile": 16, "vision": {"deepstack_visual_indexes": []}}),
    "qwen2_vl": ("qwen2_vl", {"tile": 40}),
    "glm4v": ("glm4v", {"tile": 40}),
    "mistral3": ("mistral3", {"tile": 48}),
    "pixtral": ("pixtral", {"tile": 24}),
    "pixtral: layers together": ("pixtral", {"tile": 24, "vision_feature_layer": [-2, -1]}),
    "internvl": ("internvl", {}),
    "internvl: sixteen patches a token": ("internvl", {"downsample_ratio": 0.25}),
    "idefics3": ("idefics3", {}),
    "qwen3_vl_moe": ("qwen3_vl_moe", {"tile": 40}),
    "qwen3_vl_moe: a dense layer": (
        "qwen3_vl_moe",
        {"tile": 40, "text": {"mlp_only_layers": [1]}},
    ),
    "glm4v_moe": ("glm4v_moe", {"tile": 40}),
    "llava: eight experts": (
        "llava",
        {"text": {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 3}},
    ),
    "llava: every second layer with experts": (
        "llava",
        {"text": EXPERTS | {"model_type": "qwen3_moe", "decoder_sparse_step": 2}},
    ),
    "llava: a shared expert": (
        "llava",
        {"text": EXPERTS | {"model_type": "qwen2_moe", "shared_expert_intermediate_size": 48}},
    ),
    "smolvlm": ("smolvlm", {"text": {"num_key_value_heads": 1}}),
    "gemma3": ("gemma3", {"text": {"head_dim": 24}}),
    "gemma3: sixteen patches a token": ("gemma3", {"mm_tokens_per_image": 1}),
    "paligemma": ("paligemma", {}),
    "paligemma: Gemma": (
        "paligemma",
        {"text": {"model_type": "gemma", "num_key_value_heads": 1, "sliding_window": None}},
    ),
    "qwen3_5": ("qwen3_5", {"tile": 40}),
    "qwen3_5: more heads of values than of keys": (
        "qwen3_5",
        {"tile": 16, "text": {"linear_num_value_heads": 6, "linear_value_head_dim": 8}},
    ),
    "qwen3_5_moe": ("qwen3_5_moe", {"tile": 24}),
    "internvl: gpt-oss": ("internvl", {"text": GPT_OSS}),
    "llava: a window in each layer": ("llava", {"text": {"model_type": "ministral"}}),
}


@pytest.mark.parametrize(("family", "build"), BUILDS.values(), ids=BUILDS)
def test_the_full_count_of_every_family_is_what_torch_counts(family, build, monkeypatch):
    for kind in (modeling_qwen3_5, modeling_qwen3_5_moe):
        # token by token: by chunks it computes more, and what depends on how long they are
        rule = kind.torch_recurrent_gated_delta_rule
        monkeypatch.setattr(kind, "torch_chunk_gated_delta_rule", rule)
    host = variant_of(family, **build)
    host._model.set_attn_implementation("eager")
    if host.shape.decoder.routed:
        # kernels that join experts are none of those that torch counts
        host._model.set_experts_implementation("eager")
    shape, side, prompt = host.shape, host.tile_size, 21
    width = host._decoder.config.hidden_size
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        host._family.encode(torch.rand(3, 3, side, side))
    # the angles of rotary embeddings are products too, and not worth counting
    assert counted.get_total_flops() == pytest.approx(shape.encoder.tiles(3, width), rel=5e-4)
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        output = host._decoder(inputs_embeds=torch.rand(1, prompt, width))
        host._model.lm_head(output.last_hidden_state[:, -1])
    decoder = shape.decoder
    attending = [i for i in range(decoder.layers) if i not in decoder.linear_layers]
    pairs = 4 * decoder.heads * decoder.head_width
    # eager attention also computes what masks hide, which nothing needs
    masked = sum(pairs * (prompt**2 - decoder.pairs(i, 0, prompt)) for i in attending)
    expected = decoder.prefill(prompt) - ahead(decoder, prompt) + decoder.logits(1) + masked
    if decoder.linear is not None:
        # the products of the rule are none of those that torch counts, and of the convolution it
        # counts what hangs over the end
        over = (decoder.linear.kernel - 1) * decoder.linear.kernel * joined(host._decoder)
        state = prompt * state_macs(decoder.linear)
        expected += 2 * len(decoder.linear_layers) * (over - state)
    assert counted.get_total_flops() == pytest.approx(expected, rel=5e-4)


def joined(decoder):
    """Channels of the convolution of a decoder's first layer, which has a state."""
    return decoder.layers[0].linear_attn.conv1d.in_channels


def state_macs(linear):
    """Of one token in one layer with a state, counted on the rule written in matrices."""
    query, key = torch.rand(2, linear.value_heads, 1, linear.key_width)
    value = torch.rand(linear.value_heads, 1, linear.value_width)
    state = torch.zeros(linear.value_heads, linear.key_width, linear.value_width)
    with FlopCounterMode(display=False) as counted:
        state = state + key.mT @ (value - key @ state)
        query @ state
    return counted.get_total_flops() // 2


def ahead(decoder, prompt):
    """Operations of a prompt without tiles on pairs that a causal decoder does not see."""
    layers = range(decoder.layers)
    return sum(decoder.prompt_layer(i, prompt) - decoder.layer_behind(i, 0, prompt) for i in layers)


SEEN = {
    "gemma3": ("gemma3", {}),
    "gemma3: a window smaller than a tile": ("gemma3", {"text": {"sliding_window": 3}}),
    "paligemma": ("paligemma", {}),
    "paligemma: a window smaller than a tile": ("paligemma", {"text": {"sliding_window": 3}}),
    "internvl: gpt-oss": ("internvl", {"text": GPT_OSS}),
    "llava_next: a window": ("llava_next", {"text": {"sliding_window": 15}}),
    "qwen3_5": ("qwen3_5", {}),
}


@pytest.mark.parametrize(("family", "build"), SEEN.values(), ids=SEEN)
def test_pairs_of_tokens_are_counted_that_attention_weighs(family, build):
    host = variant_of(family, **build)
    host._model.set_attn_implementation("eager")
    tokens = tokens_of(host)
    tokens = tokens.select(torch.arange(len(tokens)) % 5 != 2)
    sequence = host._prompts.layout.sequence(host._prompts.words.ids(QUESTION), tokens)
    seen = {}

    def catch(layer, output):
        seen[layer] = int((output[1] > 0).sum()) / output[1].shape[1]

    hooks = [
        layer.self_attn.register_forward_hook(lambda _, __, output, i=i: catch(i, output))
        for i, layer in enumerate(host._decoder.layers)
        if hasattr(layer, "self_attn")
    ]
    DecoderRun(host._decoder, PromptBatch.of([sequence])).prefill()
    for hook in hooks:
        hook.remove()
    decoder, length = host.shape.decoder, len(sequence)
    shown = ShownTokens.of(tokens)
    for layer in range(decoder.layers):
        whole = decoder.prompt_layer(layer, length, shown.tile_pairs)
        attention = whole - 2 * length * decoder.macs_a_token(layer)
        pairs = attention / (4 * decoder.heads * decoder.head_width)
        assert pairs == seen.get(layer, 0)


@pytest.mark.parametrize(("stored", "tokens"), [(0, 30), (4, 30), (9, 3), (40, 7), (3, 0)])
def test_behind_a_window_no_token_is_weighed(stored, tokens):
    decoder = replace(QWEN2_7B, windows=(9,) * 28)
    expected = sum(min(9, stored + i) for i in range(1, tokens + 1))
    assert decoder.pairs(3, stored, tokens) == expected
    assert QWEN2_7B.pairs(3, stored, tokens) == sum(stored + i for i in range(1, tokens + 1))


def test_pairs_within_tiles_are_those_of_every_date():
    tokens = tokens_of(variant_of("gemma3"), 3)
    assert ShownTokens.of(tokens) == ShownTokens(12, 3 * 6)
    few = tokens.select(torch.tensor([0, 1, 2, 4, 11]))
    assert ShownTokens.of(few) == ShownTokens(5, 3)
    both = DatedTokens(("before", "after"), (tokens, few))
    assert ShownTokens.of(both) == ShownTokens(17, 21)
    assert ShownTokens.of(None) == ShownTokens(0)


def test_a_layer_with_a_state_grows_with_the_tokens_and_not_with_their_square():
    decoder = variant_of("qwen3_5").shape.decoder
    assert decoder.linear_layers == (0, 2)
    shape = HostShape(CLIP_L, decoder, 2)
    one, two = (
        count_flops(shape, tiles_encoded=0, scored=[], runs=[DecoderPass(n, 0, 1)]) for n in (9, 18)
    )
    # the one layer that attends has all that is not doubled
    squares = 2 * (18**2 - 2 * 9**2) * decoder.width / 1e12
    assert two.published_tera - 2 * one.published_tera == pytest.approx(squares)
    ahead_of = [decoder.layer_behind(0, stored, 4) for stored in (0, 500)]
    assert ahead_of[0] == ahead_of[1]


def test_tokens_dropped_between_layers_are_counted_where_they_ran():
    shape = HostShape(CLIP_L, QWEN2_7B, 4)
    by_layer = (21_312,) * 2 + (10_656,) * 26
    run = DecoderPass(21_312, 64, 8, by_layer)
    found = count_flops(shape, tiles_encoded=0, scored=[], runs=[run])
    assert found.published_tera == pytest.approx(109.21, abs=0.005)
    whole, half = (
        count_flops(shape, tiles_encoded=0, scored=[], runs=[DecoderPass(n, 64, 8)]).full
        for n in (21_312, 10_656)
    )
    logits = [QWEN2_7B.logits(n) / 1e12 for n in (1, 7)]
    for name, of_logits in zip(("prefill", "decode"), logits, strict=True):
        all_of_it, half_of_it = (getattr(each, name) - of_logits for each in (whole, half))
        expected = (2 * all_of_it + 26 * half_of_it) / 28
        assert getattr(found.full, name) - of_logits == pytest.approx(expected, rel=1e-9)


def test_an_answer_that_drops_tokens_in_the_decoder_counts_fewer_operations(make_session):
    plain, dropped = (
        make_session().ask(QUESTION, budget=Budget(12, 60), reduction=reduction).cost.flops
        for reduction in ("top_score", "top_score+fastv")
    )
    assert dropped.published_tera < plain.published_tera
    assert dropped.full.prefill < plain.full.prefill
    assert dropped.full.encode == plain.full.encode


def test_decoding_step_by_step_costs_what_prefill_costs():
    # every token once through every layer, whatever is cached; only logits differ
    whole = QWEN2_7B.prefill(500)
    stepped = QWEN2_7B.prefill(490) + QWEN2_7B.decode(490, 10) - QWEN2_7B.logits(10)
    assert stepped == pytest.approx(whole, rel=1e-12)


def test_an_answer_counts_its_operations(make_session):
    session = make_session()
    first = session.ask(QUESTION, budget=Budget(12, 60)).to_json()["cost"]["flops"]
    again = session.ask(QUESTION, budget=Budget(12, 60)).to_json()["cost"]["flops"]
    assert first["published_tera"] == again["published_tera"] > 0
    assert first["full_tera"]["encode"] > 0 == again["full_tera"]["encode"]
    assert first["full_tera"]["focus"] == again["full_tera"]["focus"] > 0
    full = first["full_tera"]
    parts = sum(value for name, value in full.items() if name != "total")
    assert parts == pytest.approx(full["total"], abs=1e-5)


def test_what_is_asked_on_the_way_is_counted_too(make_session):
    plain, probed = (
        make_session().ask(QUESTION, budget=Budget(12, 60), route="one", stop=stop).cost.flops
        for stop in (None, StopAt(confidence=1.0))
    )
    # as many vision tokens in all, but the text is read again by every probe
    assert probed.full.prefill > plain.full.prefill


def test_a_way_of_looking_without_attention_costs_no_focus(make_session):
    answer = make_session().ask(QUESTION, budget=Budget(12, 60), focus="uniform")
    assert answer.cost.flops.full.focus == 0


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_operations_of_every_checkpoint_of_the_catalog_are_counted(name):
    structure = STRUCTURES[name]
    config = structure.config()
    kind = FAMILIES[structure.family]
    shape = kind.host_shape(config, 3, kind.usual_tile(config))
    decoder, tile_pairs = shape.decoder, 900 * 899 // 2
    counted = count_flops(
        shape,
        tiles_encoded=1,
        scored=[ShownTokens(900, tile_pairs)],
        runs=[DecoderPass(900, 64, 20, tile_pairs=tile_pairs)],
    ).full
    # two operations for each weight that a token runs through, and at most as many for its pairs
    weights = 2 * sum(decoder.macs_a_token(i) for i in range(decoder.layers)) * 964 / 1e12
    assert weights < counted.prefill < 1.5 * weights
    assert 0 < counted.focus < counted.prefill
    assert counted.encode > 0


def test_a_shape_that_a_config_does_not_tell_is_unknown():
    assert LlavaFamily.host_shape(object(), 1) is None
    # how many patches a tile has is not in it
    assert Qwen25VLFamily.host_shape(Qwen2_5_VLConfig(), 1) is None
    # how many matrices the layers of kinds have that were not counted
    config = LlavaConfig(text_config={"model_type": "starcoder2"})
    assert LlavaFamily.host_shape(config, 1) is None
    with pytest.raises(ModelError, match="layers=0"):
        DecoderShape(0, 1, 1, 1, 1, 1, 1)


def test_the_flops_of_the_accounting_are_public_through_an_answer(tiny_host, scene_path):
    answer = gf.ask(scene_path, QUESTION, model=tiny_host, budget=Budget(12, 60))
    assert answer.cost.flops.full.total > 0
