"""Checksums of the blocks of level files: a block that changed on the disk is noticed when read.

Size and time of a file do not tell that a sector went bad, or that a copy of the cache was torn. So
the pixels of each block are summed when they are written, and compared before the first read that
touches them in a process. Sums are of what blocks decode to, so whatever makes other pixels of a
file, in its directories too, is noticed. Nothing is ever read for its sums alone but such blocks.
"""

from __future__ import annotations

import hashlib
import io
import math
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from geofovea.errors import SceneReadError
from geofovea.tiling.cache.ownership import is_believed
from geofovea.tiling.machine.forks import ForkSafeLock

__all__ = [
    "BlockChecks",
    "CheckedImage",
    "LevelChecks",
    "checks_path",
    "load_checks",
    "nature_of",
    "sum_of_block",
]

Checks = NDArray[np.uint32]

# how far beyond a window GDAL looks to resample it, in pixels of its result and of the image
_KERNEL, _MARGIN = 2, 2
_BLOCKS_AT_ONCE = 64
_MOST_IMAGES = 64
_MOST_FILE_BYTES = 2**30


def checks_path(folder: Path, level: int) -> Path:
    """The file that holds the sums of a level."""
    return folder / f"level_{level}.npy"


def nature_of(image: Any) -> str:
    """All that decides how the stored numbers of an open image are shown."""
    flags = [[flag.name for flag in band] for band in image.mask_flag_enums]
    colors = [int(color) for color in image.colorinterp]
    shape = (image.count, image.height, image.width, image.block_shapes[0], image.dtypes)
    return repr((shape, image.nodatavals, flags, colors, image.scales, image.offsets))


class BlockChecks:
    """Sums of the blocks of one image, gathered while it is read through.

    A plane is what is decoded together: all bands, or each where they are stored one by one; the
    mask inside the file is the last.
    """

    def __init__(self, image: Any) -> None:
        """Take an open image; nothing is known of its blocks yet."""
        self._layout = _Layout.of(image)
        self.sums: Checks = np.zeros(self._layout.shape, np.uint32)
        # of blocks that are not stored, by their shape
        self._empty: dict[tuple[int, ...], int] = {}

    def add(
        self, window: Window, values: NDArray[Any], mask: NDArray[np.bool_] | None = None
    ) -> None:
        """Sum the blocks of a window of whole blocks.

        Args:
            window: Where.
            values: All bands, (bands, rows, cols).
            mask: Which pixels the mask inside the file shows, (rows, cols), where it has one.
        """
        layout = self._layout
        planes = [values[[band - 1 for band in bands]] for bands in layout.planes]
        if layout.has_mask:
            planes.append(np.ones((1, *values.shape[1:]), bool) if mask is None else mask[None])
        row, col = window.row_off // layout.block[0], window.col_off // layout.block[1]
        for number, plane in enumerate(planes):
            for r, c, block in _blocks(plane, layout.block):
                self.sums[number, row + r, col + c] = sum_of_block(block)

    def add_empty(self, window: Window, image: Any) -> None:
        """The same for a window of which no block is stored; decodes none."""
        row, col = window.row_off // self._layout.block[0], window.col_off // self._layout.block[1]
        dtype = np.dtype(image.dtypes[0])
        fill = np.array(0 if image.nodata is None else image.nodata).astype(dtype)
        for number, bands in enumerate(self._layout.planes):
            shape = (len(bands), int(window.height), int(window.width))
            for r, c, block in _blocks(np.broadcast_to(fill, shape), self._layout.block):
                key = block.shape
                if key not in self._empty:
                    self._empty[key] = sum_of_block(block)
                self.sums[number, row + r, col + c] = self._empty[key]

    def add_all(self, image: Any) -> BlockChecks:
        """Read an image through and sum its blocks."""
        height, width = self._layout.block
        step = width * _BLOCKS_AT_ONCE
        for y in range(0, image.height, height):
            for x in range(0, image.width, step):
                window = Window(x, y, min(step, image.width - x), min(height, image.height - y))
                mask = image.read_masks(1, window=window) > 0 if self._layout.has_mask else None
                self.add(window, image.read(window=window), mask)
        return self


