"""Policies compared with their formulas in NumPy: shapes, types, groups of heads, and ties."""

import math

import numpy as np
import pytest
import torch

from geofovea.regionfocus.cache_policies.base import CacheView, attention_rows
from geofovea.regionfocus.cache_policies.compresskv import CompressKv
from geofovea.regionfocus.cache_policies.spatten import SpattenKv
from geofovea.regionfocus.cache_policies.tokenselect import TokenSelect
from geofovea.regionfocus.cache_policies.zipcache import ZipCache, salience

SHARES = (0.01, 0.07, 0.3, 0.5, 1.0)
# key heads, query heads to each, numbers of a head, vision tokens, words before and behind
SHAPES = [
    (1, 1, 2, 1, 0, 1),
    (1, 7, 5, 2, 3, 4),
    (2, 1, 8, 33, 1, 5),
    (3, 2, 5, 7, 0, 2),
    (2, 7, 8, 100, 2, 3),
]
KINDS = (torch.float32, torch.float16, torch.bfloat16)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)


class Cache:
    """A cache, and what each query head gives to each entry, computed by hand."""

    def __init__(self, shape, kind, *, ties=False):
        heads, group, dim, self.n, self.before, behind = shape
        made = torch.Generator().manual_seed(sum(shape))
        length = self.before + self.n + behind
        keys, values = (torch.randn(heads, length, dim, generator=made) for _ in range(2))
        if ties:
            keys = keys[:, :1].expand(heads, length, dim).clone()
        queries = torch.randn(heads * group, behind, dim, generator=made)
        rows = torch.arange(length - behind, length)
        visual = torch.arange(self.before, self.before + self.n)
        self.view = CacheView(keys.to(kind), values.to(kind), visual, queries.to(kind), rows)
        self.group = group
        weights = [self._weights(head) for head in range(heads * group)]
        self.attention = np.stack(weights)

    def _weights(self, head):
        view = self.view
        keys = view.keys[head // self.group].double().numpy()
        logits = view.queries[head].double().numpy() @ keys.T / math.sqrt(keys.shape[1])
        for row, place in zip(logits, view.rows.tolist(), strict=True):
            row[place + 1 :] = -np.inf
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    def by_key_head(self):
        """Sums over rows and over the query heads that share a key head, (key_heads, s)."""
        received = self.attention.sum(1)
        return received.reshape(-1, self.group, received.shape[1]).sum(1)

    def chosen(self, kept):
        """Which vision tokens are among some entries; the words all have to be."""
        first, end, length = self.before, self.before + self.n, self.view.length
        kept = kept.tolist()
        assert set(range(length)) - set(kept) <= set(range(first, end))
        return [place - first for place in kept if first <= place < end]


def at_least_one(share, n):
    return max(1, -(-round(share * 100) * n // 100))


def assert_best(chosen, scores, count):
    """As many as told, and none of the others is better."""
    assert len(chosen) == count
    others = np.delete(scores, chosen)
    assert not len(others) or others.max() <= scores[chosen].min() + 1e-4


@every_shape
@every_kind
def test_attention_and_salience_are_those_of_the_formulas(shape, kind):
    cache = Cache(shape, kind)
    view = cache.view
    found = attention_rows(view)
    np.testing.assert_allclose(found.numpy(), cache.attention, atol=1e-5)
    received, places = cache.by_key_head(), np.arange(view.length)
    seen_by = (view.rows.numpy()[:, None] >= places).sum(0)
    fixed = np.where(seen_by > 0, received / np.maximum(seen_by, 1), 0)
    heads = len(view.keys)
    np.testing.assert_allclose(salience(found, view.rows, key_heads=heads), fixed, atol=1e-4)
    released = salience(found, view.rows, key_heads=heads, divide_by="rows")
    np.testing.assert_allclose(released, received / (view.length - places), atol=1e-4)


@every_shape
@every_kind
@pytest.mark.parametrize("share", SHARES)
def test_what_stays_and_what_is_read_is_what_is_attended_to_most(shape, kind, share):
    cache = Cache(shape, kind)
    view, count = cache.view, at_least_one(share, cache.n)
    vision = slice(cache.before, cache.before + cache.n)
    scores = cache.attention.sum(1).mean(0)[vision]
    assert_best(cache.chosen(CompressKv(share=share).keep(view)), scores, count)
    for kept, own in zip(SpattenKv(share=share).keep(view), cache.by_key_head(), strict=True):
        assert_best(cache.chosen(kept), own[vision], count)
    keys = view.keys[:, view.visual]
    read = TokenSelect(share=share, least=1).read(view.queries[:, 0], keys)
    assert (read is None) == (count == cache.n)
    if read is not None:
        own = keys.double().numpy().repeat(cache.group, 0)
        query = view.queries[:, 0].double().numpy()
        logits = np.einsum("hnd,hd->hn", own, query) / math.sqrt(own.shape[2])
        powers = np.exp(logits - logits.max(1, keepdims=True))
        votes = (powers / powers.sum(1, keepdims=True)).sum(0)
        assert_best(read.tolist(), votes, count)


# a product of many entries rounds those at its end otherwise, so they are no longer alike
@pytest.mark.parametrize("shape", SHAPES[:-1], ids=str)
def test_of_entries_that_are_alike_the_first_are_taken(shape):
    cache = Cache(shape, torch.float32, ties=True)
    count = at_least_one(0.3, cache.n)
    first = list(range(count))
    read = TokenSelect(share=0.3, least=1).read(
        cache.view.queries[:, 0], cache.view.keys[:, cache.view.visual]
    )
    assert read is None or read.tolist() == first
    assert cache.chosen(CompressKv(share=0.3).keep(cache.view)) == first


@every_shape
@every_kind
def test_zipcache_is_off_by_half_a_step_of_its_part(shape, kind):
    cache = Cache(shape, kind)
    view = cache.view
    keys, values = (x.double().numpy() for x in ZipCache(share=0.3).store(view).restore())
    scores = salience(attention_rows(view), view.rows, key_heads=len(view.keys))
    rounding = 0 if kind == torch.float32 else 0.03
    for head, own in enumerate(scores[:, view.visual]):
        order = torch.argsort(own, stable=True).numpy()
        low = round(0.7 * cache.n)
        exact_keys, exact_values = (
            x[head, view.visual].double().numpy() for x in (view.keys, view.values)
        )
        channels = np.sqrt(np.abs(exact_values).max(0))
        for part, bits in ((order[:low], 2), (order[low:], 4)):
            if not len(part):
                continue
            step = np.ptp(exact_keys[part], 0) / (2**bits - 1)
            off = np.abs(keys[head, part] - exact_keys[part])
            assert (off <= step / 2 + rounding + 1e-4).all()
            scaled = exact_values[part] / channels
            step = np.ptp(scaled, 1)[:, None] / (2**bits - 1)
            off = np.abs(values[head, part] - exact_values[part]) / channels
            assert (off <= step / 2 + rounding + 1e-4).all()
