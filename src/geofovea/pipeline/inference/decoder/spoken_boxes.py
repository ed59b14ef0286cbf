r"""Boxes that a model writes into its answer, in the ways of the families that were taught to.

Qwen2.5-VL writes pixels of the image that it saw; Qwen3-VL the same JSON in thousandths; Qwen2-VL,
InternVL and GLM thousandths between words of their own; PaliGemma four location words of 1024
steps, y first; Kosmos-2 two words for the cells of a grid in which a box begins and ends. Texts of
models are read with bounded patterns and never evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from geofovea.errors import GeometryError

__all__ = ["CELL_WORDS", "BoxStyle", "SpokenBox", "SpokenBoxes", "read_boxes", "write_boxes"]

_LONGEST_TEXT = 100_000
_MOST_BOXES = 1_000
# blanks are bounded: two runs of any length side by side would be tried in every split
_NUMBER = r"\s{0,4}\(?\s{0,4}(-?\d{1,7}(?:\.\d{1,6})?)\s{0,4}\)?\s{0,4}"
_FOUR = re.compile(rf"{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}")
# a label may hold braces
_OBJECT = re.compile(r'\{(?:[^{}"]|"(?:[^"\\]|\\.){0,300}"){0,1000}\}')
_LONGEST_OBJECT = 1_300
_JSON_KEY = r'"bbox(?:_2d)?"\s{0,4}:\s{0,4}'
# one box, or a list of them
_JSON_BOXES = re.compile(_JSON_KEY + r"(\[[\s\d.,\[\]-]{0,1000})")
_IN_BRACKETS = re.compile(r"\[([^\[\]]{0,200})\]")
_JSON_LABEL = re.compile(r'"label"\s*:\s*("(?:[^"\\]|\\.){0,300}")')
_LOCATIONS = re.compile(
    r"<loc(\d{4})><loc(\d{4})><loc(\d{4})><loc(\d{4})>[ \t]{0,4}([^<;\n]{0,300})"
)
_LOCATION = re.compile(r"<loc\d")
_SIDE_CELLS = 32
CELL_WORDS = ("<patch_index_0000>", f"<patch_index_{_SIDE_CELLS**2 - 1:04d}>")
"""The first and the last word for a cell: vocabularies with both are of models that write cells."""
_CELL = r"<patch_index_([0-9]{1,9})>"
_BETWEEN_PAIRS = "</delimiter_of_multi_objects/>"
_CELLS = re.compile(
    r"(?:<phrase>([^<]{0,300})</phrase>\s{0,4})?(?:<object>\s{0,4})?"
    rf"((?:(?:<patch_index_[0-9]{{1,9}}>|{_BETWEEN_PAIRS})\s{{0,4}}){{1,2000}})"
)
_PAIR = re.compile(rf"\s*{_CELL}\s*{_CELL}\s*")
_PART_OF_CELL = re.compile(r"<patch_index")
_DIGIT = re.compile(r"\d")


class BoxStyle(Enum):
    """How a family writes boxes."""

    JSON_PIXELS = "json pixels"
    JSON_THOUSANDTHS = "json thousandths"
    QWEN2 = "qwen2"
    INTERNVL = "internvl"
    GLM = "glm"
    LOCATIONS = "locations"
    CELLS = "cells"

    def steps(self, side: int) -> int:
        """How many steps along a side of an image of ``side`` pixels its numbers count."""
        if self is BoxStyle.JSON_PIXELS:
            return side
        if self is BoxStyle.CELLS:
            # its corners lie on edges and in the middle of cells
            return 2 * _SIDE_CELLS
        return 1024 if self is BoxStyle.LOCATIONS else 1000


_ROUNDING = 0.01
_NOWHERE = (0.0, 0.0, 0.0, 0.0)
"""Corners of what was written and is not a box: it is counted, and left out."""
# before a label, behind it, before the corners, behind them
_MARKS = {
    BoxStyle.QWEN2: (
        "<|object_ref_start|>",
        "<|object_ref_end|>",
        "<|box_start|>",
        "<|box_end|>",
    ),
    BoxStyle.INTERNVL: ("<ref>", "</ref>", "<box>", "</box>"),
    BoxStyle.GLM: ("", "", "<|begin_of_box|>", "<|end_of_box|>"),
}


@dataclass(frozen=True, slots=True)
class SpokenBox:
    """A box in the steps of its style, corners included as they were written.

    Attributes:
        x0: Left edge.
        y0: Upper edge.
        x1: Right edge.
        y1: Lower edge.
        label: What the model calls it; empty where it says nothing.

    Raises:
        GeometryError: If it has no area.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    label: str = ""

    def __post_init__(self) -> None:
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise GeometryError(f"a box needs x0 < x1 and y0 < y1, got {self}")


