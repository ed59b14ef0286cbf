"""A module that was just copied focuses as its host does, and belongs to that host alone."""

import json
import shutil

import pytest
import torch
from pipeline_toys import QUESTION, lively_student, llava_host, load_anew, random_llava
from safetensors.torch import load_file
from small_tiles import tokens_of

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.base import SupportsDecoderAccess, SupportsRegionFocus
from geofovea.pipeline.hosts.fingerprint import weights_hash
from geofovea.pipeline.hosts.region_focus import (
    FOCUS_FILE,
    FOCUS_WEIGHTS_FILE,
    DistilledFocus,
    FocusCard,
    default_layers,
    load_focus,
    save_focus,
    with_decoder_access,
)
from geofovea.pipeline.inference.decoder.inputs import DecoderInput
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.training.export import write_model
from geofovea.regionfocus.budget import Budget


@pytest.fixture(scope="module")
def host():
    return llava_host(random_llava())


def card_of(host, layers=(0, 1), **changes):
    values = {
        "base_model": host.name,
        "host_hash": weights_hash(host.weights()),
        "layers": layers,
        "host_layers": 3,
        "host_focus_layer": host.focus_layer,
        "steps": 0,
        "recipe": {},
    }
    return FocusCard(**values | changes)


def test_a_copy_of_the_layers_up_to_the_focus_is_the_host_s_own_focus(host):
    assert isinstance(host, SupportsDecoderAccess)
    assert isinstance(host, SupportsRegionFocus)
    module, tokens = DistilledFocus(host.decoder, (0, 1)), tokens_of(host, 3)
    (scores,) = module.scores([host.decoder_input(QUESTION, tokens)])
    torch.testing.assert_close(scores, host.scores(QUESTION, tokens), atol=1e-6, rtol=1e-4)
    other = DistilledFocus(host.decoder, (0, 2)).scores([host.decoder_input(QUESTION, tokens)])[0]
    assert (other - scores).abs().max() > 1e-3


def test_the_last_layer_only_ranks_and_the_host_keeps_its_own(host):
    before = [name for name, _ in host.decoder.named_parameters()]
    module = DistilledFocus(host.decoder, (0, 1))
    of_last = {n.removeprefix("layers.1.") for n in module.state_dict() if "layers.1." in n}
    assert of_last == {
        "input_layernorm.weight",
        "self_attn.q_proj.weight",
        "self_attn.k_proj.weight",
    }
    assert [name for name, _ in host.decoder.named_parameters()] == before
    with torch.no_grad():
        module.layers[0].mlp.up_proj.weight.zero_()
    assert host.decoder.layers[0].mlp.up_proj.weight.abs().sum() > 0


@pytest.mark.parametrize("layers", [(), (1, 0), (0, 0), (0, 3), (-1, 1), (0.5,), (True, 2)])
def test_layers_that_cannot_be_copied_are_refused(host, layers):
    with pytest.raises(ModelError, match="ascending layers in 0 to 2"):
        DistilledFocus(host.decoder, layers)


def test_vision_tokens_must_stand_before_the_token_that_asks():
    with pytest.raises(ModelError, match="must end before the last"):
        DecoderInput(torch.zeros(1, 5, 4), 1, 4)


def test_a_module_comes_back_from_its_folder(host, tmp_path):
    module = DistilledFocus(host.decoder, (0, 1))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_((parameter + 0.01).half())
    save_focus(module, card_of(host), tmp_path)
    loaded, card = load_focus(tmp_path, host)
    assert card == card_of(host)
    assert card.cost == (
        "1 whole decoder layers and one row, where the host's own focus runs 1 and one row, and "
        "an answer all 3"
    )
    for name, value in module.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert {v.dtype for v in load_file(tmp_path / FOCUS_WEIGHTS_FILE).values()} == {torch.float16}


