"""Spatten between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from decoder_toys import worked_attention
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import read, vector_files

from geofovea.regionfocus.reductions.decoder.spatten import (
    CacheBudget,
    cumulative_attention,
    evicted,
)
from geofovea.regionfocus.scoring import top_indices


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


def test_spatten_sums_are_those_of_the_worked_example():
    sums = cumulative_attention([worked_attention(8, causal=False)])
    expected = [1.60714, 1.92068, 1.98048, 1.78505, 3.07901, 2.1799, 1.84059, 1.60714]
    assert sums.tolist() == pytest.approx(expected, abs=1e-5)
    assert float(sums.sum()) == pytest.approx(16, abs=1e-5)
    assert top_indices(sums, 4).sort().values.tolist() == [1, 2, 4, 5]
