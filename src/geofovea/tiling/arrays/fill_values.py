"""Numbers that attributes of xarray objects declare to be no pixels, for each band."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofovea.tiling.arrays.bands import meant_dtype
from geofovea.tiling.arrays.images import ArrayImage
from geofovea.tiling.marks import Number, out_of_type

__all__ = ["declared_numbers", "fill_values", "unusable_fill_values"]

# CF lets a variable have both, and missing_value be a list
_OF_CF = ("_FillValue", "missing_value")
# names under which other readers keep one value, or one for each band
_OTHERS = ("fill_value", "nodata", "nodatavals")


def fill_values(image: ArrayImage) -> tuple[tuple[Number, ...], ...]:
    """The declared values of each band that pixels can have; empty where no band has one."""
    numbers = tuple(
        tuple(n for n in _declared(image, band) if not _is_unusable(image, band, n))
        for band in range(image.bands.count)
    )
    return numbers if any(numbers) else ()


def unusable_fill_values(image: ArrayImage) -> tuple[str, ...]:
    """A sentence on each declared value that no pixel can have."""
    reasons = {
        _is_unusable(image, band, number)
        for band in range(image.bands.count)
        for number in _declared(image, band)
        # NaN is what decoding leaves behind, whatever the type
        if number == number
    }
    return tuple(f"the array says {reason}" for reason in sorted(filter(None, reasons)))


def _is_unusable(image: ArrayImage, band: int, number: Number) -> str:
    return out_of_type(number, meant_dtype(image.band_obj(band)))


def _declared(image: ArrayImage, band: int) -> tuple[Number, ...]:
    """What a band declares, whether a pixel can have it or not; the first one comes first."""
    obj = image.band_obj(band)
    dtype = np.dtype(obj.dtype)
    if dtype.kind == "c":
        return ()
    # What is under "encoding" was replaced by NaN when floats were decoded from it; but xarray
    # compares with numbers alone, and leaves what is written as text where it is.
    is_plain = not {"scale_factor", "add_offset"} & set(obj.encoding)
    left = {key: v for key, v in obj.encoding.items() if isinstance(v, str) and is_plain}
    places = [obj.attrs, obj.encoding if dtype.kind in "ui" else left]
    numbers: dict[str, Number] = {}
    for key in (*_OF_CF, *_OTHERS):
        if key in _OTHERS and numbers:
            break
        found = (declared_numbers(place.get(key)) for place in places)
        values: list[Number] = next((v.tolist() for v in found if len(v)), [])
        if values and key != "missing_value":
            # one for each band, as rasterio's nodatavals
            values = [values[band if len(values) == image.bands.count else 0]]
        for value in values:
            number = _as_meant(value, obj)
            # NaN differs from itself
            numbers.setdefault(repr(number), number)
    return tuple(numbers.values())


def declared_numbers(given: Any) -> NDArray[Any]:
    """The numbers ``(n,)`` of an attribute, also those kept as text; empty for anything else."""
    values = np.asarray(() if given is None else given).ravel()
    if values.dtype.kind in "US":
        values = _numbers_of_text(values)
    return values if values.dtype.kind in "uif" else np.empty(0)


def _numbers_of_text(values: NDArray[Any]) -> NDArray[Any]:
    for kind in (np.int64, np.float64):
        with suppress(ValueError, OverflowError):
            return values.astype(kind)
    return np.empty(0)


def _as_meant(value: Number, obj: Any) -> Number:
    """A nodata value in the type that the pixels are meant in: -1 of signed bytes is 255."""
    stored, meant = np.dtype(obj.dtype), meant_dtype(obj)
    if stored == meant or out_of_type(value, stored):
        return value
    return int(np.array(int(value), stored).astype(meant))
