"""In which pieces an image is read to be halved or copied: bounded in bytes, blocks not cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geofovea.tiling.files.layout import bytes_pixel
from geofovea.tiling.files.limits import MAX_BLOCK_BYTES
from geofovea.tiling.overviews.level_files import BLOCK_SIDE, LevelImage

__all__ = ["StoredBlocks", "pieces_to_copy", "pieces_to_halve"]

# more is slower: GDAL averages what it has just decoded while it is in the processor's cache
_STRIP_BYTES = 16 * 2**20
# of a result, where a row of blocks is larger; the image itself has four times as many
_MOST_BYTES = 64 * 2**20
# of an image with holes: pieces of a few blocks, so that those without any are left out
_SPARSE_SIDE = 4096


class StoredBlocks:
    """Which blocks of an image are stored; the others show nodata, or zero."""

    def __init__(self, stored: NDArray[np.bool_], block_shape: tuple[int, int]) -> None:
        """Take which are, ``(rows, cols)``, and their ``(height, width)``."""
        self._stored = stored
        self._height, self._width = block_shape

    def has_any(self, window: Window) -> bool:
        """Whether a window touches a block that is stored."""
        x0, y0 = int(window.col_off), int(window.row_off)
        x1 = int(np.ceil(window.col_off + window.width))
        y1 = int(np.ceil(window.row_off + window.height))
        rows = slice(y0 // self._height, -(-y1 // self._height))
        cols = slice(x0 // self._width, -(-x1 // self._width))
        return bool(self._stored[rows, cols].any())


def pieces_to_halve(
    source: Any, image: LevelImage, *, is_sparse: bool = False
) -> Iterator[tuple[Window, Window]]:
    """Windows of an image and of its half, row by row or column by column.

    Pieces run along the rows, and span them unless blocks are so large that a strip of them would
    not be bounded.

    Args:
        source: The open image.
        image: Its half.
        is_sparse: Whether some blocks are not stored, so that small pieces may be left out.
    """
    height_block, width_block = (_aligned(side // 2) for side in source.block_shapes[0])
    pixel_bytes = bytes_pixel(source)
    step = max(1, _STRIP_BYTES // (image.width * pixel_bytes * height_block)) * height_block
    reach = image.width
    if is_sparse:
        step, reach = height_block, max(width_block, _SPARSE_SIDE)
    if min(step, image.height) * min(reach, image.width) * pixel_bytes > _MOST_BYTES:
        reach = _within(_MOST_BYTES // (pixel_bytes * min(step, image.height)), width_block)
        most_rows = _MOST_BYTES // (pixel_bytes * min(reach, image.width))
        step = min(step, _within(most_rows, BLOCK_SIDE))
    for row in range(0, image.height, step):
        for col in range(0, image.width, reach):
            width, height = min(reach, image.width - col), min(step, image.height - row)
            below = (
                min(2 * width, source.width - 2 * col),
                min(2 * height, source.height - 2 * row),
            )
            yield Window(2 * col, 2 * row, *below), Window(col, row, width, height)


def pieces_to_copy(source: Any) -> Iterator[Window]:
    """Windows of an image from the top down: rows of blocks of a level file, or parts of them.

    Rows of a PNG or JPEG are never cut, or it would be decoded from its top again for each part.
    """
    pixel_bytes = bytes_pixel(source)
    reach = _within(MAX_BLOCK_BYTES // (pixel_bytes * BLOCK_SIDE), BLOCK_SIDE)
    for row in range(0, source.height, BLOCK_SIDE):
        for col in range(0, source.width, reach):
            yield Window(
                col, row, min(reach, source.width - col), min(BLOCK_SIDE, source.height - row)
            )


def _aligned(side: int) -> int:
    """At least a side, in whole blocks of a level file."""
    return max(1, -(-side // BLOCK_SIDE)) * BLOCK_SIDE


def _within(side: int, block: int) -> int:
    """At most a side in whole blocks, or in those of a level file, but one of them."""
    return max(side // block * block or side // BLOCK_SIDE * BLOCK_SIDE, BLOCK_SIDE)
