"""Averages of an image over squares of two pixels, in pieces.

GDAL makes them, because its average leaves out what is missing and takes any pixel type. Where it
must not, they are made here: palette indexes and phases are expanded first, and pixels that GDAL
does not know to be missing are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window

from geofovea.tiling.files.layout import palette_of
from geofovea.tiling.overviews.level_files import BLOCK_SIDE, LevelFiles, LevelImage
from geofovea.tiling.pixels.halving import halve
from geofovea.tiling.pixels.radiometry import Radiometry
from geofovea.tiling.pixels.validity import join_masks, needs_half_known, read_band_masks
from geofovea.tiling.scene import Scene

__all__ = ["Step", "averages", "expanded", "halved_expanded", "halved_marked"]

Step = tuple[Window, "NDArray[np.generic] | None", "NDArray[np.bool_] | None"]


def halved_expanded(
    scene: Scene, files: LevelFiles, source: Any, image: LevelImage
) -> Iterator[Step]:
    """The averages of what an image shows, whose stored numbers must not be averaged.

    Args:
        scene: The scene.
        files: Its level files.
        source: The open image that the first of them is made from.
        image: The first of them.

    Yields:
        As ``halved_marked``.
    """
    for window in _pieces(Window(0, 0, image.width, image.height)):
        values, valid = expanded(scene, files, source, *_doubled(source, files, window))
        yield (window, *_halved(scene, values, valid))


def halved_marked(
    scene: Scene, files: LevelFiles, source: Any, strips: Iterator[tuple[Window, Window]]
) -> Iterator[Step]:
    """The averages of an image of which GDAL does not know what is missing.

    Where nothing is, they are GDAL's own, to the last bit.

    Args:
        scene: The scene.
        files: Its level files.
        source: The open image that the first of them is made from.
        strips: Windows of that image and of its half.

    Yields:
        Windows of level pixels, values ``(bands, h, w)`` and where they are known, ``(h, w)``.
    """
    for _, window in strips:
        pieces = list(_pieces(window))
        shape = (files.count, window.height, window.width)
        is_known = all(_is_known(scene, files, source, piece) for piece in pieces)
        if is_known and not scene.is_min_white:
            yield window, averages(source, list(files.bands), window)[0], np.ones(shape[1:], bool)
            continue
        values, valid = np.empty(shape, files.dtype), np.empty(shape[1:], bool)
        for piece in pieces:
            y, x = piece.row_off - window.row_off, piece.col_off - window.col_off
            place = np.s_[..., y : y + piece.height, x : x + piece.width]
            parts = expanded(scene, files, source, *_doubled(source, files, piece))
            values[place], valid[place] = _halved(scene, *parts)
        yield window, values, valid


def _pieces(window: Window) -> Iterator[Window]:
    """Parts of a window of level pixels, small enough to be held with all that they need."""
    for row in range(0, window.height, BLOCK_SIDE):
        for col in range(0, window.width, 4 * BLOCK_SIDE):
            height = min(BLOCK_SIDE, window.height - row)
            width = min(4 * BLOCK_SIDE, window.width - col)
            yield Window(window.col_off + col, window.row_off + row, width, height)


def _below(source: Any, window: Window) -> Window:
    """The pixels of the next finer image below a window of level pixels."""
    x, y = 2 * window.col_off, 2 * window.row_off
    return Window(
        x, y, min(2 * window.width, source.width - x), min(2 * window.height, source.height - y)
    )


def _doubled(source: Any, files: LevelFiles, window: Window) -> tuple[NDArray[np.generic], Window]:
    below = _below(source, window)
    return source.read(list(files.bands), window=below), below


def _is_known(scene: Scene, files: LevelFiles, source: Any, window: Window) -> bool:
    masks = read_band_masks(source, scene, files.bands, window=_below(source, window))
    return masks is None or bool(masks.all())


def expanded(
    scene: Scene, files: LevelFiles, source: Any, array: NDArray[np.generic], window: Window
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """What stored numbers ``(bands, h, w)`` of a window show, and where they show anything."""
    bands = files.bands
    masks = read_band_masks(source, scene, bands, window=window)
    if masks is None:
        masks = np.ones(array.shape, dtype=bool)
    valid = join_masks(scene, bands, masks)
    if scene.dtype.startswith("complex"):
        power = [
            Radiometry((1,), is_complex=True).expand(array[i : i + 1], masks[i])
            for i in range(len(bands))
        ]
        values = np.concatenate([value for value, _ in power])
        valid_bands = np.stack([mark for _, mark in power])
        return np.where(valid_bands, values, np.nan), np.asarray(valid_bands.any(axis=0))
    if not files.is_palette:
        if array.dtype.kind == "f":
            array = np.where(masks, array, array.dtype.type(np.nan))
        return array, valid
    return Radiometry((1,), palette=palette_of(source, bands[0])).expand(array, valid)


def _halved(
    scene: Scene, values: NDArray[np.generic], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Means over squares of two, of what is known; NaN or 0 where nothing is."""
    known = valid & np.isfinite(values)
    means = halve(values, known, needs_half=needs_half_known(scene))
    assert means.valid is not None  # noqa: S101  (halving keeps the masks that it is given)
    return means.values, np.asarray(means.valid.any(axis=0))


def averages(
    source: Any, bands: list[int], window: Window, *, has_mask: bool = False
) -> tuple[NDArray[np.generic], NDArray[np.bool_] | None]:
    """GDAL's averages of an image over squares of two pixels.

    The last column or row of an odd side is averaged by itself. GDAL would stretch all squares a
    little instead, so that none lies where the grid of its level has it.

    Args:
        source: The open image.
        bands: Which, counted from 1.
        window: In pixels of its half.
        has_mask: Whether the mask of the file is averaged too.

    Returns:
        Values ``(bands, h, w)``, and where at least half is known, ``(h, w)``.
    """
    shape = (window.height, window.width)
    values = np.empty((len(bands), *shape), source.dtypes[bands[0] - 1])
    valid = np.empty(shape, bool) if has_mask else None
    for rows, stored_rows in _evenly(window.row_off, window.height, source.height):
        for cols, stored_cols in _evenly(window.col_off, window.width, source.width):
            options = {"window": Window.from_slices(stored_rows, stored_cols)}
            options["resampling"] = Resampling.average
            size = (rows.stop - rows.start, cols.stop - cols.start)
            values[:, rows, cols] = source.read(bands, out_shape=(len(bands), *size), **options)
            if valid is not None:
                valid[rows, cols] = source.read_masks(1, out_shape=size, **options) >= 128
    return values, valid


def _evenly(offset: int, length: int, extent: int) -> list[tuple[slice, tuple[int, int]]]:
    """Level pixels of a window that have two pixels below them, and then the one that has one."""
    whole = min(length, extent // 2 - offset)
    start, middle = 2 * offset, 2 * (offset + whole)
    parts = [(slice(0, whole), (start, middle)), (slice(whole, length), (middle, extent))]
    return [part for part in parts if part[0].start < part[0].stop]
