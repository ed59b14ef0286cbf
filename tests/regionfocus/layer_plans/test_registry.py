"""Layer methods by name, and what holds for every one."""

import pytest
import torch
from layer_views import toy_view

from geofovea.errors import ModelError
from geofovea.regionfocus.layer_plans.base import LayerPlan, Shaping
from geofovea.regionfocus.layer_plans.registry import LAYER_METHOD_NAMES, make_layer_method
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid, Tile


def prepared(method):
    """The method for the five vision tokens of the toy view, with four below the first."""
    pyramid = Pyramid(64, 64, 32)
    coarse = tokens_of_tiles(torch.ones(2, 4, 16), (2, 2), [Tile(1, 0, 0), Tile(0, 1, 1)], pyramid)
    fine = tokens_of_tiles(torch.ones(1, 4, 16), (2, 2), [Tile(0, 0, 0)], pyramid)
    return method.beside(fine).of(coarse.select(torch.arange(5)))


def changes(plan):
    return not plan.is_stock or plan.added is not None or plan.stays is not None


@pytest.mark.parametrize("name", LAYER_METHOD_NAMES)
def test_a_method_acts_from_the_layer_that_is_named_and_changes_nothing_that_it_sees(name):
    method = prepared(make_layer_method(f"{name}:3"))
    assert method.name == name
    view = toy_view(3, on_vision=0.05)
    view.hidden[0, 5] = view.hidden[3, 5] = 60
    before = view.hidden.clone(), view.weights.clone()
    assert changes(method.plan(view))
    assert torch.equal(before[0], view.hidden)
    assert torch.equal(before[1], view.weights)
    earlier = toy_view(2, on_vision=0.05)
    earlier.hidden[0, 5] = earlier.hidden[3, 5] = 60
    assert not changes(method.plan(earlier))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("yolo", "choose one of"),
        ("ima:x", "ima:2"),
        ("ima:-1", "ima:2"),
        ("ima:٣", "ima:2"),
        ("ima:" + "9" * 5000, "ima:2"),
        ("dyvte:0", "layer 0"),
    ],
)
def test_what_is_no_method_is_refused_with_words(text, match):
    with pytest.raises(ModelError, match=match):
        make_layer_method(text)


@pytest.mark.parametrize("name", LAYER_METHOD_NAMES)
@pytest.mark.parametrize("start", ["", ":1", ":4"])
@pytest.mark.parametrize("depth", [1, 2, 4, 6])
def test_in_layers_that_a_method_does_not_name_it_changes_nothing(name, start, depth):
    method = prepared(make_layer_method(name + start))
    for layer in range(depth):
        view = toy_view(layer, depth=depth, on_vision=0.05)
        view.hidden[0, 5] = view.hidden[3, 5] = 60
        assert changes(method.plan(view)) == (layer in method.layers(depth))


def test_plans_that_contradict_themselves_are_refused():
    with pytest.raises(ModelError, match="side by side"):
        LayerPlan(is_parallel=True, feeds=False)
    with pytest.raises(ModelError, match="attends=False"):
        LayerPlan(states=torch.ones(1, 2))
    with pytest.raises(ModelError, match="logits, weights"):
        Shaping("all")
