"""Ranges of valid numbers that CF lets an array declare; what lies outside is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from geofovea.tiling.arrays.bands import meant_dtype, meant_type
from geofovea.tiling.arrays.fill_values import declared_numbers
from geofovea.tiling.arrays.images import ArrayImage
from geofovea.tiling.arrays.packing import PackingError, is_packed, packing
from geofovea.tiling.marks import Number, ValidRange, out_of_type

__all__ = ["valid_ranges"]

_KEYS = ("valid_range", "valid_min", "valid_max")


class _Declared(NamedTuple):
    """A range as it is declared.

    Attributes:
        low: Its least number; None for no limit.
        high: Its greatest number, likewise.
        dtype: The type of both.
    """

    low: Number | None
    high: Number | None
    dtype: np.dtype[Any]


class _UnusableError(ValueError):
    """Why a declared range cannot be applied."""


def valid_ranges(image: ArrayImage) -> tuple[tuple[ValidRange | None, ...], tuple[str, ...]]:
    """The range of each band in the numbers that the array holds, and sentences about them.

    CF declares a range in the numbers as stored. Where they were decoded with ``scale_factor`` and
    ``add_offset``, so is the range. One of floats for stored whole numbers is about decoded ones.

    Returns:
        A range for each band, None where it has none, or nothing if no band has one; and notes on
        what is applied and what cannot be.
    """
    ranges: list[ValidRange | None] = []
    notes: dict[str, None] = {}
    for band in range(image.bands.count):
        obj = image.band_obj(band)
        keys = [key for key in _KEYS if key in obj.attrs]
        keys = keys[:1] if "valid_range" in keys else keys
        found = None
        if keys and np.dtype(obj.dtype).kind in "uif":
            names = " and ".join(keys)
            try:
                found = _in_numbers_of(obj, _declared({key: obj.attrs[key] for key in keys}))
                note = f"pixels {found.outside} are missing, for the array declares {names}"
            except (_UnusableError, PackingError) as error:
                note = (
                    f"the array declares {names}, which is not applied: {error}; set numbers that "
                    "are not valid to NaN, for example with where()"
                )
            notes[note] = None
        ranges.append(found)
    return tuple(ranges) if any(ranges) else (), tuple(notes)


def _declared(given: Mapping[str, Any]) -> _Declared:
    """The range in attributes.

    Raises:
        _UnusableError: If they are not the one or two numbers that they should be.
    """
    numbers = {key: declared_numbers(value) for key, value in given.items()}
    for key, values in numbers.items():
        count = 2 if key == "valid_range" else 1
        if len(values) != count or np.isnan(values).any():
            what = "two numbers" if count == 2 else "a number"
            raise _UnusableError(f"{key}={given[key]!r:.60} is not {what}")
    dtype = np.result_type(*numbers.values())
    if "valid_range" in numbers:
        low, high = numbers["valid_range"].tolist()
    else:
        low, high = (
            numbers[key].item() if key in numbers else None for key in ("valid_min", "valid_max")
        )
    return _Declared(low, high, dtype)


def _in_numbers_of(obj: Any, declared: _Declared) -> ValidRange:
    """A declared range in the numbers of an array.

    Raises:
        _UnusableError: If no number lies in it, or nobody can tell in which numbers it is.
    """
    dtype, stored = meant_dtype(obj), np.dtype(obj.encoding.get("dtype", obj.dtype))
    of_decoded = declared.dtype.kind == "f" and stored.kind in "ui"
    if dtype.kind == "f" and declared.dtype.kind in "ui" and "dtype" not in obj.encoding:
        raise _UnusableError(
            "it is in whole numbers and the array holds others, so these may have been computed "
            "from the numbers that it is about"
        )
    bounds = declared.low, declared.high
    if not of_decoded:
        bounds = _as_meant(bounds[0], obj, stored), _as_meant(bounds[1], obj, stored)
    if not of_decoded and is_packed(obj.encoding):
        # stored whole numbers lie a step apart, and decoding rounds each of them
        step = abs(packing(obj.encoding)[0]) if stored.kind in "ui" else 0.0
        low, high = _ordered(bounds, *packing(obj.encoding))
        return _range(low, high, step / 2, 4 * float(np.finfo(dtype).eps))
    if of_decoded and is_packed(obj.encoding):
        return _range(*bounds, 0.0, 4 * float(np.finfo(dtype).eps))
    if of_decoded and is_packed(obj.attrs):
        scale, offset = packing(obj.attrs)
        low, high = _ordered(bounds, 1 / scale, -offset / scale)
        return _range(low, high, 0.0, 1e-9)
    if dtype.kind == "f":
        # a pixel holds the rounded number
        low, high = (None if bound is None else float(dtype.type(bound)) for bound in bounds)
        return _range(low, high)
    return _range(*bounds)


def _as_meant(bound: Number | None, obj: Any, stored: np.dtype[Any]) -> Number | None:
    """A bound in the type that stored numbers are meant in: -1 of signed bytes may be 255."""
    says = {**obj.attrs, **obj.encoding}.get("_Unsigned", "")
    meant = meant_type(stored, says)
    if bound is None or stored == meant or out_of_type(bound, stored):
        return bound
    return int(np.array(int(bound), stored).astype(meant))


def _ordered(
    bounds: tuple[Number | None, ...], scale: float, offset: float
) -> tuple[float | None, float | None]:
    """Bounds times a factor, plus an offset; a negative factor changes their places."""
    low, high = (None if bound is None else bound * scale + offset for bound in bounds)
    return (low, high) if scale > 0 else (high, low)


def _range(
    low: Number | None, high: Number | None, tolerance: float = 0.0, relative: float = 0.0
) -> ValidRange:
    """A range from its bounds, wider by what rounding may cost.

    Raises:
        _UnusableError: If no number lies in it.
    """
    if low is not None and high is not None and low > high:
        raise _UnusableError(f"no number is at least {low:.9g} and at most {high:.9g}")
    if tolerance or relative:
        low, high = (
            None if bound is None else bound + sign * (tolerance + relative * abs(bound))
            for bound, sign in ((low, -1), (high, 1))
        )
    return ValidRange(-math.inf if low is None else low, math.inf if high is None else high)
