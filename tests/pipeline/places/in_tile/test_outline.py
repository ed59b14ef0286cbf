"""Boxes around the token cells that hold the scores of a tile."""

import pytest
import torch

from geofovea.pipeline.places.in_tile.outline import (
    faint_boxes,
    tile_box,
    token_boxes,
    token_error_px,
)
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Box, Pyramid, Tile

GRID, PYRAMID = (6, 6), Pyramid(400, 400, 192)


def scored(rows):
    tokens = tokens_of_tiles(torch.zeros(1, 36, 2), GRID, [Tile(0, 0, 0)], PYRAMID)
    scores = torch.tensor([float(cell) for row in rows for cell in row.split()])
    return tokens, scores[: len(tokens)], GRID, 192


def boxes_of(rows, count=None):
    return token_boxes(*scored(rows), count)


ONE = ("0 0 0 0 0 0", "0 9 8 0 0 0", "0 7 0 0 0 0", *["0 0 0 0 0 1"] * 3)
TWO = ("9 9 0 0 0 0", "0 0 0 0 0 0", "0 0 0 0 0 0", "0 0 0 8 0 0", *["0 0 0 0 0 0"] * 2)
DIAGONAL = ("0 9 0 0 0 0", "0 0 9 0 0 0", *["0 0 0 0 0 0"] * 4)
FLAT = ("1 1 1 1 1 1",) * 6


@pytest.mark.parametrize(
    ("rows", "count", "boxes"),
    [
        (ONE, None, [(32, 32, 96, 96)]),
        (TWO, None, [(0, 0, 64, 32), (96, 96, 128, 128)]),
        (TWO, 1, [(0, 0, 64, 32)]),
        (TWO, 5, [(0, 0, 64, 32), (96, 96, 128, 128)]),
        (DIAGONAL, None, [(32, 0, 96, 64)]),
        (FLAT, None, [(0, 0, 192, 192)]),
        (("nan " * 6,) * 6, None, [(0, 0, 192, 192)]),
    ],
    ids=["one", "two", "one of two", "no more than there are", "diagonal", "flat", "no number"],
)
def test_groups_of_bright_cells_become_boxes(rows, count, boxes):
    assert boxes_of(rows, count) == [Box(*box) for box in boxes]


@pytest.mark.parametrize(
    ("rows", "further"),
    [
        (("0 9 0 0 0 0", *["0 0 0 0 0 0"] * 2, "0 0 0 0 0 0.5", *["0 0 0 0 0 0"] * 2), [(160, 96)]),
        # what touches a place is a part of it, and what hardly shows is nothing
        (("0 9 0.5 0.5 0 0", *["0 0 0 0 0 0"] * 2, "0 0 0 0 0 0.4", *["0 0 0 0 0 0"] * 2), []),
        (("9 0 0 0 0 0", *["0 0 0.7 0 0.5 0", "0 0 0 0 0 0"] * 2, "0 0 0 0 0 9"), 5),
        (FLAT, []),
    ],
    ids=["faint", "part of it", "several", "flat"],
)
def test_faint_groups_apart_from_those_that_are_known_are_further_boxes(rows, further):
    known = boxes_of(rows, 1)
    boxes = faint_boxes(*scored(rows), known)
    assert not any(box.intersection(each) for box in boxes for each in known)
    if isinstance(further, int):
        assert len(boxes) == further
    else:
        assert [(box.x0, box.y0) for box in boxes] == further


def test_boxes_of_a_tile_at_the_edge_end_with_the_scene():
    tokens = tokens_of_tiles(torch.zeros(1, 36, 2), GRID, [Tile(0, 0, 2)], PYRAMID)
    assert token_boxes(tokens, torch.ones(len(tokens)), GRID, 192) == [Box(384, 0, 400, 192)]
    assert tile_box(tokens) == Box(384, 0, 400, 192)
    assert token_error_px(tokens) == 32
