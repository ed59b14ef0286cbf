"""Dropping tokens between layers equals hiding them, and costs less."""

from dataclasses import dataclass, field, replace

import pytest
import torch
from decoder_models import DEPTH, FAMILIES, WIDTH, make_model
from pipeline_toys import llava_host, random_llava

from geofovea.errors import ModelError
from geofovea.pipeline.inference.decoder.pruned import PrunedRun
from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.decoder.base import DecoderStage
from geofovea.regionfocus.reductions.decoder.fastv import FastV
from geofovea.regionfocus.reductions.decoder.flowcut import FlowCutDecoder
from geofovea.regionfocus.reductions.decoder.pyramiddrop import PyramidDrop
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.decoder.todre import TodreDropAll
from geofovea.regionfocus.reductions.decoder.transprune import TransPrune
from geofovea.regionfocus.reductions.decoder.vflowopt import VFlowOptDecoder
from geofovea.regionfocus.reductions.registry import DECODER_REDUCTION_NAMES, make_decoder_reduction

BEFORE, SHOWN, AFTER = 3, 20, 6
LENGTH = BEFORE + SHOWN + AFTER
CLOSE = {"atol": 1e-5, "rtol": 1e-4}


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    """A random decoder with three query heads to a key head."""
    return make_model(request.param)


@pytest.fixture
def prompt():
    return torch.randn(1, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1))


def start(model, reduction=None, **options):
    span = {"first": BEFORE, "count": SHOWN} | options
    return PrunedRun(model.model, reduction=reduction, **span)


@torch.no_grad()
def decode(model, run, prompt, steps=6):
    """Logits of the first answer tokens, chosen greedily, (steps, vocabulary), and the tokens."""
    logits, hidden, chosen = [], prompt, []
    for _ in range(steps):
        logits.append(model.lm_head(run.advance(hidden))[0])
        chosen.append(int(logits[-1].argmax()))
        hidden = model.get_input_embeddings()(torch.tensor([[chosen[-1]]]))
    return torch.stack(logits), chosen


@torch.no_grad()
def oracle(model, prompt, chosen, drops, policy):
    """Logits without cache or shortening: every layer sees all tokens, dropped keys are masked.

    From the layer of a drop on, no query may look at a dropped token; merged states replace those
    of the tokens that stand for them.
    """
    answer = model.get_input_embeddings()(torch.tensor([chosen]))[:, :-1]
    hidden = torch.cat([prompt, answer], 1)
    length = hidden.shape[1]
    alive = torch.ones(length, dtype=torch.bool)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    at = {drop.layer: drop for drop in drops}
    for number, layer in enumerate(model.model.layers):
        if number in at:
            alive[BEFORE : BEFORE + SHOWN] = False
            alive[BEFORE + at[number].stayed] = True
            if at[number].kept.features is not None:
                hidden = hidden.clone()
                hidden[0, BEFORE + at[number].stayed] = at[number].kept.features
        positions = torch.arange(length) if policy == "original" else alive.cumsum(0) - 1
        # a dropped token may look at itself, so that its row is not empty; nobody looks at it
        allowed = (causal & alive) | torch.eye(length, dtype=torch.bool)
        mask = torch.zeros(length, length).masked_fill(~allowed, torch.finfo(torch.float32).min)
        rotary = model.model.rotary_emb(hidden, positions[None])
        hidden = layer(hidden, attention_mask=mask[None, None], position_embeddings=rotary)
    return model.lm_head(model.model.norm(hidden[0, LENGTH - 1 :]))


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@torch.no_grad()
def test_without_a_reduction_a_run_is_the_stock_forward_and_the_stock_generate(
    model, prompt, kernel
):
    model = make_model(model.config.model_type, kernel)
    logits, chosen = decode(model, start(model), prompt)
    ones = torch.ones(1, LENGTH, dtype=torch.long)
    stock = model(inputs_embeds=prompt, attention_mask=ones).logits[0, -1]
    torch.testing.assert_close(logits[0], stock, **CLOSE)
    # random weights that answer one word forever would prove nothing
    assert len(set(chosen)) > 1
    generated = model.generate(
        inputs_embeds=prompt,
        attention_mask=ones,
        do_sample=False,
        max_new_tokens=6,
        min_new_tokens=6,
        pad_token_id=0,
        eos_token_id=None,
    )
    assert generated[0].tolist() == chosen


