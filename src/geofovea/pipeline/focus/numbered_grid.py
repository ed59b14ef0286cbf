"""Tiles of one level on a sheet under a numbered grid, and the numbers that a model picks there."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from geofovea.errors import GeometryError
from geofovea.tiling.pyramid import Tile

__all__ = ["MOST_CELLS", "NumberedGrid", "parse_cells"]

MOST_CELLS = 64
_LONGEST_SIDE = 1344
_GRAY = (128, 128, 128)
_INK = (255, 255, 0)
_EDGE = (0, 0, 0)

_LONGEST_REPLY = 200
# what models put around a list without being asked: a fence, an object, emphasis
_FENCED = re.compile(r"```(?:json|text)?\s*(.*?)\s*```", re.DOTALL)
_OBJECT = re.compile(r"\{\s*\"cells?\"\s*:\s*(.*?)\s*\}", re.DOTALL | re.IGNORECASE)
_EMPHASIS = re.compile(r"\*\*([^*]+)\*\*|`([^`]+)`")
# "12, 3 and 7.", "[12, 3]", "Cells: 12; cell 3", in ASCII digits and nothing else
_CELL = r"(?:cells?\s*|#)?\d{1,3}"
_AND = r"(?:(?:and|or)\s+|&\s*)?"
_LIST = re.compile(
    rf"(?:cells?\s*:\s*)?[\[(]?\s*({_CELL}(?:(?:\s*[,;，、；]\s*|\s+){_AND}{_CELL})*)\s*[\])]?\s*[.。]?",
    re.IGNORECASE | re.ASCII,
)
_NONE = re.compile(r"none\s*\.?", re.IGNORECASE)


def parse_cells(reply: str, count: int) -> tuple[int, ...] | None:
    """The cells that a reply names, most likely first, each once.

    Args:
        reply: What the model said.
        count: Cells are numbered from 1 to ``count``.

    Returns:
        Indices from 0; empty for the word "none"; None where the reply is anything else than a
        list of these numbers.
    """
    if len(reply) > _LONGEST_REPLY:
        return None
    text = _unwrapped(reply)
    if _NONE.fullmatch(text):
        return ()
    match = _LIST.fullmatch(text)
    if match is None:
        return None
    numbers = [int(number) for number in re.findall(r"\d+", match[1])]
    if not all(1 <= number <= count for number in numbers):
        return None
    return tuple(dict.fromkeys(number - 1 for number in numbers))


def _unwrapped(reply: str) -> str:
    """What stands within a fence, an object or emphasis."""
    text = reply.strip()
    for around in (_FENCED, _OBJECT):
        if match := around.fullmatch(text):
            text = match[1]
    # with room around it, lest two numbers become one
    return _EMPHASIS.sub(lambda match: f" {match[1] or match[2]} ", text).strip()


@dataclass(frozen=True, slots=True)
class NumberedGrid:
    """How tiles of one level lie on a sheet, and which cell shows which part of which tile.

    Tiles that fill a rectangle lie as in the scene, others in reading order in nearly a square.

    Attributes:
        tiles: The tiles, in reading order.
        columns: Tiles side by side.
        cells_a_side: Cells along each side of a tile.

    Raises:
        GeometryError: If there is no tile, or they are not of one level.
    """

    tiles: tuple[Tile, ...]
    columns: int
    cells_a_side: int

    def __post_init__(self) -> None:
        if not self.tiles or len({tile.level for tile in self.tiles}) != 1:
            raise GeometryError(f"a numbered grid needs tiles of one level, got {self.tiles}")

    @classmethod
    def over(cls, tiles: Sequence[Tile]) -> NumberedGrid:
        """The grid for some tiles: at most ``MOST_CELLS`` cells, but at least one a tile."""
        in_order = tuple(sorted(tiles))
        rows, cols = {t.row for t in in_order}, {t.col for t in in_order}
        fills_rectangle = len(rows) * len(cols) == len(in_order)
        columns = len(cols) if fills_rectangle else math.ceil(math.sqrt(len(in_order)))
        cells = max(1, math.isqrt(MOST_CELLS // max(1, len(in_order))))
        return cls(in_order, columns, cells)

    @property
    def count(self) -> int:
        """Number of cells."""
        return len(self.tiles) * self.cells_a_side**2

    def cell(self, tile: int, row: int, col: int) -> int:
        """The index of a cell: counted row by row over the whole sheet.

        Args:
            tile: Index into ``tiles``.
            row: Of the cell within its tile.
            col: Likewise.
        """
        side = self.cells_a_side
        above, across = divmod(tile, self.columns)
        whole_rows = above * side * self.columns * side
        in_row = min(self.columns, len(self.tiles) - above * self.columns)
        return whole_rows + row * in_row * side + across * side + col

    def draw(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """The sheet, uint8 (rows, columns, 3), at most ``1344`` pixels a side.

        Args:
            pixels: Of each of ``tiles``, uint8 (T, T, 3).
        """
        rows = math.ceil(len(self.tiles) / self.columns)
        side = min(pixels[0].shape[0], _LONGEST_SIDE // max(rows, self.columns))
        sheet = Image.new("RGB", (self.columns * side, rows * side), _GRAY)
        pen = ImageDraw.Draw(sheet)
        cell = side / self.cells_a_side
        font = ImageFont.load_default(max(10, min(28, int(cell / 4))))
        for index, picture in enumerate(pixels):
            above, across = divmod(index, self.columns)
            tile = Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(tile, (across * side, above * side))
            for row in range(self.cells_a_side):
                for col in range(self.cells_a_side):
                    x, y = across * side + col * cell, above * side + row * cell
                    pen.rectangle((x, y, x + cell - 1, y + cell - 1), outline=_INK)
                    number = str(self.cell(index, row, col) + 1)
                    pen.text((x + 3, y + 2), number, _INK, font, stroke_width=2, stroke_fill=_EDGE)
        return np.asarray(sheet)
