"""One place instead of several: seams, overlaps, and what stays apart."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofovea.pipeline.places.merging import merge_places
from geofovea.pipeline.places.place import Place
from geofovea.tiling.pyramid import Box, Tile

LEFT, RIGHT, BELOW, COARSE = Tile(0, 0, 0), Tile(0, 0, 1), Tile(0, 1, 0), Tile(1, 0, 0)


def place(box, tile, score=0.9, label="truck"):
    return Place(Box(*box), score, tile.level, label, (tile,))


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [
        (((150, 10, 192, 50), LEFT), ((192, 12, 220, 48), RIGHT), 1),
        (((10, 150, 60, 192), LEFT), ((12, 192, 58, 210), BELOW), 1),
        (((150, 10, 192, 50), LEFT), ((192, 40, 220, 90), RIGHT), 2),
        (((150, 10, 180, 50), LEFT), ((192, 12, 220, 48), RIGHT), 2),
        (((100, 10, 150, 50), LEFT), ((150, 10, 190, 50), LEFT), 2),
        (((100, 100, 150, 150), LEFT), ((90, 90, 160, 160), COARSE), 1),
        (((100, 100, 150, 150), LEFT), ((140, 140, 200, 200), COARSE), 2),
    ],
    ids=[
        "cut by a seam beside",
        "cut by a seam below",
        "touching along a quarter",
        "near a seam, not at it",
        "touching within one tile",
        "seen on two levels",
        "overlapping at a corner",
    ],
)
def test_two_places_are_one_where_a_seam_or_an_overlap_says_so(one, other, count):
    assert len(merge_places([place(*one), place(*other)])) == count


def test_what_a_seam_cut_is_one_box_as_sure_as_the_surer_half():
    (whole,) = merge_places(
        [place((150, 10, 192, 50), LEFT, 0.6), place((192, 12, 220, 48), RIGHT, 0.8)]
    )
    assert whole.box_scene == Box(150, 10, 220, 50)
    assert whole.score == 0.8
    assert whole.evidence == (LEFT, RIGHT)


def test_a_thing_on_the_corner_of_four_tiles_is_one_place():
    corners = {(0, 0): (160, 160, 192, 192), (0, 1): (192, 160, 224, 192)}
    corners |= {(1, 0): (160, 192, 192, 224), (1, 1): (192, 192, 224, 224)}
    (whole,) = merge_places([place(box, Tile(0, *at)) for at, box in corners.items()])
    assert whole.box_scene == Box(160, 160, 224, 224)


def test_places_of_different_things_stay_apart():
    boats = place((192, 12, 220, 48), RIGHT, label="boat")
    assert len(merge_places([place((150, 10, 192, 50), LEFT), boats])) == 2


def test_whole_tiles_beside_each_other_stay_apart():
    tiles = [
        Place(Box(192 * col, 0, 192 * col + 192, 192), 1.0, 0, "truck", (Tile(0, 0, col),), "tile")
        for col in range(3)
    ]
    assert len(merge_places(tiles)) == 3


@st.composite
def some_places(draw):
    places = []
    for _ in range(draw(st.integers(0, 12))):
        tile = Tile(0, draw(st.integers(0, 2)), draw(st.integers(0, 2)))
        x0, y0 = (draw(st.integers(0, 5)) * 16 for _ in "xy")
        x1, y1 = (draw(st.integers(edge // 16 + 1, 6)) * 16 for edge in (x0, y0))
        left, top = tile.col * 96, tile.row * 96
        box = (left + x0, top + y0, left + x1, top + y1)
        places.append(place(box, tile, draw(st.sampled_from([0.5, 0.7, 0.9]))))
    return places


@given(some_places(), st.integers(0, 100))
def test_merging_depends_on_no_order_and_is_done_once(places, seed):
    merged = merge_places(places)
    shuffled = list(places)
    random.Random(seed).shuffle(shuffled)
    assert [(p.box_scene, p.score, p.evidence) for p in merge_places(shuffled)] == [
        (p.box_scene, p.score, p.evidence) for p in merged
    ]
    assert merge_places(merged) == merged


@given(some_places())
def test_every_place_lies_within_one_that_is_left_and_none_is_made_up(places):
    merged = merge_places(places)
    assert len(merged) <= len(places)
    for each in places:
        assert any(each.box_scene.share_inside(p.box_scene) == 1 for p in merged)
    tiles = {tile for p in places for tile in p.evidence}
    assert {tile for p in merged for tile in p.evidence} == tiles
