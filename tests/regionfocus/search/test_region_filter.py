"""An encoder that is restricted to a region reads no tile and gives no token outside of it."""

import shapely
from regionfocus_toys import ToyEncoder

from geofovea.regionfocus.search.region_filter import restrict
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Pyramid, Tile

PYRAMID = Pyramid(512, 512, 64)


def test_tiles_outside_are_not_encoded_and_tokens_outside_are_dropped():
    encode = ToyEncoder(PYRAMID, (2, 2))
    # half of the first tile, and a pixel of the left tokens of the second
    region = Region(shapely.box(0, 0, 65, 32))
    tokens = restrict(encode, region, PYRAMID)([Tile(0, 0, 0), Tile(0, 0, 1), Tile(0, 0, 2)])
    assert encode.tiles == [Tile(0, 0, 0), Tile(0, 0, 1)]
    assert tokens.boxes_scene.tolist() == [[0, 0, 32, 32], [32, 0, 64, 32], [64, 0, 96, 32]]


def test_the_overview_keeps_its_tokens_over_the_region_alone():
    tokens = restrict(ToyEncoder(PYRAMID), Region(shapely.box(130, 0, 250, 500)), PYRAMID)(
        [PYRAMID.overview]
    )
    assert tokens.boxes_scene[:, 0].unique().tolist() == [128]
    assert len(tokens) == 4
