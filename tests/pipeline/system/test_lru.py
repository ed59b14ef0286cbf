"""What was used last stays, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from geofovea.pipeline.system.lru import ByteLru


def lru(limit):
    return ByteLru(limit, len)


def test_the_oldest_goes_first_and_a_look_makes_it_the_newest():
    cache = lru(6)
    for key in "abc":
        cache.put(key, key * 2)
    assert cache.get("a") == "aa"
    cache.put("d", "dd")
    assert [cache.get(key) for key in "abcd"] == ["aa", None, "cc", "dd"]


def test_the_newest_is_kept_whatever_it_takes():
    cache = lru(3)
    cache.put("a", "aa")
    assert cache.put("b", "b" * 9) == "b" * 9
    assert (cache.get("a"), cache.get("b"), cache.nbytes) == (None, "b" * 9, 9)


def test_what_is_put_again_or_dropped_takes_no_room_twice():
    cache = lru(6)
    cache.put("a", "aaaa")
    cache.put("a", "a")
    assert (cache.nbytes, len(cache)) == (1, 1)
    cache.drop("a")
    cache.drop("nothing")
    assert (cache.nbytes, len(cache), cache.get("a")) == (0, 0, None)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 4))), st.integers(0, 9))
def test_it_is_what_a_plain_list_in_order_of_use_would_be(steps, limit):
    cache, plain = lru(limit), OrderedDict()
    for is_put, key, size in steps:
        if is_put:
            cache.put(key, "x" * size)
            plain.pop(key, None)
            plain[key] = size
            while sum(plain.values()) > limit and len(plain) > 1:
                plain.popitem(last=False)
        elif cache.get(key) is not None:
            plain.move_to_end(key)
        assert list(cache._values) == list(plain)
        assert cache.nbytes == sum(plain.values())
