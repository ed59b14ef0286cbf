"""The pyramid is exact: tiles partition levels, children partition parents."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.errors import GeometryError
from geofovea.tiling import Box, Pyramid, Tile

few = settings(deadline=None, max_examples=60)

pyramids = st.builds(
    Pyramid, st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([16, 56, 224, 336])
)


@st.composite
def pyramid_and_level(draw):
    pyramid = draw(pyramids)
    return pyramid, draw(st.integers(0, pyramid.top_level))


@few
@given(pyramid_and_level())
def test_tiles_of_a_level_partition_the_scene(case):
    pyramid, level = case
    tiles = list(pyramid.tiles(level))
    boxes = [pyramid.box_scene(tile) for tile in tiles]
    assert sum(box.area for box in boxes) == pyramid.width * pyramid.height
    assert len(set(tiles)) == len(tiles)
    for box in boxes:
        assert box.share_inside(Box(0, 0, pyramid.width, pyramid.height)) == 1
    width, height = pyramid.level_size(level)
    assert sum(math.prod(pyramid.valid_size(tile)) for tile in tiles) == width * height


@few
@given(pyramid_and_level(), st.randoms())
def test_children_partition_the_box_of_their_parent(case, random):
    pyramid, level = case
    rows, cols = pyramid.grid_shape(level)
    tile = Tile(level, random.randrange(rows), random.randrange(cols))
    children = pyramid.children(tile)
    if level == 0:
        assert children == []
        return
    assert 1 <= len(children) <= 4
    assert sum(pyramid.box_scene(c).area for c in children) == pyramid.box_scene(tile).area
    assert all(pyramid.box_scene(c).share_inside(pyramid.box_scene(tile)) == 1 for c in children)


@few
@given(pyramids)
def test_the_overview_is_one_tile_and_shows_everything(pyramid):
    assert pyramid.grid_shape(pyramid.top_level) == (1, 1)
    assert pyramid.box_scene(pyramid.overview) == Box(0, 0, pyramid.width, pyramid.height)
    assert max(pyramid.level_size(pyramid.base_level)) <= pyramid.base_side
    assert pyramid.base_level <= pyramid.top_level


@pytest.mark.parametrize(
    ("size", "top", "base", "sizes"),
    [
        ((32768, 32768), 7, 6, {0: (32768, 32768), 5: (1024, 1024), 6: (512, 512), 7: (256, 256)}),
        ((27328, 23780), 7, 5, {1: (13664, 11890), 5: (854, 744), 6: (427, 372), 7: (214, 186)}),
        ((1, 1), 0, 0, {0: (1, 1)}),
        ((36000, 18000), 7, 6, {4: (2250, 1125), 6: (563, 282), 7: (282, 141)}),
    ],
)
def test_level_sizes_are_those_of_the_table(size, top, base, sizes):
    pyramid = Pyramid(*size, 336)
    assert (pyramid.top_level, pyramid.base_level) == (top, base)
    assert {level: pyramid.level_size(level) for level in sizes} == sizes


def test_a_tile_off_the_grid_is_refused_with_the_size_of_the_grid():
    with pytest.raises(GeometryError, match="3 rows and 3 columns"):
        Pyramid(1000, 1000, 336).box_scene(Tile(0, 3, 0))


@pytest.mark.parametrize("corners", [(0, 0, 0, 1), (0, 0, math.nan, 1), (2, 0, 1, 1)])
def test_an_impossible_box_is_refused(corners):
    with pytest.raises(GeometryError, match="finite numbers as corners"):
        Box(*corners)
