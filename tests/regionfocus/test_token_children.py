"""Fine tokens find the token above them and their quarter of it, also at the edge of a scene."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from geofovea.regionfocus.token_children import children_of
from geofovea.regionfocus.tokens import TokenSet, tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid, Tile


def tokens(pyramid, *tiles, grid=(2, 2)):
    count = grid[0] * grid[1]
    features = torch.arange(len(tiles) * count).float().reshape(len(tiles), count, 1)
    return tokens_of_tiles(features, grid, tiles, pyramid)


def test_four_children_fill_a_token_in_reading_order():
    pyramid = Pyramid(128, 128, 32)
    coarse, fine = tokens(pyramid, Tile(1, 0, 1)), tokens(pyramid, Tile(0, 1, 2), Tile(0, 0, 3))
    places = children_of(coarse, fine)
    # the tile at the bottom left lies under the third token, that at the top right under the second
    assert places.parent.tolist() == [2] * 4 + [1] * 4
    assert places.quarter.tolist() == [0, 1, 2, 3] * 2


def test_a_fine_token_lies_under_the_finest_that_holds_it_and_maybe_under_none():
    pyramid = Pyramid(128, 128, 32)
    coarse = TokenSet.concat([tokens(pyramid, Tile(2, 0, 0)), tokens(pyramid, Tile(1, 0, 0))])
    places = children_of(coarse, tokens(pyramid, Tile(0, 0, 0), Tile(0, 3, 3)))
    # two levels below the second tile, whose last token has four of them in its last quarter
    assert places.parent.tolist() == [4] * 4 + [3] * 4
    assert places.quarter.tolist() == [0, 1, 2, 3] + [3] * 4
    only = children_of(tokens(pyramid, Tile(1, 0, 0)), tokens(pyramid, Tile(0, 3, 3)))
    assert only.parent.tolist() == [-1] * 4
    assert len(children_of(only_none := coarse.select(torch.arange(0)), coarse).parent) == 8
    assert len(children_of(coarse, only_none).quarter) == 0


@given(st.integers(33, 190), st.integers(33, 190))
def test_every_child_lies_in_its_quarter(width, height):
    pyramid = Pyramid(width, height, 32)
    grids = [(-(-height // side), -(-width // side)) for side in (32, 64)]
    tiles = [
        [Tile(level, row, col) for row in range(rows) for col in range(cols)]
        for level, (rows, cols) in enumerate(grids)
    ]
    fine, coarse = (tokens(pyramid, *some, grid=(4, 4)) for some in tiles)
    places = children_of(coarse, fine)
    assert bool((places.parent >= 0).all())
    corner = coarse.boxes_scene[places.parent, :2]
    size = 16.0  # of a whole coarse token
    expected = (fine.boxes_scene[:, :2] >= corner + size / 2).long()
    assert places.quarter.tolist() == (expected[:, 0] + 2 * expected[:, 1]).tolist()
    pairs = set(zip(places.parent.tolist(), places.quarter.tolist(), strict=True))
    assert len(pairs) == len(fine)
