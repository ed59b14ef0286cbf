"""What lies between the land and the picture: relief in the sun, haze, and seams of a mosaic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.earth.land import EarthWorld, Seam
from geofovea.datasets.synthetic.earth.noise import Axis, Field, fractal

__all__ = ["through_air"]

_ONE = 128
"""Factors are whole numbers of this many parts, so that 16 bits hold a product."""

_NODE = 32
"""Level pixels between places at which light and haze are computed, at most."""

_SHADE = 0.085
_RELIEF_WAVE, _SLOPE = 2600, 160
_HAZE_WAVE = 9000
_HAZE_COLOR = np.array((0.86, 0.95, 1.1, 0.4))
_STRIP = 256


def through_air(
    world: EarthWorld, level: int, x0_level: int, y0_level: int, pixels: NDArray[np.uint8]
) -> None:
    """Shade, haze and balance a window in place; uint8 (height, width, 4)."""
    step = 1 << level
    width = pixels.shape[1]
    x = (x0_level + np.arange(width) + 0.5) * step
    for top in range(0, len(pixels), _STRIP):
        part = pixels[top : top + _STRIP]
        y = (y0_level + top + np.arange(len(part)) + 0.5) * step
        light, haze = _light_and_haze(world, step, x, y)
        gains = _gains(world, x, y)
        mixed = part * (light[..., None] * gains).astype(np.uint16)
        mixed += (haze[..., None] * (_ONE * _HAZE_COLOR)).astype(np.uint16)
        mixed >>= 7
        np.minimum(mixed, 255, out=mixed)
        part[:] = mixed
    _cut_off(world, step, x0_level, y0_level, pixels)


def _light_and_haze(world: EarthWorld, step: int, x: Axis, y: Axis) -> tuple[Field, Field]:
    """Light in parts of `_ONE` and haze in gray values, float32 (len(y), len(x))."""
    land, scale = world.land, world.scale
    pitch = max(1, 64 // step) * step
    first_x, first_y = x[0] // pitch, y[0] // pitch
    node_x = np.arange(first_x, x[-1] // pitch + 1) * pitch + pitch / 2
    node_y = np.arange(first_y, y[-1] // pitch + 1) * pitch + pitch / 2
    ground_x, ground_y = node_x * scale, node_y * scale

    def relief(shift: float) -> Field:
        at_x, at_y = ground_x + shift, ground_y + shift
        return fractal(at_x, at_y, land.seed + 23, _RELIEF_WAVE, 4, step * scale / 2)

    slope = relief(-_SLOPE) - relief(_SLOPE)
    light = _ONE * (1 + np.clip(slope * (_SHADE * 2), -0.15, 0.15))
    haze = fractal(ground_x, ground_y, land.seed + 29, _HAZE_WAVE, 2) * 0.45 + 0.5
    haze = np.clip(haze, 0, 1) * land.haze
    rows, cols = (y // pitch - first_y).astype(int), (x // pitch - first_x).astype(int)
    return light[rows][:, cols], haze[rows][:, cols]


def _gains(world: EarthWorld, x: Axis, y: Axis) -> NDArray[np.float32]:
    """Factors of the bands: (4,) if one picture of the mosaic fills the window, else of each."""
    land = world.land
    gains = np.array(land.gains, np.float32)
    for seam in land.seams:
        right = _right_of(seam, x, y)
        if right.all():
            gains = np.array(seam.gains, np.float32)
        elif right.any():
            gains = np.where(right[..., None], np.array(seam.gains, np.float32), gains)
    return gains


def _right_of(seam: Seam, x: Axis, y: Axis) -> NDArray[np.bool_]:
    return x[None] - seam.slope * y[:, None] > seam.x


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
