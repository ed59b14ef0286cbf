"""Layers of LLaMA's kind under plans, compared with what official implementations recorded."""

import pytest
import torch
from recorded_decoders import recorded_decoder, weights_of
from reduction_vectors import SECOND, load, vector_files
from transformers import DynamicCache

from geofovea.pipeline.inference.decoder.planned import PlannedRun
from geofovea.pipeline.inference.decoder.planned_layer import Entries, planned_layer
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.regionfocus.layer_plans.base import LayerMethod, LayerPlan, Shaping
from geofovea.regionfocus.layer_plans.dyvte import (
    DyVte,
    ExitRouter,
    exit_feature,
    router_logits,
)
from geofovea.regionfocus.layer_plans.ima import released_skip
from geofovea.regionfocus.layer_plans.imbalanced import raised
from geofovea.regionfocus.layer_plans.saisa import Saisa, SaisaProjector
from geofovea.regionfocus.layer_plans.yopo import released_weights
from geofovea.regionfocus.reductions.decoder.local_attention import local_mask

CLOSE = {"rtol": 2e-3, "atol": 1e-5}


class Recorded(LayerMethod):
    """Plans that were recorded."""

    name = "recorded"

    def __init__(self, plans):
        self.plans = plans

    def plan(self, view):
        return self.plans[view.layer]


def make_prompt(x, visual):
    return PromptSequence(x[None], torch.arange(len(x))[None], visual, None, len(x))


@torch.no_grad()
def one_layer(decoder, x, visual, plan):
    """What a layer makes of ``(s, d)``."""
    rotary = decoder.rotary_emb(x[None], torch.arange(len(x))[None])
    entries = Entries(len(x), visual, torch.zeros_like(visual))
    return planned_layer(decoder.layers[0], 0, x[None], rotary, plan, entries, DynamicCache())[0]


@torch.no_grad()
def layer_outputs(decoder, run):
    """The prefill of a run, and the states behind each of its layers."""
    outputs = []
    through = run._through

    def kept(*args):
        outputs.append(through(*args)[0])
        return outputs[-1][None]

    run._through = kept
    return run.prefill(), outputs


@pytest.mark.parametrize("file", vector_files("ima_", folder=SECOND))
def test_ima_layers_are_those_of_the_reference(file):
    params, inputs, outputs = load(file)
    decoder = recorded_decoder(weights_of(inputs), heads=params["heads"], layers=1)
    x = inputs["x"]
    every, prompt = torch.arange(len(x)), torch.arange(params["prompt_len"])
    plans = {
        "normal": LayerPlan(),
        "skip_ffn": LayerPlan(feeds=False),
        "parallel": LayerPlan(is_parallel=True),
    }
    for name, plan in plans.items():
        torch.testing.assert_close(one_layer(decoder, x, every, plan), outputs[name], **CLOSE)
    skipped = one_layer(decoder, x, prompt, LayerPlan(feeds=False))
    norm = decoder.layers[0].post_attention_layernorm
    released = skipped.clone()
    released[prompt] = released_skip(skipped[prompt], norm).detach()
    torch.testing.assert_close(released, outputs["skip_ffn_prompt"], **CLOSE)


