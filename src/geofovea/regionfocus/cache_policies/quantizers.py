"""Numbers in few bits: evenly spaced codes, signs, and signs with a zero; packed into bytes.

Each comes back by ``restore``, and ``nbytes`` counts codes and scales. An even step is half at most
from what it stands for, and the smallest and the largest value of a group are exact, as far as the
precision of the scales goes. Numbers of two bytes are coded and restored in float32, because
bfloat16 cannot tell 255 steps apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from geofovea.errors import ModelError

__all__ = [
    "EvenCodes",
    "SignCodes",
    "even_codes",
    "packed",
    "short_places",
    "sign_codes",
    "unpacked",
]

Bits = Literal[1, 2, 4, 8]
_LARGEST_HALF = 30_000.0


def packed(codes: Tensor, base: int) -> Tensor:
    """Codes ``(..., n)`` from 0 to ``base - 1`` in bytes ``(..., ceil(n / m))``, m codes a byte.

    As many codes share a byte as fit: eight of base 2, five of base 3, two of base 16. Code i of a
    row stands in byte i mod width, as ZipCache has it.
    """
    each = codes_a_byte(base)
    width = -(-codes.shape[-1] // each)
    padded = torch.nn.functional.pad(codes.to(torch.int64), (0, width * each - codes.shape[-1]))
    digits = padded.reshape(*padded.shape[:-1], each, width)
    weights = base ** torch.arange(each, device=codes.device)
    return (digits * weights[:, None]).sum(-2).to(torch.uint8)


def unpacked(packs: Tensor, base: int, count: int) -> Tensor:
    """The ``count`` codes of each row that `packed` wrote, int64 ``(..., count)``."""
    weights = base ** torch.arange(codes_a_byte(base), device=packs.device)
    digits = packs.to(torch.int64)[..., None, :] // weights[:, None] % base
    return digits.flatten(-2)[..., :count]


def short_places(places: Tensor, count: int) -> Tensor:
    """Places below ``count``, in their shape, as the smallest type with a sign that holds them."""
    kinds = (torch.int8, torch.int16, torch.int32)
    return places.to(next(kind for kind in kinds if count - 1 <= torch.iinfo(kind).max))


def codes_a_byte(base: int) -> int:
    """How many codes of a base fit into one byte.

    Raises:
        ModelError: If the base is not between 2 and 256.
    """
    if not 2 <= base <= 256:
        raise ModelError(f"codes have a base from 2 to 256, got {base}")
    each = 1
    while base ** (each + 1) <= 256:
        each += 1
    return each


@dataclass(frozen=True, slots=True, eq=False)
class EvenCodes:
    """Values at even steps from a minimum.

    Attributes:
        packs: uint8, codes packed along the last axis.
        minimum: Of each group, with an axis of length 1 where the group lies.
        step: Likewise; 0 for a group of equal values.
        base: How many codes there are.
        count: Codes of a row.
    """

    packs: Tensor
    minimum: Tensor
    step: Tensor
    base: int
    count: int

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return self.packs.nbytes + self.minimum.nbytes + self.step.nbytes

    @property
    def codes(self) -> Tensor:
        """int64, in the shape of the values."""
        return unpacked(self.packs, self.base, self.count)

    def restore(self) -> Tensor:
        """The values in their first shape, float32; float64 if their scales are."""
        wide = _wide(self.step.dtype)
        return self.codes.to(wide) * self.step.to(wide) + self.minimum.to(wide)


def even_codes(
    values: Tensor, bits: Bits, dim: int | Sequence[int], *, half_scales: bool = False
) -> EvenCodes:
    """Codes ``round((x - min) / step)`` with ``step = (max - min) / (2**bits - 1)``.

    Args:
        values: Finite.
        bits: Of a code.
        dim: Axes along which one minimum and one step hold.
        half_scales: Whether these take two bytes, where they fit into them. The extremes are then
            as near as float16 comes to them. Those of bfloat16 are float16 in any case: as large,
            and finer.
    """
    axes = (dim,) if isinstance(dim, int) else tuple(dim)
    is_short = half_scales or values.dtype == torch.bfloat16
    is_half = is_short and values.numel() > 0 and float(values.abs().max()) < _LARGEST_HALF
    scale_type = torch.float16 if is_half else values.dtype
    values = values.to(_wide(values.dtype))
    minimum, most = values.amin(axes, keepdim=True), values.amax(axes, keepdim=True)
    minimum = minimum.to(scale_type)
    start = minimum.to(values.dtype)
    step = ((most - start) / (2**bits - 1)).to(scale_type)
    width = step.to(values.dtype)
    # all values of a group alike: no step, code 0
    codes = torch.where(width > 0, (values - start) / width, 0.0).round()
    codes = codes.clamp(0, 2**bits - 1)
    return EvenCodes(packed(codes, 2**bits), minimum, step, 2**bits, values.shape[-1])


def _wide(kind: torch.dtype) -> torch.dtype:
    """The type in which numbers of another are computed with."""
    return torch.promote_types(kind, torch.float32)


@dataclass(frozen=True, slots=True, eq=False)
class SignCodes:
    """Values as their sign, or their sign and zero, times one scale a group.

    Attributes:
        packs: uint8, codes packed along the last axis.
        scale: Of each group, with an axis of length 1 where the group lies.
        base: 2 for signs, 3 with zero.
        count: Codes of a row.
    """

    packs: Tensor
    scale: Tensor
    base: int
    count: int

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return self.packs.nbytes + self.scale.nbytes

    @property
    def signs(self) -> Tensor:
        """int64 in the shape of the values: −1 and 1, or −1, 0 and 1."""
        codes = unpacked(self.packs, self.base, self.count)
        return 2 * codes - 1 if self.base == 2 else codes - 1

    def restore(self) -> Tensor:
        """The values in their first shape, in the precision of their scales."""
        return self.signs * self.scale


def sign_codes(values: Tensor, dim: int, *, with_zero: bool) -> SignCodes:
    """Signs times the mean size of a group; with zero, for values below half of it.

    Args:
        values: Finite floats of any shape; their last axis is packed.
        dim: The axis along which one scale holds.
        with_zero: Three codes instead of two: 1.6 bits in a packed byte.

    Returns:
        Codes whose `restore` has the shape of the values; the scale has length 1 along ``dim``.
    """
    scale = values.abs().mean(dim, keepdim=True)
    if not with_zero:
        return SignCodes(packed(values > 0, 2), scale, 2, values.shape[-1])
    codes = 1 + (values > scale / 2).long() - (values < -scale / 2).long()
    return SignCodes(packed(codes, 3), scale, 3, values.shape[-1])
