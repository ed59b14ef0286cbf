"""A cache of decoded blocks that are expensive to decode, shared by the threads of a reader.

A block of JPEG 2000 takes a fifth of a second and shows nine tiles. GDAL keeps blocks too, but for
each dataset, and each thread has its own; and it forgets them when other scenes are read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geofovea.errors import GeometryError
from geofovea.tiling.machine.forks import renew_after_fork
from geofovea.tiling.machine.lru import LruCache

__all__ = ["BLOCK_CACHE_BYTES", "BlockCache", "read_in_blocks"]

BLOCK_CACHE_BYTES = 96 * 2**20
"""32 blocks of 1024 x 1024 pixels in three bands of eight bits."""

Pixels = NDArray[np.generic]


class BlockCache:
    """The blocks that were used last, within a budget of bytes; threads may share it."""

    def __init__(self, budget_bytes: int = BLOCK_CACHE_BYTES) -> None:
        """Start empty.

        Args:
            budget_bytes: Most bytes that are kept. A block that is larger is not kept.

        Raises:
            GeometryError: If the budget is not positive.
        """
        if budget_bytes < 1:
            raise GeometryError(f"a cache of blocks needs a budget in bytes, got {budget_bytes}")
        self._budget_bytes = budget_bytes
        self._start()
        # what another thread was decoding at a fork would be waited for in the child forever
        renew_after_fork(self, BlockCache._start)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._blocks = LruCache[object, Pixels](self._budget_bytes, _bytes_of)
        self._decoding: dict[object, Future[Pixels]] = {}

    @property
    def bytes(self) -> int:
        """Bytes of the blocks that are kept."""
        return self._blocks.nbytes

    def get(self, key: object, decode: Callable[[], Pixels]) -> Pixels:
        """A block, decoded if it is not there; two threads never decode the same one.

        Args:
            key: Which.
            decode: Gives its pixels. What it raises is raised in all threads that wait for it, and
                nothing is kept.

        Returns:
            The pixels, which must not be changed.
        """
        with self._lock:
            block_kept = self._blocks.get(key)
            if block_kept is not None:
                return block_kept
            theirs = self._decoding.get(key)
            ours: Future[Pixels] = Future()
            if theirs is None:
                self._decoding[key] = ours
        if theirs is not None:
            return theirs.result()
        try:
            block = decode()
        except BaseException as error:
            with self._lock:
                del self._decoding[key]
            ours.set_exception(error)
            raise
        with self._lock:
            del self._decoding[key]
            self._blocks.put(key, block)
        ours.set_result(block)
        return block


def _bytes_of(block: Pixels) -> int:
    return block.nbytes


def read_in_blocks(
    cache: BlockCache,
    image: object,
    handle: Any,
    bands: tuple[int, ...],
    window: tuple[int, int, int, int],
    read: Callable[..., Pixels],
) -> Pixels:
    """Stored pixels of a window, put together from whole blocks.

    Args:
        cache: Keeps the blocks.
        image: What tells this image from others in the cache.
        handle: The open image.
        bands: Band indexes, counted from 1.
        window: ``(x, y, width, height)`` in pixels of the image, inside it.
        read: ``read(handle, bands, window)`` gives the pixels of one block, or raises.

    Returns:
        ``(bands, height, width)``.
    """
    x, y, width, height = window
    rows_block, cols_block = handle.block_shapes[bands[0] - 1]
    array: Pixels = np.empty((len(bands), height, width), handle.dtypes[bands[0] - 1])
    for row in range(y // rows_block * rows_block, y + height, rows_block):
        for col in range(x // cols_block * cols_block, x + width, cols_block):
            place = Window(
                col, row, min(cols_block, handle.width - col), min(rows_block, handle.height - row)
            )
            block = cache.get((image, bands, row, col), partial(read, handle, bands, place))
            x0, x1 = max(x, col), min(x + width, col + block.shape[2])
            y0, y1 = max(y, row), min(y + height, row + block.shape[1])
            part = block[:, y0 - row : y1 - row, x0 - col : x1 - col]
            array[:, y0 - y : y1 - y, x0 - x : x1 - x] = part
    return array
