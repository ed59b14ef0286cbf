"""Every reduction runs from a path to an answer, holds its budget and shortens a sequence."""

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from pipeline_toys import QUESTION, llava_host, random_llava, texture

import geofovea as gf
from geofovea.errors import ModelError
from geofovea.pipeline.cli import main
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.regionfocus.reductions.chain_spec import CHAIN_NAMES, ENCODER_LINKS
from geofovea.regionfocus.reductions.registry import (
    DECODER_REDUCTION_NAMES,
    FIRST_PARTS,
    REDUCTION_NAMES,
    make_encoder_reduction,
)
from geofovea.regionfocus.reductions.tile_signals import TILE_SIGNALS

FEW = gf.Budget(tiles=8, tokens=40)
AT_MOST = ("m3", "pooled", "vqtoken")
SQUARE = 16  # tokens of a tile


@pytest.fixture(scope="module")
def host():
    """A LLaVA of two vision layers that count, one token a patch, and three decoder layers."""
    return llava_host(random_llava())


@pytest.fixture
def picture(make_png):
    return make_png(64, 64)


@contextmanager
def lengths_of(module, found):
    def hear(_, args, kwargs):
        hidden = args[0] if args else kwargs["hidden_states"]
        found.append(hidden.shape[-2])

    hook = module.register_forward_pre_hook(hear, with_kwargs=True)
    try:
        yield found
    finally:
        hook.remove()


def ask(host, picture, reduction, budget=FEW):
    return gf.SceneSession(gf.open_scene(picture), host).ask(
        QUESTION, budget=budget, reduction=reduction
    )


@pytest.mark.parametrize("name", REDUCTION_NAMES)
def test_a_reduction_of_projected_tokens_fills_the_budget_and_no_more(host, picture, name):
    with lengths_of(host._decoder.layers[0], []) as entered:
        answer = ask(host, picture, name)
    again = ask(host, picture, name)
    cost = answer.cost
    assert cost.tokens_total > FEW.tokens
    assert 1 <= cost.tokens_llm <= FEW.tokens
    assert name in AT_MOST or cost.tokens_llm == FEW.tokens
    assert cost.tokens_end == cost.tokens_llm
    (stage,) = cost.reductions
    assert (stage.name, stage.stage) == (name, "projected")
    assert (stage.tokens_in, stage.tokens_out) == (cost.tokens_total, cost.tokens_llm)
    # the first full pass is the prefill that answers: those of the focus come before it
    words = len(host.question_embeds(QUESTION)) + 2
    assert any(abs(length - cost.tokens_llm - words) <= 2 for length in entered)
    assert (again.text, again.confidence) == (answer.text, answer.confidence)
    assert [e.tokens for e in again.evidence] == [e.tokens for e in answer.evidence]


@pytest.mark.parametrize("name", DECODER_REDUCTION_NAMES)
def test_a_reduction_inside_the_decoder_shortens_the_sequence_of_its_last_layer(
    host, picture, name
):
    before = FIRST_PARTS.get(name, "strided")
    with lengths_of(host._decoder.layers[-1].mlp, []) as last:
        answer = ask(host, picture, f"{before}+{name}")
    cost = answer.cost
    assert cost.tokens_llm == FEW.tokens
    first, second = cost.reductions
    assert (first.name, second.name) == (before, name)
    assert (second.tokens_in, second.tokens_out) == (FEW.tokens, cost.tokens_end)
    plain = ask(host, picture, before)
    if name == "todre_drop_all":  # it drops all or none, by what it sees
        assert cost.tokens_end in (0, FEW.tokens)
    else:
        assert 1 <= cost.tokens_end < FEW.tokens
        assert answer.confidence != plain.confidence
    prefill = max(last)
    text = prefill - cost.tokens_end
    assert 0 < text < 30
    assert ask(host, picture, f"{before}+{name}").confidence == answer.confidence


def test_a_second_part_brings_its_first_and_refuses_another(host, picture):
    answer = ask(host, picture, "vflowopt_decoder:0.25", gf.Budget(tiles=8, tokens=10_000))
    first, second = answer.cost.reductions
    # nothing had to go before the decoder, and the importance is there all the same
    assert (first.name, first.tokens_in) == ("vflowopt", first.tokens_out)
    assert second.tokens_out == round(second.tokens_in / 4)
    with pytest.raises(ModelError, match=r"strided tells none; write vflowopt\+vflowopt_decoder"):
        ask(host, picture, "strided+vflowopt_decoder")


