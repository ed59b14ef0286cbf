"""The first averages of a scene, where GDAL must not make them from stored numbers.

Palette indexes and phases are expanded first, and pixels that GDAL does not know to be missing are
left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window

from geofovea.tiling.files.layout import palette_of
from geofovea.tiling.marks import rounded
from geofovea.tiling.overviews.level_files import BLOCK_SIDE, LevelFiles, LevelImage
from geofovea.tiling.pixels.radiometry import Radiometry
from geofovea.tiling.pixels.validity import join_masks, read_band_masks
from geofovea.tiling.scene import Scene

__all__ = ["Step", "expanded", "halved_expanded", "halved_marked"]

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
        yield (window, *_mean_of_four(values, valid))


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
    for window_source, window in strips:
        pieces = list(_pieces(window))
        shape = (files.count, window.height, window.width)
        if all(_is_known(scene, files, source, piece) for piece in pieces):
            options = {"window": window_source, "out_shape": shape}
            values = source.read(list(files.bands), resampling=Resampling.average, **options)
            yield window, values, np.ones(shape[1:], bool)
            continue
        values, valid = np.empty(shape, files.dtype), np.empty(shape[1:], bool)
        for piece in pieces:
            y, x = piece.row_off - window.row_off, piece.col_off - window.col_off
            place = np.s_[..., y : y + piece.height, x : x + piece.width]
            parts = expanded(scene, files, source, *_doubled(source, files, piece))
            values[place], valid[place] = _mean_of_four(*parts)
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


def _mean_of_four(
    values: NDArray[np.generic], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Means over squares of two, of what is known; a square is valid if half of it is."""
    pad = ((0, valid.shape[0] % 2), (0, valid.shape[1] % 2))
    is_known = np.pad(valid & np.isfinite(values), ((0, 0), *pad))
    filled = np.pad(
        np.where(is_known[:, : valid.shape[0], : valid.shape[1]], values, 0), ((0, 0), *pad)
    )
    bands, rows, cols = filled.shape
    shape = (bands, rows // 2, 2, cols // 2, 2)
    counts = is_known.reshape(shape).sum(axis=(2, 4))
    sums = filled.reshape(shape).sum(axis=(2, 4), dtype=np.float64)
    means = sums / np.maximum(counts, 1)
    on_image = np.pad(np.ones(valid.shape, bool), pad).reshape(shape[1:]).sum(axis=(1, 3))
    marked = np.pad(valid, pad).reshape(shape[1:]).sum(axis=(1, 3)) * 2 >= on_image
    if values.dtype.kind in "ui":
        return rounded(means, values.dtype), marked
    return np.where(counts > 0, means, np.nan), marked
