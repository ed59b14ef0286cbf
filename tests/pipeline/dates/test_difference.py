"""Distances agree with the textbook's, and stand out where something happened."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.pipeline.dates.change_focus import change_masses
from geofovea.pipeline.dates.difference import ChangeScale, mahalanobis


def textbook(differences, seen, shrinkage):
    """With the matrix itself, in the space of the features."""
    moment = seen.T @ seen / len(seen)
    mean = moment.diagonal().mean()
    moment = moment + shrinkage * mean * torch.eye(seen.shape[1], dtype=torch.float64)
    return (differences * torch.linalg.solve(moment, differences.T).T).sum(1).sqrt()


@given(st.integers(1, 60), st.integers(1, 60), st.integers(2, 80), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_distances_are_those_of_mahalanobis(n, m, d, seed):
    rng = torch.Generator().manual_seed(seed)
    differences, seen = (torch.randn(k, d, generator=rng, dtype=torch.float64) for k in (n, m))
    torch.testing.assert_close(
        mahalanobis(differences, seen, 0.3), textbook(differences, seen, 0.3)
    )


@given(st.integers(1, 20), st.integers(2, 40), st.integers(2, 60), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_places_that_are_near_are_left_out_of_the_spread(n, m, d, seed):
    rng = torch.Generator().manual_seed(seed)
    seen = torch.randn(m, d, generator=rng, dtype=torch.float64)
    others = torch.randn(n, d, generator=rng, dtype=torch.float64)
    differences = torch.cat([others, seen[: m // 2]])
    near = torch.stack([torch.randperm(m, generator=rng)[:5] for _ in differences])
    near[torch.rand(near.shape, generator=rng) < 0.3] = -1
    ridge = 0.3 * seen.square().mean()
    expected = []
    for difference, left_out in zip(differences, near.tolist(), strict=True):
        rest = seen[[row for row in range(m) if row not in left_out]]
        total = rest.T @ rest + m * ridge * torch.eye(d, dtype=torch.float64)
        square = difference @ torch.linalg.solve(total, difference)
        expected.append((len(rest) * square).sqrt())
    torch.testing.assert_close(mahalanobis(differences, seen, 0.3, near), torch.stack(expected))


def test_a_change_among_few_tiles_does_not_hide_behind_itself():
    """Its four cells would widen the spread: none of them lies farther out than half the root."""
    rng = torch.Generator().manual_seed(5)
    cells = torch.cartesian_prod(torch.arange(6), torch.arange(6)).repeat(7, 1)
    tiles = [number for number in range(7) for _ in range(36)]
    before = torch.randn(252, 64, generator=rng)
    # some tiles differ much more than others, so that far out is nothing unusual
    loud = torch.tensor([0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64]).repeat_interleave(36)
    after = before + loud[:, None] * torch.randn(252, 64, generator=rng)
    changed = [0, 1, 6, 7]
    after[changed] += 4 * torch.nn.functional.normalize(torch.randn(64, generator=rng), dim=0)
    distances = ChangeScale().distances(before, after, tiles, cells)
    assert distances[changed].min() > 252**0.5


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


def test_a_quarter_that_changed_in_one_way_stands_out_all_the_same():
    """What changed does not widen the spread by which it is measured."""
    rng = torch.Generator().manual_seed(4)
    before = torch.randn(80, 32, generator=rng)
    after = before + 0.05 * torch.randn(80, 32, generator=rng)
    after[:20] += 3 * torch.nn.functional.normalize(torch.randn(32, generator=rng), dim=0)
    distances = ChangeScale().distances(before, after)
    assert distances[:20].mean() > 2.5 * distances[20:].mean()


def test_bounded_memory_and_strange_numbers_do_no_harm():
    scale = ChangeScale()
    for _ in range(3):
        before = torch.randn(800, 8)
        after = before.clone()
        after[0] = float("nan")
        after[1] = 0
        distances = scale.distances(before, after)
        assert bool(torch.isfinite(distances).all())
    assert len(scale._sample) <= 1024
    assert len(scale.distances(torch.zeros(0, 8), torch.zeros(0, 8))) == 0


def test_masses_fall_on_what_stands_out_and_shows_at_all_dates():
    distances = torch.tensor([1.0, 1.1, 0.9, 1.0, 9.0, 9.0, 1.05])
    shows = torch.tensor([True, True, True, True, True, False, True])
    masses = change_masses(distances, shows)
    assert int(masses.argmax()) == 4
    assert float(masses[4]) / float(masses.sum()) > 0.99
    assert float(masses[5]) == 0
    assert not change_masses(distances, torch.zeros(7, dtype=torch.bool)).any()
