"""Matching of tokens that merge, in blocks and unit by unit."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from geofovea.regionfocus.reductions.encoder.crossget import crossget_match
from geofovea.regionfocus.reductions.encoder.tome import best_of_odd
from geofovea.regionfocus.reductions.primitives import merging
from geofovea.regionfocus.reductions.primitives.similarity import unit_rows

seeds = st.integers(0, 999)


def test_matching_in_blocks_finds_what_matching_at_once_finds(monkeypatch):
    metric = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    whole = best_of_odd(metric), crossget_match(metric, torch.rand(50), 0)
    at_once = best_of_odd(metric)
    monkeypatch.setattr(merging, "_BLOCK", 60)
    for one, other in zip(best_of_odd(metric), at_once, strict=True):
        torch.testing.assert_close(one, other)
    assert not len(whole[1][0])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), seeds)
def test_matching_unit_by_unit_finds_what_a_mask_over_all_pairs_finds(a, b, units, seed):
    made = torch.Generator().manual_seed(seed)
    rows, others = (unit_rows(torch.randn(n, 4, generator=made)) for n in (a, b))
    of_row, of_other = (torch.randint(0, units, (n,), generator=made) for n in (a, b))
    forbidden = torch.rand(a, b, generator=made) < 0.2

    def may(row, other):
        return ~forbidden[row[:, None], other]

    def masked(row, other):
        return may(row, other) & (of_row[row, None] == of_other[other])

    best, place = merging.nearest(rows, others, may, (of_row, of_other))
    expected, expected_place = merging.nearest(rows, others, masked)
    torch.testing.assert_close(best, expected)
    found = best > -torch.inf
    assert torch.equal(place[found], expected_place[found])
