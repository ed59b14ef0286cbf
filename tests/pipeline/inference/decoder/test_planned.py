"""Layers with plans: recorded layers, skipping equals computing and hiding, and it is real."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch
from decoder_models import DEPTH, FAMILIES, WIDTH, make_model

from geofovea.errors import ModelError
from geofovea.pipeline.inference.decoder.planned import PlannedRun
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.regionfocus.layer_plans.base import LayerMethod, LayerPlan, Shaping
from geofovea.regionfocus.layer_plans.deepstack import DeepStack
from geofovea.regionfocus.layer_plans.ima import Ima

BEFORE, SHOWN, AFTER = 3, 20, 6
LENGTH = BEFORE + SHOWN + AFTER
VISUAL = torch.arange(BEFORE, BEFORE + SHOWN)
# a word stands between the tiles, as in a prompt with labels
BETWEEN = BEFORE + 8
TILED = torch.cat([VISUAL[:8], VISUAL[9:]])
TILES = torch.tensor([5] * 8 + [2] * 11)
CLOSE = {"atol": 1e-5, "rtol": 1e-4}


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    """A random decoder with three query heads to a key head."""
    return make_model(request.param)


@dataclass(frozen=True)
class Planned(LayerMethod):
    """The same plan in some layers."""

    plan_of_layer: dict[int, LayerPlan] = field(default_factory=dict)
    name: ClassVar[str] = "planned"

    def plan(self, view):
        return self.plan_of_layer.get(view.layer, LayerPlan())


def make_prompt(visual=TILED):
    embedded = torch.randn(1, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1))
    return PromptSequence(embedded, torch.arange(LENGTH)[None], visual, None, LENGTH)


@torch.no_grad()
def decode(model, run, steps=5):
    """Logits of the first answer tokens, chosen greedily, and the tokens."""
    logits, chosen = [model.lm_head(run.prefill())[0]], []
    for _ in range(steps - 1):
        chosen.append(int(logits[-1].argmax()))
        token = model.get_input_embeddings()(torch.tensor([[chosen[-1]]]))
        logits.append(model.lm_head(run.advance(token))[0])
    return torch.stack(logits), chosen


@torch.no_grad()
def oracle(model, chosen, plans, visual=TILED, tiles=TILES):
    """Logits without a cache: every layer computes all tokens, and a plan hides or undoes."""
    answer = model.get_input_embeddings()(torch.tensor([chosen]))
    hidden = torch.cat([make_prompt().embedded, answer], 1)
    length = hidden.shape[1]
    is_visual = torch.zeros(length, dtype=torch.bool)
    is_visual[visual] = True
    tile = torch.full((length,), -1)
    tile[visual] = tiles
    rotary = model.model.rotary_emb(hidden, torch.arange(length)[None])
    gone = False
    for number, layer in enumerate(model.model.layers):
        plan = plans.get(number, LayerPlan())
        gone = gone or plan.is_gone
        hidden = _masked_layer(layer, hidden, rotary, plan, is_visual, tile, gone=gone)
    return model.lm_head(model.model.norm(hidden[0, LENGTH - 1 :]))


def _masked_layer(layer, hidden, rotary, plan, is_visual, tile, *, gone):
    length = hidden.shape[1]
    allowed = torch.ones(length, length, dtype=torch.bool).tril()
    both = is_visual[:, None] & is_visual
    if plan.pairs is not None:
        allowed[both] = plan.pairs.flatten()
    if plan.sees == "own_tile":
        allowed &= ~both | (tile[:, None] == tile)
    if plan.later_words is not None:
        allowed[is_visual.nonzero(), plan.later_words] = True
    if gone:
        allowed &= ~is_visual | torch.eye(length, dtype=torch.bool)
    heads = allowed.repeat(6, 1, 1)
    for head in plan.blind_heads:
        heads[head] &= ~is_visual | torch.eye(length, dtype=torch.bool)
    lowest = torch.finfo(torch.float32).min
    mask = torch.zeros(heads.shape).masked_fill(~heads, lowest)[None]
    if plan.added is not None:
        hidden = hidden.clone()
        hidden[0, is_visual] += plan.added
    source = hidden
    if plan.states is not None:
        source = hidden.clone()
        source[0, is_visual] = plan.states
    normed = layer.input_layernorm(source)
    mixed, _ = layer.self_attn(normed, position_embeddings=rotary, attention_mask=mask)
    if not plan.attends:
        mixed = mixed.masked_fill(is_visual[:, None], 0)
    after = hidden + mixed
    fed = layer.mlp(layer.post_attention_layernorm(after))
    if plan.is_parallel:
        fed[0, is_visual] = layer.mlp(normed)[0, is_visual]
    if plan.feeds is False:
        fed = fed.masked_fill(is_visual[:, None], 0)
    elif plan.feeds is not True:
        own = layer.post_attention_layernorm(after)
        inner = layer.mlp.act_fn(layer.mlp.gate_proj(own)) * layer.mlp.up_proj(own)
        off = torch.ones(inner.shape[-1], dtype=torch.bool)
        off[plan.feeds] = False
        fed[0, is_visual] = layer.mlp.down_proj(inner.masked_fill(off, 0))[0, is_visual]
    return after + fed


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@torch.no_grad()
def test_an_empty_plan_is_the_stock_generate(model, kernel):
    model = make_model(model.config.model_type, kernel)
    run = PlannedRun(model.model, make_prompt(), Planned())
    logits, chosen = decode(model, run)
    ones = torch.ones(1, LENGTH, dtype=torch.long)
    stock = model(inputs_embeds=make_prompt().embedded, attention_mask=ones).logits[0, -1]
    torch.testing.assert_close(logits[0], stock, atol=1e-6, rtol=1e-6)
    generated = model.generate(
        inputs_embeds=make_prompt().embedded,
        attention_mask=ones,
        do_sample=False,
        max_new_tokens=5,
        min_new_tokens=5,
        pad_token_id=0,
        eos_token_id=None,
    )
    # random weights that answer one word forever would prove nothing
    assert len(set(chosen)) > 1
    assert generated[0, :4].tolist() == chosen
    assert [(w.present, w.attended, w.fed) for w in run.work] == [(19, 19, 19)] * DEPTH


def _pairs():
    chance = torch.rand(19, 19, generator=torch.Generator().manual_seed(3)) < 0.4
    return chance | torch.eye(19, dtype=torch.bool)


PLANS = {
    "no feed-forward": LayerPlan(feeds=False),
    "no attention": LayerPlan(attends=False),
    "frozen": LayerPlan(attends=False, feeds=False),
    "side by side": LayerPlan(is_parallel=True),
    "own tile": LayerPlan(sees="own_tile"),
    "neighbors": LayerPlan(pairs=_pairs()),
    "neighbors in a tile": LayerPlan(pairs=_pairs(), sees="own_tile"),
    "the question": LayerPlan(later_words=torch.tensor([LENGTH - 5, LENGTH - 3])),
    "blind heads": LayerPlan(blind_heads=(1, 4)),
    "blind heads, own tile": LayerPlan(blind_heads=(0, 5), sees="own_tile"),
    "some units": LayerPlan(feeds=torch.tensor([0, 3, 17, 40])),
    "other states": LayerPlan(
        attends=False,
        feeds=False,
        states=torch.randn(19, WIDTH, generator=torch.Generator().manual_seed(9)),
    ),
    "gone": LayerPlan(is_gone=True),
    "something added": LayerPlan(
        added=torch.randn(19, WIDTH, generator=torch.Generator().manual_seed(5))
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_skipping_equals_computing_all_and_hiding(model, name):
    plans = {1: PLANS[name], 2: PLANS[name], 4: PLANS[name]}
    if name == "gone":
        plans = {2: PLANS[name]}
    run = PlannedRun(model.model, make_prompt(), Planned(plans), TILES)
    logits, chosen = decode(model, run)
    torch.testing.assert_close(logits, oracle(model, chosen, plans), **CLOSE)
    # and the plan matters
    assert not torch.allclose(logits, oracle(model, chosen, {}), atol=1e-3)


def test_stacked_groups_of_zero_are_a_plain_run_to_the_bit(model):
    groups = torch.randn(4, 19, WIDTH, generator=torch.Generator().manual_seed(6))
    runs = [
        PlannedRun(model.model, make_prompt(), method)
        for method in (
            Planned(),
            DeepStack(groups=groups, maps=(torch.zeros(WIDTH, WIDTH),) * 4),
            DeepStack(groups=groups, maps=(torch.eye(WIDTH),) * 4),
            DeepStack(groups=groups),
        )
    ]
    plain, zero, same, stacked = (decode(model, run)[0] for run in runs)
    assert torch.equal(plain, zero)
    torch.testing.assert_close(same, stacked, **CLOSE)
    assert not torch.allclose(plain, stacked, atol=1e-3)
    assert [run.tokens_beside for run in runs] == [0, 0, 76, 76]
    # no place more in any cache
    assert [run.cache.get_seq_length(5) for run in runs] == [LENGTH + 4] * 4


def test_attention_is_changed_in_the_rows_that_are_named_and_in_the_answer(model):
    for rows in ("last", "behind", "all"):
        halved = Shaping(rows, weights=lambda w, visual: w.index_fill(2, visual, 0))
        run = PlannedRun(model.model, make_prompt(), Planned({3: LayerPlan(shaping=halved)}), TILES)
        logits, _ = decode(model, run)
        seen = Shaping(rows, logits=lambda x, _: x, weights=lambda w, _: w)
        run = PlannedRun(model.model, make_prompt(), Planned({3: LayerPlan(shaping=seen)}), TILES)
        same, chosen = decode(model, run)
        torch.testing.assert_close(same, oracle(model, chosen, {}), **CLOSE)
        assert (logits - same).abs().amax(1).min() > 1e-3


def test_what_is_skipped_is_not_computed(model):
    rows = {"q_proj": [], "k_proj": [], "up_proj": []}
    hooks = []
    for layer in model.model.layers[2:]:
        for name, seen in rows.items():
            part = layer.mlp if name == "up_proj" else layer.self_attn
            hooks.append(
                getattr(part, name).register_forward_hook(
                    lambda _, args, __, seen=seen: seen.append(args[0].shape[1])
                )
            )
    try:
        run = PlannedRun(model.model, make_prompt(), Ima(start=2))
        run.prefill()
    finally:
        for hook in hooks:
            hook.remove()
    words = LENGTH - 19
    assert rows == {"q_proj": [words] * 4, "k_proj": [LENGTH] * 4, "up_proj": [words] * 4}
    work = [(w.present, w.attended, w.fed) for w in run.work]
    assert work == [(19, 19, 19)] * 2 + [(19, 0, 0)] * 4
    assert run.tokens_by_layer == (19,) * DEPTH


def test_what_is_gone_is_in_no_later_cache(model):
    run = PlannedRun(model.model, make_prompt(), Planned({2: LayerPlan(is_gone=True)}))
    run.prefill()
    lengths = [run.cache.get_seq_length(layer) for layer in range(DEPTH)]
    assert lengths == [LENGTH] * 2 + [LENGTH - 19] * 4
    assert run.tokens_by_layer == (19, 19, 0, 0, 0, 0)


def test_a_decoder_of_another_kind_is_refused(model):
    other = make_model(model.config.model_type)
    other.config.model_type = "gemma3_text"
    with pytest.raises(ModelError, match="gemma3_text"):
        PlannedRun(other.model, make_prompt(), Planned())
