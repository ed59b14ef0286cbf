"""Policies compared with their formulas in NumPy: shapes, types, groups of heads, and ties."""

import math

import numpy as np
import pytest
import torch
from cache_bytes import bytes_of_exact, bytes_of_plain, bytes_of_vidkv, bytes_of_zipcache

from geofovea.regionfocus.cache_policies.base import CacheView, ExactEntries, attention_rows
from geofovea.regionfocus.cache_policies.compresskv import CompressKv
from geofovea.regionfocus.cache_policies.plain import Plain
from geofovea.regionfocus.cache_policies.spatten import SpattenKv
from geofovea.regionfocus.cache_policies.tokenselect import TokenSelect
from geofovea.regionfocus.cache_policies.vidkv import VidKv, released_keys, released_values
from geofovea.regionfocus.cache_policies.zipcache import ZipCache, mixed_codes, salience

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


def even(values, bits, axes):
    """Even codes and back, in NumPy."""
    low, high = (pick(values, axis=axes, keepdims=True) for pick in (np.min, np.max))
    step = (high - low) / (2**bits - 1)
    codes = np.rint(np.divide(values - low, step, out=np.zeros_like(values), where=step > 0))
    return low + codes * step


@pytest.mark.parametrize("together", [False, True], ids=["fixed", "faithful"])
@pytest.mark.parametrize(
    ("shape", "unimportant"),
    [((1, 1, 3), 0), ((1, 1, 3), 1), ((3, 6, 5), 6), ((3, 6, 5), 0), ((2, 33, 8), 13)],
    ids=str,
)
def test_zipcache_gives_back_what_numpy_does(shape, unimportant, together):
    keys, values, scores = (
        torch.randn(shape[:axes], generator=torch.Generator().manual_seed(seed))
        for seed, axes in ((1, 3), (2, 3), (3, 2))
    )
    # of entries that are alike, the later are salient
    scores = scores.round()
    back = mixed_codes(keys, values, scores, unimportant, together=together).restore()
    order = np.argsort(scores.numpy(), axis=1, kind="stable")
    keys, values = keys.numpy(), values.numpy()
    channels = np.sqrt(np.abs(values).max(1, keepdims=True))
    made = np.zeros_like(keys), np.zeros_like(values)
    parts = ((order[:, :unimportant], 2), (order[:, unimportant:], 4))
    for part, bits in ((np.sort(index, 1), bits) for index, bits in parts if index.shape[1]):
        rows = np.arange(len(keys))[:, None]
        made[0][rows, part] = even(keys[rows, part], bits, 1)
        # the r-th entries of all heads share a scale where the release has it so
        axes = (0, 2) if together else 2
        made[1][rows, part] = even((values / channels)[rows, part], bits, axes)
    np.testing.assert_allclose(back[0].numpy(), made[0], atol=1e-5)
    np.testing.assert_allclose(back[1].numpy(), made[1] * channels, atol=1e-5)


# key heads, tokens, numbers of a head, and tokens of a group
GROUPED = [(1, 1, 2, 32), (2, 5, 1, 32), (1, 33, 5, 32), (3, 64, 8, 32), (2, 30, 7, 8)]


@pytest.mark.parametrize("shape", GROUPED, ids=str)
def test_vidkv_gives_back_what_numpy_does(shape):
    heads, n, dim, group = shape
    keys, values = (
        torch.randn(heads, n, dim, generator=torch.Generator().manual_seed(n + i)) for i in (0, 1)
    )
    view = CacheView(keys, values, torch.arange(n))
    back = [x.numpy() for x in VidKv(group=group).store(view).restore()]
    keys, values = keys.numpy(), values.numpy()
    size = n // -(-n // group)
    whole = n // size * size
    order = np.argsort(-np.ptp(keys, (0, 1)), kind="stable")
    wide, narrow = np.sort(order[: round(dim / 2)]), np.sort(order[round(dim / 2) :])
    made_keys, made_values = keys.copy(), values.copy()
    for first in range(0, whole, size):
        rows = slice(first, first + size)
        made_keys[:, rows, wide] = even(keys[:, rows][..., wide], 2, 1)
        own = values[:, rows]
        scale = np.abs(own).mean(1, keepdims=True)
        made_values[:, rows] = scale * np.where(np.abs(own) > scale / 2, np.sign(own), 0)
        spectrum = np.fft.rfft(keys[:, rows][..., narrow])
        signs = [
            np.where(part > 0, 1, -1) * np.abs(part).mean(1, keepdims=True)
            for part in (spectrum.real, spectrum.imag)
        ]
        made_keys[:, rows, narrow] = np.fft.irfft(signs[0] + 1j * signs[1], len(narrow))
    np.testing.assert_allclose(back[0], made_keys, atol=1e-4)
    np.testing.assert_allclose(back[1], made_values, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 4, 1, 4), (2, 6, 5, 3), (3, 64, 6, 32)], ids=str)
def test_vidkv_as_released_gives_back_what_numpy_does(shape):
    heads, n, dim, group = shape
    keys = torch.randn(heads, n, dim, generator=torch.Generator().manual_seed(n))
    back = released_keys(keys, 0.5, group).numpy(), released_values(keys, group).numpy()
    keys = keys.numpy()
    order = np.argsort(-np.ptp(keys, (0, 1)), kind="stable")
    wide, narrow = np.sort(order[: round(dim / 2)]), np.sort(order[round(dim / 2) :])
    made = np.empty_like(keys)
    for first in range(0, n, group):
        rows = slice(first, first + group)
        made[:, rows, wide] = even(keys[:, rows][..., wide], 2, 1)
        spectrum = np.fft.fft(keys[:, rows][..., narrow])
        parts = [
            (part > 0) * np.abs(part).mean(1, keepdims=True)
            for part in (spectrum.real, spectrum.imag)
        ]
        made[:, rows, narrow] = np.fft.ifft(parts[0] + 1j * parts[1]).real
        scale = np.abs(keys[:, rows]).mean(1, keepdims=True)
        signs = np.where(np.abs(keys[:, rows]) > scale / 2, np.sign(keys[:, rows]), 0)
        np.testing.assert_array_equal(back[1][:, rows], signs)
    np.testing.assert_allclose(back[0], made, atol=1e-4)


@pytest.mark.parametrize(("kind", "b", "s"), [(torch.float32, 4, 4), (torch.bfloat16, 2, 2)])
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 31, 8), (3, 70, 5), (2, 129, 64)], ids=str)
def test_bytes_are_those_counted_by_hand(shape, kind, b, s):
    h, n, d = shape
    made = torch.Generator().manual_seed(n)
    keys, values = (torch.randn(shape, generator=made).to(kind) for _ in range(2))
    queries = torch.randn(2 * h, 1, d, generator=made).to(kind)
    view = CacheView(keys, values, torch.arange(n), queries, torch.tensor([n - 1]))
    for bits in (2, 4, 8):
        assert Plain(bits).store(view).nbytes == bytes_of_plain(bits, h, n, d, b, s)
        halves = Plain(bits, half_scales=True).store(view)
        assert halves.nbytes == bytes_of_plain(bits, h, n, d, b, 2)
    assert ZipCache().store(view).nbytes == bytes_of_zipcache(h, n, d, b, s)
    assert VidKv().store(view).nbytes == bytes_of_vidkv(h, n, d, b, s)
    exact = TokenSelect().store(view)
    assert isinstance(exact, ExactEntries)
    assert exact.nbytes == bytes_of_exact(h, n, d, b)
