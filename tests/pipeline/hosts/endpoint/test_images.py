"""Cells that a model picks by their numbers, and tiles that go to it as pictures."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.pipeline.engine.accounting import StageClock
from geofovea.pipeline.focus.numbered_grid import MOST_CELLS, NumberedGrid, parse_cells
from geofovea.pipeline.focus.prompted import PromptedFocus
from geofovea.pipeline.hosts.endpoint.images import (
    ScenePlace,
    pictures_from_tokens,
    tokens_from_pixels,
)
from geofovea.regionfocus.search.descent import encode_looks
from geofovea.regionfocus.search.looks import Descent
from geofovea.regionfocus.selection.whole_tiles import keep_tiles
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Box, Pyramid, Tile

TILE, IMAGE_TOKENS = 64, 16


@pytest.mark.parametrize(
    ("reply", "cells"),
    [
        ("3", (2,)),
        (" 12, 3 ", (11, 2)),
        ("12,3,12", (11, 2)),
        ("[4, 7]", (3, 6)),
        ("4; 7.", (3, 6)),
        ("4 and 7", (3, 6)),
        ("4, and 7", (3, 6)),
        ("Cells: 1, 2", (0, 1)),
        ("**4, 7**", (3, 6)),
        ("**4**, **7**", (3, 6)),
        ("`4`", (3,)),
        ("```json\n[4, 7]\n```", (3, 6)),
        ('{"cells": [4, 7]}', (3, 6)),
        ('```\n{"cell": 4}\n```', (3,)),
        ("cells 4, 7 and cell 9", (3, 6, 8)),
        ("Cells 3, 5 and 7.", (2, 4, 6)),
        ("#4, #7", (3, 6)),
        ("4 or 7", (3, 6)),
        ("4，7、9。", (3, 6, 8)),
        ("4\n7", (3, 6)),
        ("**none**", ()),
        ("none", ()),
        ("None.", ()),
        ("", None),
        ("0", None),
        ("17", None),
        ("1, 17", None),
        ("1.5", None),
        ("-1", None),
        ("cell number 4", None),
        ("4, 7 because of the ships", None),
        ("1, " * 100, None),
        ("１", None),
        ("四, 七", None),
        ("٤", None),
        ("3-5", None),
        ("3 to 5", None),
        ("3/5", None),
        ("3 of 16", None),
        ("1. 12\n2. 7", None),
        ("| 3 | 5 |", None),
        ("- 3", None),
        ("4 km", None),
        ("3**5", None),
        ("1**2**", (0, 1)),
        ("1 000", None),
        ("2024", None),
        ("in 2024", None),
        ("48.2 N, 16.3 E", None),
        ("12th", None),
        ('{"cells": []}', None),
        ('{"cells": [4], "why": 7}', None),
        ("[4, 7", (3, 6)),
        ("None of 4, 7", None),
        ("not 4", None),
        ("4, 7, none", None),
    ],
)
def test_replies_are_read_by_a_small_grammar(reply, cells):
    assert parse_cells(reply, 16) == cells


_WORDS = [
    "cell",
    "cells",
    "and",
    "or",
    "none",
    "#",
    "&",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    '"cells"',
    "**",
    "`",
    "```",
    "json",
    ":",
    ",",
    ";",
    ".",
    "-",
    "/",
    "of",
    "N",
    "%",
    "|",
    " ",
]


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from([*_WORDS, " "]) | st.integers(0, 2100).map(str), max_size=9),
    st.booleans(),
)
def test_what_is_read_of_a_reply_is_every_number_in_it(parts, apart):
    reply = (" " if apart else "").join(parts)
    cells = parse_cells(reply, 40)
    if cells:
        # nothing that could be meant otherwise: no number is left out or put together
        numbers = [int(number) for number in re.findall(r"[0-9]+", reply)]
        assert [cell + 1 for cell in cells] == list(dict.fromkeys(numbers))
        assert not re.search(r"[-/%|N]|of|none", reply)


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=300), st.integers(1, MOST_CELLS))
def test_any_reply_gives_cells_of_the_grid_or_nothing(reply, count):
    cells = parse_cells(reply, count)
    assert cells is None or all(0 <= cell < count for cell in cells)


@settings(deadline=None, max_examples=40)
@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=70))
def test_cells_are_numbered_once_each_in_reading_order(places):
    grid = NumberedGrid.over([Tile(2, row, col) for row, col in places])
    side = grid.cells_a_side
    cells = [
        (grid.cell(i, row, col), (i // grid.columns * side + row, i % grid.columns * side + col))
        for i in range(len(grid.tiles))
        for row in range(side)
        for col in range(side)
    ]
    assert sorted(cell for cell, _ in cells) == list(range(grid.count))
    # by number is by row of the sheet, then by column
    assert [place for _, place in sorted(cells)] == sorted(place for _, place in cells)
    assert side == 1 or grid.count <= MOST_CELLS


def test_a_sheet_shows_every_tile_where_its_numbers_say():
    tiles = [Tile(1, row, col) for row in range(2) for col in range(3)]
    grid = NumberedGrid.over(tiles)
    colors = [np.full((64, 64, 3), 40 * i, np.uint8) for i in range(6)]
    sheet = grid.draw(colors)
    assert sheet.shape == (128, 192, 3)
    cell = 64 // grid.cells_a_side
    for i in range(6):
        above, left = divmod(i, 3)
        y, x = above * 64 + cell - 3, left * 64 + cell - 3
        assert (sheet[y, x] == 40 * i).all()


class PickingHost:
    """Stands for a model that was asked; only what it says is of interest here."""

    image_tokens, tile_size, grid = IMAGE_TOKENS, TILE, (4, 4)

    def __init__(self, reply):
        self.reply = reply

    def ask_picture(self, rgb, instruction):
        self.sheet, self.instruction = rgb, instruction
        return self.reply


def token_set(pyramid, tiles):
    pixels = np.zeros((len(tiles), TILE, TILE, 3), np.uint8)
    return tokens_of_tiles(tokens_from_pixels(pixels, (4, 4)), (4, 4), tiles, pyramid)


def test_the_mass_of_a_picked_cell_lies_on_its_tokens():
    pyramid = Pyramid(256, 128, TILE)
    tokens = token_set(pyramid, list(pyramid.tiles(1)))
    focus = PromptedFocus(PickingHost("5, 9"), "where?", StageClock(), [])
    scores = focus.score(tokens)
    # two tiles side by side, 5 × 5 cells each: the 5th is the top right of the first, the 9th
    # the fourth of the second
    grid = NumberedGrid.over(tokens.tiles)
    assert (grid.cells_a_side, grid.columns) == (5, 2)
    boxes = tokens.boxes_scene
    right = scores[(boxes[:, 0] < 128)].argmax()
    assert boxes[boxes[:, 0] < 128][right].tolist() == [96, 0, 128, 32]
    assert scores.max() == scores[boxes[:, 0] < 128].max()
    best = boxes[scores.topk(2).indices]
    assert best[1, 0] >= 128


EVEN = "the level was looked at evenly"
ALL_CELLS = ", ".join(map(str, range(1, 51)))


@pytest.mark.parametrize(
    ("reply", "is_even", "told"),
    [
        ("none", True, f"said that no cell helps: {EVEN}"),
        (ALL_CELLS, True, f"named all cells: {EVEN}"),
        ("ships", True, f"named no cells of the grid: {EVEN}"),
        ("9, 8, 7, 6, 5, 4, 3, 2, 1", False, "named 9 cells where at most 8 were asked for"),
        ("8, 7, 6, 5, 4, 3, 2, 1", False, None),
    ],
)
def test_a_look_that_follows_less_than_was_said_is_told(reply, is_even, told):
    pyramid, warnings = Pyramid(256, 128, TILE), []
    tokens = token_set(pyramid, list(pyramid.tiles(1)))
    scores = PromptedFocus(PickingHost(reply), "where?", StageClock(), warnings).score(tokens)
    assert (np.ptp(scores.numpy()) == 0) == is_even
    assert len(warnings) == (told is not None)
    assert all(told in warning for warning in warnings)


def test_cells_of_missing_pixels_alone_are_an_even_look_and_told():
    pyramid, warnings = Pyramid(256, 128, TILE), []
    whole = token_set(pyramid, list(pyramid.tiles(1)))
    right = whole.select(whole.boxes_scene[:, 0] >= 64)
    scores = PromptedFocus(PickingHost("1"), "where?", StageClock(), warnings).score(right)
    assert np.ptp(scores.numpy()) == 0
    assert [EVEN in warning for warning in warnings] == [True]


def test_whole_tiles_go_and_come_back_as_they_were():
    pyramid = Pyramid(150, 100, TILE)
    tiles = [pyramid.overview, Tile(0, 1, 2), Tile(0, 0, 0)]
    pixels = np.random.default_rng(0).integers(0, 255, (3, TILE, TILE, 3), np.uint8)
    tokens = tokens_of_tiles(tokens_from_pixels(pixels, (8, 8)), (8, 8), tiles, pyramid)
    pictures = pictures_from_tokens(tokens, TILE, (8, 8))
    assert [p.tile for p in pictures] == [tiles[0], tiles[2], tiles[1]]
    for picture in pictures:
        cols, rows = pyramid.valid_size(picture.tile)
        assert picture.box_scene == pyramid.box_scene(picture.tile)
        expected = pixels[tiles.index(picture.tile)][:rows, :cols]
        np.testing.assert_array_equal(picture.rgb, expected)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(0, 2**31))
def test_kept_tiles_are_whole_within_the_budget_and_the_best_of_their_level(pictures, seed):
    pyramid = Pyramid(512, 512, TILE)
    tiles = [pyramid.overview, *pyramid.tiles(2), *list(pyramid.tiles(0))[:10]]
    looks = encode_looks(lambda some: token_set(pyramid, some), tiles)
    generator = torch.Generator().manual_seed(seed)
    scored = [
        type(look)(
            look.level, look.tiles, look.tokens, torch.rand(len(look.tokens), generator=generator)
        )
        for look in looks
    ]
    kept = keep_tiles(Descent(tuple(scored), "native"), pictures * 16 + 7, 16)
    assert len(kept) == 16 * len(kept.tiles) == 16 * min(pictures, len(tiles))
    assert pyramid.overview in kept.tiles
    for look in scored:
        scores = dict(zip(look.tiles, look.tile_scores, strict=True))
        chosen = [scores[t] for t in look.tiles if t in kept.tiles]
        left = [scores[t] for t in look.tiles if t not in kept.tiles]
        assert not chosen or not left or min(chosen) >= max(left)


def test_a_place_is_told_in_fractions_and_on_the_ground():
    place = ScenePlace(4000, 2000, 0.5)
    said = place.words(3, Box(1000, 500, 2000, 1000))
    assert said == (
        "level 3 (8 times coarser than full resolution), x from 25 % to 50 %, y from 25 % to 50 % "
        "of the scene, about 500 m x 250 m on the ground"
    )
    assert "ground" not in ScenePlace(4000, 2000, None).words(0, Box(0, 0, 10, 10))
