"""How a cache is stored and read, as a text: ``plain``, ``plain:2``, ``plain:2+tokenselect:0.05``.

At most one policy that stores and one that reads, in any order; a number after a name is its
setting. This module imports no torch, because the command line checks its options with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geofovea._arguments import shown
from geofovea.errors import ModelError
from geofovea.regionfocus.cache_policies.registry import PREFIX_POLICY_NAMES, make_cache_policy

if TYPE_CHECKING:
    from geofovea.regionfocus.cache_policies.base import CachePolicy

__all__ = ["KV_NAMES", "READER_NAMES", "KvSpec", "parse_kv"]

READER_NAMES = ("tokenselect", "compresskv", "spatten_kv")
"""Those that drop or choose entries once the question is known."""

KV_NAMES = (*PREFIX_POLICY_NAMES, *READER_NAMES)
"""All words of such a text."""

_SETTINGS = {
    "plain": "bits",
    "zipcache": "share",
    "vidkv": "wide",
    "tokenselect": "share",
    "compresskv": "share",
    "spatten_kv": "share",
}
"""What a number behind a name sets."""

# the tokens of a small tile share one scale, so that 2 bits stay below 3 with their scales
_PLAIN_IN_A_MEMORY = {"group": 64, "half_scales": True}


@dataclass(frozen=True, slots=True)
class KvSpec:
    """How a cache is stored and read.

    Attributes:
        store: One of ``PREFIX_POLICY_NAMES``.
        setting: Of it; None for its default.
        reader: One of ``READER_NAMES``; None reads everything.
        share: Of the vision entries that it reads or leaves; None for its default.
    """

    store: str = "plain"
    setting: float | None = None
    reader: str | None = None
    share: float | None = None

    def storing(self) -> CachePolicy:
        """The policy that stores.

        Raises:
            ModelError: If its setting is impossible.
        """
        more = _PLAIN_IN_A_MEMORY if self.store == "plain" else {}
        return _made(self.store, self.setting, **more)

    def reading(self, **settings: Any) -> CachePolicy | None:
        """The policy that reads, if there is one.

        Args:
            settings: Further ones of its class.

        Raises:
            ModelError: If its share is impossible.
        """
        return None if self.reader is None else _made(self.reader, self.share, **settings)


def parse_kv(text: str) -> KvSpec:
    """Read how a cache is stored and read from a text.

    Args:
        text: ``NAME``, ``NAME:NUMBER``, or two of them with ``+`` between them.

    Raises:
        ModelError: If a name is unknown, a number is not allowed, or two policies have one purpose.
    """
    given: object = text
    if not isinstance(given, str):
        raise ModelError(f"policy={shown(given)} is not a name; give it as text")
    links = [_link(part) for part in text.split("+")]
    stores = [link for link in links if link[0] in PREFIX_POLICY_NAMES]
    readers = [link for link in links if link[0] in READER_NAMES]
    if len(stores) > 1 or len(readers) > 1:
        raise ModelError(
            f"policy={text!r} names two policies for one purpose; take at most one of "
            f"{', '.join(PREFIX_POLICY_NAMES)} and one of {', '.join(READER_NAMES)}"
        )
    store, setting = stores[0] if stores else ("plain", None)
    reader, share = readers[0] if readers else (None, None)
    return KvSpec(store, setting, reader, share)


def _link(part: str) -> tuple[str, float | None]:
    name, colon, number = part.partition(":")
    if name not in KV_NAMES:
        raise ModelError(f"unknown cache policy {name!r}; choose one of {', '.join(KV_NAMES)}")
    if not colon:
        return name, None
    setting = _SETTINGS.get(name, "")
    try:
        value = float(number)
    except ValueError:
        value = -1
    fits = value in (2, 4, 8) if setting == "bits" else 0 < value <= 1
    if not (setting and fits):
        allowed = {"bits": "2, 4 or 8 bits", "": "no number"}
        raise ModelError(
            f"{name} takes {allowed.get(setting, 'a share above 0 and at most 1')}, got {part!r}"
        )
    return name, value


def _made(name: str, number: float | None, **settings: Any) -> CachePolicy:
    if number is not None:
        setting = _SETTINGS[name]
        settings[setting] = int(number) if setting == "bits" else number
    return make_cache_policy(name, **settings)
