"""Which number of a scene's alpha band or mask means opaque, and whether GDAL masks by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rasterio.enums import MaskFlags, Resampling

from geofovea.tiling.cache.findings import measured_once
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_handle, read_errors
from geofovea.tiling.marks import opaque_number
from geofovea.tiling.pixels.sample import sample_windows
from geofovea.tiling.scene import Scene, once_per_scene

__all__ = ["is_masked_by_gdal", "opaque_alpha", "opaque_mask"]

_OPAQUE = 255.0
# an overview of no more pixels is read instead of a sample
_WHOLE_PIXELS = 2**20


@once_per_scene
def opaque_alpha(scene: Scene) -> float:
    """The number of the alpha band that means opaque.

    It is the largest of the type, unless no number of a bounded sample exceeds a smaller usual one:
    writers put 255 into sixteen bits, 1 into eight, 0 to 1 into floats, percent into all,
    and 4095 where the bands have twelve bits.

    Raises:
        SceneReadError: If the band cannot be read.
    """
    with gdal_settings(), read_errors(scene.source):
        handle = open_handle(scene.source, for_pixels=False)
        bits = int(handle.tags(scene.alpha, ns="IMAGE_STRUCTURE").get("NBITS", "0"))
    largest = measured_once(
        scene.source,
        scene.width * scene.height,
        "alpha",
        lambda: _largest_alpha(scene),
        {"band": scene.alpha},
    )
    return opaque_number(np.dtype(scene.dtype), float(largest), bits)


@once_per_scene
def opaque_mask(scene: Scene) -> float:
    """The number of a mask, inside or beside the file, that means opaque.

    GDAL takes any number above zero for it. Masks count to 255, but some writers put 0 and 1: where
    no number of a bounded sample reaches half of 255, the largest of them is opaque.

    Raises:
        SceneReadError: If the mask cannot be read.
    """
    with gdal_settings(), read_errors(scene.source):
        handle = open_handle(scene.source, for_pixels=False)
        if any(MaskFlags.nodata in flags for flags in handle.mask_flag_enums):
            return _OPAQUE  # GDAL makes this mask of a color
    largest = measured_once(
        scene.source,
        scene.width * scene.height,
        "mask",
        lambda: _largest(scene, lambda handle, **options: handle.read_masks(1, **options)),
    )
    return float(largest) if 0 < largest < _OPAQUE / 2 else _OPAQUE


@once_per_scene
def is_masked_by_gdal(scene: Scene) -> bool:
    """Whether GDAL leaves out all that is missing when it averages stored numbers.

    It does not where a float may be NaN, where alpha is one mark among others, counts to an unusual
    number or stands among further bands, where a mask does not count to 255, where nodata has more
    digits than a double, and where the caller declared it.
    Missing pixels are then found among stored numbers, before anything is averaged.

    Raises:
        SceneReadError: If the alpha band or the mask cannot be read.
    """
    if scene.source.has_exact_masks:
        return True
    if scene.missing is not None or scene.dtype.startswith("float"):
        return False
    if scene.mask_kind == "internal" and opaque_mask(scene) != _OPAQUE:
        return False
    if scene.alpha:
        usual = {"uint8": 255.0, "uint16": 65535.0}.get(scene.dtype)
        is_usual = scene.mask_kind == "alpha" and opaque_alpha(scene) == usual
        # GDAL takes alpha for a mask only as the last of two or four bands
        return is_usual and scene.alpha == scene.count and scene.count in (2, 4)
    return not (scene.mask_kind == "nodata" and scene.dtype in ("int64", "uint64"))


def _largest_alpha(scene: Scene) -> float:
    """The largest finite number in a sample of the alpha band."""
    small = [
        index
        for index, (width, height) in enumerate(scene.overview_sizes)
        if width * height <= _WHOLE_PIXELS
    ]
    with gdal_settings(), read_errors(scene.source):
        if small:
            return _top(open_handle(scene.source, small[0]).read([scene.alpha]))
    # each further row of these is decoded with all above it
    most = 4 if scene.driver in ("PNG", "JPEG") and scene.source.remote is None else None
    return _largest(scene, lambda handle, **options: handle.read([scene.alpha], **options), most)


def _largest(scene: Scene, read: Callable[..., Any], most: int | None = None) -> float:
    """The largest finite number that a way of reading has in a sample of native windows."""
    with gdal_settings(), read_errors(scene.source):
        handle = open_handle(scene.source)
        windows = sample_windows(scene.width, scene.height, scene.block_shape)[:most]
        if scene.source.remote is not None:
            windows = windows[:: max(1, len(windows) // 4)]
        return max(
            _top(read(handle, window=window, resampling=Resampling.nearest)) for window in windows
        )


def _top(alpha: Any) -> float:
    finite = alpha[np.isfinite(alpha)]
    return float(finite.max()) if finite.size else 0.0