@dataclass(frozen=True, slots=True)
class LevelChecks:
    """Where the sums of a level lie, and what the record of its folder says of it.

    Attributes:
        path: The file.
        digest: SHA-256 of the file.
        nature: See ``nature_of``.
    """

    path: Path
    digest: str
    nature: str

    @classmethod
    def write(cls, path: Path, sums: Checks, nature: str) -> LevelChecks:
        """Keep the sums of a level.

        Raises:
            OSError: If they cannot be written.
        """
        buffer = io.BytesIO()
        np.save(buffer, sums, allow_pickle=False)
        path.write_bytes(buffer.getvalue())
        return cls(path, hashlib.sha256(buffer.getvalue()).hexdigest(), nature)


class _ImageSums:
    """The sums of one image in this process, and which blocks were compared already."""

    def __init__(self, sums: Checks) -> None:
        self.sums = sums
        self.is_sound = np.zeros(sums.shape, bool)


# by the identity of the file and the overview in it; least recently used first
_images: OrderedDict[tuple[str, int | None], _ImageSums] = OrderedDict()
_lock = ForkSafeLock(_images.clear)


def load_checks(checks: LevelChecks, image: Any, identity: str, overview: int | None) -> _ImageSums:
    """The sums of an open image.

    Raises:
        SceneReadError: If they, or the directory of the image, are not as they were written.
    """
    key = (identity, overview)
    with _lock:
        if key in _images:
            _images.move_to_end(key)
            return _images[key]
    sums = _read_sums(checks)
    if sums is None or sums.shape != _Layout.of(image).shape or nature_of(image) != checks.nature:
        raise _damaged(image)
    with _lock:
        # another thread may have read them meanwhile, and compared some blocks
        image_sums = _images.setdefault(key, _ImageSums(sums))
        while len(_images) > _MOST_IMAGES:
            _images.popitem(last=False)
    return image_sums


class CheckedImage:
    """An open image of a level file whose blocks are compared before what they hold is used.

    Behaves like the ``rasterio.DatasetReader`` that it holds.
    """

    def __init__(self, image: Any, sums: _ImageSums) -> None:
        """Take an image and what is known of its blocks."""
        self._image = image
        self._sums = sums
        self._layout = _Layout.of(image)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._image, name)

    def read(self, indexes: Any = None, **options: Any) -> Any:
        """As rasterio does.

        Raises:
            SceneReadError: If a block is not as it was written.
        """
        self._compare(indexes, options)
        return self._image.read(indexes, **options)

    def read_masks(self, indexes: Any = None, **options: Any) -> Any:
        """Likewise."""
        self._compare(indexes, options)
        return self._image.read_masks(indexes, **options)

    def dataset_mask(self, *args: Any, **options: Any) -> Any:
        """Likewise."""
        self._compare(None, options)
        return self._image.dataset_mask(*args, **options)

    def _compare(self, indexes: Any, options: dict[str, Any]) -> None:
        rows, cols = self._touched(options.get("window"), options.get("out_shape"))
        for plane in self._layout.planes_of(indexes):
            # a copy: another thread that reads this image marks blocks meanwhile
            is_sound = self._sums.is_sound[plane, rows, cols].copy()
            if is_sound.all():
                continue
            for row in np.flatnonzero(~is_sound.all(axis=1)):
                open_cols = np.flatnonzero(~is_sound[row])
                first, last = int(open_cols[0]), int(open_cols[-1]) + 1
                for col in range(first, last, _BLOCKS_AT_ONCE):
                    some = slice(cols.start + col, cols.start + min(col + _BLOCKS_AT_ONCE, last))
                    self._compare_row(plane, rows.start + int(row), some)

    def _compare_row(self, plane: int, row: int, cols: slice) -> None:
        image, (height, width) = self._image, self._layout.block
        x, y = cols.start * width, row * height
        window = Window(
            x, y, min(cols.stop * width, image.width) - x, min(height, image.height - y)
        )
        if plane < len(self._layout.planes):
            values = image.read(list(self._layout.planes[plane]), window=window)
        else:
            values = image.read_masks([1], window=window) > 0
        for _, col, block in _blocks(values, self._layout.block):
            if sum_of_block(block) != self._sums.sums[plane, row, cols.start + col]:
                raise _damaged(image)
        self._sums.is_sound[plane, row, cols] = True

    def _touched(self, window: Any, out_shape: Any) -> tuple[slice, slice]:
        """Rows and columns of the blocks that a read touches, at most."""
        image = self._image
        window = window or Window(0, 0, image.width, image.height)
        rows_out, cols_out = (out_shape or (window.height, window.width))[-2:]
        sides = (
            (window.row_off, window.height, rows_out, image.height, self._layout.block[0]),
            (window.col_off, window.width, cols_out, image.width, self._layout.block[1]),
        )
        rows, cols = (_span(*side) for side in sides)
        return rows, cols


