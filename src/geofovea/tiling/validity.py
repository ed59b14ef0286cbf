"""Which pixels are there: by nodata, alpha, masks inside or beside the file, or the caller's word.

GDAL resamples masks along with pixels; what the caller declared is found among stored pixels, so it
needs reads by nearest neighbour (``Radiometry.needs_expansion``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import MaskFlags, Resampling
from rasterio.windows import Window

from geofovea.tiling.array_source import ArraySource
from geofovea.tiling.handles import ALL_OVERVIEWS, open_handle
from geofovea.tiling.missing import is_missing_part
from geofovea.tiling.scene import Scene

__all__ = ["read_band_masks", "read_valid"]

# A resampled pixel is valid if at least half of it is; half-transparent pixels are still shown.
_HALF = 128


def read_valid(
    handle: Any, scene: Scene, bands: tuple[int, ...], **options: Any
) -> NDArray[np.bool_] | None:
    """Which pixels are there, ``(h, w)``; None where nothing marks any as missing.

    A zero in one of three bands is a dark colour, and so is the highest number of an unsigned type
    a bright one: such a pixel is missing where all three bands are. Any other nodata value in one
    shown band makes the pixel missing.

    Args:
        handle: An open image of the scene, or a copy of its bands with a mask of its own.
        scene: The scene.
        bands: Band indexes in the image.
        options: ``window``, ``out_shape`` and ``resampling`` of the read.
    """
    masks = read_band_masks(handle, scene, bands, **options)
    if masks is None:
        return None
    # two bands make an index, which needs both
    is_part = len(bands) == 2 or is_missing_part(scene.nodata, scene.dtype)
    needs_all = scene.mask_kind != "nodata" or is_part
    return np.asarray(masks.all(axis=0) if needs_all else masks.any(axis=0))


def read_band_masks(
    handle: Any, scene: Scene, bands: tuple[int, ...], **options: Any
) -> NDArray[np.bool_] | None:
    """The same for each band, ``(bands, h, w)``.

    Args:
        handle: As in ``read_valid``.
        scene: The scene.
        bands: Band indexes in the image.
        options: As in ``read_valid``.
    """
    if "out_shape" in options:
        options["out_shape"] = (len(bands), *options["out_shape"][-2:])
    masks: NDArray[np.bool_] | None = None
    flags = handle.mask_flag_enums[0]
    # a copy made of this scene holds all that is known of it in its own mask
    is_copy = MaskFlags.per_dataset in flags and _is_other_file(handle, scene)
    if scene.mask_kind == "nodata" and not is_copy:
        masks = handle.read_masks(list(bands), **options) >= _HALF
    elif scene.mask_kind == "internal" and _has_doubtful_mask(handle, scene) and not is_copy:
        masks = _masks_of_file(handle, scene, bands, options)
    elif scene.mask_kind in ("alpha", "internal") or is_copy:
        # one for all bands
        if "out_shape" in options:
            options["out_shape"] = (1, *options["out_shape"][-2:])
        mask = handle.read_masks(list(bands[:1]), **options) >= _HALF
        masks = np.broadcast_to(mask, (len(bands), *mask.shape[1:]))
    if scene.missing is not None and not is_copy:
        if "out_shape" in options:
            options["out_shape"] = (len(bands), *options["out_shape"][-2:])
        options["resampling"] = Resampling.nearest
        declared = scene.missing.valid(
            handle.read(list(bands), **options), bands, _shares(handle, options.get("window"))
        )
        masks = declared if masks is None else masks & declared
    return masks


def _has_doubtful_mask(handle: Any, scene: Scene) -> bool:
    return handle.width < scene.width and not isinstance(scene.source, ArraySource)


def _is_other_file(handle: Any, scene: Scene) -> bool:
    # GDAL knows a far-away file by a name of its own
    is_in_memory = str(handle.name).startswith("/vsimem/")
    is_elsewhere = scene.source.remote is None and handle.name != scene.source.path
    return is_in_memory or is_elsewhere


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
    return np.broadcast_to(mask >= _HALF, (len(bands), *shape))


def _shares(handle: Any, window: Any) -> tuple[float, float, float, float]:
    """A window of an image as shares of its width and height."""
    if window is None:
        return 0.0, 0.0, 1.0, 1.0
    x0, y0 = window.col_off / handle.width, window.row_off / handle.height
    return x0, y0, x0 + window.width / handle.width, y0 + window.height / handle.height
