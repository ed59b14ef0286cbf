"""Tokens know their place; padding and nodata never enter a set."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from regionfocus_toys import ToyEncoder, pyramids

from geofovea.errors import GeometryError
from geofovea.regionfocus.tokens import TokenSet, tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid, Tile


def test_a_token_covers_its_part_of_the_tile_in_scene_pixels():
    pyramid = Pyramid(400, 300, 100)
    features = torch.arange(4.0).reshape(1, 4, 1)
    tokens = tokens_of_tiles(features, (2, 2), [Tile(1, 0, 1)], pyramid)
    assert tokens.boxes_scene.tolist() == [
        [200, 0, 300, 100],
        [300, 0, 400, 100],
        [200, 100, 300, 200],
        [300, 100, 400, 200],
    ]
    assert tokens.features.flatten().tolist() == [0, 1, 2, 3]
    assert tokens.levels.tolist() == [1, 1, 1, 1]


def test_padding_is_dropped_and_the_edge_is_clipped():
    # 110 × 60 pixels in one tile of 200 at level 0, tokens of 50
    tokens = tokens_of_tiles(torch.zeros(1, 16, 3), (4, 4), [Tile(0, 0, 0)], Pyramid(110, 60, 200))
    assert tokens.boxes_scene.tolist() == [
        [0, 0, 50, 50],
        [50, 0, 100, 50],
        [100, 0, 110, 50],
        [0, 50, 50, 60],
        [50, 50, 100, 60],
        [100, 50, 110, 60],
    ]


def test_nodata_is_dropped_and_its_tile_leaves_with_its_last_token():
    valid = torch.tensor([[False] * 4, [True, False, True, False]])
    tiles = [Tile(0, 0, 0), Tile(0, 0, 1)]
    tokens = tokens_of_tiles(torch.zeros(2, 4, 1), (2, 2), tiles, Pyramid(200, 100, 100), valid)
    assert tokens.tile_index.tolist() == [1, 1]
    assert tokens.tiles == tuple(tiles)
    assert tokens.select(torch.arange(2)).tiles == (Tile(0, 0, 1),)


@given(pyramids, st.integers(1, 7), st.integers(1, 7), st.randoms())
def test_tokens_partition_every_level(pyramid, rows, cols, random):
    level = random.randint(max(0, pyramid.top_level - 3), pyramid.top_level)
    tokens = ToyEncoder(pyramid, (rows, cols))(list(pyramid.tiles(level)))
    x0, y0, x1, y1 = tokens.boxes_scene.T
    area = pyramid.width * pyramid.height
    assert float(((x1 - x0) * (y1 - y0)).sum()) == pytest.approx(area, rel=1e-12)


def test_reading_order_is_coarse_to_fine_tile_by_tile_row_by_row():
    pyramid = Pyramid(200, 200, 100)
    tiles = [Tile(0, 1, 0), Tile(0, 0, 1), Tile(1, 0, 0), Tile(0, 0, 0)]
    features = torch.arange(16.0).reshape(4, 4, 1)
    tokens = tokens_of_tiles(features, (2, 2), tiles, pyramid)
    expected = [8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7, 0, 1, 2, 3]
    assert tokens.in_reading_order().features.flatten().tolist() == expected
    shuffled = tokens.select(torch.randperm(16, generator=torch.Generator().manual_seed(0)))
    assert shuffled.in_reading_order().features.flatten().tolist() == expected


def test_concat_joins_tokens_and_names_a_shared_tile_once():
    pyramid = Pyramid(200, 100, 100)
    tokens = ToyEncoder(pyramid, (2, 2))(list(pyramid.tiles(0)))
    left, right = tokens.select(torch.tensor([5, 0])), tokens.select(torch.tensor([1, 4]))
    both = TokenSet.concat([left, right])
    assert both.tiles == tokens.tiles
    assert both.tile_index.tolist() == [1, 0, 0, 1]
    assert both.boxes_scene.tolist() == tokens.boxes_scene[[5, 0, 1, 4]].tolist()


def test_importance_goes_with_its_tokens_and_is_known_of_all_or_of_none():
    pyramid = Pyramid(400, 400, 100)
    one, two = (
        tokens_of_tiles(torch.zeros(1, 4, 1), (2, 2), [tile], pyramid)
        for tile in (Tile(0, 1, 0), Tile(0, 0, 0))
    )
    one, two = (
        replace(one, importance=torch.arange(4.0)),
        replace(two, importance=torch.arange(4.0, 8)),
    )
    nothing = replace(one, importance=None).select(torch.arange(0))
    both = TokenSet.concat([one, nothing, two])
    assert both.importance.tolist() == list(range(8))
    assert both.in_reading_order().importance.tolist() == [4, 5, 6, 7, 0, 1, 2, 3]
    assert both.select(both.importance > 5).importance.tolist() == [6, 7]
    assert TokenSet.concat([one, replace(two, importance=None)]).importance is None
    assert TokenSet.concat([nothing]).importance is None
    with pytest.raises(GeometryError, match=r"importance of 4 tokens must be float32 \(4,\)"):
        replace(one, importance=torch.arange(4))


def test_a_set_may_be_empty():
    tokens = ToyEncoder(Pyramid(100, 100, 100))([Tile(0, 0, 0)]).select(torch.arange(0))
    assert (len(tokens), tokens.tiles, len(tokens.levels)) == (0, (), 0)
    assert len(TokenSet.concat([tokens, tokens]).in_reading_order()) == 0


TILE, BOX = (Tile(0, 0, 0),), torch.tensor([[0.0, 0, 1, 1]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2, 3), TILE, torch.tensor([0]), BOX), "needs features"),
        ((torch.zeros(1), TILE, torch.tensor([0]), BOX), "needs features"),
        ((torch.zeros(1, 3), TILE, torch.tensor([1]), BOX), "point into the 1 tiles"),
        ((torch.zeros(1, 3), TILE, torch.tensor([-1]), BOX), "point into the 1 tiles"),
        ((torch.zeros(1, 3), TILE * 2, torch.tensor([0]), BOX), "stand once"),
        ((torch.zeros(1, 3), TILE, torch.tensor([0.0]), BOX), "must be int64"),
        ((torch.zeros(1, 3), TILE, torch.tensor([0]), BOX * 0), "box with area"),
        ((torch.zeros(1, 3), TILE, torch.tensor([0]), BOX * torch.nan), "box with area"),
    ],
)
def test_an_impossible_set_is_refused(arguments, message):
    with pytest.raises(GeometryError, match=message):
        TokenSet(*arguments)


def test_features_of_another_grid_and_tiles_off_the_pyramid_are_refused():
    pyramid = Pyramid(100, 100, 100)
    with pytest.raises(GeometryError, match="1 tiles of 2 x 2 tokens"):
        tokens_of_tiles(torch.zeros(1, 5, 1), (2, 2), TILE, pyramid)
    with pytest.raises(GeometryError, match="valid must be bool"):
        tokens_of_tiles(torch.zeros(1, 4, 1), (2, 2), TILE, pyramid, torch.ones(1, 4))
    with pytest.raises(GeometryError, match="outside level 0"):
        tokens_of_tiles(torch.zeros(1, 4, 1), (2, 2), [Tile(0, 1, 0)], pyramid)


def test_what_a_tile_shows_is_remembered_for_its_own_cells_and_scene_alone(monkeypatch):
    pyramid, wider, grid = Pyramid(256, 256, 128), Pyramid(300, 256, 128), (2, 2)
    tiles, features = [Tile(0, 0, 1), Tile(0, 1, 0)], torch.arange(8.0).reshape(2, 4, 1)
    whole, part = torch.ones(2, 4, dtype=torch.bool), torch.ones(2, 4, dtype=torch.bool)
    part[0, 1] = part[1, 0] = False
    first = [
        tokens_of_tiles(features, grid, tiles, p, v)
        for p in (pyramid, wider)
        for v in (whole, part)
    ]
    monkeypatch.setattr(Pyramid, "valid_size", None)
    again = [
        tokens_of_tiles(features, grid, tiles, p, v)
        for p in (pyramid, wider)
        for v in (whole, part)
    ]
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.boxes_scene, other.boxes_scene)
        assert torch.equal(one.features, other.features)
    assert [each.features.flatten().tolist() for each in first[:2]] == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [0, 2, 3, 5, 6, 7],
    ]
    assert first[1].tile_index.tolist() == [0, 0, 0, 1, 1, 1]
    assert first[1].boxes_scene[1].tolist() == [128, 64, 192, 128]
    assert len(first[2]) == len(first[0])
