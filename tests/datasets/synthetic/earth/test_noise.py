"""Noise is a function of the place alone, smooth, and as large as it says."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.datasets.synthetic.earth.noise import fractal, hashed, smooth_noise
from geofovea.datasets.synthetic.earth.samples import Samples

few = settings(deadline=None, max_examples=40)


def test_hashes_are_evenly_spread_and_differ_between_neighbors():
    numbers = hashed(np.arange(-200, 200)[None], np.arange(-200, 200)[:, None], 7)
    assert len(np.unique(numbers)) > 0.9999 * numbers.size
    counts = np.bincount((numbers >> 28).ravel(), minlength=16)
    assert counts.min() > 0.95 * numbers.size / 16
    below = (numbers[:, 1:] > numbers[:, :-1]).mean()
    assert 0.49 < below < 0.51


@few
@given(st.integers(0, 2**40), st.floats(3, 5000), st.integers(-(10**6), 10**6))
def test_a_place_has_one_value_in_whatever_window(seed, wave, start):
    x, y = np.arange(start, start + 60) + 0.5, np.arange(-20, 30) + 0.5
    whole = smooth_noise(x, y, seed, wave)
    assert whole.dtype == np.float32
    assert np.abs(whole).max() <= 1
    assert (smooth_noise(x[7:31], y[5:9], seed, wave) == whole[5:9, 7:31]).all()


def test_noise_is_smooth_and_its_octaves_add_detail():
    x, y = np.arange(600.0), np.arange(500.0)
    plain, rich = smooth_noise(x, y, 3, 100), fractal(x, y, 3, 100, 4)
    steps = [np.abs(np.diff(field, axis=1)) for field in (plain, rich)]
    assert steps[0].max() < 2 * 1.5 / 100 + 1e-3
    assert steps[1].mean() > 1.5 * steps[0].mean()
    assert (fractal(x, y, 3, 100, 4, finest=60) == plain).all()


@few
@given(st.integers(-500, 500), st.integers(-500, 500), st.sampled_from([1, 2, 8, 64]))
def test_fields_at_samples_are_linear_between_nodes_and_equal_in_any_window(col, row, step):
    def plane(x, y):
        return (3 * x[None] - 2 * y[:, None]).astype(np.float32)

    samples = Samples(col, row, 50, 40, step)
    field = samples.field(plane)
    exact = plane(samples.x, samples.y)
    assert np.abs(field - exact).max() <= 1e-4 * max(1, np.abs(exact).max())
    part = Samples(col + 11, row + 5, 20, 9, step).field(plane)
    assert (part == field[5:14, 11:31]).all()


@few
@given(st.integers(0, 2**33), st.floats(40, 6000), st.integers(-(10**5), 10**5), st.integers(1, 5))
def test_few_places_have_the_values_that_they_have_among_many(seed, wave, start, octaves):
    x, y = np.arange(start, start + 1200, 16) + 0.5, np.arange(0.0, 1000, 13)
    many = fractal(x, y, seed, wave, octaves)
    assert (fractal(x[9:30], y[4:24], seed, wave, octaves) == many[4:24, 9:30]).all()
