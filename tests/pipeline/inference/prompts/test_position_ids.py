"""What each position policy claims, on tables that can be checked by eye."""

import pytest
import torch

from geofovea.pipeline.inference.prompts.position_ids import SCENE_SIDE, PositionWriter, TileSpans
from geofovea.regionfocus.tokens import TokenSet, token_cells, tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid, Tile

GRID = (2, 3)
CELLS = torch.tensor([[0, 1], [1, 2]])
"""Two of six tokens of a tile are left."""


def written(policy, axes):
    """Two words, two tiles with a word between them, one word; and what comes next."""
    writer = PositionWriter(policy, axes, GRID)
    writer.words(2)
    runs = TileSpans.of(torch.tensor([2, 1]), opening=0, closing=1)
    writer.tiles(torch.cat([CELLS, CELLS[:1]]), runs)
    return writer.written().tolist(), writer.next


def test_compact_positions_count_what_is_left():
    assert written("compact", 1) == ([[0, 1, 2, 3, 4, 5, 6]], 7)
    assert written("compact", 3) == ([[[0, 1, 2, 3, 4, 5, 6]]] * 3, 7)


def test_original_positions_of_one_axis_leave_gaps_where_tokens_were():
    # tile one spans 2 to 7, the word has 8, tile two spans 9 to 14
    assert written("original", 1) == ([[0, 1, 3, 7, 8, 10, 15]], 16)


def test_original_positions_of_three_axes_are_row_and_column_in_the_tile():
    # a tile of 2 rows and 3 columns moves what follows on by 3
    time, row, col = (axis[0] for axis in written("original", 3)[0])
    assert time == [0, 1, 2, 2, 5, 6, 9]
    assert row == [0, 1, 2, 3, 5, 6, 9]
    assert col == [0, 1, 3, 4, 5, 7, 9]
    assert written("original", 3)[1] == 10


def frame(pyramid, tiles, grid, tile_size):
    count = grid[0] * grid[1]
    tokens = tokens_of_tiles(torch.zeros(len(tiles), count, 4), grid, tiles, pyramid)
    writer = PositionWriter("scene", 3, grid)
    writer.words(5)
    writer.scene(tokens, tile_size)
    return tokens, writer


def test_scene_positions_are_places_in_one_frame_for_all_levels():
    # 4 × 4 native tokens of 8 pixels; the overview has 2 × 2 of 16, seen at their centers
    pyramid = Pyramid(32, 32, 16)
    _, writer = frame(pyramid, [Tile(1, 0, 0), Tile(0, 1, 1)], (2, 2), 16)
    time, row, col = writer.written()[:, 0, 5:].tolist()
    assert time == [5] * 8
    assert [r - 5 for r in row] == [1, 1, 3, 3, 2, 2, 3, 3]
    assert [c - 5 for c in col] == [1, 3, 1, 3, 2, 3, 2, 3]
    assert writer.next == 5 + 4


def test_a_frame_stays_within_the_trained_side_whatever_the_scene():
    pyramid = Pyramid(65536, 65536, 64)
    tiles = [Tile(10, 0, 0), Tile(0, 1023, 1023), Tile(0, 0, 0)]
    _, writer = frame(pyramid, tiles, (4, 4), 64)
    _, row, col = writer.written()[:, 0, 5:]
    assert int(row.max()) - 5 == int(col.max()) - 5 == SCENE_SIDE - 1
    # and a fine tile is one place in it, which is what is lost
    assert len(row[-16:].unique()) == 1


def test_scene_positions_do_not_depend_on_what_was_dropped_within_tiles():
    pyramid = Pyramid(64, 64, 16)
    tiles = [Tile(2, 0, 0), Tile(0, 3, 1), Tile(0, 0, 3)]
    tokens, whole = frame(pyramid, tiles, (2, 2), 16)
    keep = torch.tensor([1, 6, 8, 11])
    writer = PositionWriter("scene", 3, (2, 2))
    writer.words(5)
    writer.scene(tokens.select(keep), 16)
    expected = whole.written()[:, 0, 5:][:, keep]
    assert writer.written()[:, 0, 5:].tolist() == expected.tolist()


@pytest.mark.parametrize("grid", [(2, 2), (3, 3), (4, 2), (13, 13)])
def test_cells_of_all_tokens_are_the_grid_row_by_row(grid):
    pyramid = Pyramid(500, 300, 91)
    tiles = [tile for level in range(pyramid.top_level + 1) for tile in pyramid.tiles(level)]
    count = grid[0] * grid[1]
    every = torch.arange(len(tiles) * count, dtype=torch.float32).reshape(len(tiles), count, 1)
    tokens: TokenSet = tokens_of_tiles(every, grid, tiles, pyramid)
    cells = token_cells(tokens, grid, 91)
    running = tokens.features[:, 0].long() % count
    assert (cells[:, 0] * grid[1] + cells[:, 1]).tolist() == running.tolist()
