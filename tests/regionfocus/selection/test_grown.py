"""A region grows over what looks alike and touches, and its outline gets sharper level by level."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.errors import GeometryError
from geofovea.regionfocus.selection import grown
from geofovea.regionfocus.selection.grown import (
    SURROUND_RATIO,
    grow_region,
    redraw_region,
    with_surround,
)
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Box, Pyramid, Tile

GRID, SIDE = (4, 4), 64
PYRAMID = Pyramid(1024, 1024, SIDE)
CORNER, SIZE = st.integers(2, 24), st.integers(6, 20)


def painted(level, boxes, tiles=None, seed=0):
    """Tokens of a level; each box has a feature of its own, and so has the ground."""
    tiles = list(PYRAMID.tiles(level)) if tiles is None else tiles
    generator = torch.Generator().manual_seed(seed)
    colors = torch.eye(8)[: len(boxes) + 1]
    bare = tokens_of_tiles(torch.zeros(len(tiles), 16, 8), GRID, tiles, PYRAMID)
    x, y = ((bare.boxes_scene[:, i] + bare.boxes_scene[:, i + 2]) / 2 for i in (0, 1))
    features = colors[0].repeat(len(bare), 1)
    for color, box in zip(colors[1:], boxes, strict=True):
        features[(x >= box.x0) & (x < box.x1) & (y >= box.y0) & (y < box.y1)] = color
    features += 0.02 * torch.randn(features.shape, generator=generator)
    return tokens_of_tiles(features.reshape(len(tiles), 16, 8), GRID, tiles, PYRAMID)


def scores_at(tokens, x, y):
    b = tokens.boxes_scene
    return ((b[:, 0] <= x) & (x < b[:, 2]) & (b[:, 1] <= y) & (y < b[:, 3])).float()


def box_of(tokens, inside):
    corners = tokens.boxes_scene[inside]
    return (*corners[:, :2].amin(0).tolist(), *corners[:, 2:].amax(0).tolist())


def test_a_region_is_all_that_looks_like_the_peak_and_touches_it():
    thing = Box(256, 128, 512, 640)
    tokens = painted(2, [thing])
    inside = grow_region(tokens, scores_at(tokens, 260, 600), GRID, SIDE)
    assert box_of(tokens, inside) == thing.as_tuple()
    assert int(inside.sum()) == 4 * 8


def test_what_looks_alike_and_lies_apart_is_another_place():
    one, two = Box(128, 128, 256, 256), Box(640, 640, 896, 896)
    tokens = painted(2, [one])
    same = painted(2, [two])
    both = torch.where(scores_like(two, tokens)[:, None], same.features, tokens.features)
    tokens = type(tokens)(both, tokens.tiles, tokens.tile_index, tokens.boxes_scene)
    inside = grow_region(tokens, scores_at(tokens, 700, 700), GRID, SIDE)
    assert box_of(tokens, inside) == two.as_tuple()


def scores_like(box, tokens):
    b = tokens.boxes_scene
    return (b[:, 0] >= box.x0) & (b[:, 2] <= box.x1) & (b[:, 1] >= box.y0) & (b[:, 3] <= box.y1)


def test_a_corner_alone_does_not_join():
    tokens = painted(2, [Box(128, 128, 256, 256)])
    diagonal = painted(2, [Box(256, 256, 384, 384)])
    mask = scores_like(Box(256, 256, 384, 384), tokens)[:, None]
    tokens = type(tokens)(
        torch.where(mask, diagonal.features, tokens.features),
        tokens.tiles,
        tokens.tile_index,
        tokens.boxes_scene,
    )
    inside = grow_region(tokens, scores_at(tokens, 130, 130), GRID, SIDE)
    assert box_of(tokens, inside) == (128, 128, 256, 256)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(2, 24),
    st.integers(2, 24),
    st.integers(6, 20),
    st.integers(6, 20),
    st.integers(0, 99),
)
def test_a_finer_level_draws_the_outline_to_its_own_tokens(col, row, width, height, seed):
    # on the grid of the finer level, off that of the coarser one
    thing = Box(32 * col, 32 * row, min(32 * (col + width), 960), min(32 * (row + height), 960))
    coarse = painted(2, [thing], seed=seed)
    x, y = thing.center
    rough = grow_region(coarse, scores_at(coarse, x, y), GRID, SIDE)
    boxes = [Box(*b) for b in coarse.boxes_scene[rough].tolist()]
    fine = painted(1, [thing], seed=seed + 1)
    sharp = redraw_region(fine, boxes, GRID, SIDE)
    assert box_of(fine, sharp) == thing.as_tuple()


def test_a_region_outside_of_what_is_shown_is_empty():
    tokens = painted(1, [], tiles=[Tile(1, 0, 0)])
    assert not redraw_region(tokens, [Box(900, 900, 1000, 1000)], GRID, SIDE).any()


def test_a_picture_of_one_color_is_one_region_or_its_peak_and_no_error():
    tokens = painted(2, [])
    flat = type(tokens)(
        torch.ones_like(tokens.features), tokens.tiles, tokens.tile_index, tokens.boxes_scene
    )
    assert grow_region(flat, scores_at(flat, 500, 500), GRID, SIDE).any()


def test_tokens_of_two_levels_are_refused():
    tiles = [Tile(1, 0, 0), Tile(2, 0, 0)]
    tokens = tokens_of_tiles(torch.zeros(2, 16, 8), GRID, tiles, PYRAMID)
    with pytest.raises(GeometryError, match="of one level"):
        grow_region(tokens, torch.ones(len(tokens)), GRID, SIDE)


SITE, PAD = Box(256, 256, 640, 640), Box(384, 384, 512, 512)


def surrounded(leak, beyond=1.0, grounds=SITE, alike=None):
    """A pad on its grounds; the grounds draw ``leak`` of attention, the land ``beyond``.

    What is ``alike`` has the look of the grounds.
    """
    bare = painted(2, [alike or grounds])
    is_pad = scores_like(PAD, bare)
    # as unlike the grounds as the land is
    pad = torch.tensor([0.0, -1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    features = torch.where(is_pad[:, None], pad, bare.features)
    tokens = type(bare)(features, bare.tiles, bare.tile_index, bare.boxes_scene)
    scores = torch.full((len(tokens),), beyond)
    scores[scores_like(grounds, tokens)] = leak
    scores[is_pad] = 1000.0
    part = grow_region(tokens, scores, GRID, SIDE)
    assert box_of(tokens, part) == PAD.as_tuple()
    return tokens, with_surround(tokens, scores, part, GRID, SIDE)


def test_grounds_that_draw_attention_join_the_pad_that_stands_out_of_them():
    tokens, whole = surrounded(2 * SURROUND_RATIO)
    assert box_of(tokens, whole) == SITE.as_tuple()
    assert int(whole.sum()) == 6 * 6


def test_land_that_looks_like_the_grounds_and_goes_on_beyond_them_stays_outside():
    tokens, whole = surrounded(2 * SURROUND_RATIO, alike=Box(128, 128, 1024, 1024))
    assert box_of(tokens, whole) == SITE.as_tuple()


@pytest.mark.parametrize(("leak", "beyond"), [(SURROUND_RATIO / 2, 1.0), (1.0, 1.0), (0.0, 0.0)])
def test_land_that_draws_no_more_than_the_rest_stays_outside(leak, beyond):
    tokens, whole = surrounded(leak, beyond)
    assert box_of(tokens, whole) == PAD.as_tuple()


def test_what_touches_a_region_at_one_side_does_not_enclose_it():
    beside = Box(512, 256, 768, 640)
    tokens, whole = surrounded(100.0, grounds=beside)
    assert box_of(tokens, whole) == PAD.as_tuple()


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(60, 300), st.integers(60, 300)),
    seed=st.integers(0, 99),
    share=st.floats(0.02, 0.9),
)
def test_the_ring_of_a_region_is_what_touches_it_across_tiles_and_at_the_edge(size, seed, share):
    pyramid = Pyramid(*size, SIDE)
    tiles = list(pyramid.tiles(0))
    tokens = tokens_of_tiles(torch.zeros(len(tiles), 16, 1), GRID, tiles, pyramid)
    region = torch.rand(len(tokens), generator=torch.Generator().manual_seed(seed)) < share
    side = SIDE // GRID[0]
    corners = (tokens.boxes_scene[:, :2] / side).round()
    steps = (corners[:, None] - corners[region]).abs().amax(-1)
    assert torch.equal(grown._ring(tokens, region), (steps <= 1).any(1) & ~region)


def test_a_region_that_fills_all_has_no_surround():
    tokens = painted(2, [])
    everything = torch.ones(len(tokens), dtype=torch.bool)
    assert with_surround(tokens, torch.ones(len(tokens)), everything, GRID, SIDE).all()
