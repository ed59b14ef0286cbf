"""Farthest-first picks: recorded numbers, worked examples, bounds."""

from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reduction_vectors import X, noise

from geofovea.regionfocus.reductions.primitives import dispersion
from geofovea.regionfocus.reductions.primitives.similarity import cosine_matrix, unit_rows
from geofovea.regionfocus.reductions.projected.divprune import divprune_order
from geofovea.regionfocus.reductions.projected.todre import todre_order


def to_nearest(x):
    """Cosine distance of each token to its nearest other."""
    return (1 - cosine_matrix(x)).fill_diagonal_(torch.inf).amin(dim=1)


def alike_neighbors(n, d, seed):
    """Runs of tokens that are alike, as those of a picture are, some of them equal."""
    made = torch.Generator().manual_seed(seed)
    runs = torch.randint(0, max(1, n // 7), (n,), generator=made).sort().values
    x = noise(n, d, seed=seed)[runs] + 0.3 * noise(n, d, seed=seed + 1)
    return torch.where(torch.rand(n, 1, generator=made) < 0.2, x.roll(1, 0), x)


@pytest.fixture(params=[False, True], ids=["few", "many"])
def blocks(request, monkeypatch):
    """Also with blocks so small that a few tokens fill many of them."""
    if request.param:
        for name, size in (("_BESIDE", 3), ("_AT_ONCE", 2), ("_CANDIDATES", 3)):
            monkeypatch.setattr(dispersion, name, size)


def steps_without_ties(x, order):
    """How many picks of a farthest-first order float32 can tell from the next best."""
    unit = torch.nn.functional.normalize(x.double(), dim=1)
    distance = 1 - unit @ unit.T
    for step in range(1, len(order) - 1):
        left = distance[order[step:]][:, order[:step]].amin(1).sort(descending=True).values
        if left[0] - left[1] < 1e-5:
            return step
    return len(order)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(1, 90), st.integers(2, 8), st.integers(0, 999))
def test_the_first_token_and_every_next_are_those_of_the_whole_table(blocks, n, d, seed):
    x = alike_neighbors(n, d, seed)
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
    twins = noise(20, 6, seed=0).repeat_interleave(2, 0)
    assert dispersion.most_isolated(unit_rows(twins), torch.zeros(40, dtype=torch.bool)) == 0
    corners = torch.eye(9)
    assert divprune_order(corners, 9).tolist() == list(range(9))
    assert dispersion.most_isolated(corners, torch.arange(9) < 4) == 4
    assert dispersion.most_isolated(corners, torch.ones(9, dtype=torch.bool)) == 0


@given(st.integers(1, 60), st.integers(2, 8), st.integers(0, 999))
def test_each_diverse_order_is_a_prefix_of_the_longer_one(n, d, seed):
    x = noise(n, d, seed=seed)
    whole = divprune_order(x, n).tolist()
    assert sorted(whole) == list(range(n))
    told = steps_without_ties(x, whole)
    for k in {1, n // 2, n - 1} - {0}:
        assert divprune_order(x, k).tolist()[:told] == whole[: min(k, told)]
        for criterion in ("kcenter", "maxsum"):
            order = todre_order(x, n, pivot=n // 2, criterion=criterion).tolist()
            assert sorted(order) == list(range(n))
            assert todre_order(x, k, pivot=n // 2, criterion=criterion).tolist() == order[:k]


@given(st.integers(3, 40), st.integers(0, 999))
def test_the_distances_of_the_picks_never_grow(n, seed):
    order = divprune_order(noise(n, 4, seed=seed), n)
    distance = 1 - cosine_matrix(noise(n, 4, seed=seed))
    gaps = [float(distance[order[i], order[:i]].min()) for i in range(1, n)]
    assert all(a >= b - 1e-5 for a, b in pairwise(gaps))


def test_parallel_tokens_wait_until_every_direction_is_chosen():
    directions = noise(5, 6, seed=1)
    x = torch.cat([directions, 3 * directions, 0.5 * directions])
    for order in (divprune_order(x, 5), todre_order(x, 5)):
        assert {i % 5 for i in order.tolist()} == set(range(5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_smooth_imagery_never_repeats_an_index(dtype):
    sea = (torch.ones(300, 64) + 1e-3 * noise(300, 64, seed=2)).to(dtype)
    assert len(set(divprune_order(sea, 150).tolist())) == 150
    assert torch.equal(divprune_order(sea, 150), divprune_order(sea.float(), 150))


def test_equal_tokens_are_taken_in_order_and_broken_ones_last():
    assert divprune_order(torch.ones(6, 3), 4).tolist() == [0, 1, 2, 3]
    broken = torch.cat([X, torch.full((1, 3), torch.nan), torch.zeros(1, 3)])
    assert divprune_order(broken, 10).tolist()[-1] == 8
    for criterion in ("kcenter", "maxsum"):
        assert todre_order(broken, 10, criterion=criterion).tolist()[-1] == 8
