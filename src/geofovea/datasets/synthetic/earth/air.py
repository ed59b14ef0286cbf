"""What lies between the land and the picture: relief in the sun, haze, and seams of a mosaic."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.earth.land import EarthWorld
from geofovea.datasets.synthetic.earth.noise import Axis, Field, fractal

__all__ = ["through_air"]

_ONE = 128
"""Factors are whole numbers of this many parts, so that 16 bits hold a product."""

_NODE = 32
"""Scene pixels that share one light and one haze; they differ by less than a gray value."""

_SHADE, _DEEPEST = 0.17, 0.15
_RELIEF_WAVE, _SLOPE = 2600, 160
_HAZE_WAVE = 9000
_HAZE_COLOR = np.array((0.86, 0.95, 1.1, 0.4))


def through_air(
    world: EarthWorld, level: int, x0_level: int, y0_level: int, pixels: NDArray[np.uint8]
) -> None:
    """Shade, haze and balance a window in place; uint8 (height, width, 4)."""
    step = 1 << level
    height, width = pixels.shape[:2]
    pitch = max(1, _NODE // step)
    columns, rows = (
        np.arange(first // pitch, (first + count - 1) // pitch + 1)
        for first, count in ((x0_level, width), (y0_level, height))
    )
    light, haze = _light_and_haze(world, step, (columns + 0.5) * pitch, (rows + 0.5) * pitch)
    x = (x0_level + np.arange(width) + 0.5) * step
    along = np.arange(x0_level, x0_level + width) // pitch - columns[0]
    for number, row in enumerate(rows):
        top, bottom = max(row * pitch - y0_level, 0), min((row + 1) * pitch - y0_level, height)
        y = (y0_level + np.arange(top, bottom) + 0.5) * step
        factor = (light[number, along, None] * _gains(world, x, y)).astype(np.uint16)
        mixed = pixels[top:bottom] * factor
        mixed += haze[number, along]
        mixed >>= 7
        np.minimum(mixed, 255, out=mixed)
        pixels[top:bottom] = mixed
    _cut_off(world, step, x0_level, y0_level, pixels)


def _light_and_haze(
    world: EarthWorld, step: int, x_level: Axis, y_level: Axis
) -> tuple[Field, NDArray[np.uint16]]:
    """Light in parts of `_ONE`, (rows, columns), and what haze adds to each band, likewise."""
    land = world.land
    x, y = x_level * step * world.scale, y_level * step * world.scale
    finest = step * world.scale / 2

    def relief(shift: float) -> Field:
        return fractal(x + shift, y + shift, land.seed + 23, _RELIEF_WAVE, 3, finest)

    slope = relief(-_SLOPE) - relief(_SLOPE)
    light: Field = _ONE * (1 + np.clip(slope * _SHADE, -_DEEPEST, _DEEPEST))
    thick = np.clip(fractal(x, y, land.seed + 29, _HAZE_WAVE, 2) * 0.45 + 0.5, 0, 1) * land.haze
    return light, (thick[..., None] * (_ONE * _HAZE_COLOR)).astype(np.uint16)


def _gains(world: EarthWorld, x: Axis, y: Axis) -> NDArray[np.floating[Any]]:
    """Factors of the bands: (4,) if one picture of the mosaic fills these rows, else by pixel."""
    land = world.land
    gains = np.array(land.gains, np.float32)
    for seam in land.seams:
        line = seam.x + seam.slope * y
        if line.max() < x[0]:
            gains = np.array(seam.gains, np.float32)
        elif line.min() < x[-1]:
            right = x[None, :, None] > line[:, None, None]
            gains = np.where(right, np.array(seam.gains, np.float32), gains)
    return gains


def _cut_off(
    world: EarthWorld, step: int, x0_level: int, y0_level: int, pixels: NDArray[np.uint8]
) -> None:
    """Mid gray beyond the scene, as everywhere; a pixel that the border cuts is blended."""
    for axis, first, extent in ((1, x0_level, world.width), (0, y0_level, world.height)):
        at = np.arange(first, first + pixels.shape[axis])
        inside = np.clip(extent / step - at, 0, 1) * (at >= 0)
        cut = np.flatnonzero(inside < 1)
        if len(cut):
            share = inside[cut].astype(np.float32)
            share = share[:, None, None] if axis == 0 else share[None, :, None]
            where = (cut, slice(None)) if axis == 0 else (slice(None), cut)
            pixels[where] = (pixels[where] * share + 128 * (1 - share) + 0.5).astype(np.uint8)
