"""LazyLLM and ATP-LLaVA: worked examples, recorded numbers, and what no setting can break."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_views import toy_view
from reduction_vectors import SECOND, close, load, near, noise, vector_files

from geofovea.errors import ModelError
from geofovea.regionfocus.layer_plans.atp import (
    Atp,
    ThresholdHead,
    budget_loss,
    kept_tokens,
    margins,
    soft_mask,
    spatial_scores,
    thresholds,
)
from geofovea.regionfocus.layer_plans.lazyllm import LazyLlm
from geofovea.regionfocus.layer_plans.registry import make_layer_method

CELLS = torch.tensor([[0, 0], [0, 1], [1, 0], [2, 2], [1, 1]])


def head(redundant=0.0, spatial=0.0):
    """A head whose thresholds do not depend on the scores."""
    zero = torch.zeros(1, 4)
    biases = torch.tensor([redundant]), torch.tensor([spatial])
    return ThresholdHead(torch.zeros(4, 2), torch.zeros(4), zero, biases[0], zero, biases[1])


def test_half_of_the_tokens_wait_as_in_the_worked_example():
    importance = torch.tensor([0.1, 0.4, 0.05, 0.25])
    # behind the first of three layers; the last token is no vision token and stays
    assert LazyLlm((0.5, 0.0)).wanted(importance, 0, 3).tolist() == [1, 3]


def test_what_has_no_attention_that_is_a_number_leaves_first():
    broken = torch.tensor([float("nan"), 0.4, 0.05, 0.25])
    assert LazyLlm((0.5, 0.0)).wanted(broken, 0, 3).tolist() == [1, 3]
    assert kept_tokens(broken, 2).tolist() == [1, 3]


def test_the_least_attended_leave_behind_the_quarters():
    view = toy_view(2, depth=6)
    view.weights[:, -1, view.visual] = torch.tensor([0.1, 0.3, 0.0, 0.4, 0.2])
    plan = LazyLlm((0.0, 0.5, 0.0)).plan(view)
    assert plan.stays.tolist() == [1, 3, 4]
    assert plan.is_stock
    assert LazyLlm((0.0, 0.5, 0.0), start=3).plan(view).stays is None
    assert [LazyLlm(start=3).share_behind(n, 6) for n in range(6)] == [0, 0, 0, 0.3, 0.5, 0]
    layers = [n for n in range(28) if LazyLlm().share_behind(n, 28)]
    assert layers == [6, 13, 20]
    assert [LazyLlm().share_behind(n, 4) for n in range(4)] == [0.3, 0.5, 0.7, 0]
    assert LazyLlm().share_behind(0, 1) == 0
    with pytest.raises(ModelError, match="below 1"):
        LazyLlm((1.0,))


@pytest.mark.parametrize("file", vector_files("atp_unofficial_", folder=SECOND))
def test_masks_thresholds_and_losses_are_those_of_the_port(file):
    params, inputs, outputs = load(file)
    parts = [
        inputs[f"w_{part}.{kind}"]
        for part in ("score_projection", "redundant_threshold_head", "spatial_threshold_head")
        for kind in ("weight", "bias")
    ]
    given_scores = torch.stack([outputs["self_score"], inputs["weights"].mean((0, 1))])
    close(given_scores[1], outputs["cross_score"])
    redundant = given_scores.mean(0)
    close(redundant, outputs["redundant"])
    grid = torch.cartesian_prod(torch.arange(6), torch.arange(6))
    spatial = spatial_scores(grid, params["sampling_rate"], params["lambda_sample"])
    close(spatial, outputs["spatial"])
    bounds = thresholds(given_scores, ThresholdHead(*parts))
    close(bounds, outputs["thresholds"])
    # weights of another type are those of the scores' type
    close(thresholds(given_scores, ThresholdHead(*(part.double() for part in parts))), bounds)
    soft = soft_mask(redundant, spatial, bounds, params["temperature"])
    close(soft, outputs["soft"])
    assert torch.equal(margins(redundant, spatial, bounds) > 0, outputs["hard"])
    # the port was given half of the sum for its second layer
    counts = [soft.sum(), soft.sum() / 2]
    weighted, apart = budget_loss(counts, 36, params["target"], params["layers"])
    close(weighted, outputs["penalty"])
    close(apart, outputs["target_loss"])


def test_tokens_go_on_as_in_the_worked_example():
    from_vision = torch.tensor([0.1, 0.2, 0.05, 0.15, 0.3, 0.05, 0.1, 0.05])
    from_words = torch.tensor([0.02, 0.3, 0.02, 0.06, 0.1, 0.3, 0.1, 0.1])
    redundant = (from_vision + from_words) / 2
    cells = torch.cartesian_prod(torch.arange(2), torch.arange(4))
    spatial = spatial_scores(cells)
    near(spatial, [0.25, 0, 0.25, 0, 0, 0, 0, 0])
    bounds = torch.tensor([0.15, 0.2])
    margin = margins(redundant, spatial, bounds)
    near(margin, [0.05, 0.1, 0.05, -0.045, 0.05, 0.025, -0.05, -0.075])
    assert kept_tokens(margin).tolist() == [0, 1, 2, 4, 5]
    assert kept_tokens(margin, 4).tolist() == [0, 1, 2, 4]
    expected = [0.62246, 0.73106, 0.62246, 0.38936, 0.62246, 0.56218, 0.37754, 0.32082]
    near(soft_mask(redundant, spatial, bounds), expected)
    counts = [torch.tensor(float(count)) for count in (6, 4, 2)]
    weighted, apart = budget_loss(counts, 8, 3, (4, 14, 24))
    near(weighted, 16)
    near(apart, 1)
    near(0.05 * weighted + 0.2 * apart, 1)


@given(st.integers(0, 50), st.integers(1, 8))
def test_a_budget_only_trims_and_a_soft_mask_becomes_the_hard_one(seed, most):
    margin = noise(8, seed=seed)
    free, trimmed = kept_tokens(margin), kept_tokens(margin, most)
    assert set(trimmed.tolist()) <= set(free.tolist())
    assert 1 <= len(trimmed) <= most
    soft = soft_mask(margin, margin, torch.zeros(2), 1e6)
    assert torch.equal(soft > 0.5, margin > 0)
    # without thresholds all stay
    assert len(kept_tokens(margins(margin.abs(), margin, torch.zeros(2)))) == 8


def test_atp_leaves_tokens_behind_three_layers_by_its_heads():
    low, high = head(-50.0, -50.0), head(50.0, 50.0)
    open_wide = Atp((low,) * 3, CELLS)
    acting = [n for n in range(16) if open_wide.plan(toy_view(n, depth=16)).stays is not None]
    assert acting == [1, 6, 11]
    assert open_wide.plan(toy_view(1, depth=16)).stays.tolist() == [0, 1, 2, 3, 4]
    limited = Atp((low,) * 3, CELLS, most=(2, 2, 2)).plan(toy_view(1, depth=16))
    assert len(limited.stays) == 2
    assert len(Atp((high,) * 3, CELLS).plan(toy_view(1, depth=16)).stays) == 1
    # hardly any attention: the places of the coarse grid decide
    places = Atp((head(50.0, -2.0),) * 3, CELLS)
    assert places.plan(toy_view(11, depth=16, on_vision=0.05)).stays.tolist() == [0, 3]
    with pytest.raises(ModelError, match="three layers"):
        Atp((low,), CELLS)
    with pytest.raises(ModelError, match="every vision token"):
        Atp((low,) * 3, CELLS[:4]).plan(toy_view(1, depth=16))


@pytest.mark.parametrize("name", ["atp", "saisa", "imbalanced"])
def test_methods_with_a_trained_part_say_what_they_need(name):
    with pytest.raises(ModelError, match=f"layer_plans.{name}"):
        make_layer_method(name)
