"""Distances agree with the textbook's, and stand out where something happened."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.pipeline.dates.change_focus import change_masses
from geofovea.pipeline.dates.difference import ChangeScale


def textbook(before, after, shrinkage):
    """With the matrix itself, in the space of the features."""
    unit = [x.double() / x.double().norm(dim=1, keepdim=True) for x in (before, after)]
    d = unit[1] - unit[0]
    d = d - d.median(dim=0).values
    moment = d.T @ d / len(d)
    mean = moment.diagonal().mean()
    moment = moment + shrinkage * mean * torch.eye(d.shape[1], dtype=torch.float64)
    return (d * torch.linalg.solve(moment, d.T).T).sum(1).sqrt()


@given(st.integers(3, 60), st.integers(2, 80), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_distances_are_those_of_mahalanobis(n, d, seed):
    rng = torch.Generator().manual_seed(seed)
    before = torch.randn(n, d, generator=rng)
    after = before + 0.1 * torch.randn(n, d, generator=rng)
    ours = ChangeScale(0.3).distances(before, after)
    torch.testing.assert_close(ours, textbook(before, after, 0.3).float(), rtol=1e-3, atol=1e-4)


def test_a_change_stands_out_of_noise_that_is_larger_than_it():
    """The noise lies in few directions, as that of an encoder; the change does not."""
    rng = torch.Generator().manual_seed(1)
    before = torch.randn(300, 64, generator=rng)
    noisy = torch.randn(4, 64, generator=rng)
    after = before + 0.3 * torch.randn(300, 4, generator=rng) @ noisy
    after[17] += 6 * torch.nn.functional.normalize(torch.randn(64, generator=rng), dim=0)
    distances = ChangeScale().distances(before, after)
    assert int(distances.argmax()) == 17
    plain = (after - before).norm(dim=1)
    assert int(plain.argmax()) != 17


@pytest.mark.parametrize("gain", [0.25, 3.0])
def test_longer_tokens_are_no_change(gain):
    before = torch.randn(50, 16, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(ChangeScale().distances(before, gain * before), torch.zeros(50))


def test_scales_remember_what_earlier_looks_differed_by():
    """A later look of one tile that changed as a whole is measured by the looks before it."""
    rng = torch.Generator().manual_seed(3)
    before = torch.randn(200, 32, generator=rng)
    scale = ChangeScale()
    quiet = scale.distances(before, before + 0.05 * torch.randn(200, 32, generator=rng))
    other = torch.randn(10, 32, generator=rng)
    loud = scale.distances(before[:10], other)
    assert loud.min() > 1.5 * quiet.max()


def test_bounded_memory_and_strange_numbers_do_no_harm():
    scale = ChangeScale()
    for _ in range(3):
        before = torch.randn(800, 8)
        after = before.clone()
        after[0] = float("nan")
        after[1] = 0
        distances = scale.distances(before, after)
        assert bool(torch.isfinite(distances).all())
    assert len(scale._seen) <= 1024
    assert len(scale.distances(torch.zeros(0, 8), torch.zeros(0, 8))) == 0


def test_masses_fall_on_what_stands_out_and_shows_at_all_dates():
    distances = torch.tensor([1.0, 1.1, 0.9, 1.0, 9.0, 9.0, 1.05])
    shows = torch.tensor([True, True, True, True, True, False, True])
    masses = change_masses(distances, shows)
    assert int(masses.argmax()) == 4
    assert float(masses[4]) / float(masses.sum()) > 0.99
    assert float(masses[5]) == 0
    assert not change_masses(distances, torch.zeros(7, dtype=torch.bool)).any()