def test_a_host_with_other_weights_is_refused(host, tmp_path):
    save_focus(DistilledFocus(host.decoder, (0, 1)), card_of(host), tmp_path)
    other = llava_host(random_llava())
    load_focus(tmp_path, other)  # the same weights
    with torch.no_grad():
        next(iter(other.decoder.layers[2].parameters())).view(-1)[0] += 1
    with pytest.raises(ModelError, match=r"was distilled from 'random'.*distil one for it"):
        load_focus(tmp_path, other)


def test_the_hash_is_that_of_the_weights_and_not_of_their_precision(host):
    short = llava_host(random_llava().to(torch.bfloat16))
    assert weights_hash(host.weights()) == weights_hash(short.weights())
    seeing = random_llava()
    with torch.no_grad():
        seeing.model.multi_modal_projector.linear_1.weight.view(-1)[-1] += 1
    assert weights_hash(host.weights()) != weights_hash(llava_host(seeing).weights())


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda d: (d / FOCUS_FILE).unlink(), "holds no region focus module"),
        (lambda d: (d / FOCUS_FILE).write_text("{"), "does not describe"),
        (lambda d: (d / FOCUS_FILE).write_text("[]"), "does not describe"),
        (lambda d: _change(d, layers=[0, 9]), "does not describe"),
        (lambda d: _change(d, layers="01"), "does not describe"),
        (lambda d: _change(d, host_layers=4), "speaks of 4 layers"),
        (lambda d: _change(d, layers=[0]), "distil it again"),
        (lambda d: (d / FOCUS_WEIGHTS_FILE).unlink(), "distil it again"),
        (lambda d: (d / FOCUS_WEIGHTS_FILE).write_bytes(b"x" * 40), "distil it again"),
    ],
)
def test_a_damaged_module_is_refused(host, tmp_path, damage, match):
    save_focus(DistilledFocus(host.decoder, (0, 1)), card_of(host), tmp_path)
    damage(tmp_path)
    with pytest.raises(ModelError, match=match):
        load_focus(tmp_path, host)


def _change(folder, **changes):
    given = json.loads((folder / FOCUS_FILE).read_text(encoding="utf-8"))
    (folder / FOCUS_FILE).write_text(json.dumps(given | changes), encoding="utf-8")


def test_a_host_without_attention_cannot_teach(host):
    closed = llava_host(random_llava(), focus_layer=3)
    with pytest.raises(ModelError, match="random exposes no attention to learn from"):
        with_decoder_access(closed)
    with pytest.raises(ModelError, match="exposes no attention"):
        with_decoder_access(object())
    assert default_layers(with_decoder_access(host)) == (0, 1)


@pytest.fixture
def model_folder(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "model")


def test_a_model_folder_with_a_module_focuses_by_it(model_folder, make_session):
    host = load_anew(model_folder)
    assert not host.capabilities.region_focus
    module = DistilledFocus(host.decoder, (0, 1))
    with torch.no_grad():
        module.layers[-1].self_attn.q_proj.weight.mul_(-2)
    save_focus(module, card_of(host, host_focus_layer=1), model_folder)
    host = load_anew(model_folder)
    assert host.capabilities.region_focus
    session = SceneSession(make_session().scene, host)
    budget = Budget(tiles=12, tokens=60)
    by_module = session.ask(QUESTION, budget=budget, focus="rfm")
    by_host = session.ask(QUESTION, budget=budget)
    found, own = (a.looks[1].token_scores for a in (by_module, by_host))
    assert found.sum() == pytest.approx(1, abs=1e-4)
    assert abs(found - own).max() > 1e-4
    assert by_module.cost.tiles_encoded <= 12


def test_a_module_of_other_weights_stops_only_those_who_ask_for_it(model_folder, make_session):
    host = load_anew(model_folder)
    save_focus(DistilledFocus(host.decoder, (0, 1)), card_of(host), model_folder)
    write_model(lively_student(seed=4), model_folder)
    session = SceneSession(make_session().scene, load_anew(model_folder))
    budget = Budget(tiles=12, tokens=60)
    assert session.ask(QUESTION, budget=budget).text is not None
    with pytest.raises(ModelError, match="geofovea distill"):
        session.ask(QUESTION, budget=budget, focus="rfm")
