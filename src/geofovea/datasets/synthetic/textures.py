"""Ground textures of the synthetic world: periodic, and averaged beforehand for every level.

A material is one square image that repeats without a seam. Because a coarser level of a raster is
the mean of its finer pixels, the mean of the texture is what a coarse rendering shows; so each
material keeps its own pyramid, and rendering at any scale is a look-up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIDE", "Texture", "material", "means_of", "periodic_noise"]

SIDE = 512

Texture = NDArray[np.floating[Any]]


@cache
def material(name: str) -> tuple[NDArray[np.uint8], ...]:
    """The texture pyramid of a material: element ``l`` has shape (side / 2**l, side / 2**l, 3).

    Raises:
        KeyError: If there is no material of that name.
    """
    rng = np.random.default_rng(list(name.encode()))
    image = _RECIPES[name](rng)
    return tuple(np.clip(np.rint(level), 0, 255).astype(np.uint8) for level in means_of(image))


def means_of(image: Texture) -> list[Texture]:
    """A square image and its means over 2 x 2, 4 x 4 ... pixels, down to one."""
    levels = [image]
    while len(levels[-1]) > 1:
        fine = levels[-1]
        levels.append(
            (fine[0::2, 0::2] + fine[1::2, 0::2] + fine[0::2, 1::2] + fine[1::2, 1::2]) / 4
        )
    return levels


def periodic_noise(rng: np.random.Generator, finest: int = 2, coarsest: int = 128) -> Texture:
    """Periodic noise in [-1, 1], the sum of octaves from ``coarsest`` to ``finest`` pixels."""
    total = np.zeros((SIDE, SIDE), np.float32)
    weight = 1.0
    wave = coarsest
    while wave >= finest:
        grid = rng.uniform(-1, 1, (SIDE // wave, SIDE // wave)).astype(np.float32)
        total += weight * _stretch(grid, wave)
        weight *= 0.7
        wave //= 2
    scaled: Texture = total / np.abs(total).max()
    return scaled


def _stretch(grid: Texture, factor: int) -> Texture:
    """Periodic linear interpolation of a grid to ``factor`` times its size."""
    if factor == 1:
        return grid
    t = (np.arange(factor, dtype=np.float32) + 0.5) / factor
    down = np.roll(grid, -1, 0)
    rows = (grid[:, None] * (1 - t)[:, None] + down[:, None] * t[:, None]).reshape(
        -1, grid.shape[1]
    )
    right = np.roll(rows, -1, 1)
    return (rows[:, :, None] * (1 - t) + right[:, :, None] * t).reshape(len(rows), -1)


def _coordinates() -> tuple[Texture, Texture]:
    axis = np.arange(SIDE, dtype=np.float32)
    return np.meshgrid(axis, axis)  # x, y


def _paint(base: tuple[int, int, int], rng: np.random.Generator, amplitude: float) -> Texture:
    return np.asarray(base, np.float32) + amplitude * periodic_noise(rng)[..., None]


def _plain(base: tuple[int, int, int], amplitude: float) -> Callable[..., Texture]:
    return lambda rng: _paint(base, rng, amplitude)


def _overlaid(
    base: tuple[int, int, int],
    over: tuple[int, int, int],
    pattern: Callable[[Texture, Texture], NDArray[np.bool_]],
    amplitude: float = 14,
) -> Callable[..., Texture]:
    """Two colors: ``over`` where the pattern holds, ``base`` elsewhere."""

    def recipe(rng: np.random.Generator) -> Texture:
        image = _paint(base, rng, amplitude)
        image[pattern(*_coordinates())] += np.subtract(over, base, dtype=np.float32)
        return image

    return recipe


def _dots(pitch: int, radius: float) -> Callable[[Texture, Texture], NDArray[np.bool_]]:
    return lambda x, y: np.hypot(x % pitch - pitch / 2, y % pitch - pitch / 2) < radius


def _squares(pitch: int, side: int) -> Callable[[Texture, Texture], NDArray[np.bool_]]:
    return lambda x, y: (x % pitch < side) & (y % pitch < side)


def _stripes_x(pitch: int, width: int) -> Callable[[Texture, Texture], NDArray[np.bool_]]:
    return lambda x, y: x % pitch < width  # noqa: ARG005


def _stripes_y(pitch: int, width: int) -> Callable[[Texture, Texture], NDArray[np.bool_]]:
    return lambda x, y: y % pitch < width  # noqa: ARG005


def _diagonal(pitch: int, width: int) -> Callable[[Texture, Texture], NDArray[np.bool_]]:
    return lambda x, y: (x + y) % pitch < width


def _city(rng: np.random.Generator) -> Texture:
    """Roofs of many grays and reds between streets."""
    image = _paint((112, 110, 112), rng, 8)
    roofs = np.array([(168, 160, 152), (140, 90, 78), (190, 186, 182), (126, 122, 128)], np.float32)
    for row in range(0, SIDE, 64):
        for col in range(0, SIDE, 64):
            for dy, dx in ((10, 10), (10, 38), (38, 10), (38, 38)):
                height, width = rng.integers(14, 22, 2)
                roof = roofs[rng.integers(len(roofs))] + rng.uniform(-14, 14)
                image[row + dy : row + dy + height, col + dx : col + dx + width] = roof
    return image


_RECIPES: dict[str, Callable[[np.random.Generator], Texture]] = {
    # terrain
    "field": _overlaid((150, 146, 92), (128, 136, 78), _stripes_y(32, 14), 16),
    "meadow": _plain((118, 142, 84), 18),
    "forest": _overlaid((52, 82, 48), (38, 64, 38), _dots(16, 6), 18),
    "desert": _plain((196, 172, 132), 18),
    "urban": _city,
    "road": _plain((92, 92, 94), 5),
    # grounds of the sites
    "airport": _overlaid((120, 196, 150), (76, 84, 88), _stripes_y(256, 72)),
    "harbour": _overlaid((36, 104, 176), (188, 198, 206), _stripes_x(128, 22)),
    "depot": _overlaid((206, 196, 96), (246, 244, 226), _dots(64, 20)),
    "car park": _overlaid((58, 56, 66), (200, 200, 206), _squares(32, 8)),
    "stadium": _overlaid((50, 172, 52), (206, 88, 56), _dots(256, 84)),
    "solar farm": _overlaid((26, 34, 96), (112, 124, 168), _stripes_y(32, 6)),
    "rail yard": _overlaid((112, 72, 50), (176, 150, 130), _diagonal(32, 8)),
    "quarry": _overlaid((232, 168, 104), (196, 124, 66), _dots(128, 40), 22),
    "greenhouse": _overlaid((224, 240, 242), (146, 204, 190), _stripes_x(32, 8)),
    "vineyard": _overlaid((124, 62, 124), (84, 116, 70), _stripes_x(32, 8)),
    "power plant": _overlaid((176, 92, 92), (84, 60, 64), _squares(128, 56)),
    "camp": _overlaid((112, 116, 40), (196, 184, 96), _squares(64, 16)),
    "village": _overlaid((150, 138, 124), (196, 108, 84), _squares(64, 24)),
    "farm": _overlaid((170, 180, 110), (120, 150, 70), _stripes_x(128, 64)),
    # around and on the pads
    "apron": _plain((66, 64, 70), 6),
    "frame": _plain((236, 236, 230), 4),
    "concrete": _plain((178, 178, 176), 10),
    "asphalt": _plain((86, 88, 94), 8),
    "grass": _plain((92, 140, 70), 16),
    "sand": _plain((214, 192, 146), 12),
    "brick": _overlaid((158, 88, 72), (196, 152, 136), _stripes_y(16, 3), 8),
    "gravel": lambda rng: (
        np.asarray((150, 146, 138), np.float32)
        + rng.uniform(-46, 46, (SIDE, SIDE, 1)).astype(np.float32)
    ),
}
