"""DyVTE: recorded labels, the worked example, when vision leaves."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_views import toy_view
from reduction_vectors import SECOND, load, near, vector_files

from geofovea.errors import ModelError
from geofovea.regionfocus.layer_plans.dyvte import (
    DyVte,
    ExitRouter,
    exit_feature,
    exit_labels,
    router_logits,
)

ALWAYS = ExitRouter(torch.ones(1, 32), torch.tensor([[-1.0], [1.0]]))


@pytest.mark.parametrize("file", vector_files("dyvte_labels_", folder=SECOND))
def test_labels_are_those_of_the_reference(file):
    _, inputs, outputs = load(file)
    labels = exit_labels(inputs["logits_full"], inputs["logits_exit"], inputs["labels"])
    assert labels.tolist() == outputs["gate_labels"].tolist()
    loss = torch.nn.functional.cross_entropy(inputs["gate_logits"], labels)
    torch.testing.assert_close(loss, outputs["loss"].reshape(()), rtol=2e-3, atol=1e-5)


def test_a_router_leaves_as_in_the_worked_example():
    feature = exit_feature(torch.tensor([[1.0, 0], [0, 1], [2, 2]]))
    assert feature.tolist() == [0.5, 0.5, 2, 2]
    router = ExitRouter(torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0]]), torch.eye(2))
    near(router_logits(feature, router), [0.345731, 1.9545])


def test_a_single_word_stands_for_the_mean_of_the_others():
    assert exit_feature(torch.tensor([[1.0, 3.0]])).tolist() == [1, 3, 1, 3]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_lower_threshold_never_leaves_where_a_higher_one_stays(mass, one, other):
    low, high = sorted((one, other))
    view = toy_view(4, on_vision=mass)
    leaves = [DyVte(threshold=t).plan(view).is_gone for t in (low, high)]
    assert leaves != [True, False]


def test_vision_leaves_before_a_layer_that_would_not_look_at_it():
    assert DyVte().plan(toy_view(3, on_vision=0.05)).is_gone
    assert not DyVte().plan(toy_view(3, on_vision=0.5)).is_gone


def test_vision_stays_before_the_first_layer_that_may_run_without_it():
    blind = [DyVte().plan(toy_view(i, on_vision=0.0)).is_gone for i in range(6)]
    assert blind == [False] * 3 + [True] * 3
    assert DyVte(start=1).plan(toy_view(1, on_vision=0.0)).is_gone


def test_a_layer_without_a_router_decides_nothing():
    view = toy_view(2)
    view.hidden.abs_()
    routers = (ALWAYS, ALWAYS)
    assert DyVte(routers, start=1).plan(view).is_gone
    assert not DyVte(routers[:1], start=1).plan(view).is_gone
    assert not DyVte(routers, threshold=1e9, start=1).plan(view).is_gone


def test_what_cannot_be_is_refused():
    with pytest.raises(ModelError, match="layer 0"):
        DyVte(start=0)
    with pytest.raises(ModelError, match=r"\(2, hidden\)"):
        ExitRouter(torch.ones(3, 4), torch.ones(2, 4))
