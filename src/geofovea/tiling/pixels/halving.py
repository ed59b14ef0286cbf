"""The average that makes one level of the pyramid from the one below it: squares of two pixels.

Level ``l`` has the pixels of level ``l - 1`` in squares of 2 x 2, from the top-left corner on. The
last column or row of an odd side is averaged by itself, so a pixel of level ``l`` always covers the
native pixels from ``i * 2**l`` to ``(i + 1) * 2**l``, as far as there are any. Each step is rounded
to the pixel type. That is what GDAL's AVERAGE writes into overviews wherever both sides are even.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geofovea.tiling.marks import Number, as_stored

__all__ = ["Known", "halve", "halved", "kept_apart", "stored_means"]

Pixels = NDArray[Any]
Mask = NDArray[np.bool_]


class Known(NamedTuple):
    """Pixels of a window, and which of them are known.

    Attributes:
        values: ``(bands, h, w)``.
        valid: ``(bands, h, w)``, or ``(1, h, w)`` for all bands; None where all are.
    """

    values: Pixels
    valid: Mask | None


def halve(
    values: Pixels,
    valid: Mask | None,
    nodata: tuple[Number | None, ...] = (),
    *,
    needs_half: bool = False,
) -> Known:
    """Average squares of 2 x 2 known pixels.

    Whole numbers are rounded to the nearest, halves away from zero.

    Args:
        values: ``(bands, h, w)``.
        valid: As in ``Known``.
        nodata: What missing pixels hold in each band. A mean that falls on it moves to the next
            number, so that it is not taken for missing.
        needs_half: Whether a square is known only where at least half of it is; else any will do.

    Returns:
        ``(bands, ceil(h / 2), ceil(w / 2))`` of the same type, and which are known.
    """
    try:
        with np.errstate(over="raise"):
            means, known = _means_of_known(values, valid, needs_half=needs_half)
    except FloatingPointError:
        # a sum of four may be beyond the largest float where their mean is not
        means, known = _means_of_known(values * 0.25, valid, needs_half=needs_half)
        means = means * 4
    return Known(kept_apart(means, known, nodata), known)


def _means_of_known(values: Pixels, valid: Mask | None, *, needs_half: bool) -> Known:
    if valid is None:
        return Known(_means_of_all(values), None)
    counts = _sums(valid, np.dtype(np.uint8))
    pixels = _pixels_in_squares(*valid.shape[1:])
    filled = np.where(valid, values, values.dtype.type(0))
    means = _means_of_all(filled)
    # at the edges of what is known, which are few
    places = np.nonzero(np.broadcast_to((counts > 0) & (counts < pixels), means.shape))
    if len(places[0]):
        sums = _sums(filled, _sum_type(values.dtype))[places]
        weights = np.broadcast_to(counts, means.shape)[places].astype(np.int32)
        means[places] = stored_means(sums, weights, values.dtype)
    return Known(means, 2 * counts >= pixels if needs_half else counts > 0)


def halved(
    patch: Known,
    times: int,
    nodata: tuple[Number | None, ...] = (),
    *,
    needs_half: bool = False,
) -> Known:
    """Halve some pixels several times; see ``halve``."""
    for _ in range(times):
        patch = halve(*patch, nodata, needs_half=needs_half)
    return patch


def stored_means(sums: Pixels, weights: Pixels, dtype: np.dtype[Any]) -> Pixels:
    """Sums divided by positive weights, rounded to a pixel type, halves away from zero."""
    means: Pixels
    if sums.dtype.kind in "ui" and weights.dtype.kind in "ui":
        means = np.sign(sums) * ((2 * np.abs(sums) + weights) // (2 * weights))
        return np.asarray(means.astype(dtype))
    means = sums / weights
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        # the largest of 64 bits is no double: the next smaller one is
        top = np.nextafter(float(limits.max), 0) if dtype.itemsize == 8 else float(limits.max)
        means = np.clip(np.trunc(means + np.copysign(0.5, means)), float(limits.min), top)
    return np.asarray(means.astype(dtype))


def kept_apart(values: Pixels, valid: Mask | None, nodata: tuple[Number | None, ...]) -> Pixels:
    """Put nodata where pixels are missing, and nowhere else.

    Args:
        values: ``(bands, h, w)``; may be written to.
        valid: As in ``Known``.
        nodata: As in ``halve``. Where a band has none, missing pixels become NaN or 0.

    Returns:
        The values.
    """
    for band, plane in enumerate(values):
        number = nodata[band] if nodata else None
        mark = None if number is None else as_stored(number, values.dtype)
        if mark is not None:
            plane[plane == mark] = _neighbor(mark, values.dtype)
        if valid is not None:
            empty = np.nan if values.dtype.kind in "fc" else 0
            plane[~valid[min(band, len(valid) - 1)]] = empty if mark is None else mark
    return values


def _neighbor(mark: Any, dtype: np.dtype[Any]) -> Any:
    if dtype.kind not in "ui":
        return np.nextafter(mark, dtype.type(np.inf))
    return mark - 1 if mark == np.iinfo(dtype).max else mark + 1


def _sum_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A type that holds sums of four, exactly where 64 bits are enough."""
    if dtype.kind in "ui" and dtype.itemsize <= 2:
        return np.dtype(np.int32)
    return np.dtype(np.int64 if dtype.kind in "ui" and dtype.itemsize == 4 else np.float64)


def _means_of_all(values: Pixels) -> Pixels:
    dtype = values.dtype
    if dtype.kind != "u" or dtype.itemsize > 2:
        return stored_means(
            _sums(values, _sum_type(dtype)), _pixels_in_squares(*values.shape[1:]), dtype
        )
    # most pictures: shifts are several times as fast as divisions
    sums = _sums(values, np.dtype(np.uint16 if dtype.itemsize == 1 else np.uint32))
    means: Pixels = ((sums + sums.dtype.type(2)) >> 2).astype(dtype)
    rows_odd, cols_odd = values.shape[1] % 2, values.shape[2] % 2
    if rows_odd:
        means[:, -1] = (sums[:, -1] + 1) >> 1
    if cols_odd:
        means[..., -1] = (sums[..., -1] + 1) >> 1
    if rows_odd and cols_odd:
        means[:, -1, -1] = values[:, -1, -1]
    return means


def _sums(plane: Pixels, dtype: np.dtype[Any]) -> Pixels:
    """Sums over squares of two; those at an odd edge have fewer pixels."""
    rows = np.add(plane[:, : plane.shape[1] // 2 * 2 : 2], plane[:, 1::2], dtype=dtype)
    if plane.shape[1] % 2:
        rows = np.concatenate([rows, plane[:, -1:].astype(dtype)], axis=1)
    total: Pixels = rows[..., : rows.shape[2] // 2 * 2 : 2] + rows[..., 1::2]
    if rows.shape[2] % 2:
        total = np.concatenate([total, rows[..., -1:]], axis=2)
    return total


def _pixels_in_squares(height: int, width: int) -> Pixels:
    """How many pixels each square has, ``(ceil(h / 2), ceil(w / 2))``."""
    rows, cols = (np.minimum(2, side - np.arange(0, side, 2)) for side in (height, width))
    return np.asarray((rows[:, None] * cols).astype(np.int32))
