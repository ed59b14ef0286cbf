"""Reads every block of a scene once, so that damage is found before anything relies on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rasterio.windows import Window

from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_handle, read_errors
from geofovea.tiling.scene import Scene

__all__ = ["verify_scene"]

# pixels of a read: large enough to be quick, small enough for any machine
_READ_PIXELS = 2**22
_MOST_ROWS = 2048


def verify_scene(scene: Scene, progress: Callable[[float], None] = lambda _: None) -> int:
    """Read and decode every block of all bands, of the native image and of its overviews.

    Memory stays bounded: a few million pixels are held at a time, or one block where that is
    larger.

    Args:
        scene: The scene.
        progress: Takes the share that is done.

    Returns:
        How many pixels were read, over all bands and images.

    Raises:
        SceneReadError: If a block is damaged or missing.
    """
    images = [None, *range(len(scene.overviews))]
    total, pixels = _pixels(scene), 0
    for image in images:
        with gdal_settings(), read_errors(scene.source):
            handle = open_handle(scene.source, image)
            bands = range(1, handle.count + 1)
            for window in _windows(handle):
                for band in bands:
                    pixels += int(handle.read(band, window=window).size)
                progress(min(1.0, pixels / max(1, total)))
    return pixels


def _pixels(scene: Scene) -> int:
    sizes = [(scene.width, scene.height), *scene.overview_sizes]
    return scene.count * sum(width * height for width, height in sizes)


def _windows(handle: Any) -> Iterator[Window]:
    """Windows of whole blocks that cover an image, each block in one of them."""
    width, height = handle.width, handle.height
    block_height, block_width = handle.block_shapes[0]
    # rows of a strip are as long as the image, so their length decides how many are read at once
    most_rows = min(_MOST_ROWS, _READ_PIXELS // block_width)
    rows = block_height * max(1, most_rows // block_height)
    cols = block_width * max(1, _READ_PIXELS // (rows * block_width))
    for row_off in range(0, height, rows):
        for col_off in range(0, width, cols):
            yield Window(col_off, row_off, min(cols, width - col_off), min(rows, height - row_off))
