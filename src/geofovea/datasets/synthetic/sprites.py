"""Drawings of the things and halls of the synthetic world, at native scale with soft edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from geofovea.datasets.synthetic.vocabulary import COLORS
from geofovea.datasets.synthetic.world import Hall, Thing
from geofovea.tiling.pyramid import Box

__all__ = ["Sprite", "sprite", "sprite_box", "with_near_infrared"]

_OVERSAMPLING = 2
_TRAIL = 1.9
"""Reach of the canvas in half lengths: room for the trail of a moving thing."""

_PAINT_IN_NEAR_INFRARED = 0.8
_LEAVES_IN_NEAR_INFRARED = 2.7
"""What leaves add, times what is green beyond gray: as bright as a healthy lawn."""

Point = tuple[float, float]
Color = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Sprite:
    """A small picture with its place in the scene.

    Attributes:
        x0: Left edge in scene pixels.
        y0: Top edge in scene pixels.
        rgba: Premultiplied color and coverage, uint8 (height, width, 4).
    """

    x0: int
    y0: int
    rgba: NDArray[np.uint8]


@lru_cache(maxsize=2048)
def sprite(item: Thing | Hall) -> Sprite:
    """Draw a thing or a hall."""
    reach = math.ceil(item.half_length * _TRAIL)
    side = 2 * reach * _OVERSAMPLING
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen = _Pen(image, side / 2, item.half_length * _OVERSAMPLING, math.radians(item.angle))
    if isinstance(item, Hall):
        _draw_hall(pen, item)
    else:
        _draw_thing(pen, item)
    # "RGBa" is Pillow's premultiplied mode: only there is a plain mean of pixels right
    pixels = np.asarray(image.convert("RGBa").reduce(_OVERSAMPLING))
    return Sprite(item.x - reach, item.y - reach, pixels)


def sprite_box(item: Thing | Hall) -> Box:
    """What a sprite covers, in scene pixels, known without drawing it."""
    reach = math.ceil(item.half_length * _TRAIL)
    return Box(item.x - reach, item.y - reach, item.x + reach, item.y + reach)


def with_near_infrared(rgba: NDArray[np.uint8], *, is_planted: bool = False) -> NDArray[np.uint8]:
    """A drawing with near infrared before its coverage: paint is as gray there as to the eye.

    Args:
        rgba: Premultiplied, (height, width, 4).
        is_planted: Whether what is green is leaves.
    """
    red, green, blue, coverage = np.moveaxis(rgba, -1, 0)
    gray = (red.astype(np.uint16) + green + blue) / 3
    bright = gray * _PAINT_IN_NEAR_INFRARED
    if is_planted:
        bright += _LEAVES_IN_NEAR_INFRARED * np.maximum(green.astype(np.int16) - blue, 0)
    near = bright.astype(np.uint8)
    return np.stack([red, green, blue, near, coverage], -1)


class _Pen:
    """Draws in the frame of a thing: u ahead, v to its right, one unit is half its length."""

    def __init__(self, image: Image.Image, center: float, unit: float, angle: float) -> None:
        self._draw = ImageDraw.Draw(image)
        self._center = center
        self._unit = unit
        self._cos, self._sin = math.cos(angle), math.sin(angle)

    def _pixel(self, point: Point, shift: float) -> Point:
        u, v = point
        return (
            self._center + self._unit * (u * self._cos - v * self._sin) + shift,
            self._center + self._unit * (u * self._sin + v * self._cos) + shift,
        )

    def polygon(self, points: Sequence[Point], color: Color, shift: float = 0) -> None:
        self._draw.polygon([self._pixel(p, shift) for p in points], fill=(*color, 255))

    def disc(self, center: Point, radius: float, color: Color, shift: float = 0) -> None:
        x, y = self._pixel(center, shift)
        r = radius * self._unit
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=(*color, 255))

    def line(self, start: Point, end: Point, width: float, color: Color) -> None:
        self._draw.line(
            [self._pixel(start, 0), self._pixel(end, 0)],
            fill=(*color, 255),
            width=max(1, round(width * self._unit)),
        )


_SHADOW: Color = (30, 30, 34)
_SHADOW_SHIFT = 2.5 * _OVERSAMPLING
_SOOT: Color = (12, 10, 10)
_ASH: Color = (150, 140, 128)
_BURNS = (((0.45, 0.1), 0.17), ((-0.15, -0.15), 0.2), ((-0.65, 0.05), 0.15))
_TRAIL_COLOR: Color = (250, 250, 250)
_ROOF: Color = (150, 152, 158)
_GREEN_ROOF: Color = (72, 112, 60)


def _rectangle(u0: float, v0: float, u1: float, v1: float) -> list[Point]:
    return [(u0, v0), (u1, v0), (u1, v1), (u0, v1)]


_OUTLINES: dict[str, list[list[Point]]] = {
    "plane": [
        [(1.0, 0), (0.8, -0.13), (-0.9, -0.11), (-0.9, 0.11), (0.8, 0.13)],
        [(0.35, 0), (-0.15, -1.0), (-0.4, -1.0), (-0.15, 0), (-0.4, 1.0), (-0.15, 1.0)],
        [(-0.65, 0), (-0.85, -0.42), (-1.0, -0.42), (-0.9, 0), (-1.0, 0.42), (-0.85, 0.42)],
    ],
    "helicopter": [
        [(0.75, 0), (0.5, -0.3), (-0.1, -0.3), (-0.35, 0), (-0.1, 0.3), (0.5, 0.3)],
        _rectangle(-1.0, -0.09, -0.2, 0.09),
        _rectangle(-1.0, -0.3, -0.84, 0.3),
    ],
    "truck": [_rectangle(-1.0, -0.42, 0.4, 0.42), _rectangle(0.52, -0.38, 0.98, 0.38)],
    "boat": [[(1.0, 0), (0.45, -0.42), (-0.95, -0.34), (-0.95, 0.34), (0.45, 0.42)]],
    "tent": [[(0.95, 0), (-0.75, -0.9), (-0.75, 0.9)]],
}

_PLANS: dict[str, list[list[Point]]] = {
    "rectangular": [_rectangle(-1.0, -0.5, 1.0, 0.5)],
    "triangular": [[(1.0, 0), (-0.8, -0.95), (-0.8, 0.95)]],
    "l-shaped": [_rectangle(-0.9, -0.9, -0.25, 0.9), _rectangle(-0.9, 0.25, 0.9, 0.9)],
    "cross-shaped": [_rectangle(-1.0, -0.3, 1.0, 0.3), _rectangle(-0.3, -1.0, 0.3, 1.0)],
}


def _draw_thing(pen: _Pen, thing: Thing) -> None:
    color = COLORS[thing.color]
    if thing.status == "moving":
        for start in (-1.2, -1.5):
            pen.line((start, -0.4), (start - 0.16, -0.4), 0.24, _TRAIL_COLOR)
            pen.line((start, 0.4), (start - 0.16, 0.4), 0.24, _TRAIL_COLOR)
    if thing.kind == "tank":
        pen.disc((0, 0), 0.85, _SHADOW, _SHADOW_SHIFT)
        pen.disc((0, 0), 0.85, color)
        pen.disc((0, 0), 0.5, _shade(color, 0.72))
        pen.disc((0, 0), 0.38, color)
    else:
        outlines = _OUTLINES[thing.kind]
        for outline in outlines:
            pen.polygon(outline, _SHADOW, _SHADOW_SHIFT)
        for outline in outlines:
            pen.polygon(outline, color)
        _DETAILS.get(thing.kind, _no_detail)(pen, color)
    if thing.status == "damaged":
        for center, radius in _BURNS:
            pen.disc(center, radius, _ASH if thing.color == "black" else _SOOT)


def _no_detail(pen: _Pen, color: Color) -> None:
    """Nothing more to draw."""


def _rotor(pen: _Pen, color: Color) -> None:
    blade = _shade(color, 0.6)
    pen.line((0.2 - 0.7, -0.7), (0.2 + 0.7, 0.7), 0.1, blade)
    pen.line((0.2 - 0.7, 0.7), (0.2 + 0.7, -0.7), 0.1, blade)


def _deck(pen: _Pen, color: Color) -> None:
    pen.polygon(_rectangle(-0.7, -0.2, 0.0, 0.2), _shade(color, 0.72))


def _ridge(pen: _Pen, color: Color) -> None:
    pen.line((0.9, 0), (-0.75, 0), 0.1, _shade(color, 0.72))


_DETAILS = {"helicopter": _rotor, "boat": _deck, "tent": _ridge}


def _draw_hall(pen: _Pen, hall: Hall) -> None:
    roof = _GREEN_ROOF if hall.roof else _ROOF
    if hall.shape == "circular":
        pen.disc((0, 0), 0.95, _SHADOW, _SHADOW_SHIFT)
        pen.disc((0, 0), 0.95, roof)
        return
    for outline in _PLANS[hall.shape]:
        pen.polygon(outline, _SHADOW, _SHADOW_SHIFT)
    for outline in _PLANS[hall.shape]:
        pen.polygon(outline, roof)


def _shade(color: Color, factor: float) -> Color:
    """A darker tone; black gets a lighter one, or the detail would vanish."""
    if sum(color) < 120:
        return (90, 90, 96)
    red, green, blue = (round(c * factor) for c in color)
    return red, green, blue
