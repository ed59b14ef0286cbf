"""YOPO: neighbors, blind heads, units and late layers; worked examples."""

import pytest
import torch
from layer_views import toy_view

from geofovea.errors import BudgetError, ModelError
from geofovea.regionfocus.layer_plans.yopo import (
    Yopo,
    blind_heads,
    head_ratios,
    released_weights,
    used_units,
)
from geofovea.regionfocus.reductions.decoder.local_attention import local_mask

ROW = torch.tensor([[0, 0], [0, 1], [0, 2], [0, 3]])


def test_neighbors_are_those_of_the_worked_example():
    released = [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    assert local_mask((1, 4), 3).int().tolist() == released
    near = Yopo(cells=ROW, window=3)._near(4)
    fixed = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    assert near.int().tolist() == fixed


def test_a_window_over_the_whole_tile_is_the_order_of_the_sequence():
    wide = Yopo(cells=ROW, window=9)._near(4)
    assert torch.equal(wide, torch.ones(4, 4, dtype=torch.bool).tril())


def test_the_ratio_of_a_head_is_that_of_the_worked_example():
    attention = torch.tensor([[[0.1, 0.2, 6.0]], [[0.1, 0.1, 6.0]]])
    ratios = head_ratios(attention, torch.tensor([0, 1]))
    assert ratios.tolist() == pytest.approx([0.05, 0.2 / 6])
    assert blind_heads(ratios[None]) == (1,)


def test_the_majority_of_samples_decides_of_a_head():
    ratios = torch.tensor([[0.01, 0.01], [0.01, 0.5], [0.5, 0.5]])
    assert blind_heads(ratios) == (0,)
    assert blind_heads(ratios, threshold=0) == ()


def test_units_are_those_that_are_used_most():
    assert used_units(torch.tensor([0.1, 3.0, 0.5, 2.0]), 0.5).tolist() == [1, 3]
    assert used_units(torch.ones(4), 0.01).tolist() == [0]
    with pytest.raises(BudgetError):
        used_units(torch.ones(4), 0)


def test_released_rows_of_dropped_heads_lose_weight():
    weights = toy_view().weights
    changed = released_weights(weights, torch.arange(2, 7), [1])
    assert torch.equal(changed[0], weights[0])
    assert changed[1, 8].sum() == pytest.approx(0.5)
    assert changed[1, 3].sum() == 0
    late = released_weights(weights, torch.arange(2, 7), [], is_late=True)
    assert late[..., 2:7].sum() == 0


def test_a_plan_says_of_each_layer_what_its_tables_say():
    units = (torch.tensor([0]), torch.tensor([1, 2]))
    method = Yopo(start=1, heads=((), (0,)), units=units, cut=4)
    plans = [method.plan(toy_view(layer)) for layer in range(6)]
    assert [plan.sees for plan in plans[:3]] == ["causal", "own_tile", "own_tile"]
    assert [plan.blind_heads for plan in plans[:3]] == [(), (0,), ()]
    assert plans[1].feeds is units[1]
    assert plans[2].feeds is True
    assert [plan.is_gone for plan in plans] == [False] * 4 + [True] * 2


def test_what_cannot_be_is_refused():
    for options in ({"window": 3}, {"window": 2, "cells": ROW}, {"start": -1}, {"cut": -1}):
        with pytest.raises(ModelError):
            Yopo(**options)
    with pytest.raises(BudgetError, match="4 cells"):
        Yopo(cells=ROW, window=3).plan(toy_view())