@pytest.mark.parametrize("file", vector_files("yopo_", folder=SECOND))
def test_yopo_layers_are_those_of_the_reference(file):
    params, inputs, outputs = load(file)
    decoder = recorded_decoder(weights_of(inputs), heads=params["heads"], layers=3)
    x, places = inputs["x"], inputs["places"]
    first, count = params["image_start"], 576
    visual = torch.arange(first, first + count)
    near = local_mask((24, 24), params["window"])
    units = torch.arange(24 // params["mlp_ratio"])
    plans = []
    for layer, mask in enumerate(inputs["head_mask"]):
        heads = (~mask).nonzero()[:, 0].tolist()
        is_late = layer >= params["layercut"]

        def released(weights, visual, heads=heads, is_late=is_late):
            return released_weights(weights, visual, heads, is_late=is_late)

        shaping = Shaping("all", weights=released)
        plans.append(LayerPlan(pairs=near, feeds=units, shaping=shaping))
    run = PlannedRun(decoder, make_prompt(x, visual), Recorded(plans))
    _, states = layer_outputs(decoder, run)
    words = torch.cat([torch.arange(first), torch.arange(first + count, len(x))])
    for layer, state in enumerate(states):
        torch.testing.assert_close(state[places], outputs["hidden"][layer], **CLOSE)
        torch.testing.assert_close(state[words], outputs["text"][layer], **CLOSE)


@pytest.mark.parametrize("file", vector_files("dyvte_0", folder=SECOND))
def test_dyvte_leaves_where_the_reference_leaves(file):
    params, inputs, outputs = load(file)
    weights = weights_of(inputs)
    layers = params["layers"]
    decoder = recorded_decoder(weights, heads=params["heads"], layers=layers)
    first, count = params["image_start"], params["image_len"]
    routers = tuple(
        ExitRouter(*(weights[f"visual_gates_router.{i}.{part}.weight"] for part in ("w1", "w2")))
        for i in range(layers)
    )
    visual = torch.arange(first, first + count)
    run = PlannedRun(decoder, make_prompt(inputs["x"], visual), DyVte(routers, start=1))
    last, states = layer_outputs(decoder, run)
    for layer, (feature, gates) in enumerate(
        zip(outputs["features"], outputs["gates"], strict=True)
    ):
        own = exit_feature(states[layer][first + count :])
        torch.testing.assert_close(own, feature, **CLOSE)
        torch.testing.assert_close(router_logits(own, routers[layer]), gates, **CLOSE)
    gone = [plan.is_gone for plan in run.plans]
    assert gone.index(True) == int(outputs["exit_layer"]) + 1
    lengths = [run.cache.get_seq_length(layer) for layer in range(layers)]
    assert lengths == outputs["cache_lengths"].tolist()
    torch.testing.assert_close(decoder.norm(states[-1]).detach(), outputs["hidden"], **CLOSE)
    torch.testing.assert_close(last[0], outputs["hidden"][-1], **CLOSE)


@pytest.mark.parametrize("file", vector_files("saisa_", folder=SECOND))
def test_saisa_words_are_those_of_the_reference(file):
    params, inputs, outputs = load(file)
    weights = weights_of(inputs)
    decoder = recorded_decoder(weights, heads=params["heads"], layers=3)
    pre, n = params["pre"], params["visual"]
    projectors = tuple(
        SaisaProjector(
            *(weights[f"layers.{i}.mm_projector.{part}"] for part in ("0.weight", "0.bias")),
            *(weights[f"layers.{i}.mm_projector.{part}"] for part in ("2.weight", "2.bias")),
        )
        for i in range(3)
    )
    visual = torch.arange(pre, pre + n)
    run = PlannedRun(decoder, make_prompt(inputs["x"], visual), Saisa(projectors, inputs["z"]))
    _, states = layer_outputs(decoder, run)
    words = torch.cat([torch.arange(pre), torch.arange(pre + n, len(inputs["x"]))])
    for state, expected in zip(states, outputs["text"], strict=True):
        torch.testing.assert_close(state[words], expected, **CLOSE)
    assert [(w.attended, w.fed) for w in run.work] == [(0, 0)] * 3


@pytest.mark.parametrize("file", vector_files("imbalanced_", folder=SECOND))
def test_imbalanced_attention_is_that_of_the_reference(file):
    params, inputs, outputs = load(file)
    weights = {
        f"layers.0.self_attn.{name[2:]}": value
        for name, value in inputs.items()
        if name.startswith("w_")
    }
    decoder = recorded_decoder(weights, heads=params["heads"], layers=1)
    layer = decoder.layers[0]
    # the recording is of attention alone
    layer.input_layernorm = torch.nn.Identity()
    torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    share = torch.zeros(params["image_len"])
    share[outputs["top"]], share[outputs["bottom"]] = params["alpha"], params["beta"]
    rows = []
    shaping = Shaping(
        "last",
        logits=lambda logits, visual: raised(logits, visual, share),
        weights=lambda weights, _: rows.append(weights) or weights,
    )
    first = params["image_start"]
    visual = torch.arange(first, first + params["image_len"])
    x = inputs["x"]
    after = one_layer(decoder, x, visual, LayerPlan(shaping=shaping))
    torch.testing.assert_close(rows[0][:, 0], outputs["last_row"], **CLOSE)
    torch.testing.assert_close(after - x, outputs["output"], **CLOSE)
