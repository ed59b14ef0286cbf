"""Keys and values as they are: what the other policies are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from geofovea.regionfocus.cache_policies.base import CachePolicy

__all__ = ["Exact"]


@dataclass(frozen=True, slots=True)
class Exact(CachePolicy):
    """Store, keep and read everything."""

    name: ClassVar[str] = "exact"
