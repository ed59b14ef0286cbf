"""AKI, VAR and Fixing Imbalanced Attention: recorded numbers, worked examples, bounds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_views import toy_view
from reduction_vectors import SECOND, load, near, noise, vector_files

from geofovea.errors import ModelError
from geofovea.regionfocus.layer_plans.aki import Aki, mutual_mask
from geofovea.regionfocus.layer_plans.imbalanced import Imbalanced, raised, raised_patches
from geofovea.regionfocus.layer_plans.var import Var
from geofovea.regionfocus.reductions.decoder.visual_sinks import (
    SinkFilter,
    looking_heads,
    redistribute,
    scaled_threshold,
    sink_tokens,
)


@pytest.mark.parametrize("file", vector_files("aki_mask_", folder=SECOND))
def test_who_sees_whom_is_that_of_the_reference(file):
    params, inputs, outputs = load(file)
    length = len(inputs["attention_mask"])
    own = mutual_mask(length, params["image_start"], params["image_len"], params["text_end"])
    is_filled = inputs["attention_mask"].bool()
    assert torch.equal(own & is_filled, outputs["allowed"])
    # a word of the answer changes nothing of what was there
    assert torch.equal(own & is_filled, outputs["allowed_next"][:-1, :-1])


def test_the_mask_is_that_of_the_worked_example():
    expected = [[1, 0, 0, 0, 0], [1, 1, 0, 1, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [1] * 5]
    assert mutual_mask(5, 1, 2, 4).int().tolist() == expected


def test_vision_sees_the_question_and_not_the_mark():
    assert Aki().plan(toy_view()).later_words.tolist() == [7, 8, 9]
    assert Aki(mark=3).plan(toy_view()).later_words.tolist() == [7]
    assert Aki(mark=4).plan(toy_view()).is_stock
    assert Aki(start=3).plan(toy_view(2)).is_stock
    with pytest.raises(ModelError, match="unseen"):
        Aki(mark=0)


@pytest.mark.parametrize("file", vector_files("imbalanced_", folder=SECOND))
def test_patches_that_are_raised_are_those_of_the_reference(file):
    params, inputs, outputs = load(file)
    signals = inputs["cls_first"], inputs["cls_penultimate"], params["local_token_ratio"]
    top, bottom = raised_patches(*signals, exact=False)
    assert top.tolist() == sorted(outputs["top"].tolist())
    assert bottom.tolist() == sorted(outputs["bottom"].tolist())
    # 4 / 49 * 49 is a little less than 4
    assert set(raised_patches(*signals)[1].tolist()) - set(bottom.tolist()) == {29}


def test_logits_are_raised_as_in_the_worked_example():
    logits = torch.tensor([[[1.0, -2.0, 0.5, 0.0]]])
    share = torch.tensor([0, 0.7, 0.3, 0])
    changed = raised(logits, torch.arange(4), share)
    near(changed.flatten(), [1.0, -0.6, 0.65, 0.0])
    near(changed.softmax(-1).flatten(), [0.43966, 0.08877, 0.30983, 0.16174])


@given(st.integers(0, 30))
def test_raising_by_nothing_changes_nothing_and_by_something_only_vision(seed):
    logits, visual = noise(2, 1, 8, seed=seed), torch.arange(2, 6)
    assert torch.equal(raised(logits, visual, torch.zeros(4)), logits)
    changed = raised(logits, visual, torch.full((4,), 0.5))
    assert bool((changed[..., visual] >= logits[..., visual]).all())
    assert torch.equal(changed[..., :2], logits[..., :2])
    assert torch.equal(changed[..., 6:], logits[..., 6:])


def test_imbalanced_acts_on_the_last_row_from_its_start_on():
    method = Imbalanced(torch.tensor([0]), torch.tensor([3]))
    assert method.plan(toy_view(1)).is_stock
    shaping = method.plan(toy_view(2)).shaping
    assert shaping.rows == "last"
    changed = shaping.logits(torch.ones(1, 1, 11), torch.arange(2, 7)).flatten()
    near(changed, [1, 1, 1.7, 1, 1, 1.3, 1, 1, 1, 1, 1])
    with pytest.raises(ModelError, match="raised"):
        Imbalanced(torch.tensor([0]), torch.tensor([1]), much=-1)


@pytest.mark.parametrize("file", vector_files("var_redistribution_", folder=SECOND))
def test_sinks_and_moved_attention_are_those_of_the_reference(file):
    params, inputs, outputs = load(file)
    is_sink = sink_tokens(inputs["hidden"], tuple(params["dims"]), params["tau"])
    assert is_sink.nonzero()[:, 0].tolist() == sorted(outputs["sinks"].tolist())
    first = params["image_start"]
    visual = torch.arange(first, first + params["image_len"])
    rows = looking_heads(
        inputs["attn"], is_sink, visual, most_on_sinks=params["rho"], least_mass=params["summ"]
    )
    assert sorted(rows.nonzero().tolist()) == sorted(outputs["coords"][:, 1:].tolist())
    rows[:, : first + params["image_len"]] = False
    moved = redistribute(inputs["attn"], is_sink, visual, rows, strength=params["p"])
    torch.testing.assert_close(moved, outputs["attn"], rtol=2e-3, atol=1e-5)


def with_sinks(view):
    view.hidden.fill_(1.0)
    view.hidden[0, 5] = view.hidden[3, 5] = 60
    return view


def test_what_is_huge_depends_on_the_width():
    assert scaled_threshold(4096) == 20
    assert scaled_threshold(192) == pytest.approx(4.33, abs=0.005)
    with pytest.raises(ModelError, match=r"4\.00 is the most"):
        Var(SinkFilter(threshold=20.0)).plan(with_sinks(toy_view()))


def test_var_moves_attention_from_the_sinks_that_it_counts():
    view = with_sinks(toy_view())
    plan = Var().plan(view)
    assert plan.info == {"sinks": 2}
    weights = view.weights[:, 7:]
    moved = plan.shaping.weights(weights, view.visual)
    near(moved.sum(-1), torch.ones(2, 4))
    assert bool((moved[..., [0, 3]] < weights[..., [0, 3]]).all())
    # a later step has one entry more, and the same sinks
    longer = torch.cat([weights, torch.zeros(2, 4, 1)], -1)
    near(plan.shaping.weights(longer, view.visual)[..., :-1], moved)


def test_var_leaves_the_first_layers_the_last_and_sequences_without_sinks():
    for layer in (0, 1, 5):
        assert Var().plan(with_sinks(toy_view(layer))).is_stock
    calm = toy_view()
    calm.hidden.fill_(1.0)
    assert Var().plan(calm).is_stock
    with pytest.raises(ModelError, match="between 0 and 1"):
        Var(strength=2)
