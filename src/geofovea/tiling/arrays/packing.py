"""The scale and offset that lead from stored numbers to what they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from geofovea.tiling.arrays.fill_values import declared_numbers
from geofovea.tiling.arrays.images import ArrayImage

__all__ = ["PackingError", "band_packings", "is_packed", "packing"]


class PackingError(ValueError):
    """A scale or an offset is not one finite number, or the scale is 0."""


def is_packed(attributes: Mapping[Any, Any]) -> bool:
    """Whether these attributes name a scale or an offset of CF."""
    return "scale_factor" in attributes or "add_offset" in attributes


def packing(attributes: Mapping[Any, Any]) -> tuple[float, float]:
    """The factor and the offset that decode stored numbers; 1 and 0 where there are none.

    Raises:
        PackingError: If they decode nothing.
    """
    return _packing(attributes.get("scale_factor", 1), attributes.get("add_offset", 0))


def band_packings(image: ArrayImage) -> tuple[tuple[float, float], ...]:
    """``(scale, offset)`` of each band whose numbers are still those that are stored.

    What xarray has decoded names them in its encoding alone. rioxarray names those of several bands
    ``scales`` and ``offsets``. A band whose scale decodes nothing has ``(1, 0)``.
    """
    return tuple(
        _packing_of_band(image.band_obj(band).attrs, band, image.bands.count)
        for band in range(image.bands.count)
    )


def _packing_of_band(attributes: Mapping[Any, Any], band: int, count: int) -> tuple[float, float]:
    found = []
    for one, each, usual in (("scale_factor", "scales", 1), ("add_offset", "offsets", 0)):
        numbers = declared_numbers(attributes.get(one, attributes.get(each, usual)))
        found.append(numbers[band : band + 1] if len(numbers) == count > 1 else numbers)
    try:
        return _packing(*found)
    except PackingError:
        return 1.0, 0.0


def _packing(scale: Any, offset: Any) -> tuple[float, float]:
    scales, offsets = declared_numbers(scale), declared_numbers(offset)
    is_usable = len(scales) == len(offsets) == 1 and bool(scales[0])
    if not is_usable or not np.isfinite([*scales, *offsets]).all():
        raise PackingError("scale_factor and add_offset are not a number each")
    return float(scales[0]), float(offsets[0])
