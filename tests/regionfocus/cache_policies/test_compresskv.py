"""CompressKV: recorded evictions and layer budgets, the worked example, bounds."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import SECOND, load, vector_files

from geofovea.errors import BudgetError
from geofovea.regionfocus.cache_policies.base import CacheView, attention_rows
from geofovea.regionfocus.cache_policies.compresskv import (
    CompressKv,
    layer_budgets,
    window_scores,
)
from geofovea.regionfocus.scoring import top_indices


@pytest.mark.parametrize("file", vector_files("compresskv_0", "compresskv_1", folder=SECOND))
def test_the_entries_that_stay_are_those_of_the_reference(file):
    params, inputs, outputs = load(file)
    s, window = inputs["k"].shape[1], params["window"]
    view = CacheView(
        inputs["k"],
        inputs["v"],
        torch.arange(s - window),
        inputs["q"][:, -window:],
        torch.arange(s - window, s),
    )
    # the release pools what stands before the window, without the window itself
    before = attention_rows(view)[..., : s - window]
    scores = window_scores(before, params["heads"], params["kernel"])
    best = top_indices(scores, params["capacity"] - window).tolist()
    assert best + list(range(s - window, s)) == outputs["kept"].tolist()
    assert torch.equal(inputs["k"][:, outputs["kept"]], outputs["k"])


@pytest.mark.parametrize("file", vector_files("compresskv_budget", folder=SECOND))
def test_layer_budgets_are_those_of_the_reference(file):
    _, inputs, outputs = load(file)
    for name, expected in outputs.items():
        case = name.removeprefix("budget_")
        total, least, most = inputs[f"limits_{case}"].tolist()
        ratio = inputs[f"ratio_{case}"].tolist()
        assert layer_budgets(ratio, total, least, most) == expected.tolist()


def test_scores_are_those_of_the_worked_example():
    sums = torch.tensor([[[0.3, 0.1, 0.4, 0.2]], [[0.1, 0.2, 0.6, 0.1]]])
    scores = window_scores(sums, (), 3)
    assert scores.tolist() == pytest.approx([0.11666, 0.28334, 0.26666, 0.21666], abs=1e-5)
    assert sorted(top_indices(scores, 2).tolist()) == [1, 2]


def test_budgets_are_those_of_the_worked_example():
    assert layer_budgets([0.5, 0.3, 0.2], 12, 2, 6) == [5, 4, 3]


@given(
    st.lists(st.floats(0.01, 1), min_size=1, max_size=12),
    st.integers(0, 8),
    st.integers(0, 20),
    st.integers(0, 300),
)
def test_budgets_add_up_unless_every_layer_is_at_a_limit(errors, least, room, total):
    budgets = layer_budgets(errors, total, least, least + room)
    assert all(least <= budget <= least + room for budget in budgets)
    if len(errors) * least <= total <= len(errors) * (least + room):
        assert sum(budgets) == total


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=9), st.integers(100, 400))
def test_a_layer_that_suffers_more_gets_no_less(errors, total):
    budgets = layer_budgets(errors, total, 4, 3 * total)
    ranked = [b for _, b in sorted(zip(errors, budgets, strict=True), key=lambda pair: pair[0])]
    assert all(b - a >= -1 for a, b in pairwise(ranked))


def test_budgets_without_an_error_are_refused():
    with pytest.raises(BudgetError, match="at least 0"):
        layer_budgets([0, 0], 10, 1, 5)


def test_only_the_heads_that_are_named_decide():
    keys = torch.zeros(2, 6, 4)
    keys[0, 2, 0] = keys[1, 3, 0] = 9
    query = torch.zeros(2, 1, 4)
    query[:, :, 0] = 9
    view = CacheView(keys, keys, torch.arange(1, 5), query, torch.tensor([5]))
    assert CompressKv(share=0.2, heads=((0,),)).keep(view).tolist() == [0, 2, 5]
    assert CompressKv(share=0.2, heads=((1,),)).keep(view).tolist() == [0, 3, 5]