@pytest.mark.parametrize("name", ENCODER_LINKS)
def test_a_reduction_inside_the_encoder_shortens_it_and_leaves_fewer_tokens(host, picture, name):
    tower = host._model.model.vision_tower
    layers = getattr(tower, "vision_model", tower).encoder.layers
    with lengths_of(layers[1].mlp, []) as entered:
        answer = ask(host, picture, f"{name}:0.25")
    first, second = answer.cost.reductions
    tiles = answer.cost.tiles_encoded
    assert (first.stage, second.stage) == ("encoder_layer", "projected")
    assert first.tokens_in == SQUARE * tiles
    assert tiles <= first.tokens_out <= SQUARE // 4 * tiles
    # one token a patch: what leaves the encoder is what there is to choose from
    assert second.tokens_in == answer.cost.tokens_total == first.tokens_out
    assert answer.cost.tokens_llm <= FEW.tokens
    # the class token comes on top
    assert min(entered) <= SQUARE
    again = ask(host, picture, f"{name}:0.25")
    assert (again.text, again.confidence) == (answer.text, answer.confidence)


def test_a_chain_acts_at_all_three_places(host, picture):
    answer = ask(host, picture, "tome_encoder:0.5+divprune:0.5+fastv:0.25")
    stages = [(s.name, s.tokens_in, s.tokens_out) for s in answer.cost.reductions]
    (_, patches, left), (_, total, kept), (_, entered, end) = stages
    assert [name for name, _, _ in stages] == ["tome", "divprune", "fastv"]
    assert patches >= 2 * left == 2 * total
    assert entered == kept == min(FEW.tokens, int(total / 2 + 0.5))
    assert end == max(1, int(kept / 4 + 0.5))
    record = answer.to_json()["cost"]
    assert record["tokens_end"] == end
    assert [stage["tokens_out"] for stage in record["reductions"]] == [left, kept, end]
    assert json.dumps(record)


def test_a_share_lowers_the_budget_and_never_raises_it(host, picture):
    total = ask(host, picture, "top_score").cost.tokens_total
    tenth = ask(host, picture, "top_score:0.1", gf.Budget(tiles=8, tokens=1000))
    assert tenth.cost.tokens_llm == int(total / 10 + 0.5)
    assert ask(host, picture, "top_score:1").cost.tokens_llm == FEW.tokens


def test_what_an_encoder_showed_is_kept_for_the_next_question(host, picture):
    session = gf.SceneSession(gf.open_scene(picture), host)
    first = session.ask(QUESTION, budget=FEW, reduction="fastervlm").cost
    assert first.tiles_read == first.tiles_encoded
    for reduction in ("fastervlm", "vtc_cls", "top_score", "catp"):
        assert session.ask(QUESTION, budget=FEW, reduction=reduction).cost.tiles_read == 0
    # what was not asked for was not kept
    assert session.ask(QUESTION, budget=FEW, reduction="hiprune").cost.tiles_read > 0
    assert session.ask(QUESTION, budget=FEW, reduction="fastervlm").cost.tiles_read == 0


def test_an_encoder_that_drops_does_not_mix_with_one_that_does_not(host, picture):
    session = gf.SceneSession(gf.open_scene(picture), host)
    plain = session.ask(QUESTION, budget=FEW)
    session.ask(QUESTION, budget=FEW, reduction="evit_encoder:0.25")
    again = session.ask(QUESTION, budget=FEW)
    assert again.cost.tiles_read == 0
    assert again.confidence == plain.confidence


class BlindHost:
    """A host that answers and shows nothing of itself."""

    def __init__(self, host):
        self._host = host
        self.capabilities = replace(host.capabilities, signals=frozenset(), stages=frozenset())

    def __getattr__(self, name):
        if name in ("encode_planned", "question_embeds"):
            raise AttributeError(name)
        return getattr(self._host, name)


@pytest.mark.parametrize(
    ("reduction", "said"),
    [
        ("fastervlm", "'fastervlm' needs cls_attention or received, .* choose one of focus_spread"),
        ("catp", "'catp' needs text_embeds"),
        ("zero_tprune", "'zero_tprune' needs attention"),
        ("recoverable", "needs text_similarity and cls_attention or received"),
        ("fastv", "cannot drop tokens inside its decoder, as 'fastv'"),
        ("tome_encoder", "cannot drop tokens inside its vision encoder"),
    ],
)
def test_a_host_that_lacks_what_is_needed_says_what_and_what_would_do(
    host, picture, reduction, said
):
    with pytest.raises(ModelError, match=said):
        ask(BlindHost(host), picture, reduction)