@dataclass(frozen=True, slots=True)
class _Layout:
    """How an image is divided: its blocks, and the bands that are decoded together."""

    block: tuple[int, int]
    grid: tuple[int, int]
    planes: tuple[tuple[int, ...], ...]
    has_mask: bool
    alpha: int

    @classmethod
    def of(cls, image: Any) -> _Layout:
        height, width = (int(side) for side in image.block_shapes[0])
        structure = image.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE", "PIXEL")
        bands = tuple(int(band) for band in image.indexes)
        flags = image.mask_flag_enums[0]
        has_alpha = MaskFlags.alpha in flags
        return cls(
            (height, width),
            (-(-image.height // height), -(-image.width // width)),
            (bands,) if structure.upper() == "PIXEL" else tuple((band,) for band in bands),
            MaskFlags.per_dataset in flags and not has_alpha,
            bands[-1] if has_alpha else 0,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.planes) + self.has_mask, *self.grid)

    def planes_of(self, indexes: Any) -> list[int]:
        """Planes that a read of some bands depends on: GDAL leaves out of averages what masks."""
        if indexes is None:
            return list(range(self.shape[0]))
        bands = {int(band) for band in np.atleast_1d(indexes)} | (
            {self.alpha} if self.alpha else set()
        )
        planes = [n for n, plane in enumerate(self.planes) if bands & set(plane)]
        return [*planes, len(self.planes)] if self.has_mask else planes


def _span(start: float, length: float, out: int, side: int, block: int) -> slice:
    margin = _MARGIN + _KERNEL * max(1.0, length / max(1, out))
    first = max(0, math.floor(start - margin))
    last = min(side, math.ceil(start + length + margin))
    return slice(first // block, max(first // block + 1, -(-last // block)))


def _blocks(plane: NDArray[Any], block: tuple[int, int]) -> Iterator[tuple[int, int, NDArray[Any]]]:
    height, width = block
    for r, y in enumerate(range(0, plane.shape[1], height)):
        for c, x in enumerate(range(0, plane.shape[2], width)):
            yield r, c, plane[:, y : y + height, x : x + width]


def sum_of_block(block: NDArray[Any]) -> int:
    """The sum by which stored numbers are compared."""
    return zlib.crc32(np.ascontiguousarray(block).view(np.uint8).data)


def _read_sums(checks: LevelChecks) -> Checks | None:
    try:
        if not is_believed(checks.path) or checks.path.stat().st_size > _MOST_FILE_BYTES:
            return None
        content = checks.path.read_bytes()
        if hashlib.sha256(content).hexdigest() != checks.digest:
            return None
        sums: Checks = np.load(io.BytesIO(content), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return sums if sums.dtype == np.uint32 and sums.ndim == 3 else None


def _damaged(image: Any) -> SceneReadError:
    return SceneReadError(
        f"{image.name!r} does not hold what was written to it: the disk or a copy is damaged; "
        "run geofovea cache clear, and it is built again"
    )
