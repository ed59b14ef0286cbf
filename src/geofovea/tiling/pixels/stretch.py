"""The stretch of a scene, measured on a fixed sample of its native pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_handle, read_errors
from geofovea.tiling.pixels.radiometry import Radiometry, to_decibels
from geofovea.tiling.pixels.sample import sample_windows
from geofovea.tiling.pixels.validity import read_band_masks, read_valid
from geofovea.tiling.scene import Scene

__all__ = ["measure_stretch"]

_PERCENTILES = (2.0, 98.0)
_FILL_SHARE = 0.01
# a mask of a few classes has gaps between any two of them
_LEVELS_OF_A_PICTURE = 16
_FEW = 65_536


def measure_stretch(scene: Scene, bands: tuple[int, ...], is_complex: bool) -> dict[str, Any]:
    """The stretch between two percentiles of the pixels that are there.

    Args:
        scene: What is measured.
        bands: Counted from 1.
        is_complex: Whether they are measured as decibels.

    Returns:
        ``stretch``: ``(low, high)`` of each band; ``has_valid_pixels``: whether any counted;
        ``fill``: a value far from all others that many pixels of a band have, or None.

    Raises:
        SceneReadError: If the sample cannot be read.
    """
    probe = Radiometry(bands, is_complex=is_complex)
    samples: list[list[NDArray[np.float64]]] = [[] for _ in bands]
    with gdal_settings(), read_errors(scene.source):
        handle = open_handle(scene.source)
        for window in sample_windows(scene.width, scene.height, scene.block_shape):
            array = handle.read(list(bands), window=window)
            masks = read_band_masks(handle, scene, bands, window=window)
            valid = read_valid(handle, scene, bands, window=window)
            whole = np.ones(array.shape[1:], bool) if valid is None else valid
            values, whole = probe.expand(array, whole)
            if is_complex:
                values = to_decibels(values)
            for i, sample in enumerate(samples):
                # a number that is missing in this band alone would pull its stretch
                is_known = whole if masks is None else whole & masks[i]
                sample.append(values[i][is_known].astype(np.float64))
    known_values = [np.concatenate(sample) for sample in samples]
    return {
        "stretch": [
            _widened(*np.percentile(values, _PERCENTILES)) if len(values) else (0.0, 1.0)
            for values in known_values
        ],
        "has_valid_pixels": any(len(values) for values in known_values),
        "fill": next((fill for fill in map(_likely_fill, known_values) if fill is not None), None),
    }


def _likely_fill(values: NDArray[np.float64]) -> float | None:
    """The least or the greatest value, if it stands for missing pixels by all that numbers show.

    Many pixels have it, and it is farther from all others than these lie apart.
    """
    for end, inward in ((np.min, 1), (np.max, -1)):
        if len(values) == 0:
            return None
        extreme = float(end(values))
        others = values[values != extreme]
        if len(others) == 0 or len(values) - len(others) < _FILL_SHARE * len(values):
            continue
        low, high = float(others.min()), float(others.max())
        gap = low - extreme if inward > 0 else extreme - high
        if gap > high - low and len(np.unique(others[:_FEW])) >= _LEVELS_OF_A_PICTURE:
            return extreme
    return None


def _widened(low: float, high: float) -> tuple[float, float]:
    # a scene of one value is shown as mid gray, not as black
    margin = 0.0 if low < high else max(1.0, abs(low)) / 2
    return float(low - margin), float(high + margin)
