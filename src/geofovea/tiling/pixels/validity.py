"""Which pixels are known, by nodata, alpha, masks inside or beside the file, or a declaration.

All marks count together, because a file may have several. GDAL resamples its own masks along with
the pixels. If it does not know all marks (``is_masked_by_gdal``), they are looked up among stored
numbers, which are read by nearest neighbor, and the averages are made here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import MaskFlags, Resampling
from rasterio.windows import Window

from geofovea.tiling.files.handles import ALL_OVERVIEWS, open_handle
from geofovea.tiling.machine.rasterio_warnings import without_shadow_warning
from geofovea.tiling.marks import are_finite, are_opaque, join_bands
from geofovea.tiling.pixels.alpha import is_masked_by_gdal, opaque_alpha, opaque_mask
from geofovea.tiling.pixels.resampling import padded, resample_known
from geofovea.tiling.scene import Scene

__all__ = [
    "block_mean",
    "join_masks",
    "needs_half_known",
    "read_band_masks",
    "read_known",
    "read_valid",
    "supersampling",
]

# A resampled pixel is valid if at least half of it is; half-transparent pixels are still shown.
_HALF = 128
_MAX_SUPERSAMPLING = 16
_SUPERSAMPLED_NUMBERS = 16 * 2**20
# as many are resampled in memory by GDAL itself; of more, some are picked
_RESAMPLED_NUMBERS = 8 * 2**20


def read_valid(
    handle: Any, scene: Scene, bands: tuple[int, ...], **options: Any
) -> NDArray[np.bool_] | None:
    """Which pixels are there, ``(h, w)``; None where nothing marks any as missing.

    A zero in one of three bands is a dark color, and so is the highest number of an unsigned type
    a bright one: such a pixel is missing where all three bands are. Any other nodata value in one
    shown band makes the pixel missing.

    Args:
        handle: An open image of the scene, or a copy of its bands with a mask of its own.
        scene: The scene.
        bands: Band indexes in the image.
        options: ``window``, ``out_shape`` and ``resampling`` of the read.
    """
    masks = read_band_masks(handle, scene, bands, **options)
    return None if masks is None else join_masks(scene, bands, masks)


def join_masks(scene: Scene, bands: tuple[int, ...], masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pixels are there, from the masks ``(bands, h, w)`` of some bands."""
    if scene.mask_kind != "nodata":
        return np.asarray(masks.all(axis=0))
    return join_bands(masks, scene.nodata_of(bands), scene.dtype)


def needs_half_known(scene: Scene) -> bool:
    """Whether a pixel of a coarser level is known only where at least half of it is.

    Where numbers mark what is missing, GDAL's overviews show all that is known in any part; masks
    and alpha are averaged, and half decides.
    """
    return scene.mask_kind != "nodata" and not scene.dtype.startswith(("float", "complex"))


def read_band_masks(
    handle: Any, scene: Scene, bands: tuple[int, ...], **options: Any
) -> NDArray[np.bool_] | None:
    """Which pixels of each band are known, bool ``(bands, h, w)``; None if all are.

    Args:
        handle: As in ``read_valid``.
        scene: The scene.
        bands: Band indexes in the image.
        options: As in ``read_valid``.
    """
    if "out_shape" in options:
        options["out_shape"] = (len(bands), *options["out_shape"][-2:])
    if scene.source.has_exact_masks:
        # its handles know all marks, of each band
        is_marked = scene.mask_kind != "none"
        return handle.read_masks(list(bands), **options) >= _HALF if is_marked else None
    # a copy made of this scene holds all that is known of it in its own mask
    if MaskFlags.per_dataset in handle.mask_flag_enums[0] and _is_other_file(handle, scene):
        return _one_mask(handle, bands, options)
    masks = _masks_by_gdal(handle, scene, bands, options)
    if is_masked_by_gdal(scene):
        return masks
    marks = _marks(handle, scene, bands, options | {"resampling": Resampling.nearest})
    return marks if masks is None else masks & marks


def _masks_by_gdal(
    handle: Any, scene: Scene, bands: tuple[int, ...], options: dict[str, Any]
) -> NDArray[np.bool_] | None:
    """The masks that GDAL has of a scene, ``(bands, h, w)``; None without any."""
    if scene.mask_kind == "nodata":
        with without_shadow_warning():
            masks: NDArray[np.bool_] = handle.read_masks(list(bands), **options) >= _HALF
        return masks
    if scene.mask_kind == "internal" and _has_doubtful_mask(handle, scene):
        return _masks_of_file(handle, scene, bands, options)
    if scene.mask_kind == "internal":
        return _one_mask(handle, bands, options, opaque=opaque_mask(scene))
    if scene.mask_kind == "alpha" and is_masked_by_gdal(scene):
        # the band of alpha itself has no mask
        return _one_mask(handle, bands, options, band=2 if scene.alpha == 1 else 1)
    return None


