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

_STRIP = 16
"""Rows that are balanced at once, so that memory beside the picture stays small."""

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
    per_strip = max(1, _STRIP // pitch)
    for first in range(0, len(rows), per_strip):
        nodes = slice(first, first + per_strip)
        top = max(rows[first] * pitch - y0_level, 0)
        bottom = min((rows[nodes][-1] + 1) * pitch - y0_level, height)
        y = (y0_level + np.arange(top, bottom) + 0.5) * step
        down = np.arange(y0_level + top, y0_level + bottom) // pitch - rows[first]
        # a single row of nodes is broadcast, which is cheaper than to repeat it
        places = (np.zeros(1, np.int64) if per_strip == 1 else down)[:, None], along
        mixed = pixels[top:bottom] * _factors(world, light[nodes], places, x, y)
        mixed += _taken(haze[nodes], places)
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


def _factors(
    world: EarthWorld, light: Field, places: tuple[NDArray[Any], NDArray[Any]], x: Axis, y: Axis
) -> NDArray[np.uint16]:
    """Light times the gain of the picture of the mosaic that lies at each pixel, by band.

    Args:
        world: Whose mosaic it is.
        light: At nodes.
        places: Node rows and node columns of the pixels, which broadcast.
        x: Of the columns, in scene pixels.
        y: Of the rows.
    """
    pictures, gains = _pictures(world, x, y)
    if isinstance(pictures, int):
        return _taken((light[..., None] * gains[pictures]).astype(np.uint16), places)
    factors: NDArray[np.uint16] = (light[places][..., None] * gains[pictures]).astype(np.uint16)
    return factors


def _pictures(
    world: EarthWorld, x: Axis, y: Axis
) -> tuple[int | NDArray[np.uint16], NDArray[np.float32]]:
    """Number of the picture of the mosaic at each pixel, or of the one that fills these rows.

    And the gains of all pictures, float32 (pictures, 4).
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
        return first, gains
    pictures = np.full((len(y), len(x)), first, np.uint16)
    for number, line in crossing:
        start = int(np.searchsorted(x, line.min()))
        np.copyto(pictures[:, start:], np.uint16(number), where=x[start:] > line[:, None])
    return pictures, gains


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
