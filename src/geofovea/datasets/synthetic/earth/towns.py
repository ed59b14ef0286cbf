"""Blocks of towns: streets, houses with gardens, and shadows; each is one sheet of 256 meters.

Streets run along the borders of a sheet, so that the blocks of a town join into one net.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from geofovea.datasets.synthetic.earth.drawing import Bands, Sheet, speckled
from geofovea.datasets.synthetic.textures import SIDE, Texture

__all__ = ["TOWN_BLOCKS"]

_ASPHALT: Bands = (108, 107, 108, 74)
_PAVEMENT: Bands = (150, 148, 144, 110)
_GARDEN: Bands = (112, 128, 84, 170)
_YARD: Bands = (138, 136, 130, 104)
_TILES: tuple[Bands, ...] = (
    (150, 92, 74, 112),
    (164, 108, 86, 120),
    (128, 84, 72, 100),
    (120, 116, 114, 92),
    (142, 136, 130, 108),
    (98, 96, 100, 80),
)
_FLAT: tuple[Bands, ...] = (
    (168, 164, 158, 130),
    (188, 186, 182, 150),
    (140, 138, 138, 112),
    (124, 120, 116, 96),
    (172, 156, 136, 130),
)
_METAL: tuple[Bands, ...] = (
    (196, 198, 200, 160),
    (176, 180, 184, 146),
    (126, 142, 160, 112),
    (150, 112, 98, 116),
    (214, 212, 206, 172),
)
_CARS: tuple[Bands, ...] = (
    (210, 210, 212, 170),
    (60, 62, 66, 52),
    (150, 152, 156, 120),
    (150, 60, 54, 110),
    (62, 84, 130, 80),
)
_STREET, _WALK = 7, 11


def _suburb(rng: np.random.Generator) -> Texture:
    """Rows of detached houses in gardens along streets."""
    sheet = Sheet(speckled(_GARDEN, rng, 14))
    _streets(sheet, rng, (0, 256), (0, 128, 256, 384))
    for top in range(0, SIDE, 128):
        for row, y in enumerate((top + 16, top + 72)):
            x = rng.uniform(14, 24)
            while x < SIDE - 30:
                if not 230 < x < 262:
                    _home(sheet, rng, x, y + rng.uniform(0, 8), row)
                x += rng.uniform(40, 58)
        for _ in range(16):
            sheet.crown(rng, rng.uniform(4, 8), (rng.uniform(12, 500), top + rng.uniform(50, 78)))
    return sheet.pixels


def _home(sheet: Sheet, rng: np.random.Generator, x: float, y: float, row: int) -> None:
    width, depth = rng.uniform(22, 34), rng.uniform(20, 28)
    drive = (x + 3, y - 14, x + 9, y) if row == 0 else (x + 3, y + depth, x + 9, y + depth + 16)
    sheet.fill(drive, _YARD)
    sheet.house((x, y, x + width, y + depth), _toned(rng, _TILES), rng.uniform(5, 8), ridge=True)


def _center(rng: np.random.Generator) -> Texture:
    """Closed blocks of houses of several floors around courtyards."""
    sheet = Sheet(speckled(_YARD, rng, 9))
    edges = (0, 128, 256, 384)
    _streets(sheet, rng, edges, (0, 170, 341))
    for y0, y1 in ((0, 170), (170, 341), (341, SIDE)):
        for x0 in edges:
            _closed_block(sheet, rng, (x0 + 13, y0 + 13, x0 + 128 - 13, y1 - 13))
    return sheet.pixels


def _closed_block(
    sheet: Sheet, rng: np.random.Generator, box: tuple[float, float, float, float]
) -> None:
    """Houses around a court in a box ``(x0, y0, x1, y1)`` of sheet pixels."""
    x0, y0, x1, y1 = box
    court = (x0 + 30, y0 + 30, x1 - 30, y1 - 30)
    if rng.random() < 0.6:
        sheet.fill(court, _GARDEN)
        for _ in range(6):
            at = rng.uniform(court[0], court[2]), rng.uniform(court[1], court[3])
            sheet.crown(rng, rng.uniform(4, 7), at)
    for y, depth in ((y0, 30), (y1 - 30, 30)):
        x = x0
        while x < x1 - 8:
            width = min(rng.uniform(24, 44), x1 - x)
            height, roof = rng.uniform(8, 16), _toned(rng, _TILES + _FLAT)
            sheet.house((x, y, x + width, y + depth - rng.uniform(0, 6)), roof, height, ridge=True)
            x += width
    for x in (x0, x1 - 26):
        y = y0 + 30
        while y < y1 - 38:
            width = min(rng.uniform(24, 44), y1 - 30 - y)
            roof = _toned(rng, _TILES + _FLAT)
            sheet.house((x, y, x + 26, y + width), roof, rng.uniform(8, 14), ridge=True)
            y += width


def _estate(rng: np.random.Generator) -> Texture:
    """Long flat-roofed buildings in lawns, with cars along the streets."""
    sheet = Sheet(speckled((116, 130, 88, 172), rng, 14))
    _streets(sheet, rng, (0, 256), (0, 256))
    for y in (26, 150, 282, 406):
        for x in (22, 278):
            long, deep = rng.uniform(120, 200), rng.uniform(26, 34)
            if rng.random() < 0.3:
                long, deep = deep + 10, 84
            roof = _toned(rng, _FLAT)
            sheet.house((x, y, x + long, y + deep), roof, rng.uniform(14, 24), ridge=False)
            _parking(sheet, rng, (x, y + deep + 34, x + 110, y + deep + 62))
    for _ in range(90):
        sheet.crown(rng, rng.uniform(4, 8))
    _streets(sheet, rng, (0, 256), (0, 256))
    return sheet.pixels


def _industry(rng: np.random.Generator) -> Texture:
    """Large halls in yards."""
    sheet = Sheet(speckled((146, 142, 136, 108), rng, 10))
    for y0 in (0, 256):
        for x0 in (0, 256):
            wide, deep = rng.uniform(110, 200), rng.uniform(80, 140)
            box = (x0 + 24, y0 + 24, x0 + 24 + wide, y0 + 24 + deep)
            sheet.house(box, _toned(rng, _METAL), rng.uniform(8, 14), ridge=rng.random() < 0.4)
            for at in np.arange(box[0] + 12, box[2] - 8, 24):
                sheet.fill((at, box[1] + 8, at + 3, box[3] - 8), (206, 208, 210, 160))
            _parking(sheet, rng, (x0 + 24, y0 + 44 + deep, x0 + 200, y0 + 76 + deep))
    _streets(sheet, rng, (0,), (0, 256))
    return sheet.pixels


def _park(rng: np.random.Generator) -> Texture:
    sheet = Sheet(speckled((108, 130, 78, 200), rng, 14))
    for at in (140, 390):
        sheet.fill((at, 0, at + 5, SIDE), (182, 168, 140, 130))
        sheet.fill((0, at, SIDE, at + 5), (182, 168, 140, 130))
    for _ in range(320):
        sheet.crown(rng, rng.uniform(5, 10))
    _streets(sheet, rng, (0,), (0,))
    return sheet.pixels


def _parking(
    sheet: Sheet, rng: np.random.Generator, box: tuple[float, float, float, float]
) -> None:
    sheet.fill(box, (120, 119, 120, 84))
    for x in np.arange(box[0] + 3, box[2] - 6, 7):
        for y in (box[1] + 2, box[3] - 12):
            if rng.random() < 0.7:
                sheet.house((x, y, x + 4, y + 9), _CARS[rng.integers(len(_CARS))], 2, ridge=False)


def _streets(
    sheet: Sheet, rng: np.random.Generator, columns: tuple[int, ...], rows: tuple[int, ...]
) -> None:
    """Streets with pavements; their cars stand at the curbs."""
    for color, half in ((_PAVEMENT, _WALK), (_ASPHALT, _STREET)):
        for x in columns:
            sheet.fill((x - half, 0, x + half, SIDE), color)
        for y in rows:
            sheet.fill((0, y - half, SIDE, y + half), color)
    for y in rows:
        for x in range(16, SIDE - 16, 16):
            if rng.random() < 0.3:
                car = _CARS[rng.integers(len(_CARS))]
                side = rng.choice((-6, 2))
                sheet.house((x, y + side, x + 9, y + side + 4), car, 2, ridge=False)


def _toned(rng: np.random.Generator, roofs: tuple[Bands, ...]) -> Bands:
    tone = rng.uniform(0.88, 1.12)
    red, green, blue, near = (band * tone for band in roofs[rng.integers(len(roofs))])
    return red, green, blue, near


TOWN_BLOCKS: dict[str, Callable[[np.random.Generator], Texture]] = {
    "center a": _center,
    "center b": _center,
    "suburb a": _suburb,
    "suburb b": _suburb,
    "suburb c": _suburb,
    "estate": _estate,
    "industry": _industry,
    "park": _park,
}
