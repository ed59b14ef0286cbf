"""Pixels that hold the nodata value of their file, and that its mask leaves in all the same."""

from __future__ import annotations

import numpy as np

from geofovea.tiling.cache.findings import measured_once
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_handle, read_errors
from geofovea.tiling.marks import equals_nodata, join_bands
from geofovea.tiling.pixels.sample import sample_windows
from geofovea.tiling.pixels.validity import read_valid
from geofovea.tiling.scene import Scene

__all__ = ["hidden_nodata_warnings", "mask_beside_nodata"]

# a mask is there so that a dark pixel may hold the number that is nodata elsewhere
_LEAST_SHARE = 0.001


def hidden_nodata_warnings(scene: Scene, bands: tuple[int, ...]) -> tuple[str, ...]:
    """Warns where the mask of a file leaves in what its nodata value would leave out.

    GDAL takes the mask alone. Reads a bounded, fixed sample, once, and only of a file with both. Of
    one far away it reads nothing, and warns that there are both.

    Args:
        scene: The scene.
        bands: Those that are shown, counted from 1.

    Raises:
        SceneReadError: If the sample cannot be read.
    """
    values = scene.nodata_of(bands)
    both = mask_beside_nodata(scene)
    if not both or scene.source.has_exact_masks or all(value is None for value in values):
        return ()
    if scene.source.remote is not None:
        return (both,)
    share: float = measured_once(
        scene.source,
        scene.width * scene.height,
        "hidden nodata",
        lambda: _share_left_in(scene, bands),
        {"bands": bands},
    )
    if share < _LEAST_SHARE:
        return ()
    value = next(value for value in values if value is not None)
    return (
        f"{share:.1%} of the pixels that the mask of the file leaves in hold its nodata value "
        f"{value:g} and count as picture; declare it with {scene.source.nodata_name}={value:g} to "
        "leave out both",
    )


def mask_beside_nodata(scene: Scene) -> str:
    """Says that a file has a mask and a nodata value, and which of them counts; else empty."""
    if scene.mask_kind != "internal" or scene.nodata is None or scene.missing is not None:
        return ""
    return (
        f"the file has a mask and says nodata={scene.nodata:g}; its mask alone marks missing "
        f"pixels (declare the value with {scene.source.nodata_name}= to leave out both)"
    )


def _share_left_in(scene: Scene, bands: tuple[int, ...]) -> float:
    """Of the pixels that the mask leaves in, which share the nodata value would leave out."""
    values = scene.nodata_of(bands)
    known = hidden = 0
    with gdal_settings(), read_errors(scene.source):
        handle = open_handle(scene.source)
        for window in sample_windows(scene.width, scene.height, scene.block_shape):
            array = handle.read(list(bands), window=window)
            valid = read_valid(handle, scene, bands, window=window)
            if valid is None:
                continue
            pairs = zip(array, values, strict=True)
            is_other = [
                np.ones(plane.shape, bool) if value is None else ~equals_nodata(plane, value)
                for plane, value in pairs
            ]
            known += int(valid.sum())
            hidden += int((valid & ~join_bands(np.stack(is_other), values, scene.dtype)).sum())
    return hidden / max(1, known)
