"""VidKV: keys in 1.5 bits, values in 1.58.

Source: "Plug-and-Play 1.x-Bit KV Cache Quantization for Video Large Language Models",
KD-TAO/VidKV. Of the keys, the channels of the widest range get 2 bits, even steps in groups of 32
tokens; the others are transformed along the head dimension, and the parts of the transform are kept
as signs times their mean size. Values become −1, 0 or 1 times their mean size, a channel and group.

``faithful``: `released_keys`, `released_values`. ``fixed`` mends four defects of the release:
values come back without their scale; one bit comes back as 0 or the scale instead of minus or plus;
the transform of real numbers is stored twice over, so that "1 bit" takes 2; entries that fill no
group are lost. Measured on the embedded model, keys below 2 bits cost accuracy: `plain` at 2 bits
is the better choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.cache_policies.base import CachePolicy, CacheView, StoredEntries
from geofovea.regionfocus.cache_policies.plain import split_groups
from geofovea.regionfocus.cache_policies.quantizers import (
    EvenCodes,
    SignCodes,
    even_codes,
    short_places,
    sign_codes,
)

__all__ = ["TransformedEntries", "VidKv", "released_keys", "released_values", "widest_channels"]


@dataclass(frozen=True, slots=True)
class VidKv(CachePolicy):
    """Keys by the range of their channels, values by their sign.

    Attributes:
        wide: Share of key channels that get 2 bits.
        group: At most so many tokens share a scale.

    Raises:
        ModelError: If the share is not between 0 and 1, or the group holds nothing.
    """

    wide: float = 0.5
    group: int = 32
    name: ClassVar[str] = "vidkv"

    def __post_init__(self) -> None:
        if not 0 <= self.wide <= 1 or self.group < 1:
            raise ModelError(
                f"wide={self.wide} must lie between 0 and 1, and group={self.group} hold an entry"
            )

    def store(self, view: CacheView) -> StoredEntries:
        """See `CachePolicy`."""
        keys, values = view.keys[:, view.visual], view.values[:, view.visual]
        whole, size = split_groups(keys.shape[1], self.group)
        wide, narrow = widest_channels(keys, self.wide)
        parts = _spectrum(keys[:, :whole, narrow])
        return TransformedEntries(
            short_places(wide, keys.shape[2]),
            short_places(narrow, keys.shape[2]),
            even_codes(_grouped(keys[:, :whole, wide], size), 2, -1),
            sign_codes(_grouped(parts, size), -1, with_zero=False),
            sign_codes(_grouped(values[:, :whole], size), -1, with_zero=True),
            keys[:, whole:].clone(),
            values[:, whole:].clone(),
        )


@dataclass(frozen=True, slots=True, eq=False)
class TransformedEntries:
    """Entries as VidKV stores them.

    Attributes:
        wide: int8, int16 or int32, channels of keys at even steps.
        narrow: Likewise, the other channels.
        wide_codes: ``(key_heads, wide, groups, group)``.
        narrow_codes: ``(key_heads, narrow, groups, group)``, of the transform.
        values: ``(key_heads, head_dim, groups, group)``.
        rest_keys: Entries that fill no group, ``(key_heads, r, head_dim)``.
        rest_values: Likewise.
    """

    wide: Tensor
    narrow: Tensor
    wide_codes: EvenCodes
    narrow_codes: SignCodes
    values: SignCodes
    rest_keys: Tensor
    rest_values: Tensor

    @property
    def nbytes(self) -> int:
        """See `StoredEntries`."""
        codes = self.wide_codes.nbytes + self.narrow_codes.nbytes + self.values.nbytes
        exact = self.rest_keys.nbytes + self.rest_values.nbytes
        return codes + exact + self.wide.nbytes + self.narrow.nbytes

    def restore(self) -> tuple[Tensor, Tensor]:
        """See `StoredEntries`."""
        wide = _ungrouped(self.wide_codes.restore()).to(self.rest_keys.dtype)
        narrow = _signal(_ungrouped(self.narrow_codes.restore()))
        keys = wide.new_empty(*wide.shape[:2], len(self.wide) + len(self.narrow))
        keys[..., self.wide.long()], keys[..., self.narrow.long()] = wide, narrow.to(wide.dtype)
        values = _ungrouped(self.values.restore())
        return torch.cat([keys, self.rest_keys], 1), torch.cat([values, self.rest_values], 1)


def widest_channels(keys: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Channels of the widest range over heads and tokens, and the others; both ascending.

    Args:
        keys: ``(key_heads, n, head_dim)``.
        share: Of channels that are wide, rounded to the nearest number.
    """
    channels = keys.shape[-1]
    if not keys.shape[1]:
        ranges = keys.new_zeros(channels)
    else:
        ranges = keys.amax((0, 1)) - keys.amin((0, 1))
    order = torch.argsort(-ranges.float(), stable=True)
    count = round(share * channels)
    return order[:count].sort().values, order[count:].sort().values


def _grouped(values: Tensor, group: int) -> Tensor:
    """``(h, n, c)`` to ``(h, c, n / group, group)``."""
    heads, count, channels = values.shape
    return values.transpose(1, 2).reshape(heads, channels, count // group, group)


def _ungrouped(values: Tensor) -> Tensor:
    """``(h, c, groups, group)`` to ``(h, n, c)``."""
    return values.flatten(-2).transpose(1, 2)


def _spectrum(values: Tensor) -> Tensor:
    """The independent numbers of the transform of real ``(..., c)``: as many as channels."""
    if not values.numel():
        return values
    spectrum = torch.fft.rfft(values.float(), dim=-1)
    middle = (values.shape[-1] + 1) // 2
    return torch.cat([spectrum.real, spectrum.imag[..., 1:middle]], -1).to(values.dtype)


def _signal(numbers: Tensor) -> Tensor:
    """What `_spectrum` transformed, ``(..., c)``."""
    count = numbers.shape[-1]
    if not numbers.numel():
        return numbers
    real = numbers[..., : count // 2 + 1].float()
    imaginary = torch.zeros_like(real)
    imaginary[..., 1 : (count + 1) // 2] = numbers[..., count // 2 + 1 :].float()
    signal: Tensor = torch.fft.irfft(torch.complex(real, imaginary), n=count, dim=-1)
    return signal


def released_keys(keys: Tensor, share: float = 0.5, group: int = 32) -> Tensor:
    """Keys as the release gives them back, with its defects; all entries fill groups.

    Args:
        keys: ``(key_heads, n, head_dim)``, n a multiple of the group.
        share: Of wide channels.
        group: Tokens that share a scale.
    """
    wide, narrow = widest_channels(keys, share)
    spectrum = torch.fft.fft(keys[..., narrow], dim=-1)
    parts = _grouped(torch.cat([spectrum.real, spectrum.imag], -1), group)
    coded = _ungrouped((parts > 0) * parts.abs().mean(-1, keepdim=True))
    real, imaginary = coded.chunk(2, -1)
    result = torch.empty_like(keys)
    result[..., wide] = _ungrouped(even_codes(_grouped(keys[..., wide], group), 2, -1).restore())
    result[..., narrow] = torch.fft.ifft(torch.complex(real, imaginary), dim=-1).real
    return result


def released_values(values: Tensor, group: int = 32) -> Tensor:
    """Values as the release gives them back: signs and zeros without their scale.

    Args:
        values: ``(key_heads, n, head_dim)``, n a multiple of the group.
        group: Tokens that share a scale.
    """
    codes = sign_codes(_grouped(values, group), -1, with_zero=True)
    return _ungrouped(codes.signs.to(values.dtype))
