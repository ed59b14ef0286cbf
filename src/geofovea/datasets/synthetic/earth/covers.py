"""Textures of the land in four bands, averaged beforehand for every level, in one array.

Colors are those of satellite pictures: muted, with blue-green woods and brown soil. Near infrared
distinguishes plants (bright) from water (black) and from green paint (dark).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.earth.drawing import Bands, Sheet, packed_levels, speckled
from geofovea.datasets.synthetic.earth.towns import TOWN_BLOCKS
from geofovea.datasets.synthetic.textures import SIDE, Texture, periodic_noise

__all__ = ["COVERS", "atlas", "halved_atlas", "mean_of_four", "number_of"]

_Recipe = Callable[[np.random.Generator], Texture]


def _woods(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((38, 54, 34, 96), rng, 8))
    for _ in range(1500):
        sheet.crown(rng, rng.uniform(5, 10))
    return sheet.pixels


def _scattered(ground: Bands, amplitude: float, trees: int, radius: float) -> _Recipe:
    def draw(rng: np.random.Generator) -> Texture:
        sheet = Sheet(speckled(ground, rng, amplitude))
        for _ in range(trees):
            sheet.crown(rng, rng.uniform(0.6, 1.2) * radius)
        return sheet.pixels

    return draw


def _crop(ground: Bands, amplitude: float, along_x: bool, contrast: float = 0.06) -> _Recipe:
    """Rows of plants, and the wheel tracks of the machines every 64 units."""

    def draw(rng: np.random.Generator) -> Texture:
        image = speckled(ground, rng, amplitude)
        at = np.arange(SIDE)
        rows = 1 + contrast * np.sin(at * (2 * np.pi / 8)) + 0.03 * periodic_noise(rng)[0]
        rows[at % 64 < 2] *= 0.88
        rows[(at + 10) % 64 < 2] *= 0.88
        lines = rows[:, None, None] if along_x else rows[None, :, None]
        crop: Texture = image * lines
        return crop

    return draw


def _orchard(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((126, 132, 90, 150), rng, 10))
    for y in range(0, SIDE, 32):
        for x in range(0, SIDE, 32):
            sheet.crown(rng, rng.uniform(7, 9), (x + 16, y + 16))
    return sheet.pixels


_CROPS: dict[str, tuple[Bands, float, float]] = {
    "wheat": ((188, 170, 118, 130), 7, 0.04),
    "stubble": ((176, 158, 122, 112), 9, 0.06),
    "barley": ((160, 156, 102, 150), 8, 0.04),
    "beet": ((98, 128, 72, 205), 9, 0.07),
    "maize": ((82, 110, 64, 210), 9, 0.08),
    "soil": ((136, 110, 88, 98), 8, 0.07),
    "rape": ((176, 176, 84, 185), 8, 0.03),
    "clover": ((110, 138, 78, 215), 9, 0.03),
}
COVERS: dict[str, _Recipe] = {
    "deep sea": lambda rng: speckled((22, 50, 74, 8), rng, 3),
    "sea": lambda rng: speckled((34, 72, 90, 12), rng, 4),
    "shallow": lambda rng: speckled((70, 112, 112, 22), rng, 6),
    "river": lambda rng: speckled((66, 86, 78, 18), rng, 5),
    "beach": lambda rng: speckled((208, 194, 158, 168), rng, 8),
    "bank": _scattered((118, 128, 84, 150), 14, 260, 8),
    "woods": _woods,
    "meadow": _scattered((116, 134, 82, 190), 13, 10, 9),
    "pasture": _scattered((128, 140, 90, 180), 12, 24, 8),
    "scrub": _scattered((178, 158, 122, 132), 14, 240, 3.5),
    "bare": _scattered((192, 172, 138, 140), 13, 50, 3.5),
    "fringe": _scattered((120, 132, 88, 172), 13, 520, 7),
    "hedge": _scattered((74, 92, 58, 150), 10, 900, 7),
    "road": lambda rng: speckled((118, 116, 114, 78), rng, 5),
    "track": lambda rng: speckled((170, 154, 126, 118), rng, 9),
    "verge": _scattered((122, 132, 88, 165), 12, 30, 6),
    "orchard": _orchard,
    **{
        f"{name} {'x' if along_x else 'y'}": _crop(ground, amplitude, along_x, contrast)
        for name, (ground, amplitude, contrast) in _CROPS.items()
        for along_x in (True, False)
    },
    **TOWN_BLOCKS,
}
"""How each cover is drawn, float32 (SIDE, SIDE, 4)."""

_NUMBERS = {name: number for number, name in enumerate(COVERS)}


def number_of(name: str) -> int:
    """Number of a cover in `atlas`."""
    return _NUMBERS[name]


def atlas(level: int) -> NDArray[np.uint32]:
    """All covers at a level, the four bands of a pixel in one number: (covers, side, side)."""
    levels = _atlases()
    return levels[min(level, len(levels) - 1)]


@cache
def halved_atlas(level: int) -> NDArray[np.uint32]:
    """`atlas` with 2 x 2 pixels of whole columns and rows averaged, rounded as bytes are."""
    sheets = atlas(level)
    if sheets.shape[1] == 1:
        return sheets
    bands = sheets.view(np.uint8).reshape(*sheets.shape, 4)
    halved = np.stack([mean_of_four(sheet) for sheet in bands])
    return halved.view(np.uint32)[..., 0]


def mean_of_four(fine: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of 2 x 2 pixels, rounded: (height, width, bands) to half of both sides."""
    rows = np.add(fine[0::2], fine[1::2], dtype=np.uint16)
    mean = rows[:, 0::2] + rows[:, 1::2]
    mean += 2
    mean >>= 2
    return mean.astype(np.uint8)


@cache
def _atlases() -> list[NDArray[np.uint32]]:
    pyramids = [
        packed_levels(recipe(np.random.default_rng(list(b"earth" + name.encode()))))
        for name, recipe in COVERS.items()
    ]
    return [np.stack(level) for level in zip(*pyramids, strict=True)]
