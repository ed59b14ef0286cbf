"""Which sentences ask about where places lie, and which do not."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import QuestionError
from geofovea.pipeline.relations.grammar import parse_question
from geofovea.pipeline.relations.place_question import PlaceQuestion, distance_between
from geofovea.pipeline.relations.vocabulary import (
    COMPASS,
    PICTURE,
    SIZES,
    compass_word,
    plain_direction,
    unit_called,
)
from geofovea.regionfocus.search.router import COMPARATIVE, DIRECTION, is_area

POND = ("pond", "school")

SENTENCES = {
    "Is the camp north of the stadium?": ("direction", ("camp", "stadium"), "north"),
    "is the plane at the camp to the north-east of the car park": (
        "direction",
        ("plane at the camp", "car park"),
        "northeast",
    ),
    "Is the tower above the pond?": ("direction", ("tower", "pond"), "above"),
    "Is the tower to the left of the pond?": ("direction", ("tower", "pond"), "left"),
    "Does the pond lie west of the red roof?": ("direction", ("pond", "red roof"), "west"),
    "Is the pond located south of the school?": ("direction", POND, "south"),
    "In which direction is the pond from the school?": ("bearing", POND),
    "What is the bearing from the school to the pond?": ("bearing", POND),
    "Where is the pond relative to the school?": ("bearing", POND),
    "How far is the pond from the school?": ("distance", POND),
    "How far apart are the pond and the school?": ("distance", POND),
    "What is the distance between the pond and the school?": ("distance", POND),
    "distance from the pond to the school": ("distance", POND),
    "Which is closer to the school, the pond or the mill?": ("nearest", ("school", "pond", "mill")),
    "Which of the pond, the mill and the camp is nearest to the school?": (
        "nearest",
        ("school", "pond", "mill", "camp"),
    ),
    "Is the pond closer to the school than the mill?": ("nearer", ("pond", "school", "mill")),
    "Is the pond closer to the school than to the mill?": ("nearer", ("school", "pond", "mill")),
    "How large is the pond?": ("size", ("pond",)),
    "What is the area of the pond?": ("size", ("pond",)),
    "Is the pond larger than the lake?": ("larger", ("pond", "lake")),
    "Which is bigger: the pond or the lake?": ("largest", ("pond", "lake")),
    "Which of the pond, the lake and the sea is the largest?": ("largest", ("pond", "lake", "sea")),
    "Is the pond between the school and the mill?": ("between", ("pond", "school", "mill")),
    "Is the pond farther north than the mill?": ("farther", ("pond", "mill"), "north"),
    "Which is further north, the pond or the mill?": ("farthest", ("pond", "mill"), "north"),
    "Which of the pond and the mill is the westernmost?": ("farthest", ("pond", "mill"), "west"),
    "List the pond, the mill and the school from west to east": (
        "order",
        ("pond", "mill", "school"),
        "west",
    ),
}


LENGTHS = {
    "Is the pond within 1 km of the school?": (1000, True, "km"),
    "Is the pond less than 1,500 metres away from the school?": (1500, True, "m"),
    "Does the pond lie closer than 2.5 km to the school?": (2500, True, "km"),
    "Are the pond and the school within 300 m of each other?": (300, True, "m"),
    "Are the pond and the school more than 2 miles apart?": (3218.688, False, "mi"),
    "Is the pond farther than 500 m from the school?": (500, False, "m"),
    "Is the pond at least 500 m from the school?": (500, False, "m"),
}


@pytest.mark.parametrize("question", LENGTHS)
def test_a_distance_that_two_places_are_to_be_within_or_beyond_is_read(question):
    parsed = parse_question(question)
    assert parsed is not None
    assert (parsed.kind, parsed.places) == ("within", POND)
    meters, is_within, unit = LENGTHS[question]
    assert (parsed.meters, parsed.is_most, parsed.unit) == (pytest.approx(meters), is_within, unit)


@pytest.mark.parametrize("question", SENTENCES)
def test_a_sentence_about_places_is_read(question):
    kind, places, *direction = SENTENCES[question]
    parsed = parse_question(question)
    assert parsed is not None
    assert (parsed.kind, parsed.places, parsed.direction) == (kind, places, *(direction or [""]))


OTHERS = (
    "How many trucks are north of the pond?",
    "Is there a road between the pond and the school?",
    "What lies between the pond and the school?",
    "Is the number of trucks at the depot larger than at the quarry?",
    "Is the plane at the camp red?",
    "Is the plane north of the hall red?",
    "Is the boat west of the pier damaged?",
    "How long does it take from the pond to the school?",
    "How far is the pond?",
    "Which is older, the pond or the mill?",
    "Is it north of the pond?",
    "Is the hall at the camp in a rural or urban area?",
    "What is the color of the truck north of the pond?",
    "What is the colour of the truck north of the pond?",
    "What is the area around the pond used for?",
    "How large is the number of boats?",
    "Is the camp directly north of the stadium?",
    "What is the size of the scene?",
    "How large is this image?",
    "Is the camp north of the camp?",
    "Is the truck at the depot parked moving or damaged?",
    "Which is larger?",
    "Is the pond larger?",
    "What is the status of the plane closest to the hall?",
    "How many hectares is it from the pond to the mill?",
    "How many meters large is the pond?",
    "What direction is the plane facing?",
    "Is the pond on the north side of the road?",
    "What is the shape of the hall north of the pond?",
    "Where is the pond?",
    "Is the pond north the school?",
    "Is the tower above of the pond?",
    "List the pond and the mill from north to east",
    "Wie weit ist der Teich von der Schule?",
    "",
)


@pytest.mark.parametrize("question", OTHERS)
def test_what_is_no_such_sentence_is_left_to_the_model(question):
    assert parse_question(question) is None


@pytest.mark.parametrize(
    ("british", "american"),
    [
        ("Is the harbour north of the camp?", "Is the harbour north of the camp?"),
        ("Is the pond further east than the mill?", "Is the pond farther east than the mill?"),
        (
            "What is the distance from the pond to the mill in kilometres?",
            "What is the distance from the pond to the mill in kilometers?",
        ),
        (
            "How many metres is the pond from the mill?",
            "How many meters is the pond from the mill?",
        ),
    ],
)
def test_both_spellings_ask_the_same(british, american):
    assert parse_question(british) == parse_question(american) is not None


@pytest.mark.parametrize(
    ("question", "unit"),
    [
        ("What is the area of the pond in hectares?", "ha"),
        ("What is the area of the pond in square miles?", "mi²"),
        ("How many miles apart are the pond and the mill?", "mi"),
        ("What is the length of the pier in feet?", "ft"),
        ("How many square kilometers large is the lake?", "km²"),
    ],
)
def test_the_unit_that_is_asked_for_is_read(question, unit):
    assert parse_question(question).unit == unit


def test_of_the_synthetic_questions_exactly_the_comparisons_of_sites_are_read():
    questions = ask_world(make_world(7, 16384, 16384), 8)
    read = {q.text for q in questions if parse_question(q.text)}
    assert read == {q.text for q in questions if len(q.places) == 2}
    assert read


@given(st.text(max_size=250))
def test_no_text_breaks_the_reader(text):
    parsed = parse_question(text)
    assert parsed is None or all(parsed.places)


@given(
    st.lists(st.sampled_from(["is", "the", "a", "of", "north", "and", "than", "x"]), max_size=60)
)
def test_words_of_the_grammar_in_any_order_do_not_break_the_reader(words):
    parse_question(" ".join(words))


def test_every_direction_of_the_router_has_a_vector():
    words = ["north", "south", "east", "west", "left", "right", "above", "below"]
    words += [
        f"{a}{gap}{b}"
        for a in ("north", "south")
        for gap in ("", "-", " ")
        for b in ("east", "west")
    ]
    for word in words:
        assert re.fullmatch(DIRECTION, word)
        assert plain_direction(word) in {**COMPASS, **PICTURE}


def test_every_word_for_a_size_is_one_that_the_router_knows():
    for stem in SIZES:
        assert re.fullmatch(COMPARATIVE, f"{stem}er")


@pytest.mark.parametrize(
    ("bearing", "word"),
    [
        (0, "north"),
        (22, "north"),
        (23, "northeast"),
        (90, "east"),
        (225, "southwest"),
        (337, "northwest"),
        (338, "north"),
        (359.9, "north"),
    ],
)
def test_a_bearing_has_the_name_of_the_nearest_direction(bearing, word):
    assert compass_word(bearing) == word


@pytest.mark.parametrize(
    ("words", "symbol"),
    [
        ("metres", "m"),
        ("Meter", "m"),
        ("sq. km", "km²"),
        ("m2", "m²"),
        ("km²", "km²"),
        ("square feet", "ft²"),
        ("nautical miles", "nmi"),
        ("ha", "ha"),
        ("acre", "acres"),
    ],
)
def test_a_unit_is_known_by_its_names(words, symbol):
    assert unit_called(words).symbol == symbol


def test_what_is_no_unit_is_none():
    assert unit_called("bananas") is None


def test_a_kind_takes_as_many_places_as_it_needs():
    with pytest.raises(QuestionError, match="between names 3 to 3 places"):
        PlaceQuestion("between", ("pond", "mill"))


@pytest.mark.parametrize(
    ("names", "message"),
    [(("", "pond"), "1 to 200 characters"), (("the pond", "Pond"), "needs two places")],
)
def test_a_distance_needs_two_names(names, message):
    with pytest.raises(QuestionError, match=message):
        distance_between(*names)


def test_names_given_apart_may_be_any_words():
    assert distance_between("the red roof", "what is it").places == ("red roof", "what is it")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("car park", True),
        ("big red pond", True),
        ("plane at the airport", False),
        ("airport", True),
        ("harbor", True),
        ("truck", False),
        ("quarries", True),
    ],
)
def test_what_has_an_extent_of_its_own_is_told_by_its_head(name, expected):
    assert is_area(name) is expected
