"""One picture of one answer: the whole scene, the way in, and the crop it was read from."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.evidence import Look
from geofovea.pipeline.system.files import write_file
from geofovea.tiling.pyramid import Box
from geofovea.tiling.reader import TileReader
from geofovea.tiling.scene import Scene

__all__ = ["Pictured", "draw_answer", "save_picture"]

_PANEL = 560
_GAP = 16
_CAPTION = 112
_INK = (32, 34, 40)
_FAINT = (110, 114, 124)
_PAPER = (250, 250, 248)
_HEAT = (255, 60, 0)
_FRAME = (255, 255, 255)
_LEVEL_COLORS = (
    (255, 72, 40),
    (255, 150, 30),
    (250, 214, 50),
    (120, 210, 80),
    (40, 190, 200),
    (70, 120, 250),
    (160, 90, 240),
    (230, 90, 200),
)


class Pictured(Protocol):
    """What a picture shows of an answer."""

    @property
    def question(self) -> str:
        """As it was asked."""
        ...

    @property
    def text(self) -> str:
        """The answer."""
        ...

    @property
    def confidence_text(self) -> str:
        """How likely, in words."""
        ...

    @property
    def model(self) -> str:
        """Name of the host."""
        ...

    @property
    def scene(self) -> Scene:
        """The scene that was asked about."""
        ...

    @property
    def cost(self) -> Cost:
        """What was spent."""
        ...

    @property
    def looks(self) -> tuple[Look, ...]:
        """Where the model looked, coarse to fine."""
        ...


def draw_answer(answer: Pictured, reader: TileReader) -> Image.Image:
    """Draw an answer; costs three reads, whatever the size of the scene.

    Args:
        answer: What to show.
        reader: Of the answer's scene.
    """
    crop = _crop(answer)
    panels = [_Panel(answer.scene.box, "the whole scene", "")]
    if crop.share_inside(panels[0].box) and crop.area < 0.5 * panels[0].box.area:
        context = _grown(crop, 8, answer.scene.box)
        if context.area < 0.5 * panels[0].box.area:
            panels.append(_Panel(context, "the way in", f"{round(context.width)} px wide"))
        panels.append(_Panel(crop, "where the answer came from", f"{round(crop.width)} px wide"))
    width = len(panels) * (_PANEL + _GAP) + _GAP
    page = Image.new("RGB", (width, _CAPTION + _PANEL + 3 * _GAP + 20), _PAPER)
    _write_caption(page, answer)
    for index, panel in enumerate(panels):
        following = panels[index + 1].box if index + 1 < len(panels) else None
        heat = answer.looks[-1] if index and index == len(panels) - 1 else None
        image = panel.draw(answer, reader, following, heat)
        left, top = _GAP + index * (_PANEL + _GAP), _CAPTION + _GAP
        page.paste(image, (left, top))
        note = panel.title + (f" · {panel.note}" if panel.note else "")
        ImageDraw.Draw(page).text((left, top + _PANEL + 6), note, _FAINT, _font(14))
    return page


def save_picture(answer: Pictured, reader: TileReader, path: str | os.PathLike[str]) -> None:
    """Draw an answer into a PNG file.

    Raises:
        OutputError: If the file cannot be written.
    """
    page = draw_answer(answer, reader)
    write_file(path, lambda aside: page.save(aside, "PNG"))


@dataclass(frozen=True, slots=True)
class _Panel:
    """One square of the page that shows one box of the scene."""

    box: Box
    title: str
    note: str

    def draw(
        self, answer: Pictured, reader: TileReader, following: Box | None, heat: Look | None
    ) -> Image.Image:
        scale = _PANEL / max(self.box.width, self.box.height)
        size = max(1, round(self.box.width * scale)), max(1, round(self.box.height * scale))
        rgb, _ = reader.read_box(self.box, (size[1], size[0]))
        if heat is not None:
            rgb = self._heated(rgb, heat, scale)
        panel = Image.new("RGB", (_PANEL, _PANEL), _PAPER)
        panel.paste(Image.fromarray(rgb), (0, 0))
        pen = ImageDraw.Draw(panel)
        for look in answer.looks[1:] or answer.looks:
            self._outline(pen, look, scale)
        if following:
            self._frame(pen, following, scale)
        if self.box == answer.scene.box:
            self._legend(pen, answer)
        return panel

    def _pixels(self, box: Box, scale: float) -> tuple[float, float, float, float]:
        return (
            (box.x0 - self.box.x0) * scale,
            (box.y0 - self.box.y0) * scale,
            (box.x1 - self.box.x0) * scale - 1,
            (box.y1 - self.box.y0) * scale - 1,
        )

    def _heated(self, rgb: NDArray[np.uint8], look: Look, scale: float) -> NDArray[np.uint8]:
        """Tint the tokens by their share of the attention, the strongest by half."""
        strength = np.zeros(rgb.shape[:2], np.float32)
        top = float(look.token_scores.max(initial=0))
        for corners, score in zip(look.token_boxes, look.token_scores, strict=True):
            box = Box(*corners).intersection(self.box)
            if box and top > 0:
                x0, y0, x1, y1 = (round(c) for c in self._pixels(box, scale))
                strength[y0 : y1 + 1, x0 : x1 + 1] = float(score) / top
        alpha = 0.5 * strength[..., None]
        tinted = rgb * (1 - alpha) + np.array(_HEAT) * alpha
        result: NDArray[np.uint8] = tinted.astype(np.uint8)
        return result

    def _outline(self, pen: ImageDraw.ImageDraw, look: Look, scale: float) -> None:
        color = _LEVEL_COLORS[look.level % len(_LEVEL_COLORS)]
        for tile in look.tiles:
            if tile.intersection(self.box):
                x0, y0, x1, y1 = self._pixels(tile, scale)
                pen.rectangle((x0, y0, max(x1, x0 + 2), max(y1, y0 + 2)), outline=color, width=2)

    def _frame(self, pen: ImageDraw.ImageDraw, box: Box, scale: float) -> None:
        """A white frame that stays visible when the box is tiny."""
        x0, y0, x1, y1 = self._pixels(box, scale)
        margin = max(3.0, (14 - (x1 - x0)) / 2)
        outer = (x0 - margin, y0 - margin, x1 + margin, y1 + margin)
        pen.rectangle(outer, outline=_INK, width=4)
        pen.rectangle(outer, outline=_FRAME, width=2)

    def _legend(self, pen: ImageDraw.ImageDraw, answer: Pictured) -> None:
        for line, look in enumerate(answer.looks[1:] or answer.looks):
            top = 6 + 17 * line
            pen.rectangle((4, top, 132, top + 16), fill=_PAPER)
            color = _LEVEL_COLORS[look.level % len(_LEVEL_COLORS)]
            pen.rectangle((8, top + 3, 18, top + 13), fill=color)
            count = f"{len(look.tiles)} tile" + ("s" if len(look.tiles) > 1 else "")
            pen.text((23, top + 1), f"level {look.level}: {count}", _INK, _font(12))


def _crop(answer: Pictured) -> Box:
    """The surroundings of the strongest tokens of the finest level."""
    look = answer.looks[-1]
    if not len(look.token_scores):
        return answer.scene.box
    # the tokens that hold half of the attention, strongest first
    order = np.argsort(-look.token_scores, kind="stable")
    cumulative = np.cumsum(look.token_scores[order])
    strongest = look.token_boxes[
        order[: 1 + int(np.searchsorted(cumulative, 0.5 * cumulative[-1]))]
    ]
    middle = np.median((strongest[:, :2] + strongest[:, 2:]) / 2, axis=0)
    tile = max(look.tiles, key=lambda box: box.area)
    side = 2 * max(tile.width, tile.height)
    box = Box(
        middle[0] - side / 2, middle[1] - side / 2, middle[0] + side / 2, middle[1] + side / 2
    )
    return box.intersection(answer.scene.box) or answer.scene.box


def _grown(box: Box, factor: float, limits: Box) -> Box:
    (x, y), half = box.center, factor * max(box.width, box.height) / 2
    return Box(x - half, y - half, x + half, y + half).intersection(limits) or limits


def _write_caption(page: Image.Image, answer: Pictured) -> None:
    pen = ImageDraw.Draw(page)
    room = page.width - 2 * _GAP
    pen.text((_GAP, 12), _fitted(answer.question, 24, room), _INK, _font(24))
    answered = f"{answer.text or '(no answer)'}   {answer.confidence_text}"
    pen.text((_GAP, 46), _fitted(answered, 24, room), _LEVEL_COLORS[0], _font(24))
    cost = answer.cost
    facts = (
        f"{answer.scene.width} x {answer.scene.height} px · {cost.tiles_encoded} tiles looked at · "
        f"{cost.tokens_llm} of {cost.tokens_total} tokens to the decoder · "
        f"{cost.seconds['total']:.2f} s · model {answer.model}"
    )
    pen.text((_GAP, 84), _fitted(facts, 14, room), _FAINT, _font(14))


def _fitted(text: str, size: int, room: int) -> str:
    """The text on one line, cut with an ellipsis where it is longer than ``room`` pixels."""
    font, text = _font(size), " ".join(text.split())
    if font.getlength(text) <= room:
        return text
    fits = bisect_right(
        range(len(text)), room, key=lambda n: math.ceil(font.getlength(text[:n] + "…"))
    )
    return text[: max(0, fits - 1)] + "…"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