def read_known(
    handle: Any,
    scene: Scene,
    bands: tuple[int, ...],
    window: Window,
    shape: tuple[int, int],
    resampling: Resampling,
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Numbers of a window that may be averaged, resampled; what is missing is left out.

    Args:
        handle: As in ``read_valid``.
        scene: The scene.
        bands: Band indexes in the image.
        window: In pixels of the image.
        shape: ``(rows, cols)`` of the result.
        resampling: How stored pixels become those of the result.

    Returns:
        Values ``(bands, rows, cols)``, and which are known, None for all.
    """
    numbers = len(bands) * shape[0] * shape[1]
    options: dict[str, Any] = {"window": window, "out_shape": (len(bands), *shape)}
    options["resampling"] = resampling
    if resampling is Resampling.nearest or is_masked_by_gdal(scene):
        values = handle.read(list(bands), **options)
        return values, read_band_masks(handle, scene, bands, **options)
    rows = padded(window.row_off, window.height, shape[0], handle.height)
    cols = padded(window.col_off, window.width, shape[1], handle.width)
    if len(bands) * (rows.stop - rows.start) * (cols.stop - cols.start) <= _RESAMPLED_NUMBERS:
        stored = Window.from_slices(rows, cols)
        values = handle.read(list(bands), window=stored)
        masks = read_band_masks(handle, scene, bands, window=stored)
        assert masks is not None  # noqa: S101  (GDAL does not know all marks, so there are some)
        inside = Window(
            window.col_off - cols.start, window.row_off - rows.start, window.width, window.height
        )
        return resample_known(values, masks, inside, shape, resampling)
    side = supersampling(max(window.width / shape[1], window.height / shape[0]), numbers)
    options["out_shape"] = (len(bands), shape[0] * side, shape[1] * side)
    options["resampling"] = Resampling.nearest
    values = handle.read(list(bands), **options)
    masks = read_band_masks(handle, scene, bands, **options)
    assert masks is not None  # noqa: S101  (as above)
    return block_mean(values, masks, side)


def _one_mask(
    handle: Any,
    bands: tuple[int, ...],
    options: dict[str, Any],
    *,
    band: int = 0,
    opaque: float = 255.0,
) -> NDArray[np.bool_]:
    """The mask of a file, which is one for all bands; read of the first of them, or of another."""
    if "out_shape" in options:
        options = options | {"out_shape": (1, *options["out_shape"][-2:])}
    mask = are_opaque(handle.read_masks([band or bands[0]], **options), opaque)
    return np.broadcast_to(mask, (len(bands), *mask.shape[1:]))


def _marks(
    handle: Any, scene: Scene, bands: tuple[int, ...], options: dict[str, Any]
) -> NDArray[np.bool_]:
    """What GDAL has no mask for: numbers that are none, alpha, and what the caller declared."""
    values = handle.read(list(bands), **options)
    masks = are_finite(values)
    if scene.alpha:
        if "out_shape" in options:
            options = options | {"out_shape": (1, *options["out_shape"][-2:])}
        alpha = handle.read([scene.alpha], **options)
        masks = masks & are_opaque(alpha, opaque_alpha(scene))
    if scene.missing is not None:
        masks = masks & scene.missing.valid(values, bands, _shares(handle, options.get("window")))
    return np.asarray(masks)


def supersampling(decimation: float, numbers: int) -> int:
    """How many stored pixels are picked along each side of an output pixel, and then averaged.

    Args:
        decimation: Stored pixels per output pixel, along the axis where there are more.
        numbers: How many numbers the result has, all bands together.
    """
    most = math.isqrt(max(1, _SUPERSAMPLED_NUMBERS // max(1, numbers)))
    return max(1, min(_MAX_SUPERSAMPLING, most, math.ceil(decimation - 1e-9)))


def block_mean(
    values: NDArray[np.generic], valid: NDArray[np.bool_], side: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Average valid values over squares; a square is valid if at least half of it is.

    Args:
        values: ``(bands, h, w)``.
        valid: ``(h, w)``, or for each band.
        side: Of a square.
    """
    bands, rows, cols = values.shape
    shape = (rows // side, side, cols // side, side)
    weights = valid.reshape(*valid.shape[:-2], *shape).sum(axis=(-3, -1))
    squares = np.where(valid, values, 0).astype(np.float64).reshape(bands, *shape)
    return squares.sum(axis=(2, 4)) / np.maximum(weights, 1), weights * 2 >= side**2


def _has_doubtful_mask(handle: Any, scene: Scene) -> bool:
    return handle.width < scene.width and not scene.source.has_exact_masks


def _is_other_file(handle: Any, scene: Scene) -> bool:
    # GDAL knows a far-away file by a name of its own
    is_in_memory = str(handle.name).startswith("/vsimem/")
    is_elsewhere = scene.source.remote is None and handle.name != scene.source.gdal_name
    return not scene.source.has_exact_masks and (is_in_memory or is_elsewhere)


def _masks_of_file(
    handle: Any, scene: Scene, bands: tuple[int, ...], options: dict[str, Any]
) -> NDArray[np.bool_]:
    """The mask for a part of an overview, from the whole file.

    An overview shows an own mask of ones where the mask has no overviews: one that was written
    after them, or beside the file. The mask of the whole file is right in both cases, and cheap
    where it has overviews. The pixels of such an overview may be mixed at the edge of its mask.
    """
    whole = open_handle(scene.source, ALL_OVERVIEWS)
    window = options.get("window") or Window(0, 0, handle.width, handle.height)
    x, y = whole.width / handle.width, whole.height / handle.height
    shape = options.get("out_shape", (round(window.height), round(window.width)))[-2:]
    native = Window(window.col_off * x, window.row_off * y, window.width * x, window.height * y)
    mask = whole.read_masks(
        [bands[0]], window=native, out_shape=(1, *shape), resampling=Resampling.average
    )
    return np.broadcast_to(are_opaque(mask, opaque_mask(scene)), (len(bands), *shape))


def _shares(handle: Any, window: Any) -> tuple[float, float, float, float]:
    """A window of an image as shares of its width and height."""
    if window is None:
        return 0.0, 0.0, 1.0, 1.0
    x0, y0 = window.col_off / handle.width, window.row_off / handle.height
    return x0, y0, x0 + window.width / handle.width, y0 + window.height / handle.height
