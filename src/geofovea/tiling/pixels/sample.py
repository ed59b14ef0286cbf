"""A fixed sample of an image: which native windows speak for all of it."""

from __future__ import annotations

import math

import numpy as np
from rasterio.windows import Window

__all__ = ["sample_windows"]

_SIDE = 256
_WINDOWS = 64
_SEED = 20_000
_DECODED_PIXELS = 16 * 2**20


def sample_windows(width: int, height: int, block_shape: tuple[int, int]) -> list[Window]:
    """Native windows, spread evenly with a fixed jitter, in reading order.

    Reading order lets PNG and JPEG, which decode from the top, pass over the file once.

    Args:
        width: Of the image in pixels.
        height: Of the image in pixels.
        block_shape: ``(height, width)`` of its blocks.
    """
    if width * height <= _WINDOWS * _SIDE**2:
        return [Window(0, 0, width, height)]
    decoded = math.prod(-(-_SIDE // side) * side for side in block_shape)
    count = max(4, min(_WINDOWS, _DECODED_PIXELS // decoded))
    per_side = math.isqrt(count)
    jitter = np.random.default_rng(_SEED).random((per_side, per_side, 2))
    windows = []
    for cell in np.ndindex(per_side, per_side):
        share_y, share_x = (np.array(cell) + jitter[cell]) / per_side
        y0, y1 = _range(share_y, height)
        x0, x1 = _range(share_x, width)
        windows.append(Window(x0, y0, x1 - x0, y1 - y0))
    return sorted(windows, key=lambda window: (window.row_off, window.col_off))


def _range(share: float, extent: int) -> tuple[int, int]:
    """A window that hangs over the edges before it is clipped, so that all pixels count alike."""
    start = int(share * (extent + _SIDE - 1)) - _SIDE + 1
    return max(0, start), min(extent, start + _SIDE)
