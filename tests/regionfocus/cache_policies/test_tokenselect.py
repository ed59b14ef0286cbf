"""TokenSelect: recorded votes, and which entries win them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import SECOND, close, load, vector_files

from geofovea.regionfocus.cache_policies.tokenselect import TokenSelect, votes
from geofovea.regionfocus.scoring import top_indices


@pytest.mark.parametrize("file", vector_files("tokenselect", folder=SECOND))
def test_votes_and_choice_are_those_of_the_reference(file):
    params, inputs, outputs = load(file)
    first, last = params["n_init"], params["n_local"]
    query, every = inputs["q"].mean(0), inputs["keys"].transpose(0, 1)
    middle = every[:, first : every.shape[1] - last]
    released = votes(query, middle, "released")
    close(released, outputs["votes_released"], 1e-6)
    close(votes(query, middle), outputs["votes_fixed"], 1e-5)
    best = (top_indices(released, params["top_k"]) + first).tolist()
    ends = [*range(first), *range(every.shape[1] - last, every.shape[1])]
    assert sorted(best + ends) == sorted(outputs["kept"].tolist())


@given(st.integers(1, 50), st.integers(0, 999))
def test_votes_add_up_to_the_number_of_heads(n, seed):
    made = torch.Generator().manual_seed(seed)
    total = votes(torch.randn(6, 8, generator=made), torch.randn(2, n, 8, generator=made)).sum()
    assert float(total) == pytest.approx(6, abs=1e-4)


def test_with_a_key_head_for_each_head_both_forms_choose_alike():
    made = torch.Generator().manual_seed(4)
    # the release does not scale: a query of that length stands for the scaled one
    query, keys = torch.randn(4, 16, generator=made), torch.randn(4, 80, 16, generator=made)
    best = [top_indices(votes(query, keys), 5), top_indices(votes(query / 4, keys, "released"), 5)]
    assert len(set(best[0].tolist()) & set(best[1].tolist())) >= 4


def test_a_query_reads_the_entry_that_it_points_at():
    keys = torch.zeros(1, 200, 4)
    keys[0, 137, 2] = 30
    query = torch.tensor([[0.0, 0, 9, 0]])
    assert TokenSelect(share=0.001, least=1).read(query, keys).tolist() == [137]