def test_a_reduction_that_keeps_all_changes_not_one_bit(model, prompt):
    logits, _ = decode(model, start(model), prompt)
    for policy in ("original", "contiguous"):
        keeps = PyramidDrop(Schedule.of((2, 1.0), (4, 1.0)), positions=policy)
        run = start(model, keeps)
        assert torch.equal(decode(model, run, prompt)[0], logits)
        assert (run.lengths, run.drops) == ([LENGTH] * DEPTH, [])


@pytest.mark.parametrize("policy", ["original", "contiguous"])
@pytest.mark.parametrize("name", [n for n in DECODER_REDUCTION_NAMES if n != "todre_drop_all"])
def test_dropping_tokens_equals_hiding_them_from_that_layer_on(model, prompt, name, policy):
    made = type(make_decoder_reduction(name))
    steps = ((3, 8),) if name == "catp_decoder" else ((2, 12), (4, 5))
    reduction = made(schedule=Schedule.of(*steps), positions=policy)
    levels, importance = torch.tensor([2] * 11 + [0] * 9), torch.arange(SHOWN) * 7 % 20 / 20
    run = start(model, reduction, carried={"levels": levels, "importance": importance})
    logits, chosen = decode(model, run, prompt)
    assert len(run.drops) == 2
    expected = oracle(model, prompt, chosen, run.drops, policy)
    torch.testing.assert_close(logits, expected, **CLOSE)
    # and it matters what is hidden
    assert not torch.allclose(logits[0], oracle(model, prompt, chosen, [], policy)[0], atol=1e-2)


@pytest.mark.parametrize("policy", ["original", "contiguous"])
def test_dropping_all_vision_tokens_equals_hiding_all(model, prompt, policy):
    run = start(model, TodreDropAll(4, threshold=1.0, positions=policy))
    logits, chosen = decode(model, run, prompt)
    assert run.lengths == [LENGTH] * 4 + [BEFORE + AFTER] * 2
    torch.testing.assert_close(logits, oracle(model, prompt, chosen, run.drops, policy), **CLOSE)


def test_counts_are_those_of_the_schedule_and_kept_sets_are_nested(model, prompt):
    run = start(model, PyramidDrop(Schedule.of((1, 0.5), (3, 0.25), (5, 2))))
    decode(model, run, prompt, steps=3)
    others = BEFORE + AFTER
    lengths = [others + n for n in (20, 10, 10, 5, 5, 2)]
    assert run.lengths == lengths
    # two of the three tokens were fed back; every layer's cache keeps its own length
    cached = [run.cache.get_seq_length(layer) for layer in range(DEPTH)]
    assert cached == [n + 2 for n in lengths]
    stayed = [set(drop.stayed.tolist()) for drop in run.drops]
    assert stayed[0] > stayed[1] > stayed[2]


def test_a_pruned_prefill_sends_fewer_tokens_through_the_layers(model, prompt):
    seen = []
    hooks = [
        layer.mlp.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
        for layer in model.model.layers
    ]
    try:
        run = start(model, FastV(Schedule.of((2, 0.25))))
        run.advance(prompt)
    finally:
        for hook in hooks:
            hook.remove()
    assert seen == run.lengths
    assert sum(seen) == DEPTH * LENGTH - 4 * 15


@dataclass
class Probe(DecoderStage):
    """Keeps every second token before layer 2, and looks at everything before layers 2 to 4."""

    name = "probe"
    positions = "contiguous"
    reach = 1
    seen: list = field(default_factory=list)

    def layers(self, depth):
        return (2, 4)

    def watched(self, depth):
        return frozenset({3})

    def watch(self, view, sublayer, before, after):
        self.seen.append((sublayer, before, after))

    def reduce(self, view):
        everyone = torch.arange(len(view.hidden))
        for back in (0, 1):
            self.seen.append((view.layer - back, view.rows(everyone, back)))
            mean = view.mean_rows(view.text, back)
            torch.testing.assert_close(mean, view.rows(view.text, back).mean((0, 1)))
        self.seen.append(("visual", view.visual.tolist(), view.text.tolist(), view.hidden))
        return self._choose(view, 0)

    def _choose(self, view, k):
        n = len(view.visual)
        return TokenChoice(torch.arange(0, n, 2) if view.layer == 2 else torch.arange(n))


