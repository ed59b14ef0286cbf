"""A cache within its bytes: what was used last is there, and nothing beyond the limit."""

from hypothesis import given
from hypothesis import strategies as st

from geofovea.tiling.machine.lru import LruCache

KEYS = st.integers(0, 4)
STEPS = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=6)), max_size=40)


@given(STEPS, st.integers(1, 12))
def test_it_holds_what_was_used_last_within_its_limit(steps, limit):
    cache, used = LruCache(limit, len), []
    for key, value in steps:
        if value is None:
            known = dict(used)
            assert cache.get(key) == known.get(key)
            value = known.get(key)
            if value is None:
                continue
        used = [(k, v) for k, v in used if k != key]
        if len(value) <= limit:
            used.append((key, value))
        while sum(len(v) for _, v in used) > limit:
            used.pop(0)
        cache.put(key, value)
        assert cache.nbytes == sum(len(v) for _, v in used)
    for key in range(5):
        assert cache.get(key) == dict(used).get(key)
