"""DivPrune: recorded numbers, worked examples, bounds."""

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import X, load, near, noise, vector_files

from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.similarity import cosine_matrix
from geofovea.regionfocus.reductions.projected.divprune import DivPrune, divprune_order


def to_nearest(x):
    """Cosine distance of each token to its nearest other."""
    return (1 - cosine_matrix(x)).fill_diagonal_(torch.inf).amin(dim=1)


def test_divprune_is_that_of_the_worked_example():
    first = [0.00612, 0.00612, 0.02381, 0.02381, 0.02951, 0.22682, 0.9005, 0.02951]
    near(to_nearest(X), first)
    assert divprune_order(X, 4).tolist() == [6, 0, 2, 4]
    assert DivPrune().reduce(TokenContext(X), 4).index.tolist() == [0, 2, 4, 6]
    assert DivPrune().reduce(TokenContext(X), 1).index.tolist() == [6]


@pytest.mark.parametrize("path", vector_files("divprune_"))
def test_divprune_picks_in_the_order_of_the_released_code(path):
    params, inputs, outputs = load(path)
    found = divprune_order(inputs["tokens"], params["k"])
    assert found.tolist() == outputs["selected_in_greedy_order"].tolist()


@given(st.integers(2, 8), st.integers(2, 3), st.integers(0, 999), st.data())
def test_divprune_is_half_as_good_as_the_best_choice_in_the_chord_metric(n, d, seed, data):
    x = noise(n, d, seed=seed)
    k = data.draw(st.integers(2, n))
    distance = (1 - cosine_matrix(x)).clamp_min(0).fill_diagonal_(9)

    def least(index):
        return float(distance[index][:, index].min())

    best = max(least(list(c)) for c in combinations(range(n), k))
    found = least(divprune_order(x, k).tolist())
    assert (2 * found) ** 0.5 >= 0.5 * (2 * best) ** 0.5 - 1e-3
    assert found >= 0.25 * best - 1e-5
