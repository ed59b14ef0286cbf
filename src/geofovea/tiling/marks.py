"""What marks missing pixels, as pure arithmetic on stored numbers.

Files, arrays, level files and remote scenes all decide here which numbers are known, so that the
same pixels are missing whichever way they come in.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Number",
    "ValidRange",
    "are_finite",
    "are_opaque",
    "as_stored",
    "equals_nodata",
    "is_missing_part",
    "join_bands",
    "opaque_number",
    "out_of_type",
    "rounded",
]

Number = int | float
Mask = NDArray[np.bool_]

# what writers take for opaque, besides the largest number of the type
_USUAL_OPAQUE = (1, 100, 255, 10000, 65535)
# the full range of sensors of 10 to 15 bits, whose alpha is as wide as their bands
_FULL_RANGES = tuple((1 << bits) - 1 for bits in range(10, 16))


class ValidRange(NamedTuple):
    """The least and the greatest number of a known pixel; infinite where there is no limit."""

    low: Number
    high: Number

    @property
    def outside(self) -> str:
        """Which numbers it leaves out, in words."""
        if math.isinf(self.low):
            return f"above {self.high:.9g}"
        return f"below {self.low:.9g}" + (
            "" if math.isinf(self.high) else f" or above {self.high:.9g}"
        )

    def holds(self, values: NDArray[Any]) -> Mask:
        """Which numbers of an array lie in it; NaN does not."""
        return np.asarray((values >= self.low) & (values <= self.high))


def as_stored(number: Number, dtype: np.dtype[Any]) -> Any | None:
    """A nodata value as the pixels hold it, None where no pixel can.

    A float is rounded to the type of the pixels, because a pixel holds the rounded number. An
    integer type holds whole numbers in its range alone.
    """
    if dtype.kind in "ui":
        if isinstance(number, float):
            if not number.is_integer():
                return None
            number = int(number)
        limits = np.iinfo(dtype)
        return dtype.type(number) if limits.min <= number <= limits.max else None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            stored = dtype.type(number)
        # a number that overflows must not match infinities
        return stored if np.isfinite(stored) or not math.isfinite(number) else None
    return number


def out_of_type(number: Number, dtype: np.dtype[Any]) -> str:
    """Why no pixel can hold a nodata value, in plain words; empty where one can."""
    if dtype.kind not in "uif" or as_stored(number, dtype) is not None:
        return ""
    limits: Any = np.iinfo(dtype) if dtype.kind in "ui" else np.finfo(dtype)
    whole = "whole numbers " if dtype.kind in "ui" else ""
    return (
        f"nodata={number:.17g} marks nothing: pixels are {dtype.name}, {whole}from {limits.min} to "
        f"{limits.max}"
    )


def equals_nodata(values: NDArray[Any], number: Number, tolerance: float = 0.0) -> Mask:
    """Which stored numbers are the nodata value; NaN matches NaN.

    Args:
        values: Stored numbers of any shape.
        number: The nodata value.
        tolerance: How far from it a number may be.
    """
    stored = as_stored(number, values.dtype)
    if stored is None:
        return np.zeros(values.shape, bool)
    if tolerance > 0:
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(values.astype(np.float64) - float(number)) <= tolerance)
    if values.dtype.kind == "f" and math.isnan(number):
        return np.asarray(np.isnan(values))
    return np.asarray(values == stored)


def are_finite(values: NDArray[Any]) -> Mask:
    """Which stored numbers are numbers at all: neither NaN nor infinite."""
    return np.isfinite(values) if values.dtype.kind in "fc" else np.ones(values.shape, bool)


def rounded(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Averages as whole numbers of a type, in their shape: halves up, within its range."""
    limits = np.iinfo(dtype)
    # the largest of 64 bits is no double: the next smaller one is
    top = np.nextafter(float(limits.max), 0) if dtype.itemsize == 8 else float(limits.max)
    return np.clip(np.floor(values + 0.5), float(limits.min), top).astype(dtype)


def opaque_number(dtype: np.dtype[Any], largest: float, bits: int = 0) -> float:
    """Which number of an alpha band means opaque.

    Args:
        dtype: Its type.
        largest: The largest number that is known to be in the band; 0 where nothing is known.
        bits: How many bits of each number are used; 0 for all.

    Returns:
        The largest number itself where it is the full range of 10 to 15 bits. Otherwise the
        smallest of the usual ones (1, 100, 255, 10000, 65535) that no number of the band exceeds,
        else the largest that the type holds; for floats at least 1.
    """
    if largest in _FULL_RANGES:
        return float(largest)
    if dtype.kind == "f":
        usual = [top for top in _USUAL_OPAQUE if largest <= top]
        return float(usual[0]) if usual else float(largest)
    limit = (1 << bits) - 1 if bits else int(np.iinfo(dtype).max)
    if largest <= 0:
        return float(limit)
    usual = [top for top in _USUAL_OPAQUE if largest <= top < limit]
    return float(usual[0]) if usual else float(limit)


def are_opaque(alpha: NDArray[Any], opaque: float) -> Mask:
    """Which pixels are shown: those that are at least half opaque."""
    with np.errstate(invalid="ignore"):
        return np.asarray(alpha >= opaque / 2)


def is_missing_part(nodata: Number | None, dtype: str) -> bool:
    """Whether nodata in one of several shown bands makes the whole pixel missing.

    The darkest and the brightest value of an unsigned type are colors too: a pure red has zeros in
    two bands. Such a pixel is missing where all shown bands are. Any other value is not a color.
    """
    if nodata is None or math.isnan(nodata) or not dtype.startswith("uint"):
        return True
    return nodata not in (0, np.iinfo(dtype).max)


def join_bands(masks: Mask, nodata: tuple[Number | None, ...], dtype: str) -> Mask:
    """Which pixels are there, ``(h, w)``, from which numbers of each shown band are.

    Args:
        masks: ``(bands, h, w)``.
        nodata: The nodata value of each of these bands.
        dtype: Pixel type.

    Returns:
        A nodata value that is also a color (``is_missing_part``) makes a pixel missing where all
        such bands have it. Two bands make an index, which needs both. All else makes a pixel
        missing where one band is.
    """
    if len(masks) == 2 or not any(not is_missing_part(value, dtype) for value in nodata):
        return np.asarray(masks.all(axis=0))
    is_color = np.array([value is None or not is_missing_part(value, dtype) for value in nodata])
    return np.asarray(masks[~is_color].all(axis=0) & masks[is_color].any(axis=0))
