"""The finest level leaves the sequence, and the tiles above it stand in its place."""

import torch
from regionfocus_toys import ToyEncoder

from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.selection.places import look_at
from geofovea.regionfocus.selection.without_finest import without_finest
from geofovea.tiling.pyramid import Pyramid, Tile

PYRAMID = Pyramid(512, 512, 64)
ENCODE = ToyEncoder(PYRAMID, (2, 2))


def look(level, tiles, scores=None):
    tokens = ENCODE(tiles)
    scores = torch.ones(len(tokens)) if scores is None else torch.tensor(scores)
    return LevelLook(level, tuple(tiles), tokens, scores)


OVERVIEW = look(3, [Tile(3, 0, 0)])
BASE = look(2, list(PYRAMID.tiles(2)))
BETWEEN = look(1, [Tile(1, 0, 0), Tile(1, 0, 1), Tile(1, 3, 3)], [1.0] * 8 + [4.0] * 4)
FINEST = look(0, [Tile(0, 0, 0), Tile(0, 0, 1), Tile(0, 1, 2)], [1.0, 2.0, 0.0, 0.0] * 3)
SEEN = Descent((OVERVIEW, BASE, BETWEEN, FINEST), "native")


def test_the_tiles_above_stand_in_the_place_of_the_finest():
    left = without_finest(Descent((OVERVIEW, BASE, FINEST), "native"), SEEN)
    assert [each.level for each in left.relevant.looks] == [3, 2, 1]
    # the tile that was seen on the way to nothing is left out
    assert left.relevant.looks[-1].tiles == (Tile(1, 0, 0), Tile(1, 0, 1))
    assert left.fine is FINEST.tokens


def test_a_token_above_has_the_share_of_the_best_below_it_or_its_own():
    faint = look(1, BETWEEN.tiles, [0.0] * 11 + [4.0])
    seen = Descent((OVERVIEW, BASE, faint, FINEST), "native")
    shown = without_finest(Descent((OVERVIEW, BASE, FINEST), "native"), seen).relevant.looks[-1]
    by_corner = {
        tuple(box[:2].tolist()): score
        for box, score in zip(shown.tokens.boxes_scene, shown.scores.tolist(), strict=True)
    }
    # the fine tiles lie over the two upper tokens of the first and the lower left of the second
    raised = {(0.0, 0.0): 1.0, (64.0, 0.0): 1.0, (128.0, 64.0): 1.0}
    assert by_corner == dict.fromkeys(by_corner, 0.0) | raised


def test_a_tile_over_two_places_belongs_to_the_first():
    places = ((Tile(0, 0, 0),), (Tile(0, 0, 1), Tile(0, 1, 2)), (Tile(0, 0, 1),))
    left = without_finest(Descent((OVERVIEW, BASE, FINEST), "native"), SEEN, places)
    assert left.places == ((Tile(1, 0, 0),), (Tile(1, 0, 1),))


def test_the_map_stays_whole_where_it_lies_right_above():
    fine = look(1, [Tile(1, 0, 0)])
    relevant = Descent((OVERVIEW, BASE, fine), "tiles")
    left = without_finest(relevant, relevant)
    assert [each.level for each in left.relevant.looks] == [3, 2]
    assert left.relevant.looks[-1].tiles == BASE.tiles
    assert len(left.relevant.looks[-1].tokens) == len(BASE.tokens)


def test_nothing_is_taken_out_where_nothing_is_above():
    alone = Descent((look_at(BASE, BASE.tiles),), "tiles")
    left = without_finest(alone, alone, [[Tile(2, 0, 0)]])
    assert (left.relevant, left.places, left.fine) == (alone, ((Tile(2, 0, 0),),), None)
