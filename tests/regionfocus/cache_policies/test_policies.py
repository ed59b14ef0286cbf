"""What every cache policy keeps to, over all that are registered."""

from dataclasses import fields, is_dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.errors import ModelError
from geofovea.regionfocus.cache_policies.base import CacheView, attention_rows
from geofovea.regionfocus.cache_policies.compresskv import CompressKv
from geofovea.regionfocus.cache_policies.plain import Plain
from geofovea.regionfocus.cache_policies.registry import CACHE_POLICY_NAMES, make_cache_policy
from geofovea.regionfocus.cache_policies.spatten import SpattenKv
from geofovea.regionfocus.cache_policies.tokenselect import TokenSelect
from geofovea.regionfocus.cache_policies.vidkv import VidKv
from geofovea.regionfocus.cache_policies.zipcache import ZipCache

EVERY = pytest.mark.parametrize("name", CACHE_POLICY_NAMES)
few = settings(max_examples=12)
counts, seeds = st.integers(1, 90), st.integers(0, 9999)


def cache(n, seed, *, with_question=True, groups=2, key_heads=2, dim=8):
    """Two words, ``n`` vision tokens, three words of a question."""
    made = torch.Generator().manual_seed(seed)
    s = n + 5
    keys, values = (torch.randn(key_heads, s, dim, generator=made) for _ in range(2))
    queries = torch.randn(key_heads * groups, 3, dim, generator=made)
    rows = torch.arange(s - 3, s)
    question = {"queries": queries, "rows": rows} if with_question else {}
    return CacheView(keys, values, torch.arange(2, 2 + n), **question)


@EVERY
@given(counts, seeds)
@few
def test_what_is_stored_comes_back_in_shape_and_order(name, n, seed):
    view = cache(n, seed, with_question=False)
    before = view.keys.clone(), view.values.clone()
    keys, values = make_cache_policy(name).store(view).restore()
    assert keys.shape == values.shape == (2, n, 8)
    # coarse codes are far off, but not as far as another entry would be
    assert float((keys - view.keys[:, view.visual]).abs().mean()) < 0.8
    assert torch.equal(view.keys, before[0])
    assert torch.equal(view.values, before[1])


@EVERY
@given(counts, seeds)
@few
def test_words_stay_and_vision_entries_stay_in_order(name, n, seed):
    view = cache(n, seed)
    for kept in torch.atleast_2d(make_cache_policy(name).keep(view)):
        assert set(view.words.tolist()) <= set(kept.tolist())
        assert bool((kept.diff() > 0).all())
        assert len(set(kept.tolist()) & set(view.visual.tolist())) >= 1


@EVERY
@given(st.integers(1, 400), seeds)
@few
def test_a_query_reads_some_entries_in_order_or_all(name, n, seed):
    view = cache(n, seed)
    index = make_cache_policy(name).read(view.queries[:, 0], view.keys[:, view.visual])
    if index is not None:
        assert 1 <= len(index) < n
        assert bool((index.diff() > 0).all())
        assert int(index[-1]) < n


@EVERY
def test_the_same_cache_is_treated_the_same_twice(name):
    first, second = (make_cache_policy(name).store(cache(70, 1)).restore() for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("policy", "bits"),
    # of a key and a value of 16 bits, with their scales; 64 tokens of 32 channels
    [(Plain(2), 3.0), (Plain(4), 5.0), (Plain(8), 9.0), (VidKv(), 2.6), (ZipCache(), 5.0)],
)
def test_stored_entries_take_the_bits_that_they_say(policy, bits):
    view = cache(64, 5, dim=32)
    half = CacheView(
        view.keys.bfloat16(), view.values.bfloat16(), view.visual, view.queries, view.rows
    )
    assert policy.store(half).nbytes * 8 / (2 * 2 * 64 * 32) <= bits


def tensors(value):
    """All tensors that a stored entry holds."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value if isinstance(value, tuple) else ()
    if is_dataclass(value):
        parts = [getattr(value, field.name) for field in fields(value)]
    return [each for part in parts for each in tensors(part)]


@EVERY
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("n", [1, 31, 70])
def test_bytes_are_those_of_all_tensors_and_numbers_come_back_in_their_type(name, kind, n):
    whole = cache(n, 4)
    view = CacheView(
        whole.keys.to(kind), whole.values.to(kind), whole.visual, whole.queries, whole.rows
    )
    stored = make_cache_policy(name).store(view)
    assert stored.nbytes == sum(each.numel() * each.element_size() for each in tensors(stored))
    full = make_cache_policy(name).store(whole).restore()
    pairs = zip(stored.restore(), full, (whole.keys, whole.values), strict=True)
    for back, wide, exact in pairs:
        assert back.dtype == kind
        assert back.shape == (2, n, 8)
        # what is coded from two bytes is hardly further off than what is coded from four
        off, least = ((x.float() - exact[:, view.visual]).abs().mean() for x in (back, wide))
        assert off <= least + 0.02


@pytest.mark.parametrize("policy", [CompressKv(share=1), SpattenKv(share=1)])
def test_a_full_share_keeps_everything(policy):
    view = cache(20, 2)
    for kept in torch.atleast_2d(policy.keep(view)):
        assert kept.tolist() == list(range(25))


def test_a_full_share_reads_everything():
    view = cache(400, 2)
    assert TokenSelect(share=1).read(view.queries[:, 0], view.keys[:, view.visual]) is None


def test_attention_of_shown_rows_is_that_of_torch():
    view = cache(9, 7)
    every = torch.randn(4, 14, 8, generator=torch.Generator().manual_seed(1))
    every[:, 11:] = view.queries
    keys = view.keys.repeat_interleave(2, 0)
    # values that are the unit vectors read out the weights
    read = torch.nn.functional.scaled_dot_product_attention(
        every, keys, torch.eye(14).expand(4, -1, -1), is_causal=True
    )
    torch.testing.assert_close(attention_rows(view), read[:, 11:])


@pytest.mark.parametrize("name", ["compresskv", "spatten_kv"])
def test_a_policy_that_needs_the_question_says_so(name):
    with pytest.raises(ModelError, match="plain or vidkv"):
        make_cache_policy(name).keep(cache(9, 1, with_question=False))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_cache_policy("best"), "choose one of exact, plain"),
        (lambda: Plain(bits=3), "2, 4 or 8 bits"),
        (lambda: ZipCache(share=1.2), "between 0 and 1"),
        (lambda: VidKv(wide=2), "between 0 and 1"),
        (lambda: TokenSelect(share=0), "above 0"),
        (lambda: CompressKv(kernel=2), "odd"),
        (lambda: SpattenKv(share=2), "at most 1"),
        (
            lambda: CacheView(torch.zeros(2, 3, 4), torch.zeros(2, 3, 5), torch.arange(1)),
            "keys and",
        ),
        (lambda: CacheView(*[torch.zeros(2, 3, 4)] * 2, torch.arange(4)), "within 0..2"),
        (
            lambda: CacheView(
                *[torch.zeros(2, 3, 4)] * 2, torch.arange(1), torch.zeros(3, 1, 4), torch.zeros(1)
            ),
            "cannot share",
        ),
        (
            lambda: CacheView(*[torch.zeros(2, 3, 4)] * 2, torch.arange(1), torch.zeros(2, 1, 4)),
            "places",
        ),
    ],
)
def test_impossible_values_are_refused(make, message):
    with pytest.raises(ModelError, match=message):
        make()
