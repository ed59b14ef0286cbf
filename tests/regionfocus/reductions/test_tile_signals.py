"""Signals of several tiles reach the tokens that they are about; no table is filled with zeros."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cosine_similarity

from geofovea.errors import GeometryError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.registry import make_reduction
from geofovea.regionfocus.reductions.tile_maps import TileMaps
from geofovea.regionfocus.reductions.tile_signals import question_context, signal_bytes
from geofovea.regionfocus.tokens import cells_in_tiles, tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid, Tile


def maps(sizes, seed=0, heads=2):
    made = torch.Generator().manual_seed(seed)
    return [(3 * torch.rand(heads, m, m, generator=made)).softmax(-1) for m in sizes]


@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_a_cut_of_tile_maps_is_that_of_the_whole_table(sizes, seed, data):
    blocks = maps(sizes, seed)
    whole = torch.stack([torch.block_diag(*(b[h] for b in blocks)) for h in range(2)])
    n = sum(sizes)
    index = torch.tensor(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1))))
    cut = TileMaps.of(blocks).within(index)
    if isinstance(cut, TileMaps):
        cut = torch.stack([torch.block_diag(*(b[h] for b in cut.blocks)) for h in range(2)])
    assert torch.equal(cut, whole[:, index[:, None], index])


@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 99))
def test_tokens_that_follow_each_other_are_cut_like_any_others_but_not_copied(one, other, seed):
    n, (start, end) = 8, sorted((one, other))
    made = torch.Generator().manual_seed(seed)
    context = TokenContext(
        torch.rand(n, 3, generator=made),
        torch.rand(n, generator=made),
        cls_attention={4: torch.rand(2, n, generator=made)},
        attention={4: maps([n], seed)[0]},
    )
    index = torch.arange(start, end)
    run = context.select(index)
    # taken backwards they are no run, and turned round they must be the same
    back = context.select(index.flip(0))
    assert torch.equal(run.features, back.features.flip(0))
    assert torch.equal(run.scores, back.scores.flip(0))
    assert torch.equal(run.cls_attention[4], back.cls_attention[4].flip(-1))
    assert torch.equal(run.attention_of(4), back.attention_of(4).flip(-1, -2))
    swapped = context.select(torch.tensor([0, 2, 1, 3]))
    assert torch.equal(swapped.scores, context.scores[[0, 2, 1, 3]])
    if start < end:
        shared = run.features.untyped_storage().data_ptr()
        assert shared == context.features.untyped_storage().data_ptr()


def test_tokens_of_tiles_that_alternate_cannot_be_cut():
    with pytest.raises(GeometryError, match="tile after tile"):
        TileMaps.of(maps([2, 2])).within(torch.tensor([0, 2, 1]))


def test_the_map_of_several_tiles_is_never_given_as_one():
    context = TokenContext(torch.zeros(4, 1), attention={3: TileMaps.of(maps([2, 2]))})
    with pytest.raises(GeometryError, match="4 tokens of 2 tiles"):
        context.attention_of(3)


@pytest.mark.parametrize("name", ["zero_tprune", "evit", "fopru", "vflowopt"])
def test_attention_of_two_tiles_is_never_compared(name):
    made = torch.Generator().manual_seed(4)
    blocks, n = maps([6, 6], 4), 12
    features = torch.rand(n, 4, generator=made)
    rows = torch.rand(2, n, generator=made)
    # all attention of one tile is a hundred times that of the other: it must not matter
    rows[:, 6:] *= 100
    place = torch.arange(n)
    corners = torch.stack([place % 3 + 3 * (place // 6), place % 6 // 3], 1).double()
    boxes = torch.cat([corners, corners + 1], 1)
    whole = TokenContext(
        features,
        tile_index=place // 6,
        boxes_scene=boxes,
        cls_attention={1: rows},
        received={1: rows.mean(0)},
        attention={1: TileMaps.of(blocks)},
    )
    kept = make_reduction(name).reduce(whole, 6).index
    alone = []
    for tile, block in enumerate(blocks):
        part = slice(6 * tile, 6 * tile + 6)
        context = TokenContext(
            features[part],
            boxes_scene=boxes[part],
            cls_attention={1: rows[:, part]},
            received={1: rows.mean(0)[part]},
            attention={1: block},
        )
        alone.append(make_reduction(name).reduce(context, 3).index + 6 * tile)
    assert kept.tolist() == torch.cat(alone).tolist()


@given(
    tiles=st.sets(
        st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=5
    ),
    seed=st.integers(0, 99),
    size=st.sampled_from([(300, 200), (77, 400), (512, 512)]),
)
def test_tokens_know_their_place_in_their_tile(tiles, seed, size):
    pyramid = Pyramid(*size, 64)
    there = [
        Tile(level, row, col)
        for level, row, col in sorted(tiles)
        if level <= pyramid.top_level
        and row < pyramid.grid_shape(level)[0]
        and col < pyramid.grid_shape(level)[1]
    ]
    grid = (4, 4)
    # a feature that says where each token was
    features = torch.arange(16.0)[None, :, None].expand(len(there), 16, 1)
    valid = torch.rand(len(there), 16, generator=torch.Generator().manual_seed(seed)) < 0.7
    tokens = tokens_of_tiles(features, grid, there, pyramid, valid)
    assert cells_in_tiles(tokens, grid, pyramid).tolist() == tokens.features[:, 0].tolist()


def test_signals_follow_the_tokens_that_are_left():
    pyramid, grid = Pyramid(128, 64, 64), (2, 2)
    tiles = [Tile(0, 0, 0), Tile(0, 0, 1)]
    valid = torch.tensor([[True, False, True, True], [False, True, True, False]])
    tokens = tokens_of_tiles(torch.rand(2, 4, 3), grid, tiles, pyramid, valid)
    blocks = maps([4, 4])
    signals = {
        tile: {
            "keys": torch.arange(4.0)[:, None] + 10 * number,
            "cls_attention": {5: torch.arange(4.0)[None] + 10 * number},
            "attention": {5: blocks[number]},
        }
        for number, tile in enumerate(tiles)
    }
    cells = cells_in_tiles(tokens, grid, pyramid)
    text = torch.rand(2, 3)
    context = question_context(tokens, torch.rand(5), signals, cells, text)
    assert context.keys[:, 0].tolist() == [0, 2, 3, 11, 12]
    assert context.cls_attention[5].tolist() == [[0, 2, 3, 11, 12]]
    first, second = context.attention[5].blocks
    assert torch.equal(first, blocks[0][:, [[0], [2], [3]], [0, 2, 3]])
    assert torch.equal(second, blocks[1][:, [[1], [2]], [1, 2]])
    expected = cosine_similarity(tokens.features, text.mean(0)[None])
    torch.testing.assert_close(context.text_similarity, expected)
    # what not every tile has, the context does not have
    del signals[tiles[1]]["keys"]
    assert question_context(tokens, torch.rand(5), signals, cells).keys is None
    assert signal_bytes(signals[tiles[0]]) == 4 * (4 + 4 + 2 * 4 * 4)
