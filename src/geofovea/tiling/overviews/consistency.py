"""Whether the overviews of a file are of its picture.

GDAL takes any image that a file names as an overview: one that was never finished, one of another
size, one of what the file showed before. Sizes and blocks tell much of that; a small part of each
overview is compared with the native pixels below it for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geofovea.errors import SceneReadError
from geofovea.tiling.cache.findings import measured_once
from geofovea.tiling.files.handles import open_handle, read_errors
from geofovea.tiling.files.layout import band_colors, has_block
from geofovea.tiling.files.source import Source
from geofovea.tiling.machine.rasterio_warnings import without_shadow_warning

__all__ = ["usable_overviews"]

Size = tuple[int, int]

_BLOCKS_LOCAL, _BLOCKS_REMOTE = 256, 4
_LARGEST_FACTOR = 256
_LEAST_SIDE, _OVERVIEW_SIDE = 256, 4
# where the part lies, in shares of the scene; the next is looked at where one tells nothing
_PLACES = ((0.5, 0.5), (0.25, 0.25), (0.75, 0.75), (0.25, 0.75), (0.75, 0.25))
# how far a resampled number may lie outside those it is made of, and what lossy codecs add
_OVERSHOOT, _LOSSY_STEPS = 0.5, 8.0
_MOST_WRONG = 0.5
# an average of which one number is NaN is NaN, a pixel that was picked seldom is
_MOST_LOST = 0.1


def usable_overviews(
    source: Source, dataset: Any, sizes: list[Size]
) -> tuple[int, tuple[str, ...]]:
    """How many overviews, from the finest, show the picture that the file holds.

    Args:
        source: The file.
        dataset: The same, open.
        sizes: ``(width, height)`` of each overview.

    Returns:
        The number, and a warning where not all do.
    """
    # these resolutions are the picture itself, decoded in part
    is_own = source.driver == "JP2OpenJPEG" or (
        source.driver == "JPEG" and not Path(source.path + ".ovr").exists()
    )
    if not sizes or is_own:
        return len(sizes), ()
    full = dataset.width, dataset.height
    for index, size in enumerate(sizes):
        if not _has_proportions(full, size):
            what = f"{size[0]} x {size[1]} pixels are no smaller version of {full[0]} x {full[1]}"
            return index, _warning(dataset, index, what)
        if source.driver == "GTiff" and not _is_written(source, dataset, index, size):
            return index, _warning(dataset, index, "some of its blocks were never written")
    try:
        with read_errors(source), without_shadow_warning():
            usable = measured_once(
                source,
                dataset.width * dataset.height,
                "overviews",
                lambda: _first_wrong(source, dataset, sizes),
                {"sizes": sizes},
            )
    except SceneReadError:
        # pixels that cannot be read fail where somebody wants them
        return len(sizes), ()
    if usable < len(sizes):
        return usable, _warning(dataset, usable, "its pixels differ from the native ones")
    return len(sizes), ()


def _warning(dataset: Any, index: int, why: str) -> tuple[str, ...]:
    factor = dataset.overviews(1)[index]
    return (
        f"the overview 1/{factor} is not of this picture ({why}), so neither it nor coarser ones "
        "are used; build them again with gdaladdo -r average",
    )


def _has_proportions(full: Size, size: Size) -> bool:
    """Whether one factor leads from one size to the other, up to a pixel of rounding."""
    (width, height), (width_over, height_over) = full, size
    off_y = abs(height_over - height * width_over / width)
    off_x = abs(width_over - width * height_over / height)
    return min(off_x, off_y) <= 1.0 + 1e-9 and width_over <= width and height_over <= height


def _is_written(source: Source, dataset: Any, index: int, size: Size) -> bool:
    """Whether no block of an overview is missing whose native pixels are there."""
    height_block, width_block = open_handle(source, index, for_pixels=False).block_shapes[0]
    rows, cols = -(-size[1] // height_block), -(-size[0] // width_block)
    most = _BLOCKS_LOCAL if source.remote is None else _BLOCKS_REMOTE
    for number in np.unique(np.linspace(0, rows * cols - 1, most).astype(int)):
        row, col = divmod(int(number), cols)
        if has_block(dataset, row, col, ovr=index):
            continue
        # the native block below its center
        x = min(dataset.width - 1, int((col + 0.5) * width_block * dataset.width / size[0]))
        y = min(dataset.height - 1, int((row + 0.5) * height_block * dataset.height / size[1]))
        native_height, native_width = dataset.block_shapes[0]
        if has_block(dataset, y // native_height, x // native_width):
            return False
    return True


def _first_wrong(source: Source, dataset: Any, sizes: list[Size]) -> int:
    """Index of the first overview whose pixels are not made of the native ones; their number else.

    The parts are small and few: one is enough where it shows anything but one number.
    """
    factors = [dataset.width / width for width, _ in sizes]
    checked = [k for k, factor in enumerate(factors) if factor <= _LARGEST_FACTOR]
    if not checked:
        return len(sizes)
    side = max(_LEAST_SIDE, round(_OVERVIEW_SIDE * factors[checked[-1]]))
    bands = [b for b, color in enumerate(band_colors(dataset), 1) if color.name != "alpha"][:3]
    for window in _windows(dataset, side, source.remote is not None):
        part = _native_part(source, bands, window)
        is_telling = bool(part.valid.any()) and bool(np.ptp(part.values[:, part.valid]) > 0)
        for index in checked:
            is_right = _agrees(source, dataset, index, sizes[index], bands, part)
            if is_right is False:
                return index
            is_telling = is_telling and is_right is True
        if is_telling:
            break
    return len(sizes)


def _windows(dataset: Any, side: int, is_remote: bool) -> Iterator[Window]:
    width, height = min(side, dataset.width), min(side, dataset.height)
    for share_y, share_x in _PLACES[:1] if is_remote else _PLACES:
        x, y = int(share_x * (dataset.width - width)), int(share_y * (dataset.height - height))
        yield Window(x, y, width, height)


def _real(values: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers ``(bands, h, w)``, NaN where not finite; complex ones as three runs of bands.

    These are magnitudes, real and imaginary parts: what is averaged lies between the parts that it
    is made of, and with phases of all kinds far below the magnitudes.
    """
    if np.iscomplexobj(values):
        values = np.concatenate([np.abs(values), values.real, values.imag])
    real = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(real), real, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class _NativePart:
    """A part of the native image, which overviews over it are compared with.

    Attributes:
        window: Where it lies, in native pixels.
        values: float64 ``(bands, h, w)``, NaN where a number is not finite; see `_real`.
        valid: bool ``(h, w)``, by the masks of the file.
    """

    window: Window
    values: NDArray[np.float64]
    valid: NDArray[np.bool_]


