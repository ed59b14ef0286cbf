"""TokenCorr: recorded numbers, worked examples, bounds."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import CLS, X, noise

from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.projected.tokencorr import (
    TokenCorr,
    alike_counts,
    density,
    sample_by_layers,
)


def test_density_is_that_of_the_worked_example():
    assert alike_counts(X).tolist() == [1, 1, 1, 1, 1, 0, 0, 1]
    assert density(X) == 0.25
    assert sample_by_layers(CLS, CLS, 2).tolist() == [1, 5]
    context = TokenContext(X, cls_attention={3: CLS[None], 22: CLS[None]})
    assert TokenCorr(adaptive=True).reduce(context, 7).index.tolist() == [1, 5]


@given(st.integers(1, 20), st.integers(0, 999))
def test_every_token_twice_has_no_density_left(n, seed):
    keys = noise(n, 4, seed=seed)
    assert 0 <= density(keys) <= 1
    assert density(torch.cat([keys, keys])) == 0


def test_a_tile_that_repeats_itself_gets_fewer_tokens():
    keys = torch.cat([torch.ones(16, 8), noise(16, 8, seed=1)])
    attention = {22: torch.rand(2, 32, generator=torch.Generator().manual_seed(2))}
    tiles = torch.arange(32) // 16
    context = TokenContext(keys, tile_index=tiles, keys=keys, cls_attention=attention)
    shares = TokenCorr().reduce(context, 10).info["per_tile"]
    assert sum(shares.values()) == 10
    assert shares[0] <= 1 < shares[1]
