"""Cache policies by name; a method's file is imported when it is first chosen."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from geofovea.errors import ModelError

if TYPE_CHECKING:
    from geofovea.regionfocus.cache_policies.base import CachePolicy

__all__ = ["CACHE_POLICY_NAMES", "PREFIX_POLICY_NAMES", "make_cache_policy"]

_POLICIES = {
    "exact": "exact:Exact",
    "plain": "plain:Plain",
    "zipcache": "zipcache:ZipCache",
    "vidkv": "vidkv:VidKv",
    "tokenselect": "tokenselect:TokenSelect",
    "compresskv": "compresskv:CompressKv",
    "spatten_kv": "spatten:SpattenKv",
}
"""Module of this folder and class, by name."""

CACHE_POLICY_NAMES = tuple(_POLICIES)

PREFIX_POLICY_NAMES = ("exact", "plain", "zipcache", "vidkv")
"""Those that store entries before any question is known."""


def make_cache_policy(name: str, **settings: Any) -> CachePolicy:
    """The policy of that name.

    Args:
        name: One of ``CACHE_POLICY_NAMES``.
        settings: Of its class; those that are not given have their defaults.

    Raises:
        ModelError: If there is none, or a setting is impossible.
    """
    if name not in _POLICIES:
        raise ModelError(f"unknown cache policy {name!r}; choose one of {', '.join(_POLICIES)}")
    module, attribute = _POLICIES[name].split(":")
    method = getattr(import_module(f"geofovea.regionfocus.cache_policies.{module}"), attribute)
    return cast("CachePolicy", method(**settings))