@pytest.mark.parametrize("reduction", ["divprune", "visionzip", "todre", "prumerge"])
def test_what_is_merely_used_is_not_asked_of_a_host_that_lacks_it(host, picture, reduction):
    if reduction in ("visionzip", "prumerge"):
        with pytest.raises(ModelError, match="cls_attention or received"):
            ask(BlindHost(host), picture, reduction)
    else:
        assert ask(BlindHost(host), picture, reduction).cost.tokens_llm == FEW.tokens


def test_a_reduction_that_reads_a_pruned_encoder_is_refused(host, picture):
    with pytest.raises(
        ModelError, match="reads cls_attention of an encoder in which evit_encoder drops"
    ):
        ask(host, picture, "evit_encoder+fastervlm")
    # it would use the class attention, and does without
    assert ask(host, picture, "evit_encoder+todre").cost.tokens_llm <= FEW.tokens


def test_a_likeness_in_no_contrastive_space_is_warned_of(host, picture):
    assert any("no contrastive encoder" in w for w in ask(host, picture, "recoverable").warnings)
    assert not any("contrastive" in w for w in ask(host, picture, "catp").warnings)


@pytest.fixture(scope="module")
def tiles(host):
    return torch.from_numpy(texture(32, 96)).permute(1, 2, 0).reshape(32, 3, 32, 3).transpose(0, 1)


def stock_attentions(host, tiles):
    images = host._tiles.clip._images(tiles.numpy())
    with torch.inference_mode():
        tower = host._model.model.vision_tower
        return tower(images, output_attentions=True, output_hidden_states=True)


@pytest.mark.parametrize("pool", [1, 2])
def test_what_is_recorded_is_the_attention_of_the_stock_encoder(tiles, pool):
    host = llava_host(random_llava(), pool=pool)
    plan = EncodePlan(TILE_SIGNALS - {"entropy"})
    encoded = host.encode_planned(tiles.numpy(), [], None, plan)
    plain = host.encode(tiles.numpy(), [], None)
    assert torch.equal(encoded.features, plain)
    output = stock_attentions(host, tiles)
    side = 4 // pool
    # attention to a token is that to all its patches, from it the mean of theirs
    member = torch.zeros(side * side, 16)
    for patch in range(16):
        member[patch // 4 // pool * side + patch % 4 // pool, patch] = 1
    mean = member / member.sum(1, keepdim=True)
    for number, signals in enumerate(encoded.signals):
        assert signals["cls_attention"].keys() == signals["received"].keys() == {0, 1}
        for layer in (0, 1):
            stock = output.attentions[layer][number]
            close(signals["cls_attention"][layer], stock[:, 0, 1:] @ member.T)
            close(signals["received"][layer], stock.mean((0, 1))[1:] @ member.T)
        close(signals["attention"][1], mean @ output.attentions[1][number][:, 1:, 1:] @ member.T)
        assert signals["attention"].keys() == {1}
        close(signals["encoder_hidden"], mean @ output.hidden_states[-2][number, 1:])
        assert signals["keys"].shape == (side * side, 8)


def close(ours, stock):
    torch.testing.assert_close(ours, stock, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("name", ["evit", "tome"])
def test_an_encoder_that_may_keep_all_keeps_all(tiles, pool, name):
    host = llava_host(random_llava(), pool=pool)
    plan = EncodePlan(reduction=make_encoder_reduction(name), share=1.0)
    encoded = host.encode_planned(tiles.numpy(), [], None, plan)
    assert encoded.present.all()
    torch.testing.assert_close(
        encoded.features, host.encode(tiles.numpy(), [], None), rtol=1e-3, atol=1e-4
    )


def test_tokens_of_a_pruned_encoder_are_means_of_what_is_left_of_their_patches(tiles):
    host = llava_host(random_llava(), pool=2)
    plan = EncodePlan(reduction=make_encoder_reduction("evit"), share=0.25)
    encoded = host.encode_planned(tiles.numpy(), [], None, plan)
    assert encoded.patches_left == (4, 4, 4)
    assert all(1 <= present.sum() <= 4 for present in encoded.present)
    missing = torch.from_numpy(~encoded.present)
    assert bool((encoded.features[missing] == 0).all())


@pytest.mark.parametrize("words", ["telepathy", "fastv+spatten", "top_score:0", "top_score:x", ""])
def test_a_wrong_chain_is_wrong_usage_before_anything_is_opened(words):
    result = CliRunner().invoke(main, ["ask", "nowhere.tif", QUESTION, "--reduction", words])
    assert result.exit_code == 2, result.output


def test_the_help_names_every_reduction():
    shown = CliRunner().invoke(main, ["ask", "--help-all"]).output
    assert all(name in shown for name in CHAIN_NAMES)