@dataclass(frozen=True, slots=True)
class SpokenBoxes:
    """The boxes of one answer.

    Attributes:
        boxes: In the order of the text, cut at the edges of the image.
        refused: How many were written that have no area inside the image, are smaller than a step,
            cannot be read, or were cut off.
        beyond: How many of the boxes reached further out of the image than rounding does: their
            numbers may be of other units.
    """

    boxes: tuple[SpokenBox, ...]
    refused: int = 0
    beyond: int = 0


def read_boxes(text: str, style: BoxStyle, side: int) -> SpokenBoxes:
    """The boxes that an answer holds.

    Args:
        text: Of a model, special words included; the first 100,000 characters are read.
        style: How its family writes boxes.
        side: Pixels along a side of the square image that it saw.

    Returns:
        At most 1,000 boxes.
    """
    steps, boxes, refused, beyond = style.steps(side), [], 0, 0
    for corners, label in _written(text[:_LONGEST_TEXT], style):
        x0, y0, x1, y1 = (min(max(value, 0.0), float(steps)) for value in corners)
        # fractions of a side, in which some models write, would be a speck in the corner
        if x1 - x0 >= 1 and y1 - y0 >= 1:
            boxes.append(SpokenBox(x0, y0, x1, y1, label.strip()))
            beyond += not all(-_ROUNDING <= value / steps <= 1 + _ROUNDING for value in corners)
        else:
            refused += 1
        if len(boxes) + refused >= _MOST_BOXES:
            break
    return SpokenBoxes(tuple(boxes), refused, beyond)


def write_boxes(boxes: Sequence[SpokenBox], style: BoxStyle) -> str:
    """The text in which a family would write boxes: the inverse of `read_boxes` for whole steps.

    In the style of Kosmos-2 it is the inverse for boxes that are read, which begin and end in the
    middle of a cell or at its edge; others become the cells that hold their corners.
    """
    return _WRITERS[style](boxes)


def _written(text: str, style: BoxStyle) -> Iterator[tuple[tuple[float, ...], str]]:
    """Corners and label of each box that is written; `_NOWHERE` for what should be one."""
    if style is BoxStyle.LOCATIONS:
        yield from _locations_in(text)
    elif style is BoxStyle.CELLS:
        yield from _cells_in(text)
    elif style in _MARKS:
        yield from _between_marks(text, style)
    else:
        yield from _in_objects(text)


def _locations_in(text: str) -> Iterator[tuple[tuple[float, ...], str]]:
    for place in _LOCATIONS.finditer(text):
        y0, x0, y1, x1 = (float(place[i]) for i in range(1, 5))
        yield (x0, y0, x1, y1), place[5]
    if _LOCATION.search(_LOCATIONS.sub("", text)):
        yield _NOWHERE, ""


def _cells_in(text: str) -> Iterator[tuple[tuple[float, ...], str]]:
    for run in _CELLS.finditer(text):
        for part in filter(str.strip, run[2].split(_BETWEEN_PAIRS)):
            pair = _PAIR.fullmatch(part)
            yield _between_cells(int(pair[1]), int(pair[2])) if pair else _NOWHERE, run[1] or ""
    if _PART_OF_CELL.search(_CELLS.sub("", text)):
        yield _NOWHERE, ""


def _between_cells(first: int, last: int) -> tuple[float, ...]:
    """Corners in halves of a cell, by the rule of Kosmos-2.

    They are the centers of both cells, and the outer edges of these where the box is one cell wide
    or high and would have no area.
    """
    (y0, x0), (y1, x1) = divmod(first, _SIDE_CELLS), divmod(last, _SIDE_CELLS)
    if max(y0, y1) >= _SIDE_CELLS or x1 < x0 or y1 < y0:
        return _NOWHERE
    inner = int(x0 != x1 and y0 != y1)
    corners = 2 * x0 + inner, 2 * y0 + inner, 2 * x1 + 2 - inner, 2 * y1 + 2 - inner
    return tuple(float(value) for value in corners)


