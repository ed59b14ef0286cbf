"""The tiles that a page of one answer carries: those that help most to see where it was read."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from PIL import Image

from geofovea.pipeline.answers.record import AnswerRecord
from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.reader import TilePixels, TileReader

__all__ = ["MEDIA_TYPE", "page_tiles", "tiles_by_use"]

MEDIA_TYPE = "image/webp"

_QUALITY = 82
_WHOLE_LEVEL_TILES = 16
_MOST_TILES = 400


def page_tiles(
    answer: AnswerRecord, reader: TileReader, budget_bytes: int, truth: Sequence[Box] = ()
) -> dict[str, str]:
    """Tiles as texts, most useful first, as many as fit.

    Args:
        answer: Whose places are shown.
        reader: Of its scene.
        budget_bytes: The most that all texts together may have.
        truth: Annotated places in scene pixels.

    Returns:
        Base64 of a WebP picture by ``"level/row/col"``; gaps of the scene are transparent.

    Raises:
        SceneError: If the scene is not the file it was, or cannot be read.
    """
    texts: dict[str, str] = {}
    spent = 0
    for tile in tiles_by_use(answer, reader.pyramid, truth):
        text = _encoded(reader.read(tile))
        # a smaller tile that comes later is worth less than an even picture
        if spent + len(text) > budget_bytes or len(texts) == _MOST_TILES:
            break
        texts[f"{tile.level}/{tile.row}/{tile.col}"] = text
        spent += len(text)
    return texts


def tiles_by_use(answer: AnswerRecord, pyramid: Pyramid, truth: Sequence[Box] = ()) -> list[Tile]:
    """All tiles that a page may show, without repeats, the most useful first.

    The whole scene on its coarsest levels; then the tiles that lead to the finest evidence, from
    coarse to fine, and those that lead to annotated places; then the surroundings of the evidence;
    then what else was looked at, and the levels that have few tiles.

    Args:
        answer: Whose places are shown.
        pyramid: Of the tiles that the page shows.
        truth: Annotated places in scene pixels.
    """
    boxes = _finest_boxes(answer)
    levels = range(pyramid.top_level, -1, -1)
    order: dict[Tile, None] = {}
    for level in levels:
        if np.prod(pyramid.grid_shape(level)) <= _WHOLE_LEVEL_TILES // 4:
            order |= dict.fromkeys(_whole(pyramid, level))
    for margin in (0, 1):
        for level in levels:
            order |= dict.fromkeys(_around(pyramid, level, [*boxes, *truth], margin))
    for look in answer.looks:
        order |= dict.fromkeys(_around(pyramid, look.level, look.tiles, 0))
    for level in levels:
        if np.prod(pyramid.grid_shape(level)) <= _WHOLE_LEVEL_TILES:
            order |= dict.fromkeys(_whole(pyramid, level))
    return list(order)


def _finest_boxes(answer: AnswerRecord) -> list[Box]:
    finest = min((item.tile.level for item in answer.evidence), default=0)
    return [item.box_scene for item in answer.evidence if item.tile.level == finest]


def _whole(pyramid: Pyramid, level: int) -> Iterator[Tile]:
    rows, cols = pyramid.grid_shape(level)
    return (Tile(level, row, col) for row, col in product(range(rows), range(cols)))


def _around(pyramid: Pyramid, level: int, boxes: Sequence[Box], margin: int) -> Iterator[Tile]:
    """Tiles of a level that show any of the boxes, and so many beside them."""
    if level > pyramid.top_level:
        return
    rows, cols = pyramid.grid_shape(level)
    side = pyramid.tile_size * 2**level
    for box in boxes:
        x0, y0, x1, y1 = box.as_tuple()
        first_row, last_row = int(y0 // side) - margin, int(np.ceil(y1 / side)) - 1 + margin
        first_col, last_col = int(x0 // side) - margin, int(np.ceil(x1 / side)) - 1 + margin
        for row in range(max(0, first_row), min(rows - 1, last_row) + 1):
            for col in range(max(0, first_col), min(cols - 1, last_col) + 1):
                yield Tile(level, row, col)


def _encoded(pixels: TilePixels) -> str:
    rgb = Image.fromarray(pixels.rgb)
    if not pixels.valid.all():
        rgb.putalpha(Image.fromarray(np.where(pixels.valid, 255, 0).astype(np.uint8)))
    stream = io.BytesIO()
    rgb.save(stream, "WEBP", quality=_QUALITY)
    return base64.b64encode(stream.getvalue()).decode()
