"""Schedule between decoder layers: recorded numbers, worked examples, bounds."""

from hypothesis import given
from hypothesis import strategies as st

from geofovea.regionfocus.reductions.registry import DECODER_REDUCTION_NAMES, make_decoder_reduction

SCHEDULED = tuple(name for name in DECODER_REDUCTION_NAMES if name != "todre_drop_all")


@given(st.integers(1, 700), st.integers(3, 40), st.sampled_from(SCHEDULED), st.floats(0.01, 0.9))
def test_schedules_never_grow_and_end_where_they_are_bent_to(n, depth, name, share):
    schedule = make_decoder_reduction(name, share).schedule
    counts = schedule.counts(n, depth)
    left = list(counts.values())
    assert left == sorted(left, reverse=True)
    assert left[-1] == max(1, int(share * n + 0.5))
    assert all(1 <= layer < depth for layer in counts)
    assert list(counts) == sorted(counts)
