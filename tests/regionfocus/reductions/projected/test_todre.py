"""ToDRE among projected tokens: recorded numbers, worked examples, bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import CLS, X, noise

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.similarity import cosine_matrix
from geofovea.regionfocus.reductions.projected.divprune import DivPrune, divprune_order
from geofovea.regionfocus.reductions.projected.todre import ToDRE, todre_order


def test_todre_is_that_of_the_worked_example():
    assert todre_order(X, 4, pivot=5, criterion="maxsum").tolist() == [5, 6, 0, 4]
    assert todre_order(X, 4, pivot=5, criterion="kcenter").tolist() == [5, 6, 4, 0]
    context = TokenContext(X, cls_attention={22: CLS[None]})
    assert ToDRE().reduce(context, 4).index.tolist() == [0, 4, 5, 6]
    assert ToDRE().reduce(TokenContext(X), 2).info == {"pivot": "first"}


@given(st.integers(2, 40), st.integers(0, 999))
def test_each_pick_of_the_sum_rule_is_the_least_similar_one(n, seed):
    x = noise(n, 4, seed=seed)
    order, table = todre_order(x, n, criterion="maxsum"), cosine_matrix(x)
    for step in range(1, n):
        summed = table[order[:step]].sum(dim=0)
        assert float(summed[order[step]]) <= float(summed[order[step:]].min()) + 1e-4


def test_the_linear_first_pick_is_the_token_farthest_from_the_mean():
    assert divprune_order(X, 1, first="farthest_from_mean").tolist() == [6]
    assert len(DivPrune("farthest_from_mean").reduce(TokenContext(X), 5).index) == 5


def test_unknown_rules_are_refused():
    with pytest.raises(ModelError, match="'kcenter' and 'maxsum', got 'sum'"):
        ToDRE("sum")
    with pytest.raises(ModelError, match="starts at 'isolated'"):
        DivPrune("random")
