"""The cache of SpAtten: recorded numbers, worked examples, bounds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import SECOND, read, vector_files

from geofovea.regionfocus.cache_policies.base import CacheView
from geofovea.regionfocus.cache_policies.spatten import (
    CacheBudget,
    SpattenKv,
    evicted,
    important_heads,
)


@given(st.integers(1, 60), st.integers(0, 5), st.integers(0, 6), st.integers(1, 9))
def test_a_cache_never_outgrows_its_budget(s, first, important, recent):
    budget = CacheBudget(first, important, recent)
    generator = torch.Generator().manual_seed(s)
    keys = torch.randn(1, 2, s, 4, generator=generator)
    kept, _, stays = evicted(keys, keys, torch.randn(1, 2, 3, s, generator=generator), budget)
    assert kept.shape[2] == min(s, budget.size)
    assert bool((stays.diff(dim=-1) > 0).all())
    assert torch.equal(kept[0, 1], keys[0, 1, stays[0, 1]])


@pytest.mark.parametrize("file", vector_files("spatten_kv"))
def test_spatten_evicts_what_the_reference_evicts(file):
    case, params = read(file)
    budget = CacheBudget(params["start"], params["important"], params["recent"])
    keys, values, _ = evicted(
        case["in_k"], case["in_v"], case["in_scores"], budget, coming=params["num_coming"]
    )
    torch.testing.assert_close(keys, case["out_k"], rtol=0, atol=0)
    torch.testing.assert_close(values, case["out_v"], rtol=0, atol=0)


@pytest.mark.parametrize("file", vector_files("spatten_kv", folder=SECOND))
def test_tokens_that_are_about_to_come_have_room_as_in_the_reference(file):
    case, params = read(file)
    budget = CacheBudget(params["first"], params["important"], params["recent"])
    states = (case[name][None] for name in ("in_k", "in_v", "in_scores"))
    keys, values, _ = evicted(*states, budget, coming=params["coming"])
    assert torch.equal(keys[0], case["out_k"])
    assert torch.equal(values[0], case["out_v"])


def test_heads_are_ranked_by_the_size_of_their_output():
    outputs = torch.tensor([[[1.0, -2.0]], [[0.5, 0.5]], [[0.0, 2.0]]])
    assert important_heads(outputs, 2).tolist() == [0, 2]


def test_each_key_head_keeps_the_entries_that_it_attends_to():
    keys = torch.zeros(2, 6, 4)
    keys[0, 2, 0] = keys[1, 4, 0] = 9
    query = torch.zeros(2, 1, 4)
    query[:, :, 0] = 9
    view = CacheView(keys, keys, torch.arange(1, 5), query, torch.tensor([5]))
    assert SpattenKv(share=0.25).keep(view).tolist() == [[0, 2, 5], [0, 4, 5]]