@torch.no_grad()
def test_a_reduction_sees_the_attention_and_the_sublayers_of_the_stock_layers(model, prompt):
    model = make_model(model.config.model_type, "eager")
    caught = []
    hooks = [
        layer.self_attn.register_forward_hook(lambda _, args, out: caught.append(out[1][0]))
        for layer in model.model.layers
    ]
    probe = Probe()
    try:
        start(model, probe).advance(prompt)
    finally:
        for hook in hooks:
            hook.remove()
    rows = [item for item in probe.seen if isinstance(item[0], int)]
    # before layer 2: rows of layer 2 over all tokens, which it never sees, and of layer 1
    assert [number for number, _ in rows] == [2, 1, 4, 3]
    for number, found in (rows[1], rows[2], rows[3]):
        torch.testing.assert_close(found, caught[number], atol=1e-5, rtol=0)
    places = [item for item in probe.seen if item[0] == "visual"]
    assert places[0][1] == list(range(3, 23))
    assert places[1][1:3] == (list(range(3, 13)), list(range(13, 19)))
    # what entered layer 3, and what came out of it
    watched = [item for item in probe.seen if item[0] in ("attention", "feed_forward")]
    assert [name for name, _, _ in watched] == ["attention", "feed_forward"]
    (_, normed, attended), (_, _, fed) = watched
    before = places[1][3] - fed - attended
    torch.testing.assert_close(model.model.layers[3].input_layernorm(before), normed, **CLOSE)


@dataclass
class AsksForNearness(Probe):
    """Keeps every second token before layer 2, and asks before layer 4."""

    def reduce(self, view):
        self.seen.append((view.nearness(view.text), view.text, len(view.hidden)))
        return self._choose(view, 0)


ROPES = {
    "far": {"rope_type": "default", "rope_theta": 1e6},
    "scaled": {
        "rope_type": "yarn",
        "rope_theta": 1e4,
        "factor": 4.0,
        "original_max_position_embeddings": 64,
    },
}


@pytest.mark.parametrize("policy", ["original", "contiguous"])
@pytest.mark.parametrize("rope", ROPES)
def test_nearness_is_that_of_the_frequencies_and_the_positions_of_the_model(prompt, rope, policy):
    model = make_model("qwen2", rope_parameters=ROPES[rope], max_position_embeddings=256)
    probe = AsksForNearness()
    probe.positions = policy
    start(model, probe).advance(prompt)
    nearness, text, length = probe.seen[-1]
    places = [*range(3), *range(3, 23, 2), *range(23, 29)]
    positions = torch.tensor(places) if policy == "original" else torch.arange(length)
    angles = (positions[text][:, None] - positions)[..., None] * model.model.rotary_emb.inv_freq
    torch.testing.assert_close(nearness, 2 * angles.cos().sum(-1) / 8**0.5, atol=1e-4, rtol=0)
    torch.testing.assert_close(nearness[0, text[0]], torch.tensor(8**0.5))
    if rope == "far":
        # two places of text: 0.7071 · (cos 1 + cos 0.0316 + cos 0.001 + cos 0.00003)
        assert float(nearness[1, text[0]]) == pytest.approx(2.50302, abs=1e-4)


@dataclass
class LooksTooFar(Probe):
    """Drops before layer 2, and before layer 3 asks for a layer that saw another sequence."""

    reach = 2

    def layers(self, depth):
        return (2, 3)

    def reduce(self, view):
        if view.layer == 3:
            view.rows(view.text, back=2)
        return self._choose(view, 0)


def test_rows_over_a_sequence_that_is_gone_are_refused(model, prompt):
    with pytest.raises(ModelError, match="rows of layer 1 are gone before layer 3"):
        start(model, LooksTooFar()).advance(prompt)


