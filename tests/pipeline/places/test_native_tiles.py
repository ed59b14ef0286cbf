"""Which native tiles a region has, however large the scene is."""

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geofovea.errors import BudgetError
from geofovea.pipeline.places.native_tiles import NativeTiles
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Pyramid

numbers = st.floats(-50, 400)


def test_a_region_of_a_scene_too_large_to_list_is_looked_at():
    pyramid = Pyramid(2**22, 2**22, 336)
    with pytest.raises(BudgetError, match="region="):
        NativeTiles.of(pyramid)
    native = NativeTiles.of(pyramid, Region(shapely.box(10_000, 20_000, 10_400, 20_300)))
    assert [(tile.row, tile.col) for tile in native.tiles] == [
        (row, col) for row in (59, 60) for col in (29, 30)
    ]


@given(st.tuples(numbers, numbers), st.tuples(numbers, numbers), st.tuples(numbers, numbers))
def test_a_region_has_the_tiles_that_share_area_with_it(a, b, c):
    shape = shapely.Polygon([a, b, c])
    if shape.area < 0.1:
        return
    pyramid = Pyramid(300, 200, 16)
    native = NativeTiles.of(pyramid, Region(shape))
    expected = [
        tile
        for tile in pyramid.tiles(0)
        if shape.intersection(shapely.box(*pyramid.box_scene(tile).as_tuple())).area > 1e-3
    ]
    assert set(expected) <= set(native.tiles)
    touched = [shapely.box(*pyramid.box_scene(tile).as_tuple()) for tile in native.tiles]
    assert all(shape.intersects(box) for box in touched)
    assert list(native.tiles) == sorted(native.tiles, key=lambda tile: (tile.row, tile.col))
