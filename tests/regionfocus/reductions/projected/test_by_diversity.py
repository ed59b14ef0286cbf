"""Reductions by diversity of features: recorded numbers, worked examples, bounds."""

from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reduction_vectors import CLS, X, load, near, vector_files

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives import dispersion
from geofovea.regionfocus.reductions.primitives.similarity import cosine_matrix, unit_rows
from geofovea.regionfocus.reductions.projected.divprune import DivPrune, divprune_order
from geofovea.regionfocus.reductions.projected.todre import ToDRE, todre_order


def noise(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


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


def steps_without_ties(x, order):
    """How many picks of a farthest-first order float32 can tell from the next best."""
    unit = torch.nn.functional.normalize(x.double(), dim=1)
    distance = 1 - unit @ unit.T
    for step in range(1, len(order) - 1):
        left = distance[order[step:]][:, order[:step]].amin(1).sort(descending=True).values
        if left[0] - left[1] < 1e-5:
            return step
    return len(order)


def alike_neighbours(n, d, seed):
    """Runs of tokens that are alike, as those of a picture are, some of them equal."""
    made = torch.Generator().manual_seed(seed)
    runs = torch.randint(0, max(1, n // 7), (n,), generator=made).sort().values
    x = noise(n, d, seed)[runs] + 0.3 * noise(n, d, seed + 1)
    return torch.where(torch.rand(n, 1, generator=made) < 0.2, x.roll(1, 0), x)


@pytest.fixture(params=[False, True], ids=["few", "many"])
def blocks(request, monkeypatch):
    """Also with blocks so small that a few tokens fill many of them."""
    if request.param:
        for name, size in (("_BESIDE", 3), ("_AT_ONCE", 2), ("_CANDIDATES", 3)):
            monkeypatch.setattr(dispersion, name, size)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(1, 90), st.integers(2, 8), st.integers(0, 999))
def test_the_first_token_and_every_next_are_those_of_the_whole_table(blocks, n, d, seed):
    x = alike_neighbours(n, d, seed)
    unit, broken = unit_rows(x), torch.rand(n) < 0.1
    distance = to_nearest(x).masked_fill(broken, -1)
    first = dispersion.most_isolated(unit, broken)
    # below 1e-6 all distances are zero, and float32 is off by a few 1e-7
    assert float(distance[first]) >= float(distance.max()) - 2e-6
    order = dispersion.farthest_first(unit, broken, first, n)
    assert sorted(order.tolist()) == list(range(n))
    table = 1 - unit @ unit.T
    for step in range(1, n):
        gap = table[order[step:]][:, order[:step]].amin(dim=1).masked_fill(broken[order[step:]], -1)
        assert float(gap[0]) >= float(gap.max()) - 2e-6


def test_of_equally_isolated_tokens_the_first_is_taken(blocks):
    twins = noise(20, 6, 0).repeat_interleave(2, 0)
    assert dispersion.most_isolated(unit_rows(twins), torch.zeros(40, dtype=torch.bool)) == 0
    corners = torch.eye(9)
    assert divprune_order(corners, 9).tolist() == list(range(9))
    assert dispersion.most_isolated(corners, torch.arange(9) < 4) == 4
    assert dispersion.most_isolated(corners, torch.ones(9, dtype=torch.bool)) == 0


@given(st.integers(1, 60), st.integers(2, 8), st.integers(0, 999))
def test_each_diverse_order_is_a_prefix_of_the_longer_one(n, d, seed):
    x = noise(n, d, seed)
    whole = divprune_order(x, n).tolist()
    assert sorted(whole) == list(range(n))
    told = steps_without_ties(x, whole)
    for k in {1, n // 2, n - 1} - {0}:
        assert divprune_order(x, k).tolist()[:told] == whole[: min(k, told)]
        for criterion in ("kcenter", "maxsum"):
            order = todre_order(x, n, pivot=n // 2, criterion=criterion).tolist()
            assert sorted(order) == list(range(n))
            assert todre_order(x, k, pivot=n // 2, criterion=criterion).tolist() == order[:k]


@given(st.integers(2, 8), st.integers(2, 3), st.integers(0, 999), st.data())
def test_divprune_is_half_as_good_as_the_best_choice_in_the_chord_metric(n, d, seed, data):
    x = noise(n, d, seed)
    k = data.draw(st.integers(2, n))
    distance = (1 - cosine_matrix(x)).clamp_min(0).fill_diagonal_(9)

    def least(index):
        return float(distance[index][:, index].min())

    best = max(least(list(c)) for c in combinations(range(n), k))
    found = least(divprune_order(x, k).tolist())
    assert (2 * found) ** 0.5 >= 0.5 * (2 * best) ** 0.5 - 1e-3
    assert found >= 0.25 * best - 1e-5


@given(st.integers(3, 40), st.integers(0, 999))
def test_the_distances_of_the_picks_never_grow(n, seed):
    order = divprune_order(noise(n, 4, seed), n)
    distance = 1 - cosine_matrix(noise(n, 4, seed))
    gaps = [float(distance[order[i], order[:i]].min()) for i in range(1, n)]
    assert all(a >= b - 1e-5 for a, b in pairwise(gaps))


def test_parallel_tokens_wait_until_every_direction_is_chosen():
    directions = noise(5, 6, 1)
    x = torch.cat([directions, 3 * directions, 0.5 * directions])
    for order in (divprune_order(x, 5), todre_order(x, 5)):
        assert {i % 5 for i in order.tolist()} == set(range(5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_smooth_imagery_never_repeats_an_index(dtype):
    sea = (torch.ones(300, 64) + 1e-3 * noise(300, 64, 2)).to(dtype)
    assert len(set(divprune_order(sea, 150).tolist())) == 150
    assert torch.equal(divprune_order(sea, 150), divprune_order(sea.float(), 150))


def test_equal_tokens_are_taken_in_order_and_broken_ones_last():
    assert divprune_order(torch.ones(6, 3), 4).tolist() == [0, 1, 2, 3]
    broken = torch.cat([X, torch.full((1, 3), torch.nan), torch.zeros(1, 3)])
    assert divprune_order(broken, 10).tolist()[-1] == 8
    for criterion in ("kcenter", "maxsum"):
        assert todre_order(broken, 10, criterion=criterion).tolist()[-1] == 8


def test_todre_is_that_of_the_worked_example():
    assert todre_order(X, 4, pivot=5, criterion="maxsum").tolist() == [5, 6, 0, 4]
    assert todre_order(X, 4, pivot=5, criterion="kcenter").tolist() == [5, 6, 4, 0]
    context = TokenContext(X, cls_attention={22: CLS[None]})
    assert ToDRE().reduce(context, 4).index.tolist() == [0, 4, 5, 6]
    assert ToDRE().reduce(TokenContext(X), 2).info == {"pivot": "first"}


@given(st.integers(2, 40), st.integers(0, 999))
def test_each_pick_of_the_sum_rule_is_the_least_similar_one(n, seed):
    x = noise(n, 4, seed)
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
