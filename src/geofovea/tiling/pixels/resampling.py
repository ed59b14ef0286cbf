"""Resampling of numbers in memory, some of them missing, by GDAL and so as it resamples files."""

from __future__ import annotations

from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.windows import Window

from geofovea.tiling.marks import Number, as_stored, rounded

__all__ = ["padded", "resample_known"]

# pixels around a window that an interpolation at its edge looks at
_KERNEL = 3


def padded(offset: float, length: float, count: int, extent: int) -> slice:
    """The rows or columns that a resampled part needs, those around it included.

    Args:
        offset: Where the part begins, in pixels of the image.
        length: How long it is.
        count: Output pixels.
        extent: Size of the image.
    """
    margin = _KERNEL * max(1.0, length / count)
    first = max(0, int(np.floor(offset - margin)))
    return slice(first, min(extent, int(np.ceil(offset + length + margin))))


def resample_known(
    values: NDArray[Any],
    masks: NDArray[np.bool_],
    window: Window,
    shape: tuple[int, int],
    resampling: Resampling,
    nodata: Number | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Resample a window of pixels; what is missing is left out.

    Args:
        values: Stored numbers ``(bands, h, w)``.
        masks: Which of them are known: ``(bands, h, w)``, or ``(1, h, w)`` for all bands.
        window: The part that is resampled.
        shape: ``(rows, cols)`` of the result.
        resampling: How.
        nodata: A number to mark missing ones with, where that is done in each band.

    Returns:
        Values ``(bands, rows, cols)`` of the same type, and which are known; a number is known
        where at least half of what it covers is.
    """
    dtype = values.dtype
    # one mask for bands of whole numbers goes beside them, all else into them
    mark = None if len(masks) == 1 and dtype.kind != "f" else _mark_of(dtype, nodata)
    if mark is not None:
        has_room = dtype.kind == "f" or not np.isnan(mark)
        values = _marked(values if has_room else values.astype(np.float64), masks, mark)
    profile: dict[str, Any] = {"driver": "GTiff", "dtype": values.dtype, "count": len(values)}
    profile |= {"height": values.shape[1], "width": values.shape[2], "nodata": mark}
    # any place will do: without one rasterio warns
    profile["transform"] = Affine.translation(1, 1)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(values)
            if mark is None:
                dataset.write_mask(masks[0])
        with memory.open() as dataset:
            options = {"window": window, "resampling": resampling}
            resampled = dataset.read(out_shape=(len(values), *shape), **options)
            masks_read = dataset.read_masks(out_shape=(len(values), *shape), **options) >= 128
    if resampled.dtype != dtype:
        resampled = rounded(np.where(masks_read, resampled, 0), dtype)
    return resampled, masks_read


def _mark_of(dtype: np.dtype[Any], nodata: Number | None) -> Any:
    """What marks missing numbers of a type: nodata, or NaN where the type cannot tell it."""
    # GDAL compares nodata as a double, which does not hold all whole numbers of 64 bits
    if dtype.kind == "f" or dtype.itemsize == 8 or nodata is None:
        return np.nan
    mark = as_stored(nodata, dtype)
    return np.nan if mark is None else mark


def _marked(values: NDArray[Any], valid: NDArray[np.bool_], nodata: Any) -> NDArray[Any]:
    """Put the value for missing pixels where they are, and nowhere else."""
    mark = values.dtype.type(nodata)
    if values.dtype.kind == "f":
        # an average may fall on the value by chance
        neighbor = np.nextafter(mark, values.dtype.type(np.inf))
    else:
        limits = np.iinfo(values.dtype)
        neighbor = values.dtype.type(int(mark) + (-1 if int(mark) == limits.max else 1))
    return np.where(valid, np.where(values == mark, neighbor, values), mark)
