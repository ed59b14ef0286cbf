"""Grounds of the sites in four bands, with what a facility of that kind shows from above.

From far away a kind is known by its color and texture. Nothing here looks like the things that
questions count: those stand on the pad alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.earth.drawing import Bands, Sheet, packed_levels, speckled
from geofovea.datasets.synthetic.textures import SIDE, Texture, material, periodic_noise
from geofovea.datasets.synthetic.vocabulary import SURFACES

__all__ = ["ground"]

_Recipe = Callable[[np.random.Generator], Texture]
_CONCRETE: Bands = (176, 174, 168, 140)
_ASPHALT: Bands = (88, 88, 92, 66)
_PAINT: Bands = (226, 226, 222, 190)


@cache
def ground(name: str) -> tuple[NDArray[np.uint8], ...]:
    """The sheet of a ground at every level, as `material` gives those of version 1, in four bands.

    Args:
        name: A kind of site, a surface of a pad, ``"frame"``, ``"apron"``, ``"healthy"`` or
            ``"dry"`` for a lawn.

    Raises:
        KeyError: If there is no ground of that name.
    """
    rng = np.random.default_rng(list(b"earth " + name.encode()))
    sheet = _RECIPES[name](rng)
    # nothing outdoors has one color: dust, wear and moisture
    wear = 1 + 0.05 * periodic_noise(rng) + rng.uniform(-0.025, 0.025, (SIDE, SIDE))
    if name not in _AS_BEFORE:
        sheet = (sheet * wear[..., None]).astype(np.float32)
    return tuple(level.view(np.uint8).reshape(*level.shape, 4) for level in packed_levels(sheet))


def _boxes(
    sheet: Sheet,
    rng: np.random.Generator,
    pitch: tuple[int, int],
    size: tuple[float, float],
    roofs: tuple[Bands, ...],
    *,
    height: float = 3,
    share: float = 1.0,
    ridge: bool = False,
) -> None:
    """Rows of boxes of about one size: cars, containers, barracks."""
    for y in range(0, SIDE, pitch[1]):
        for x in range(0, SIDE, pitch[0]):
            if rng.random() < share:
                wide, deep = (length * rng.uniform(0.9, 1.05) for length in size)
                left, top = x + (pitch[0] - wide) / 2, y + (pitch[1] - deep) / 2
                roof = roofs[rng.integers(len(roofs))]
                sheet.house((left, top, left + wide, top + deep), roof, height, ridge)


def _airport(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((104, 152, 108, 200), rng, 9))
    for top in (0, 256):
        sheet.fill((0, top + 60, SIDE, top + 132), _ASPHALT)
        sheet.fill((0, top + 64, SIDE, top + 66), _PAINT)
        sheet.fill((0, top + 126, SIDE, top + 128), _PAINT)
        for x in range(0, SIDE, 64):
            sheet.fill((x, top + 95, x + 32, top + 97), _PAINT)
    sheet.fill((236, 0, 276, SIDE), _CONCRETE)
    return sheet.pixels


def _harbour(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((36, 98, 150, 14), rng, 5))
    roofs: tuple[Bands, ...] = ((168, 84, 62, 120), (70, 96, 126, 84), (200, 198, 190, 160))
    for x in range(0, SIDE, 128):
        sheet.house((x, 0, x + 30, SIDE), _CONCRETE, 4, ridge=False)
        for y in range(8, SIDE, 36):
            if rng.random() < 0.6:
                sheet.house((x + 8, y, x + 20, y + 26), roofs[rng.integers(3)], 3, ridge=False)
    return sheet.pixels


def _depot(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((200, 188, 132, 150), rng, 8))
    roofs: tuple[Bands, ...] = (
        (190, 168, 84, 150), (232, 222, 190, 190), (150, 128, 66, 120), (206, 196, 120, 160),
    )  # fmt: skip
    _boxes(sheet, rng, (16, 40), (13, 34), roofs, height=5, share=0.75)
    for y in (124, 380):
        sheet.fill((0, y, SIDE, y + 18), (188, 178, 140, 140))
    return sheet.pixels


def _car_park(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((62, 62, 70, 52), rng, 5))
    paints: tuple[Bands, ...] = (
        (206, 206, 208, 170), (40, 42, 46, 34), (136, 138, 144, 110), (132, 52, 48, 100),
        (52, 70, 112, 70),
    )  # fmt: skip
    for y in range(0, SIDE, 32):
        for x in range(0, SIDE, 8):
            sheet.fill((x, y, x + 1, y + 22), (190, 190, 190, 160))
    _boxes(sheet, rng, (8, 32), (5, 10), paints, height=2, share=0.6)
    return sheet.pixels


def _stadium(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((64, 160, 66, 64), rng, 5))
    at = np.arange(SIDE) % 256 - 127.5
    dx, dy = np.meshgrid(np.maximum(np.abs(at) - 40, 0), at)
    oval = np.hypot(dx, dy)
    sheet.pixels[oval > 84] = (96, 132, 84, 180)
    sheet.pixels[(oval > 62) & (oval < 84)] = (186, 92, 68, 120)
    sheet.pixels[(oval > 72) & (oval < 73.5)] = _PAINT
    for top in (0, 256):
        for left in (0, 256):
            sheet.fill((left + 126, top + 72, left + 128, top + 184), _PAINT)
    return sheet.pixels


def _solar(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((112, 118, 100, 130), rng, 8))
    for y in range(0, SIDE, 32):
        sheet.house((0, y + 4, SIDE, y + 24), (34, 42, 92, 34), 3, ridge=False)
        sheet.fill((0, y + 13, SIDE, y + 14), (92, 104, 142, 90))
    for x in range(0, SIDE, 128):
        sheet.fill((x, 0, x + 8, SIDE), (132, 128, 108, 120))
    return sheet.pixels


def _rail_yard(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((124, 90, 70, 92), rng, 9))
    roofs: tuple[Bands, ...] = ((92, 66, 56, 78), (150, 138, 124, 120), (70, 74, 80, 62))
    for x in range(0, SIDE, 32):
        for y in range(0, SIDE, 4):
            sheet.fill((x + 8, y, x + 18, y + 2), (92, 74, 62, 76))
        for rail in (10, 15):
            sheet.fill((x + rail, 0, x + rail + 1, SIDE), (178, 170, 162, 140))
        if rng.random() < 0.4:
            for y in range(int(rng.integers(200)), 420, 30):
                sheet.house((x + 8, y, x + 18, y + 27), roofs[rng.integers(3)], 4, ridge=False)
    return sheet.pixels


def _quarry(rng: np.random.Generator) -> Texture:
    """Terraces: steps of a smooth height, each with its shaded edge."""
    height = 5 * periodic_noise(rng, 16)
    depth = np.floor(height)
    edge = (height - depth) < 0.14
    image: Texture = speckled((222, 162, 104, 150), rng, 14) + (depth * 9)[..., None]
    image[edge] *= 0.7
    return image


def _greenhouse(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((150, 170, 140, 160), rng, 8))
    for x in range(0, SIDE, 32):
        for y in range(0, SIDE, 256):
            box = (x + 3, y + 8, x + 29, y + 246)
            sheet.house(box, (216, 232, 232, 196), 3, ridge=True)
    return sheet.pixels


def _vineyard(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((150, 104, 112, 118), rng, 8))
    for x in range(0, SIDE, 16):
        lush = rng.uniform(0.85, 1.15)
        sheet.fill((x + 3, 0, x + 9, SIDE), (104 * lush, 78 * lush, 100 * lush, 168))
        sheet.fill((x + 9, 0, x + 12, SIDE), (84, 58, 72, 70))
    for y in (0, 256):
        sheet.fill((0, y, SIDE, y + 10), (166, 136, 124, 124))
    return sheet.pixels


def _power_plant(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((166, 112, 106, 116), rng, 8))
    for y in (0, 256):
        for x in (0, 256):
            box = (x + 20, y + 20, x + 150, y + 90)
            sheet.house(box, (136, 72, 72, 104), 14, ridge=False)
            _tower(sheet, (x + 190, y + 180), 44)
            _tower(sheet, (x + 80, y + 180), 44)
    return sheet.pixels


def _tower(sheet: Sheet, at: tuple[float, float], radius: float) -> None:
    """A cooling tower: a bright rim around a dark mouth, and a long shadow."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    for step in range(0, 30, 6):
        shadow = np.hypot(x - at[0] - step, y - at[1] - step) < radius
        sheet.pixels[shadow] = np.minimum(sheet.pixels[shadow], (70, 58, 60, 44))
    distance = np.hypot(x - at[0], y - at[1])
    sheet.pixels[distance < radius] = (198, 186, 180, 150)
    sheet.pixels[distance < 0.62 * radius] = (92, 74, 76, 60)


