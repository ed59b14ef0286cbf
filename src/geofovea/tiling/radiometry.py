"""From stored numbers to eight-bit RGB: which bands, and one stretch for the whole scene.

A stretch per tile would make neighbours differ and hide what is bright or dark in the scene, so it
is measured once, on a fixed sample of native pixels, and is a value like the scene itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geofovea.errors import SceneError
from geofovea.tiling.handles import gdal_settings, open_handle, read_errors
from geofovea.tiling.scene import Scene

__all__ = ["FILL", "Radiometry", "plan_radiometry", "read_valid"]

FILL = 128
"""The grey of padding and of missing pixels. Black would look like water or shadow."""

_PERCENTILES = (2.0, 98.0)
_SAMPLE_SIDE = 256
_SAMPLE_WINDOWS = 64
_SAMPLE_SEED = 20_000
_SAMPLE_DECODED_PIXELS = 16 * 2**20


@dataclass(frozen=True)
class Radiometry:
    """How the pixels of one scene become RGB.

    Attributes:
        bands: One or three band indexes, counted from 1; one band is shown as grey.
        stretch: ``(low, high)`` per band, shown as 0 and 255; None leaves eight bits untouched.
        palette: RGBA of each index of a palette image.
        is_complex: Pixels are complex (radar) and are shown as magnitude in decibels.
        reason: In plain words, why these bands and this stretch.
        warnings: What a reader of the results should know.

    Raises:
        SceneError: If there are not one or three bands, or a stretch is empty.
    """

    bands: tuple[int, ...]
    stretch: tuple[tuple[float, float], ...] | None = None
    palette: tuple[tuple[int, int, int, int], ...] | None = None
    is_complex: bool = False
    reason: str = ""
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.bands) not in (1, 3) or min(self.bands) < 1:
            raise SceneError(f"bands must be one or three numbers from 1 up, got {self.bands}")
        if self.stretch is not None and (
            len(self.stretch) != len(self.bands) or any(not lo < hi for lo, hi in self.stretch)
        ):
            raise SceneError(f"a stretch needs low < high for each band, got {self.stretch}")

    @property
    def needs_expansion(self) -> bool:
        """Whether stored numbers may not be averaged: palette indexes, and phases of radar."""
        return self.palette is not None or self.is_complex

    def expand(
        self, array: NDArray[np.generic], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Turn stored numbers ``(bands, h, w)`` into ones that may be averaged.

        Palette indexes become RGB, complex numbers become power. Pixels that are not finite, have
        a transparent palette entry or no power at all are not valid in the result.
        """
        if self.palette is not None:
            table = np.array(self.palette, dtype=np.uint8)
            rgba = table[np.clip(array[0].astype(np.intp), 0, len(table) - 1)]
            return np.moveaxis(rgba[..., :3], -1, 0), valid & (rgba[..., 3] > 0)
        if self.is_complex:
            power = np.square(np.abs(array), dtype=np.float64)
            return power, valid & np.isfinite(power).all(axis=0) & (power > 0).any(axis=0)
        if np.issubdtype(array.dtype, np.floating):
            return array, valid & np.isfinite(array).all(axis=0)
        return array, valid

    def finish(self, values: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Stretch expanded values ``(bands, h, w)`` into RGB ``(h, w, 3)``, missing ones grey."""
        shown = to_decibels(values) if self.is_complex else values
        if self.stretch is not None:
            low, high = np.array(self.stretch, dtype=np.float64).T[:, :, None, None]
            with np.errstate(invalid="ignore", over="ignore"):
                shown = (shown.astype(np.float64) - low) * (255.0 / (high - low))
        if shown.dtype != np.uint8:
            shown = np.rint(np.clip(np.where(valid, shown, 0), 0, 255)).astype(np.uint8)
        rgb = np.empty((*valid.shape, 3), dtype=np.uint8)
        rgb[...] = np.moveaxis(shown, 0, -1)
        rgb[~valid] = FILL
        return rgb

    def apply(self, array: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Show stored numbers ``(bands, h, w)`` as RGB ``(h, w, 3)``; invalid pixels are grey."""
        return self.finish(*self.expand(array, valid))


def plan_radiometry(scene: Scene, bands: tuple[int, ...] | None = None) -> Radiometry:
    """Choose bands and measure the stretch of a scene; reads a bounded, fixed sample.

    Args:
        scene: What to show.
        bands: One or three band indexes, counted from 1. By default the red, green and blue bands
            by their colour interpretation, else the first three (with a warning), else the first.

    Raises:
        SceneError: If a band does not exist.
        SceneReadError: If the sample cannot be read.
    """
    chosen, reason, warnings = _choose_bands(scene, bands)
    with gdal_settings(), read_errors(scene.source):
        handle = open_handle(scene.source)
        if len(chosen) == 1 and scene.colorinterp[chosen[0] - 1] == "palette":
            entries = handle.colormap(chosen[0])
            palette = tuple(tuple(entries.get(i, (0, 0, 0, 0))) for i in range(max(entries) + 1))
            return Radiometry(chosen, palette=palette, reason=f"{reason}, shown by its palette")
        dtype = handle.dtypes[chosen[0] - 1]
        if all(handle.dtypes[band - 1] == "uint8" for band in chosen):
            return Radiometry(chosen, reason=f"{reason}, eight bits untouched", warnings=warnings)
        is_complex = dtype.startswith("complex")
        stretch, found = _measure_stretch(scene, chosen, is_complex, handle)
    if not found:
        warnings = (*warnings, "no valid pixel in the sample of the scene; contrast is arbitrary")
    unit = "magnitude in decibels" if is_complex else dtype
    return Radiometry(
        chosen,
        stretch=stretch,
        is_complex=is_complex,
        reason=f"{reason}, {unit} stretched from percentile 2 to 98 of valid native pixels",
        warnings=warnings,
    )


def read_valid(
    handle: Any, scene: Scene, bands: tuple[int, ...], **options: Any
) -> NDArray[np.bool_] | None:
    """Which pixels the file marks as present, ``(h, w)``; None where it marks nothing.

    A pixel that is only missing in some bands is a dark pixel, not a missing one. A resampled
    pixel is valid if at least half of it is.
    """
    if scene.mask_kind == "none":
        return None
    # alpha and masks are the same for all bands, nodata is not
    indexes = list(bands) if scene.mask_kind == "nodata" else [bands[0]]
    masks: NDArray[np.uint8] = handle.read_masks(indexes, **options)
    return np.asarray((masks >= 128).any(axis=0))


def to_decibels(power: NDArray[np.generic]) -> NDArray[np.float64]:
    """``10·log10`` of a power, which is ``20·log10`` of its magnitude."""
    return np.asarray(10 * np.log10(np.maximum(power, np.finfo(np.float64).tiny)))


def _choose_bands(
    scene: Scene, bands: tuple[int, ...] | None
) -> tuple[tuple[int, ...], str, tuple[str, ...]]:
    if bands is not None:
        if len(bands) not in (1, 3) or not all(1 <= band <= scene.count for band in bands):
            raise SceneError(
                f"bands={bands} cannot be shown; give one or three numbers from 1 to {scene.count}"
            )
        return tuple(bands), f"bands {bands} as asked", ()
    names = scene.colorinterp
    if {"red", "green", "blue"} <= set(names):
        rgb = tuple(names.index(name) + 1 for name in ("red", "green", "blue"))
        return rgb, "red, green and blue by colour interpretation", ()
    shown = [band for band, name in enumerate(names, start=1) if name != "alpha"]
    if len(shown) >= 3:
        guess = tuple(shown[:3])
        warning = (
            f"the file does not say which bands are red, green and blue; bands {guess} are a guess "
            "(choose with bands=)"
        )
        return guess, f"the first three bands {guess}", (warning,)
    first = shown[0] if shown else 1
    return (first,), f"band {first} as grey", ()


def _measure_stretch(
    scene: Scene, bands: tuple[int, ...], is_complex: bool, handle: Any
) -> tuple[tuple[tuple[float, float], ...], bool]:
    probe = Radiometry(bands, is_complex=is_complex)
    samples: list[NDArray[np.float64]] = []
    for window in _sample_windows(scene):
        array = handle.read(list(bands), window=window)
        valid = read_valid(handle, scene, bands, window=window)
        values, valid = probe.expand(
            array, np.ones(array.shape[1:], bool) if valid is None else valid
        )
        samples.append((to_decibels(values) if is_complex else values)[:, valid].astype(np.float64))
    sample = np.concatenate(samples, axis=1)
    if sample.shape[1] == 0:
        return ((0.0, 1.0),) * len(bands), False
    return tuple(_widened(*np.percentile(band, _PERCENTILES)) for band in sample), True


def _widened(low: float, high: float) -> tuple[float, float]:
    # a scene of one value is shown as mid grey, not as black
    margin = 0.0 if low < high else max(1.0, abs(low)) / 2
    return float(low - margin), float(high + margin)


def _sample_windows(scene: Scene) -> list[Window]:
    """Native windows, spread evenly with a fixed jitter, in reading order.

    Reading order lets PNG and JPEG, which decode from the top, pass over the file once.
    """
    if scene.width * scene.height <= _SAMPLE_WINDOWS * _SAMPLE_SIDE**2:
        return [Window(0, 0, scene.width, scene.height)]
    decoded = math.prod(-(-_SAMPLE_SIDE // side) * side for side in scene.block_shape)
    count = max(4, min(_SAMPLE_WINDOWS, _SAMPLE_DECODED_PIXELS // decoded))
    per_side = math.isqrt(count)
    jitter = np.random.default_rng(_SAMPLE_SEED).random((per_side, per_side, 2))
    windows = []
    for cell in np.ndindex(per_side, per_side):
        share_y, share_x = (np.array(cell) + jitter[cell]) / per_side
        y0, y1 = _sample_range(share_y, scene.height)
        x0, x1 = _sample_range(share_x, scene.width)
        windows.append(Window(x0, y0, x1 - x0, y1 - y0))
    return sorted(windows, key=lambda window: (window.row_off, window.col_off))


def _sample_range(share: float, extent: int) -> tuple[int, int]:
    """A window that hangs over the edges before it is clipped, so that all pixels count alike."""
    start = int(share * (extent + _SAMPLE_SIDE - 1)) - _SAMPLE_SIDE + 1
    return max(0, start), min(extent, start + _SAMPLE_SIDE)
