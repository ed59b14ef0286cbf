"""What a map has besides its picture: a scale bar, the way north, lines from panel to panel."""

from __future__ import annotations

import math

from PIL import ImageDraw

from geofovea.pipeline.answers.drawing.ground import gsd_of, length_text, north_of
from geofovea.pipeline.answers.drawing.panel import Panel
from geofovea.pipeline.answers.drawing.theme import FAINT, INK, SMALL, WEDGE, WHITE, font
from geofovea.tiling.scene import Scene

__all__ = ["draw_connectors", "draw_north", "draw_scale_bar", "nice_length"]

Point = tuple[float, float]

_LONGEST_BAR = 0.3
_BAR_HEIGHT = 10
_ARROW = 17


def nice_length(most: float) -> float:
    """The longest of 1, 2 and 5 times a power of ten that is not above ``most``."""
    power = 10.0 ** math.floor(math.log10(most))
    return next(m * power for m in (5, 2, 1) if m * power <= most * (1 + 1e-9))


def draw_scale_bar(
    pen: ImageDraw.ImageDraw, panel: Panel, scene: Scene, left: int, top: int
) -> float:
    """Draw the scale of a panel below it, in meters where these hold all over it, else in pixels.

    Returns:
        The column where it ends.
    """
    gsd = gsd_of(scene, panel.box)
    per_pixel = panel.box.width / panel.frame.width * (gsd or 1.0)
    room = max(90.0, _LONGEST_BAR * panel.frame.slot)
    length = nice_length(room * per_pixel)
    if gsd is None:
        length = max(1.0, length)
    right = left + round(length / per_pixel)
    middle = top + 15
    pen.line((left, middle, right, middle), fill=INK, width=3)
    for x in (left, right):
        pen.line((x, middle - _BAR_HEIGHT // 2, x, middle + _BAR_HEIGHT // 2), fill=INK, width=3)
    text = f"{length:,.0f} px" if gsd is None else length_text(length)
    pen.text((right + 12, middle), text, FAINT, font(SMALL), anchor="lm")
    return right + 12 + font(SMALL).getlength(text)


def draw_north(pen: ImageDraw.ImageDraw, scene: Scene, x: float, y: float) -> None:
    """Draw an arrow that points north, where that is one way all over the scene."""
    way = north_of(scene, scene.box)
    if way is None:
        return
    (dx, dy), size = way, _ARROW
    tip = (x + dx * size, y + dy * size)
    # the two corners of the base stand across the way, and the notch between them
    back = (x - dx * size * 0.8, y - dy * size * 0.8)
    wing = size * 0.55
    corners = [tip, (back[0] - dy * wing, back[1] + dx * wing), (x - dx * 5, y - dy * 5),
               (back[0] + dy * wing, back[1] - dx * wing)]  # fmt: skip
    pen.polygon(corners, fill=INK)
    pen.text((x + size + 10, y), "N", FAINT, font(SMALL), anchor="lm")


def draw_connectors(pen: ImageDraw.ImageDraw, source: Panel, target: Panel, below: bool) -> None:
    """A wedge from the box that a panel shows to that panel.

    Args:
        pen: Of the page.
        source: The panel in which the box is marked.
        target: The panel that shows it.
        below: Whether it stands below, not beside.
    """
    x0, y0, x1, y1 = source.on_page(target.box)
    frame = target.frame
    if below:
        edge, starts = source.frame.bottom, ((x0, y1), (x1, y1))
        ends = ((frame.left, frame.top), (frame.right, frame.top))
    else:
        edge, starts = source.frame.right, ((x1, y0), (x1, y1))
        ends = ((frame.left, frame.top), (frame.left, frame.bottom))
    cuts = [
        _cut(start, end, edge, axis=int(below)) for start, end in zip(starts, ends, strict=True)
    ]
    # between the panels a band of gray, over the picture two lines that hide little
    pen.polygon([*cuts, *reversed(ends)], fill=WEDGE)
    for start, cut in zip(starts, cuts, strict=True):
        pen.line((*start, *cut), fill=(*WHITE, 150), width=2)


def _cut(start: Point, end: Point, edge: float, axis: int) -> Point:
    """Where the way from a point to another crosses a column (axis 0) or a row (axis 1)."""
    length = end[axis] - start[axis]
    share = min(1.0, max(0.0, (edge - start[axis]) / length)) if length else 1.0
    x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
    return x, y
