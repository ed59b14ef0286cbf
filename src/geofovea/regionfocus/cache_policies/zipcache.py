"""ZipCache: entries that probe rows attend to get 4 bits, the others 2.

Source: "ZipCache: Accurate and Efficient KV Cache Quantization with Salient Token Identification",
ThisisBillhe/ZipCache. Salience of an entry is the attention that it gets from a few probe rows (the
last ones and random ones) over the number of rows that could see it. Keys are coded a channel,
values a token after each channel is divided by the root of its largest size. O(m s d) for m probe
rows.

``faithful``: `salience` with ``divide_by="rows"``, and `mixed_codes` with ``together=True``.
``fixed`` differs in two defects of the release: the sum over probe rows alone is divided by the
number of all rows that see an entry, which favors early entries; and the value quantizer gives one
scale to the r-th entry of every head, which are different tokens. A channel without range gets code
0 where the release divides 0 by 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.cache_policies.base import (
    CachePolicy,
    CacheView,
    StoredEntries,
    attention_rows,
)
from geofovea.regionfocus.cache_policies.quantizers import (
    Bits,
    EvenCodes,
    even_codes,
    short_places,
)

__all__ = ["CodedPart", "MixedEntries", "ZipCache", "mixed_codes", "salience"]


@dataclass(frozen=True, slots=True)
class ZipCache(CachePolicy):
    """Two precisions, by salience.

    Without queries of the question, all entries are alike and get the high precision: nothing says
    which of them will be asked for.

    Attributes:
        share: Of vision entries that are salient.
        high: Bits of salient entries.
        low: Bits of the others.

    Raises:
        ModelError: If the share is not between 0 and 1.
    """

    share: float = 0.6
    high: Bits = 4
    low: Bits = 2
    name: ClassVar[str] = "zipcache"

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ModelError(f"share={self.share} of salient entries must lie between 0 and 1")

    def store(self, view: CacheView) -> StoredEntries:
        """See `CachePolicy`."""
        keys, values = view.keys[:, view.visual], view.values[:, view.visual]
        if view.queries is None or view.rows is None:
            scores = keys.new_zeros(keys.shape[:2])
            return mixed_codes(keys, values, scores, 0, high=self.high, low=self.low)
        scores = salience(attention_rows(view), view.rows, key_heads=len(keys))[:, view.visual]
        unimportant = round((1 - self.share) * keys.shape[1])
        return mixed_codes(keys, values, scores, unimportant, high=self.high, low=self.low)


def salience(
    attention: Tensor,
    rows: Tensor,
    *,
    key_heads: int,
    divide_by: Literal["probes", "rows"] = "probes",
) -> Tensor:
    """How much probe rows attend to each entry, float32 ``(key_heads, s)``.

    Args:
        attention: ``(heads, m, s)`` of the probe rows.
        rows: int64 ``(m,)``, their places.
        key_heads: Heads of keys; query heads that share one are added up.
        divide_by: The probe rows that see an entry (fixed), or all rows that do (faithful).
    """
    received = attention.float().sum(1)
    received = received.reshape(key_heads, -1, received.shape[-1]).sum(1)
    places = torch.arange(attention.shape[-1], device=attention.device)
    if divide_by == "rows":
        return received / (attention.shape[-1] - places)
    seen_by: Tensor = (rows[:, None].to(places.device) >= places).sum(0)
    return torch.where(seen_by > 0, received / seen_by.clamp_min(1), 0.0)


def mixed_codes(
    keys: Tensor,
    values: Tensor,
    scores: Tensor,
    unimportant: int,
    *,
    high: Bits = 4,
    low: Bits = 2,
    together: bool = False,
) -> MixedEntries:
    """Entries in two precisions.

    Args:
        keys: ``(key_heads, n, head_dim)``.
        values: ``(key_heads, n, head_dim)``.
        scores: ``(key_heads, n)``, salience; of equal ones the later are salient.
        unimportant: Entries of each head that get ``low`` bits.
        high: Bits of the others.
        low: Bits of the unimportant ones.
        together: Whether the r-th entries of all heads share a scale of their values, as released.
    """
    order = torch.argsort(scores.float(), dim=-1, stable=True)
    parts = (order[:, :unimportant].sort(-1).values, order[:, unimportant:].sort(-1).values)
    largest = values.abs().amax(1, keepdim=True) if values.shape[1] else values[:, :1].abs()
    channels = torch.where(largest > 0, largest.sqrt(), 1.0)
    pairs = [
        _coded_part(keys, values / channels, index, bits, together=together)
        for index, bits in zip(parts, (low, high), strict=True)
        if index.shape[1]
    ]
    return MixedEntries(tuple(pairs), channels, keys.shape[1])


def _coded_part(
    keys: Tensor, values: Tensor, index: Tensor, bits: Bits, *, together: bool
) -> CodedPart:
    where = index[..., None].expand(-1, -1, keys.shape[-1])
    rows = values.gather(1, where).transpose(0, 1)
    axes = (1, 2) if together else (2,)
    return CodedPart(
        short_places(index, keys.shape[1]),
        even_codes(keys.gather(1, where), bits, 1),
        even_codes(rows, bits, axes),
    )


@dataclass(frozen=True, slots=True, eq=False)
class CodedPart:
    """Entries of one precision.

    Attributes:
        index: int8, int16 or int32 ``(key_heads, k)``, ascending in each head.
        keys: Codes ``(key_heads, k, head_dim)``, a scale a channel.
        values: Codes ``(k, key_heads, head_dim)``, a scale a token.
    """

    index: Tensor
    keys: EvenCodes
    values: EvenCodes

    @property
    def nbytes(self) -> int:
        """Codes, scales, and places."""
        return self.keys.nbytes + self.values.nbytes + self.index.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class MixedEntries:
    """Entries in two precisions.

    Attributes:
        parts: One of each precision that has entries.
        channels: ``(key_heads, 1, head_dim)``, what values are multiplied by.
        count: Entries of a head.
    """

    parts: tuple[CodedPart, ...]
    channels: Tensor
    count: int

    @property
    def nbytes(self) -> int:
        """See `StoredEntries`."""
        return self.channels.nbytes + sum(part.nbytes for part in self.parts)

    def restore(self) -> tuple[Tensor, Tensor]:
        """See `StoredEntries`."""
        heads, _, dim = self.channels.shape
        keys = self.channels.new_zeros(heads, self.count, dim)
        values = torch.zeros_like(keys)
        for part in self.parts:
            where = part.index.long()[..., None].expand(-1, -1, dim)
            keys.scatter_(1, where, part.keys.restore().to(keys.dtype))
            coded = part.values.restore().transpose(0, 1)
            values.scatter_(1, where, coded.to(keys.dtype))
        return keys, values * self.channels
