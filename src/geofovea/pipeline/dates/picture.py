"""One picture of an answer about dates: every date whole, and close up where it changed most."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from geofovea.pipeline.answers.drawing.ground import evidence_text
from geofovea.pipeline.answers.drawing.theme import PAPER, fitted, font_for
from geofovea.pipeline.system.files import write_file
from geofovea.tiling.aligned_reader import AlignedReader
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.pyramid import Box
from geofovea.tiling.reader import TileReader
from geofovea.tiling.tile_source import TileSource

if TYPE_CHECKING:
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.pipeline.answers.evidence import Evidence
    from geofovea.pipeline.dates.stack import SceneStack

__all__ = ["draw_dates", "save_dates_picture"]

_PANEL = 480
_GAP = 16
_LINE, _TEXT = 22, 14
_TILE_SIZE = 256
_INK, _MARK = (30, 30, 30), (214, 40, 40)
_MOST_MARKS = 24
_MOST_TOGETHER = 9
_AROUND = 0.25
"""Of a close-up that shows what is around the place, on each side."""


def draw_dates(answer: Answer, stack: SceneStack) -> Image.Image:
    """Draw the dates side by side: whole above, and the place of the best evidence below.

    Red squares mark the finest tiles that the answer was read from. Each date is shown as its own
    sensor saw it, not in the light of another.

    Args:
        answer: What to show, with evidence in pixels of the reference scene.
        stack: The scenes with their dates.

    Raises:
        SceneError: If a scene is not the file it was, or cannot be read.
    """
    sources, scene = _sources(stack), stack.reference_scene
    rows: list[tuple[Box, str]] = [(scene.box, "the whole scene")]
    place = _best_place(answer, scene.box)
    if place is not None:
        rows.append((_around(place), evidence_text(scene, place)))
    marks = [item.box_scene for item in _finest(answer)[:_MOST_MARKS]]
    marks = [mark for mark in marks if mark != scene.box]
    shapes = [_shape(box) for box, _ in rows]
    width = _GAP + len(sources) * (_PANEL + _GAP)
    height = 3 * _LINE + _GAP + sum(shape[0] + 2 * _LINE + _GAP for shape in shapes)
    page = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(page)
    room = width - 2 * _GAP
    _write(pen, (_GAP, _LINE // 2), answer.question, room)
    _write(pen, (_GAP, _LINE + _LINE // 2), answer.text or "(no answer)", room)
    top = 3 * _LINE
    for (box, words), shape in zip(rows, shapes, strict=True):
        _write(pen, (_GAP, top), words, room)
        top += _LINE
        for number, source in enumerate(sources):
            left = _GAP + number * (_PANEL + _GAP)
            rgb, _ = source.read_box(box, shape)
            page.paste(Image.fromarray(rgb), (left, top))
            _mark(pen, marks, box, (left, top), shape)
            label = stack.labels[number].rstrip(":")
            _write(pen, (left, top + shape[0] + 2), label, _PANEL)
        top += shape[0] + _LINE + _GAP
    return page


def save_dates_picture(answer: Answer, stack: SceneStack, path: str | os.PathLike[str]) -> None:
    """Draw the dates into a PNG file.

    Raises:
        OutputError: If the file cannot be written.
        SceneError: If a scene is not the file it was, or cannot be read.
    """
    page = draw_dates(answer, stack)
    write_file(path, lambda aside: page.save(aside, "PNG"))


def _sources(stack: SceneStack) -> list[TileSource]:
    pyramid = stack.reference_scene.pyramid(_TILE_SIZE)
    sources: list[TileSource] = []
    for each in stack.scenes:
        own = each.scene.pyramid(_TILE_SIZE)
        reader = TileReader(each.scene, own, plan_radiometry(each.scene))
        aligned = each.alignment and AlignedReader(reader, each.alignment, pyramid)
        sources.append(aligned or reader)
    return sources


def _best_place(answer: Answer, whole: Box) -> Box | None:
    """The box of the finest tiles where they lie together, else the best of them."""
    boxes = [item.box_scene for item in _finest(answer)]
    if not boxes or boxes[0] == whole:
        return None
    corners = zip(*(box.as_tuple() for box in boxes), strict=True)
    x0, y0, x1, y1 = (pick(each) for pick, each in zip((min, min, max, max), corners, strict=True))
    together = Box(x0, y0, x1, y1)
    return together if together.area <= _MOST_TOGETHER * boxes[0].area else boxes[0]


def _finest(answer: Answer) -> list[Evidence]:
    items = answer.evidence.tiles
    finest = min((item.tile.level for item in items), default=0)
    return [item for item in items if item.tile.level == finest]


def _around(box: Box) -> Box:
    """A box with some of its surroundings."""
    dx, dy = _AROUND * box.width, _AROUND * box.height
    return Box(box.x0 - dx, box.y0 - dy, box.x1 + dx, box.y1 + dy)


def _shape(box: Box) -> tuple[int, int]:
    """``(rows, cols)`` of a panel as wide as all others; a high one is cut to twice its width."""
    return min(2 * _PANEL, max(1, round(_PANEL * box.height / box.width))), _PANEL


def _mark(
    pen: ImageDraw.ImageDraw,
    marks: Sequence[Box],
    box: Box,
    corner: tuple[int, int],
    shape: tuple[int, int],
) -> None:
    """Squares around some boxes, as far as a panel shows them."""
    scale_x, scale_y = shape[1] / box.width, shape[0] / box.height
    for mark in marks:
        inside = mark.intersection(box)
        if inside is None:
            continue
        x0, x1 = ((x - box.x0) * scale_x + corner[0] for x in (inside.x0, inside.x1))
        y0, y1 = ((y - box.y0) * scale_y + corner[1] for y in (inside.y0, inside.y1))
        pen.rectangle((x0, y0, max(x0 + 3, x1 - 1), max(y0 + 3, y1 - 1)), outline=_MARK, width=2)


def _write(pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, room: int) -> None:
    """One line of text, cut where it is wider than the room."""
    line = fitted(text, _TEXT, room)
    pen.text(place, line, _INK, font=font_for(line, _TEXT))
