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

_STRIP, _FEWEST_TO_BROADCAST = 64, 16
"""Rows that are balanced at once, which bounds memory; rows of a node from which one will do."""

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
    y = (y0_level + np.arange(height) + 0.5) * step
    pictures, first_picture, gains = _pictures(world, x, y)
    at_nodes = _times(light, gains[first_picture])
    down = np.arange(y0_level, y0_level + height) // pitch - rows[0]
    # a single row of nodes is broadcast over its rows, which is cheaper than to repeat it
    per_strip = 1 if pitch >= _FEWEST_TO_BROADCAST else _STRIP // pitch
    for first in range(0, len(rows), per_strip):
        top = max(rows[first] * pitch - y0_level, 0)
        bottom = min((rows[first] + per_strip) * pitch - y0_level, height)
        nodes = np.array([[first]]) if per_strip == 1 else down[top:bottom, None]
        if pictures is None:
            factors = _taken(at_nodes, (nodes, along))
        else:
            factors = _times(light[nodes, along], gains[pictures[top:bottom]])
        mixed = pixels[top:bottom] * factors
        mixed += _taken(haze, (nodes, along))
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


def _times(light: Field, gains: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Light times the gains of the bands, in whole parts of `_ONE`."""
    factors: NDArray[np.uint16] = (light[..., None] * gains).astype(np.uint16)
    return factors


def _pictures(
    world: EarthWorld, x: Axis, y: Axis
) -> tuple[NDArray[np.uint16] | None, int, NDArray[np.float32]]:
    """Which picture of the mosaic lies where.

    Returns:
        Number of the picture at each pixel, None if one fills the window; number of the picture
        that fills it, or lies left of all seams in it; gains of all pictures, float32
        (pictures, 4).
    """
    land = world.land
    gains = np.array([land.gains, *(seam.gains for seam in land.seams)], np.float32)
    first, crossing = 0, []
    for number, seam in enumerate(land.seams, 1):
        line = seam.x + seam.slope * y
        if line.max() < x[0]:
            first = number
        elif line.min() < x[-1]:
            crossing.append((number, line))
    if not crossing:
        return None, first, gains
    pictures = np.full((len(y), len(x)), first, np.uint16)
    for number, line in crossing:
        start = int(np.searchsorted(x, line.min()))
        np.copyto(pictures[:, start:], np.uint16(number), where=x[start:] > line[:, None])
    return pictures, first, gains


def _taken(
    nodes: NDArray[np.uint16], places: tuple[NDArray[Any], NDArray[Any]]
) -> NDArray[np.uint16]:
    """Values of nodes, uint16 (rows, columns, 4), at places."""
    # eight bytes are one number, which is found faster
    packed = np.ascontiguousarray(nodes).view(np.uint64)[..., 0][places]
    taken: NDArray[np.uint16] = packed.view(np.uint16).reshape(*packed.shape, 4)
    return taken


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