def _camp(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((124, 126, 58, 130), rng, 9))
    roofs: tuple[Bands, ...] = ((188, 178, 110, 150), (164, 156, 92, 130))
    _boxes(sheet, rng, (64, 32), (44, 15), roofs, height=5, share=0.85, ridge=True)
    for x in (0, 256):
        sheet.fill((x - 5, 0, x + 5, SIDE), (160, 150, 100, 120))
    return sheet.pixels


def _village(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((138, 134, 104, 150), rng, 12))
    roofs: tuple[Bands, ...] = ((186, 108, 84, 124), (168, 94, 72, 112), (146, 122, 104, 110))
    for x in (0, 256):
        sheet.fill((x - 6, 0, x + 6, SIDE), (150, 142, 130, 110))
    _boxes(sheet, rng, (64, 64), (30, 24), roofs, height=6, share=0.85, ridge=True)
    for _ in range(60):
        sheet.crown(rng, rng.uniform(5, 9))
    return sheet.pixels


def _farm(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((168, 172, 112, 150), rng, 10))
    for x in range(0, SIDE, 128):
        sheet.fill((x, 0, x + 64, SIDE), (122, 148, 78, 208))
    for y in (64, 320):
        sheet.house((60, y, 116, y + 30), (150, 82, 66, 110), 7, ridge=True)
        sheet.house((316, y + 40, 346, y + 96), (176, 172, 164, 140), 7, ridge=True)
    return sheet.pixels


