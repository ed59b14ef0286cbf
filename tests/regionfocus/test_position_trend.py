"""What a position explains of attention is found in spite of peaks, and nothing is found else."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from regionfocus_toys import ToyEncoder

from geofovea.regionfocus.position_trend import strong_trends
from geofovea.tiling.pyramid import Pyramid

PYRAMID = Pyramid(64, 64, 32)
TOKENS = ToyEncoder(PYRAMID)(list(PYRAMID.tiles(0)))
COUNT = len(TOKENS)
X, Y = (TOKENS.boxes_scene[:, :2] / 64).float().unbind(1)
ALONG = torch.linspace(0, 1, COUNT)


def noise(seed, scale=1.0):
    return scale * torch.randn(1, COUNT, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "trend", [8 * X, -8 * Y, 8 * ALONG, 16 * (X - 0.5) ** 2, 8 * X - 8 * ALONG**2, 16 * X * Y]
)
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_trend_is_found_although_some_tokens_are_peaks(trend, seed):
    logits = trend + noise(seed, 0.3)
    logits[:, [5, 20, 40]] += 30
    found = strong_trends(logits, TOKENS)[0]
    error = found - (trend - trend.mean())
    assert float(error.abs().amax()) < 0.15 * float(trend.max() - trend.min())


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_noise_has_no_trend(seed):
    assert not strong_trends(noise(seed), TOKENS).any()


def test_a_trend_that_explains_little_is_left_in():
    # the variance of 0.4 * x is a seventieth of the noise's
    assert not strong_trends(0.4 * X + noise(1), TOKENS).any()


def test_each_row_has_a_trend_of_its_own():
    logits = torch.cat([8 * X + noise(0, 0.1), noise(1), -8 * Y + noise(2, 0.1)])
    found = strong_trends(logits, TOKENS)
    alone = torch.cat([strong_trends(row[None], TOKENS) for row in logits])
    torch.testing.assert_close(found, alone)
    assert [bool(row.any()) for row in found] == [True, False, True]


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11])
def test_few_tokens_have_no_trend_of_ten_numbers(count):
    few = TOKENS.select(torch.arange(count))
    found = strong_trends(8 * X[None, :count] + noise(0)[:, :count], few)
    assert found.shape == (1, count)
    assert bool(torch.isfinite(found).all())
    if count <= 10:
        assert not found.any()


def test_equal_shares_have_no_trend():
    assert not strong_trends(torch.full((2, COUNT), -3.0), TOKENS).any()
