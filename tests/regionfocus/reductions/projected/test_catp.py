"""CATP among projected tokens: recorded numbers, worked examples, bounds."""

from itertools import combinations

import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import TEXT, X, near, noise

from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.similarity import cosine_matrix
from geofovea.regionfocus.reductions.projected.catp import Catp, alignment, catp_order


def coverage(x, text, index, lambda1=0.7):
    table = (cosine_matrix(x) + 1) / 2
    return float(table[:, index].amax(dim=1).sum() + lambda1 * alignment(x, text)[index].sum())


def test_catp_is_that_of_the_worked_example():
    expected = [0.5488, 0.55927, 0.59759, 0.70112, 0.98795, 0.67082, 0.5, 0.9946]
    near(alignment(X, TEXT), expected)
    assert catp_order(X, TEXT, 3).tolist() == [5, 4, 6]
    context = TokenContext(X, text_embeds=torch.stack([2 * TEXT, torch.zeros(3)]))
    assert Catp().reduce(context, 3).index.tolist() == [4, 5, 6]


@given(st.integers(2, 8), st.integers(0, 999), st.data())
def test_catp_covers_nearly_as_well_as_the_best_choice(n, seed, data):
    x, text = noise(n, 3, seed=seed), noise(3, seed=seed + 1)
    k = data.draw(st.integers(1, n))
    best = max(coverage(x, text, list(c)) for c in combinations(range(n), k))
    assert coverage(x, text, catp_order(x, text, k).tolist()) >= (1 - 2.71828**-1) * best


@given(st.integers(1, 40), st.integers(0, 999))
def test_lazy_gains_choose_as_all_gains_would(n, seed):
    x, text = noise(n, 3, seed=seed), noise(3, seed=seed + 1)
    order = catp_order(x, text, n).tolist()
    assert sorted(order) == list(range(n))
    gains = [coverage(x, text, order[: i + 1]) for i in range(n)]
    for step in range(1, n):
        others = [coverage(x, text, [*order[:step], j]) for j in order[step:]]
        assert gains[step] >= max(others) - 1e-3


def test_catp_breaks_ties_by_index_and_leaves_broken_tokens_for_last():
    assert catp_order(torch.ones(5, 3), TEXT, 4).tolist() == [0, 1, 2, 3]
    assert catp_order(X, torch.zeros(3), 8).unique().tolist() == list(range(8))
    broken = torch.cat([torch.full((1, 3), torch.nan), X])
    assert catp_order(broken, TEXT, 9).tolist()[-1] == 0