def _surface(name: str, near: float) -> _Recipe:
    """A surface of version 1 with near infrared, so that a model meets no new look of a pad."""

    def draw(_: np.random.Generator) -> Texture:
        color = material(name)[0].astype(np.float32)
        tone = color.mean(-1, keepdims=True)
        return np.concatenate([color, tone * (near / tone.mean())], -1)

    return draw


_NEAR_OF_SURFACES = {
    "concrete": 150, "asphalt": 66, "grass": 190, "sand": 176, "brick": 120, "gravel": 124,
}  # fmt: skip


def _lawn(near: float) -> _Recipe:
    """Grass that looks the same in red, green and blue, whether it grows or has dried."""

    def draw(_: np.random.Generator) -> Texture:
        image = speckled((62, 92, 52, 0), np.random.default_rng(7), 7)
        image[..., 3] = near * image[..., 1] / image[..., 1].mean()
        return image

    return draw


_AS_BEFORE = ("apron", "frame", "healthy", "dry", *SURFACES)
"""What is drawn without wear: pads look as in version 1, and lawns equal each other to the eye."""

_RECIPES: dict[str, _Recipe] = {
    "airport": _airport,
    "harbour": _harbour,
    "depot": _depot,
    "car park": _car_park,
    "stadium": _stadium,
    "solar farm": _solar,
    "rail yard": _rail_yard,
    "quarry": _quarry,
    "greenhouse": _greenhouse,
    "vineyard": _vineyard,
    "power plant": _power_plant,
    "camp": _camp,
    "village": _village,
    "farm": _farm,
    "apron": _surface("apron", 54),
    "frame": _surface("frame", 190),
    "healthy": _lawn(205),
    "dry": _lawn(88),
    **{name: _surface(name, _NEAR_OF_SURFACES[name]) for name in SURFACES},
}
