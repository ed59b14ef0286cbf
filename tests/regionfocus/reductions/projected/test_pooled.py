"""Pooling and M3: recorded numbers, worked examples, bounds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import close, load, near, noise, vector_files

from geofovea.errors import GeometryError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.projected.pooled import M3, Pooled, m3_scales


@pytest.mark.parametrize("path", vector_files("m3_pool"))
def test_m3_scales_are_those_of_the_released_code(path):
    _, inputs, outputs = load(path)
    scales = m3_scales(inputs["x"], round(len(inputs["x"]) ** 0.5))
    assert {f"s{count}" for count in scales} == set(outputs)
    for count, scale in scales.items():
        close(scale, outputs[f"s{count}"])


def test_m3_is_that_of_the_worked_example_and_refuses_what_is_no_square():
    x = torch.arange(16.0)[:, None]
    scales = m3_scales(x, 4)
    near(scales[4][:, 0], [2.5, 4.5, 10.5, 12.5])
    near(scales[1][:, 0], [7.5])
    kept = M3().reduce(TokenContext(x, grid=(4, 4)), 5)
    near(kept.features[:, 0], [2.5, 4.5, 10.5, 12.5])
    assert kept.sizes.tolist() == [4] * 4
    with pytest.raises(GeometryError, match="15 tokens are not a grid of 4 x 4"):
        m3_scales(x[:15], 4)


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_pooling_conserves_mass_within_the_budget(height, width, data):
    n = height * width
    x = noise(n, 3, seed=n)
    k = data.draw(st.integers(1, n))
    for kept in (m().reduce(TokenContext(x, grid=(height, width)), k) for m in (Pooled, M3)):
        if k < n:
            assert 1 <= len(kept.index) <= k
            assert torch.equal(kept.groups[kept.index], torch.arange(len(kept.index)))
            near(kept.sizes.double() @ kept.features.double(), x.double().sum(dim=0), atol=1e-4)
