"""The directories of a TIFF, read without GDAL: how many images there are, which blocks are stored.

GDAL keeps an object for each image of a file, in each dataset that is open, so what a file claims
is looked at before it is opened. And rasterio tells of one block at a time whether it is stored.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Directory", "directories", "stored_blocks"]

WIDTH, HEIGHT, SAMPLES, PLANAR = 256, 257, 277, 284
TILE_WIDTH, TILE_HEIGHT, ROWS_PER_STRIP = 322, 323, 278
_OFFSETS, _SIZES = (324, 273), (325, 279)
_NEW_SUBFILE, _OLD_SUBFILE = 254, 255
_REDUCED, _MASK = 1, 4
_OLD_REDUCED = 2
_TYPES = {1: "u1", 2: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_MOST_ENTRIES = 4096
# of blocks in one image; their places take eight bytes each
_MOST_BLOCKS = 2**22


@dataclass(frozen=True, slots=True)
class Directory:
    """The tags of one image.

    Attributes:
        order: ``<`` or ``>``, as in numpy.
        tags: Numpy type, count and raw value or place of each tag.
        is_big: Whether places take eight bytes.
    """

    order: str
    tags: dict[int, tuple[str, int, bytes]]
    is_big: bool

    @property
    def is_reduced_or_mask(self) -> bool:
        """Whether the image is one beside another: GDAL holds each of these open."""
        kind = self.number(_NEW_SUBFILE, 0)
        return bool(kind & (_REDUCED | _MASK)) or self.number(_OLD_SUBFILE, 0) == _OLD_REDUCED

    def number(self, tag: int, default: int) -> int:
        """The first value of a tag whose values fit into the directory."""
        dtype, count, raw = self.tags.get(tag, ("", 0, b""))
        size = np.dtype(dtype).itemsize if dtype else 0
        if count < 1 or not 0 < size <= len(raw):
            return default
        return int(np.frombuffer(raw[:size], self.order + dtype)[0])

    def first(self, tag: int, default: int, file: Any) -> int:
        """The first value of a tag, wherever its values stand; the default where it has none."""
        dtype, count, raw = self.tags.get(tag, ("", 0, b""))
        size = np.dtype(dtype).itemsize if dtype else 0
        if count < 1 or not size:
            return default
        if size * count > len(raw):
            raw = self._bytes_at(raw, size, file)
        if len(raw) < size:
            return default
        return int(np.frombuffer(raw[:size], self.order + dtype)[0])

    def _bytes_at(self, raw: bytes, size: int, file: Any) -> bytes:
        (place,) = struct.unpack(self.order + ("Q" if self.is_big else "I"), raw)
        file.seek(place)
        return bytes(file.read(size))

    def numbers(self, tag: int, file: Any) -> NDArray[np.uint64] | None:
        """All values of a tag; None where there are none, or not as many as it says."""
        dtype, count, raw = self.tags.get(tag, ("", 0, b""))
        if not dtype or not 0 < count <= _MOST_BLOCKS:
            return None
        size = count * np.dtype(dtype).itemsize
        if size > len(raw):
            raw = self._bytes_at(raw, size, file)
        if len(raw) < size:
            return None
        return np.frombuffer(raw[:size], self.order + dtype).astype(np.uint64)

    def text(self, tag: int, file: Any) -> str:
        """What a tag of text says, up to its first zero; empty where there is none."""
        letters = self.numbers(tag, file)
        raw = b"" if letters is None else letters.astype(np.uint8).tobytes()
        return raw.partition(b"\0")[0].decode("latin-1").strip()


def directories(file: Any) -> Iterator[Directory]:
    """The directories in the chain of a TIFF, as far as they can be read; each once.

    Args:
        file: A binary file that can seek.
    """
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return
    is_big = head[2:4] in (b"+\0", b"\0+")
    if is_big and len(head) < 16:
        return
    (place,) = struct.unpack_from(order + ("Q" if is_big else "I"), head, 8 if is_big else 4)
    visited: set[int] = set()
    while place and place not in visited:
        visited.add(place)
        directory, place = _directory(file, place, order, is_big=is_big)
        if directory is None:
            return
        yield directory


def _directory(file: Any, place: int, order: str, *, is_big: bool) -> tuple[Directory | None, int]:
    """The directory at a place, and the place of the next."""
    head_size, entry_size, value_at, next_size = (8, 20, 12, 8) if is_big else (2, 12, 8, 4)
    try:
        file.seek(place)
        head = file.read(head_size)
        (count,) = struct.unpack(order + ("Q" if is_big else "H"), head)
        if count > _MOST_ENTRIES:
            return None, 0
        body = file.read(count * entry_size + next_size)
        (following,) = struct.unpack(order + ("Q" if is_big else "I"), body[-next_size:])
    except (OSError, OverflowError, struct.error):
        return None, 0
    if len(body) != count * entry_size + next_size:
        return None, 0
    tags: dict[int, tuple[str, int, bytes]] = {}
    for start in range(0, count * entry_size, entry_size):
        tag, kind, number = struct.unpack_from(order + ("HHQ" if is_big else "HHI"), body, start)
        if kind in _TYPES:
            raw = body[start + value_at : start + entry_size]
            tags.setdefault(tag, (_TYPES[kind], number, raw))
    return Directory(order, tags, is_big), following


def directory_of(file: Any, page: int | None) -> Directory | None:
    """The directory of a page of a TIFF; None where there is none that can be read.

    Args:
        file: A binary file that can seek.
        page: Counted from 1; None is the first.
    """
    first = (page or 1) - 1
    return next(islice(directories(file), first, first + 1), None)


def stored_blocks(file: Any) -> tuple[NDArray[np.bool_], tuple[int, int]] | None:
    """Which blocks of the first image of a TIFF are stored in any band, and their shape.

    Returns:
        ``(rows, cols)`` and ``(height, width)``, or None where the directory does not tell. A block
        that is not stored shows nodata, or zero.
    """
    directory = next(directories(file), None)
    if directory is None:
        return None
    width, height = directory.number(WIDTH, 0), directory.number(HEIGHT, 0)
    block_width = directory.number(TILE_WIDTH, width)
    is_tiled = TILE_HEIGHT in directory.tags
    block_height = directory.number(TILE_HEIGHT if is_tiled else ROWS_PER_STRIP, height)
    if min(width, height, block_width, block_height) < 1:
        return None
    rows, cols = -(-height // min(block_height, 2**31)), -(-width // block_width)
    planes = directory.number(SAMPLES, 1) if directory.number(PLANAR, 1) == 2 else 1
    places, sizes = (
        directory.numbers(tags[0] if is_tiled else tags[1], file) for tags in (_OFFSETS, _SIZES)
    )
    if places is None or sizes is None or not len(places) == len(sizes) == planes * rows * cols:
        return None
    stored = (places > 0) & (sizes > 0)
    shape = min(block_height, height), block_width
    return np.asarray(stored.reshape(planes, rows, cols).any(axis=0)), shape
