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
        assert (cache.nbytes, len(cache)) == (sum(len(v) for _, v in used), len(used))
    for key in range(5):
        assert cache.get(key) == dict(used).get(key)


def test_the_oldest_goes_first_and_a_look_makes_it_the_newest():
    cache = LruCache(6, len)
    for key in "abc":
        cache.put(key, key * 2)
    assert cache.get("a") == "aa"
    cache.put("d", "dd")
    assert [cache.get(key) for key in "abcd"] == ["aa", None, "cc", "dd"]


def test_a_value_beyond_the_limit_comes_back_and_is_not_held():
    cache = LruCache(3, len)
    cache.put("a", "aa")
    assert cache.put("b", "b" * 9) == "b" * 9
    assert (cache.get("a"), cache.get("b"), cache.nbytes) == ("aa", None, 2)
    # an earlier value under the key would be wrong from now on
    cache.put("a", "a" * 9)
    assert (cache.get("a"), cache.nbytes, len(cache)) == (None, 0, 0)


def test_what_is_put_again_takes_no_room_twice():
    cache = LruCache(6, len)
    cache.put("a", "aaaa")
    cache.put("a", "a")
    assert (cache.nbytes, len(cache)) == (1, 1)
