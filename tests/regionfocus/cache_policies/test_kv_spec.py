"""Texts that say how a cache is stored and read."""

import pytest

from geofovea.errors import ModelError
from geofovea.regionfocus.cache_policies.compresskv import CompressKv
from geofovea.regionfocus.cache_policies.exact import Exact
from geofovea.regionfocus.cache_policies.kv_spec import KV_NAMES, KvSpec, parse_kv
from geofovea.regionfocus.cache_policies.plain import Plain
from geofovea.regionfocus.cache_policies.registry import CACHE_POLICY_NAMES
from geofovea.regionfocus.cache_policies.tokenselect import TokenSelect
from geofovea.regionfocus.cache_policies.zipcache import ZipCache

MEMORY = {"group": 64, "half_scales": True}


@pytest.mark.parametrize(
    ("text", "store", "reader"),
    [
        ("exact", Exact(), None),
        ("plain", Plain(**MEMORY), None),
        ("plain:2", Plain(bits=2, **MEMORY), None),
        ("zipcache:0.2", ZipCache(share=0.2), None),
        ("tokenselect:0.1", Plain(**MEMORY), TokenSelect(share=0.1)),
        ("compresskv:0.5+exact", Exact(), CompressKv(share=0.5)),
    ],
)
def test_a_text_says_what_stores_and_what_reads(text, store, reader):
    spec = parse_kv(text)
    assert (spec.storing(), spec.reading()) == (store, reader)


def test_every_policy_has_a_word():
    assert set(KV_NAMES) == set(CACHE_POLICY_NAMES)
    assert all(parse_kv(name) != KvSpec() for name in KV_NAMES if name != "plain")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown cache policy ''"),
        ("best", "choose one of exact, plain"),
        ("plain:3", "plain takes 2, 4 or 8 bits, got 'plain:3'"),
        ("exact:1", "exact takes no number"),
        ("vidkv:0", "above 0 and at most 1"),
        ("compresskv:nan", "above 0 and at most 1"),
        ("plain+zipcache", "two policies for one purpose"),
        ("tokenselect+compresskv", "two policies for one purpose"),
        ("plain+", "unknown cache policy ''"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, message):
    with pytest.raises(ModelError, match=message):
        parse_kv(text)