def _in_objects(text: str) -> Iterator[tuple[tuple[float, ...], str]]:
    keys = len(re.findall(_JSON_KEY, text))
    for part in _objects(text):
        label = _JSON_LABEL.search(part[0])
        for boxes in _JSON_BOXES.finditer(part[0]):
            for box in filter(str.strip, _IN_BRACKETS.findall(boxes[1])):
                four = _FOUR.fullmatch(box)
                yield _numbers(four) if four else _NOWHERE, _unquoted(label[1]) if label else ""
            keys -= _IN_BRACKETS.search(boxes[1]) is not None
    # of other values, or in an object without an end
    yield from ((_NOWHERE, "") for _ in range(keys))


def _objects(text: str) -> Iterator[re.Match[str]]:
    """Objects of JSON that hold no other, each found in bounded time."""
    start = text.find("{")
    while start >= 0:
        part = _OBJECT.match(text, start, start + _LONGEST_OBJECT)
        if part is not None:
            yield part
        start = text.find("{", start + 1 if part is None else part.end())


def _between_marks(text: str, style: BoxStyle) -> Iterator[tuple[tuple[float, ...], str]]:
    ref, ref_end, box, box_end = (re.escape(mark) for mark in _MARKS[style])
    label = rf"(?:{ref}(?P<label>[^<]{{0,300}}){ref_end}\s{{0,4}})?" if ref else "(?P<label>)"
    # the last mark may have been taken for the end of the answer
    for place in re.finditer(
        rf"{label}{box}(?P<corners>[^<]{{0,20000}})(?P<end>{box_end}|\Z)", text
    ):
        corners = place["corners"]
        if _DIGIT.search(_FOUR.sub("", corners)):
            yield _NOWHERE, ""
        for four in _FOUR.finditer(corners):
            # a missing mark was taken for the end of the answer, or the text was cut in a number
            is_cut = four.end() == len(corners) and not place["end"] and corners[-1].isdigit()
            yield _NOWHERE if is_cut else _numbers(four), place["label"] or ""


def _numbers(four: re.Match[str]) -> tuple[float, ...]:
    return tuple(float(four[i]) for i in range(1, 5))


def _unquoted(literal: str) -> str:
    try:
        return str(json.loads(literal, strict=False))
    except ValueError:
        return literal.strip('"')


def _json(boxes: Sequence[SpokenBox]) -> str:
    return json.dumps([{"bbox_2d": list(_whole(b)), "label": b.label} for b in boxes])


def _qwen2(boxes: Sequence[SpokenBox]) -> str:
    ref, ref_end, start, end = _MARKS[BoxStyle.QWEN2]
    return "".join(
        f"{ref}{b.label}{ref_end}{start}({x0},{y0}),({x1},{y1}){end}"
        for b in boxes
        for x0, y0, x1, y1 in (_whole(b),)
    )


def _internvl(boxes: Sequence[SpokenBox]) -> str:
    ref, ref_end, start, end = _MARKS[BoxStyle.INTERNVL]
    return "".join(f"{ref}{b.label}{ref_end}{start}[{list(_whole(b))}]{end}" for b in boxes)


def _glm(boxes: Sequence[SpokenBox]) -> str:
    _, _, start, end = _MARKS[BoxStyle.GLM]
    return f"{start}{[list(_whole(b)) for b in boxes]}{end}" if boxes else ""


def _locations(boxes: Sequence[SpokenBox]) -> str:
    return " ; ".join(
        "".join(f"<loc{value:04d}>" for value in (y0, x0, y1, x1)) + f" {b.label}"
        for b in boxes
        for x0, y0, x1, y1 in (_whole(b),)
    )


def _cells(boxes: Sequence[SpokenBox]) -> str:
    return "".join(
        f"<phrase>{b.label}</phrase><object>"
        f"<patch_index_{y0 // 2 * _SIDE_CELLS + x0 // 2:04d}>"
        f"<patch_index_{(y1 - 1) // 2 * _SIDE_CELLS + (x1 - 1) // 2:04d}></object>"
        for b in boxes
        for x0, y0, x1, y1 in (_whole(b),)
    )


def _whole(box: SpokenBox) -> tuple[int, ...]:
    return tuple(round(value) for value in (box.x0, box.y0, box.x1, box.y1))


_WRITERS: dict[BoxStyle, Callable[[Sequence[SpokenBox]], str]] = {
    BoxStyle.JSON_PIXELS: _json,
    BoxStyle.JSON_THOUSANDTHS: _json,
    BoxStyle.QWEN2: _qwen2,
    BoxStyle.INTERNVL: _internvl,
    BoxStyle.GLM: _glm,
    BoxStyle.LOCATIONS: _locations,
    BoxStyle.CELLS: _cells,
}
