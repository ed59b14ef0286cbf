"""Plain quantization: keys a channel, values a token, even steps in groups of at most 32.

Source: the layout that KIVI and its kin share: channels of keys differ in range, tokens of values
do. Tokens are divided into groups of one size; the few that are left over stay exact. Not a
published row of its own: it is what the others are compared with.
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
        group: At most so many tokens of keys, and channels of values, share a scale.
        half_scales: Whether scales take two bytes; see `even_codes`.

    Raises:
        ModelError: If the bits are others, or the group holds nothing.
    """

    bits: Bits = 4
    group: int = 32
    half_scales: bool = False
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
        whole, size = split_groups(keys.shape[1], self.group)
        # channels first, so that the tokens of a group lie along the last axis
        heads, count, channels = keys.shape
        grouped = keys[:, :whole].transpose(1, 2)
        grouped = grouped.reshape(heads, channels, whole // size, size)
        part = self.group if channels % self.group == 0 else channels
        parts = values.reshape(heads, count, channels // part, part)
        return GroupedEntries(
            even_codes(grouped, self.bits, -1, half_scales=self.half_scales),
            even_codes(parts, self.bits, -1, half_scales=self.half_scales),
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
        kind = self.rest.dtype
        keys = self.keys.restore().to(kind).flatten(-2).transpose(1, 2)
        return torch.cat([keys, self.rest], 1), self.values.restore().to(kind).flatten(-2)


def split_groups(count: int, group: int) -> tuple[int, int]:
    """Groups of at most ``group`` entries, all of one size.

    Returns:
        How many of ``count`` entries are in groups, and how large these are.
    """
    groups = max(1, -(-count // group))
    size = max(1, count // groups)
    return (groups * size if count else 0), size
