"""Plain quantization: keys a channel, values a token, even steps in groups of 32.

Source: the layout that KIVI and its kin share: channels of keys differ in range, tokens of values
do. Entries that do not fill a group of tokens stay exact. Not a published row of its own: it is
what the others are compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.cache_policies.base import CachePolicy, CacheView, StoredEntries
from geofovea.regionfocus.cache_policies.quantizers import Bits, EvenCodes, even_codes

__all__ = ["GroupedEntries", "Plain", "split_groups"]


@dataclass(frozen=True, slots=True)
class Plain(CachePolicy):
    """Keys and values in 2, 4 or 8 bits.

    Attributes:
        bits: Of a code.
        group: Tokens of keys, and channels of values, that share a scale.

    Raises:
        ModelError: If the bits are others, or the group holds nothing.
    """

    bits: Bits = 4
    group: int = 32
    name: ClassVar[str] = "plain"

    def __post_init__(self) -> None:
        if self.bits not in (2, 4, 8) or self.group < 1:
            raise ModelError(
                f"a cache takes 2, 4 or 8 bits in groups of at least 1, got {self.bits} bits in "
                f"groups of {self.group}"
            )

    def store(self, view: CacheView) -> StoredEntries:
        """See `CachePolicy`."""
        keys, values = view.keys[:, view.visual], view.values[:, view.visual]
        whole = split_groups(keys.shape[1], self.group)
        # channels first, so that the tokens of a group lie along the last axis
        heads, count, channels = keys.shape
        grouped = keys[:, :whole].transpose(1, 2)
        grouped = grouped.reshape(heads, channels, whole // self.group, self.group)
        part = self.group if channels % self.group == 0 else channels
        parts = values.reshape(heads, count, channels // part, part)
        return GroupedEntries(
            even_codes(grouped, self.bits, -1),
            even_codes(parts, self.bits, -1),
            keys[:, whole:].clone(),
        )


@dataclass(frozen=True, slots=True, eq=False)
class GroupedEntries:
    """Entries at even steps, keys by channel, values by token.

    Attributes:
        keys: Codes ``(key_heads, head_dim, groups, group)``.
        values: Codes ``(key_heads, n, parts, channels)``.
        rest: Keys that fill no group, ``(key_heads, r, head_dim)``.
    """

    keys: EvenCodes
    values: EvenCodes
    rest: Tensor

    @property
    def nbytes(self) -> int:
        """See `StoredEntries`."""
        return self.keys.nbytes + self.values.nbytes + self.rest.nbytes

    def restore(self) -> tuple[Tensor, Tensor]:
        """See `StoredEntries`."""
        keys = self.keys.restore().flatten(-2).transpose(1, 2)
        return torch.cat([keys, self.rest], 1), self.values.restore().flatten(-2)


def split_groups(count: int, group: int) -> int:
    """How many of ``count`` entries fill whole groups."""
    return count - count % group
