"""Which phrases a tile shows, against worlds that were put together by hand."""

import random
from dataclasses import replace

import pytest

from geofovea.datasets.synthetic.world import Hall, Site, Thing, make_world
from geofovea.pipeline.training.embedded_model import vocabulary
from geofovea.pipeline.training.lessons.phrases import (
    IGNORED_PHRASE,
    PHRASES,
    Phrase,
    shown_phrases,
    worded,
)
from geofovea.tiling.pyramid import Box


def world_with(*things):
    hall = Hall("circular", 500, 500, 30, 0.0)
    site = Site(
        "depot", Box(200, 200, 800, 800), Box(400, 400, 640, 640), "gravel", "rural", hall,
        things, 1.0,
    )  # fmt: skip
    return replace(make_world(0, 2048, 2048), sites=(site,))


def thing(kind, color, x, y, status="parked"):
    return Thing(kind, color, status, x, y, 25, 0.0)


def label(world, box, level, **phrase):
    return int(shown_phrases(world, box, level)[PHRASES.index(Phrase(**phrase))])


WORLD = world_with(thing("truck", "red", 450, 450), thing("boat", "blue", 600, 600))
WHOLE_PAD = Box(384, 384, 640, 640)


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ({"site": "depot"}, 1),
        ({"site": "quarry"}, 0),
        ({"thing": "truck"}, 1),
        ({"thing": "truck", "attribute": "red"}, 1),
        ({"thing": "truck", "attribute": "blue"}, 0),
        ({"thing": "truck", "attribute": "parked"}, 1),
        ({"thing": "boat", "attribute": "blue"}, 1),
        ({"thing": "hall", "attribute": "circular"}, 1),
        ({"thing": "hall", "attribute": "triangular"}, 0),
        ({"surface": "gravel"}, 1),
        ({"surface": "brick"}, 0),
        ({"site": "depot", "thing": "truck"}, 1),
        ({"site": "depot", "thing": "tank"}, 0),
        ({"site": "quarry", "thing": "truck"}, 0),
    ],
)
def test_a_native_tile_shows_what_stands_on_it_and_nothing_else(phrase, expected):
    assert label(WORLD, WHOLE_PAD, 0, **phrase) == expected


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(384, 384, 576, 576), 1),
        (Box(448, 384, 640, 576), 1),  # 27 of its 50 columns
        (Box(462, 384, 654, 576), IGNORED_PHRASE),  # 13 of them
        (Box(474, 384, 666, 576), 0),  # one
        (Box(0, 0, 192, 192), 0),
    ],
)
def test_a_thing_on_an_edge_is_neither_there_nor_not_there(box, expected):
    assert label(WORLD, box, 0, thing="truck") == expected


def test_one_thing_in_full_view_outweighs_another_at_the_edge():
    world = world_with(thing("truck", "red", 560, 560), thing("truck", "red", 388, 560))
    assert label(world, WHOLE_PAD, 0, thing="truck") == 1
    other_order = world_with(thing("truck", "red", 388, 560), thing("truck", "red", 560, 560))
    assert label(other_order, WHOLE_PAD, 0, thing="truck") == 1
    absent_beside = world_with(thing("truck", "red", 388, 560), thing("truck", "red", 300, 300))
    assert label(absent_beside, Box(396, 384, 652, 640), 0, thing="truck") == IGNORED_PHRASE


def test_things_fade_with_the_level_and_their_site_stays():
    everything = Box(0, 0, 2048, 2048)
    seen = [label(WORLD, everything, level, thing="truck") for level in (1, 2, 3)]
    assert seen == [1, IGNORED_PHRASE, 0]
    at_site = [label(WORLD, everything, level, site="depot", thing="truck") for level in (1, 3)]
    assert at_site == [1, 1]
    assert label(WORLD, everything, 4, site="depot") == 1


def test_a_crowd_tells_nothing_of_its_site():
    labels = shown_phrases(WORLD, WHOLE_PAD, 0, knows_site=False)
    of_sites = [bool(phrase.site) for phrase in PHRASES]
    assert (labels[of_sites] == IGNORED_PHRASE).all()
    assert labels[PHRASES.index(Phrase(thing="truck", attribute="red"))] == 1


def test_every_wording_is_made_of_words_that_the_model_knows():
    rng, known = random.Random(0), set(vocabulary())
    texts = {worded(phrase, rng) for phrase in PHRASES for _ in range(40)}
    assert len(texts) > 2 * len(PHRASES)
    assert {word for text in texts for word in text.split()} <= known
    assert all("  " not in text and "{" not in text for text in texts)


def test_phrases_differ_and_say_what_they_are():
    assert len({phrase.text for phrase in PHRASES}) == len(PHRASES)
    assert Phrase(thing="truck", attribute="red").text == "red truck"
    assert Phrase(site="depot", thing="truck").text == "truck at the depot"
