"""Schedule inside an encoder: recorded numbers, worked examples, bounds."""

from hypothesis import given
from hypothesis import strategies as st

from geofovea.regionfocus.reductions.encoder.schedule import (
    acting_layers,
    geometric_counts,
    steady_counts,
)


@given(st.integers(2, 600), st.integers(1, 599), st.integers(1, 30))
def test_schedules_fall_to_exactly_the_budget(n, k, steps):
    k = min(k, n - 1)
    for counts in (geometric_counts(n, k, steps), steady_counts(n, k, steps)):
        assert len(counts) == steps
        assert list(counts) == sorted(counts, reverse=True)
        assert counts[-1] == k
        assert counts[0] <= n


def test_methods_of_few_steps_act_at_the_quarters():
    assert acting_layers(12) == (3, 6, 9)
    assert acting_layers(1) == (0,)
    assert acting_layers(12, (5, 2)) == (2, 5)