class _Below(NamedTuple):
    """What lies below each pixel of a part of an overview and, of numbers, around it.

    Attributes:
        low: Least native number, ``(bands, h, w)``.
        high: Largest one.
        finite_share: Share of the native numbers right below that are finite.
        is_counted: bool ``(h, w)``, where all native pixels are known.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    finite_share: NDArray[np.float64]
    is_counted: NDArray[np.bool_]


def _native_part(source: Source, bands: list[int], window: Window) -> _NativePart:
    values = _real(open_handle(source).read(bands, window=window))
    valid = open_handle(source).read_masks(bands, window=window).all(axis=0)
    return _NativePart(window, values, valid)


def _agrees(
    source: Source, dataset: Any, index: int, size: Size, bands: list[int], part: _NativePart
) -> bool | None:
    """Whether most pixels of a part of an overview lie between the native ones below them.

    Only pixels count around which all native ones are known; None where there are none.
    """
    window = part.window
    ratio_x, ratio_y = size[0] / dataset.width, size[1] / dataset.height
    cols = _inside(window.col_off, window.width, ratio_x)
    rows = _inside(window.row_off, window.height, ratio_y)
    if len(cols) < 2 or len(rows) < 2:
        return None
    below = _below(part, cols / ratio_x, rows / ratio_y)
    if not below.is_counted.any():
        return None
    handle = open_handle(source, index)
    over = Window(cols[0], rows[0], len(cols) - 1, len(rows) - 1)
    stored = handle.read(bands, window=over)
    values = _real(stored)
    is_masked = ~handle.read_masks(bands, window=over).all(axis=0)
    is_off = _is_off(values, below, dataset.dtypes[0])
    if np.iscomplexobj(stored):
        is_off = _is_complex_off(is_off, values, dataset.dtypes[0])
    vanished = np.isnan(values) & (below.finite_share > _MOST_WRONG)
    is_lost = np.asarray(vanished.any(axis=0))
    is_wrong = np.asarray(is_off.any(axis=0) | is_masked | is_lost)
    share_wrong, share_lost = is_wrong[below.is_counted].mean(), is_lost[below.is_counted].mean()
    return bool(share_wrong <= _MOST_WRONG and share_lost <= _MOST_LOST)


def _is_complex_off(
    is_off: NDArray[np.bool_], values: NDArray[np.float64], dtype: str
) -> NDArray[np.bool_]:
    """Which complex numbers are off, by what of each is: magnitude, real and imaginary part.

    Picked pixels and averaged magnitudes lie between magnitudes, averages between parts.
    """
    magnitude, real, imaginary = np.split(is_off, 3)
    is_average = ~(real | imaginary)
    if dtype != "complex_int16":
        # no average of floats is zero to the last bit, and an overview without content is
        is_average &= np.split(values, 3)[0] > 0
    return np.asarray(magnitude & ~is_average)


def _is_off(values: NDArray[np.float64], below: _Below, dtype: str) -> NDArray[np.bool_]:
    """Which numbers lie farther outside the native ones than resampling and codecs bring them."""
    # numpy does not know all types of files, such as complex_int16
    step = _LOSSY_STEPS if dtype == "uint8" else 1.0 if "int" in dtype else 0.0
    low, high = below.low, below.high
    with np.errstate(invalid="ignore"):
        room = _OVERSHOOT * (high - low) + step + 1e-5 * np.maximum(abs(low), abs(high))
        return np.asarray((values < low - room) | (values > high + room))


def _below(
    part: _NativePart, edges_x_native: NDArray[np.float64], edges_y_native: NDArray[np.float64]
) -> _Below:
    """The native numbers below the pixels of an overview whose edges are given."""
    window = part.window
    edges_x = np.clip(np.round(edges_x_native - window.col_off), 0, window.width).astype(int)
    edges_y = np.clip(np.round(edges_y_native - window.row_off), 0, window.height).astype(int)
    block = np.s_[..., edges_y[0] : edges_y[-1], edges_x[0] : edges_x[-1]]
    starts = edges_y[:-1] - edges_y[0], edges_x[:-1] - edges_x[0]
    values, valid = part.values[block], part.valid[block]
    finite = _reduced(np.add, np.isfinite(values).astype(float), starts)
    return _Below(
        _around(np.fmin, values, starts),
        _around(np.fmax, values, starts),
        finite / _reduced(np.add, np.ones(values.shape), starts),
        _around(np.minimum, valid.astype(float), starts) > 0,
    )


def _inside(start: float, length: float, ratio: float) -> NDArray[np.intp]:
    """Edges of the pixels of an overview that lie in a native part as a whole."""
    first, last = np.ceil(start * ratio - 1e-9), np.floor((start + length) * ratio + 1e-9)
    return np.arange(int(first), int(last) + 1)


def _reduced(how: Any, values: NDArray[Any], starts: Any) -> NDArray[Any]:
    rows: NDArray[Any] = how.reduceat(values, starts[0], axis=-2)
    return np.asarray(how.reduceat(rows, starts[1], axis=-1))


def _around(how: Any, values: NDArray[Any], starts: Any) -> NDArray[Any]:
    """The least or the largest native number below each pixel and its eight neighbors."""
    reduced = _reduced(how, values, starts)
    rows, cols = reduced.shape[-2:]
    padded = np.pad(reduced, [(0, 0)] * (reduced.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    result = reduced
    for row in range(3):
        for col in range(3):
            result = how(result, padded[..., row : row + rows, col : col + cols])
    return np.asarray(result)
