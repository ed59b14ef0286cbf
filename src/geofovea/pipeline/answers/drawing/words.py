"""The words of the picture: question and answer, confidence, warnings, levels, cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from PIL import ImageDraw

from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.drawing.theme import (
    BODY,
    FAINT,
    FIGURE,
    GAUGE,
    INK,
    MARGIN,
    PAGE_WIDTH,
    SMALL,
    TITLE,
    WARNING,
    WARNING_PAPER,
    fitted,
    font,
    font_for,
    wrapped,
)
from geofovea.tiling.scene import Scene

__all__ = ["LegendEntry", "draw_footer", "draw_head", "draw_legend", "draw_warnings"]

_SURE_WIDTH = 300
_SWATCH = 28
_GROUND = (96, 106, 112)
_LONG_ANSWER = 44
_MOST_WARNINGS, _WARNING_LINES = 2, 2
RGB = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """One line of the legend: a color or none, what it says, and whether areas have the color."""

    color: RGB | None
    text: str
    is_filled: bool = False


def draw_head(
    pen: ImageDraw.ImageDraw, question: str, text: str, confidence: float | None, sure: str
) -> int:
    """Draw question and answer at the left, the confidence apart at the right.

    Args:
        pen: Of the page.
        question: As it was asked.
        text: The answer; empty where the model said nothing.
        confidence: In [0, 1]; None where it is not known.
        sure: The same in words, which are drawn where it is not known.

    Returns:
        Where this ends.
    """
    room, y = PAGE_WIDTH - 2 * MARGIN - _SURE_WIDTH - 40, 34
    for line in wrapped(question, TITLE, room, 2):
        pen.text((MARGIN, y), line, FAINT, font_for(line, TITLE))
        y += 40
    answer, y = text.strip() or "(no answer)", y + 8
    size, most = (FIGURE, 1) if len(answer) <= _LONG_ANSWER else (TITLE + 4, 4)
    for line in wrapped(answer, size, room, most):
        # the font has no bold: a stroke of its own color stands for it
        pen.text((MARGIN, y), line, INK, font_for(line, size), stroke_width=1, stroke_fill=INK)
        y += round(1.28 * size)
    return max(y, _draw_confidence(pen, confidence, sure)) + 12


def _draw_confidence(pen: ImageDraw.ImageDraw, confidence: float | None, sure: str) -> int:
    left, top = PAGE_WIDTH - MARGIN - _SURE_WIDTH, 34
    if confidence is None:
        for line in wrapped(sure[:1].upper() + sure[1:], BODY, _SURE_WIDTH, 3):
            pen.text((left, top), line, FAINT, font_for(line, BODY))
            top += 34
        return top
    pen.text((left, top), "Confidence", FAINT, font(SMALL))
    pen.text((left, top + 32), f"{confidence:.0%}", INK, font(40))
    bar = (left, top + 92, left + _SURE_WIDTH - 1, top + 103)
    pen.rounded_rectangle(bar, 6, fill=GAUGE)
    if confidence >= 0.02:
        end = left + max(11.0, min(1.0, confidence) * (_SURE_WIDTH - 1))
        pen.rounded_rectangle((left, bar[1], end, bar[3]), 6, fill=INK)
    return top + 108


def draw_warnings(pen: ImageDraw.ImageDraw, warnings: Sequence[str], top: int) -> int:
    """Draw the first warnings in a strip; returns where it ends."""
    if not warnings:
        return top
    room, lines = PAGE_WIDTH - 2 * MARGIN - 190, list[str]()
    for warning in warnings[:_MOST_WARNINGS]:
        lines += wrapped(warning[:1].upper() + warning[1:], SMALL, room, _WARNING_LINES)
    if len(warnings) > _MOST_WARNINGS:
        rest = len(warnings) - _MOST_WARNINGS
        lines.append(f"and {rest} more, in the answer's list of warnings")
    bottom = top + 24 + 30 * len(lines)
    pen.rounded_rectangle((MARGIN, top, PAGE_WIDTH - MARGIN, bottom), 8, fill=WARNING_PAPER)
    title = "Warning" if len(warnings) == 1 else "Warnings"
    pen.text((MARGIN + 20, top + 11), title, WARNING, font(SMALL))
    for number, line in enumerate(lines):
        pen.text((MARGIN + 170, top + 11 + 30 * number), line, INK, font_for(line, SMALL))
    return bottom + 20


def draw_legend(
    pen: ImageDraw.ImageDraw, entries: Sequence[LegendEntry], left: int, top: int
) -> int:
    """Draw what the outlines mean, in as many rows as it takes to the right margin.

    Returns:
        Where it ends.
    """
    x, y, face = float(left), top, font(SMALL)
    for number, entry in enumerate(entries):
        indent = 0 if entry.color is None else _SWATCH + 12
        length = indent + face.getlength(entry.text)
        if number and x + length > PAGE_WIDTH - MARGIN:
            x, y = float(left), y + 36
        box = (x, y + 4, x + _SWATCH, y + 25)
        if entry.is_filled:
            pen.rectangle(box, fill=entry.color, outline=INK, width=1)
        elif entry.color is not None:
            # as on a picture, for pale lines cannot be seen on paper
            pen.rectangle(box, fill=_GROUND, outline=INK, width=1)
            inner = (box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1)
            pen.rectangle(inner, outline=entry.color, width=4)
        pen.text((x + indent, y), entry.text, INK, face)
        x += length + 36
    return y + 40 if entries else top


def draw_footer(pen: ImageDraw.ImageDraw, scene: Scene, cost: Cost, model: str, top: int) -> int:
    """Draw scene, cost and model on one line; returns where it ends."""
    tokens = f"{cost.tokens_llm:,} of {cost.tokens_total:,} vision tokens to the model"
    facts = (
        f"{PurePath(scene.path).name}, {scene.width:,} x {scene.height:,} px  ·  "
        f"{_count(cost.tiles_encoded, 'tile')} looked at  ·  "
        f"{tokens if cost.tokens_llm else 'computed from where the places lie'}  ·  "
        f"{cost.seconds['total']:.2f} s  ·  model: {model}"
    )
    line = fitted(facts, SMALL, PAGE_WIDTH - 2 * MARGIN)
    pen.text((MARGIN, top), line, FAINT, font_for(line, SMALL))
    return top + 30


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