@torch.no_grad()
def test_flowcut_chooses_by_the_attention_and_the_values_of_the_stock_layer(model, prompt):
    """The score again, head by head, from what the stock layer gives out over the whole prompt."""
    model = make_model(model.config.model_type, "eager")
    attention = model.model.layers[1].self_attn
    caught = {}
    hooks = [
        attention.register_forward_hook(lambda _, args, out: caught.update(rows=out[1][0])),
        attention.v_proj.register_forward_hook(lambda _, args, out: caught.update(values=out[0])),
    ]
    try:
        start(model).advance(prompt)
    finally:
        for hook in hooks:
            hook.remove()
    run = start(model, FlowCutDecoder(Schedule.of((1, 7))))
    run.advance(prompt)
    image = slice(BEFORE, BEFORE + SHOWN)
    relation, likeness, value = torch.zeros(SHOWN), torch.zeros(SHOWN), torch.zeros(SHOWN, 8)
    for head in range(6):
        seen = caught["rows"][head, -1, image]
        # three query heads share a value
        own = caught["values"].view(LENGTH, 2, 8)[:, head // 3]
        relation += seen / seen.sum() / 6
        likeness += (own[image] @ own[-1] / 8**0.5).softmax(0) / 6
        value += own[image] / 6
    score = (relation + likeness) * value.abs().sum(1)
    best = score.topk(7).indices.sort().values
    assert run.drops[0].stayed.tolist() == best.tolist()
    assert run.lengths == [LENGTH] + [LENGTH - SHOWN + 7] * 5
    # neither of the terms would have chosen the same
    for part in (relation, likeness, value.abs().sum(1)):
        assert set(part.topk(7).indices.tolist()) != set(best.tolist())


def test_vflowopt_keeps_the_most_important_of_the_prompt_step_by_step(model, prompt):
    importance = torch.rand(SHOWN, generator=torch.Generator().manual_seed(2))
    protected = torch.zeros(SHOWN, dtype=torch.bool)
    protected[[int(importance.argmax()), 4]] = True
    reduction = VFlowOptDecoder(Schedule.of((2, 9), (4, 5)))
    run = start(model, reduction, carried={"importance": importance}, protected=protected)
    run.advance(prompt)
    others = importance.masked_fill(protected, -1)
    best = [others.topk(k).indices.sort().values.tolist() for k in (9, 5)]
    assert [drop.stayed.tolist() for drop in run.drops] == best


def test_transprune_watches_the_layers_up_to_its_last_step():
    made = TransPrune()
    assert made.layers(32) == (7, 9, 12)
    assert made.watched(32) == frozenset(range(6, 12))
    assert made.watched(6) == frozenset({1}) | made.watched(6)
    assert min(made.watched(3)) < made.layers(3)[0]


def test_protected_tokens_stay_and_do_not_count(model, prompt):
    protected = torch.zeros(SHOWN, dtype=torch.bool)
    protected[[0, 7, 19]] = True
    run = start(model, FastV(Schedule.of((2, 4))), protected=protected)
    run.advance(prompt)
    assert run.lengths[-1] == BEFORE + AFTER + 3 + 4
    assert not set(run.drops[0].stayed.tolist()) & {0, 7, 19}


def test_what_cannot_be_run_layer_by_layer_is_refused_with_a_way_out(model, prompt):
    fastv = FastV()
    with pytest.raises(ModelError, match="question behind the image"):
        start(model, fastv, count=LENGTH - BEFORE).advance(prompt)
    with pytest.raises(ModelError, match="do not lie in a prompt of 29"):
        start(model, fastv, count=99).advance(prompt)
    with pytest.raises(ModelError, match="one prompt"):
        start(model).advance(prompt.expand(2, -1, -1))
    other = make_model(model.config.model_type, "eager")
    with pytest.raises(ModelError, match=r"above 8192 tokens call set_attn_implementation"):
        start(other).advance(torch.zeros(1, 8193, 1))
    other.config._attn_implementation = "flex_attention"
    with pytest.raises(ModelError, match="'flex_attention' needs a mask of its own"):
        start(other)
    other.config._attn_implementation = "sdpa"
    other.config.sliding_window = 16
    other.config.layer_types = ["sliding_attention"] * other.config.num_hidden_layers
    with pytest.raises(ModelError, match="sees 16 tokens back"):
        start(other).advance(prompt)


@torch.no_grad()
def test_a_host_answers_with_a_reduction_and_the_same_without_effect():
    from geofovea.regionfocus.tokens import tokens_of_tiles
    from geofovea.tiling.pyramid import Pyramid, Tile

    host = llava_host(random_llava())
    features = torch.randn(1, 16, 32, generator=torch.Generator().manual_seed(4))
    tokens = tokens_of_tiles(features, (4, 4), [Tile(0, 0, 0)], Pyramid(32, 32, 32))
    question = "What is the color of the plane?"
    plain = host.generate(question, tokens)
    assert host.generate(question, tokens, FastV(Schedule.of((1, 1.0)))) == plain
    pruned = host.generate(question, tokens, FastV(Schedule.of((1, 2))))
    assert pruned.log_probabilities != plain.log_probabilities
    assert host.generate(question, None, FastV()) == host.generate(question, None)
    ways = [
        host.generate(question, replace(tokens, importance=weights), VFlowOptDecoder())
        for weights in (torch.arange(16.0), torch.arange(16.0).flip(0))
    ]
    assert ways[0].log_probabilities != ways[1].log_probabilities
    with pytest.raises(ModelError, match=r"vflowopt\+vflowopt_decoder"):
        host.generate(question, tokens, VFlowOptDecoder())
