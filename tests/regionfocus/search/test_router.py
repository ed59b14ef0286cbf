"""The words of a question decide how closely, and at how many places, one has to look."""

import pytest

from geofovea.errors import ModelError, QuestionError
from geofovea.regionfocus.search.router import Route, route_question

NONE = (
    "Is this an urban or rural scene?",
    "How many airports are in the scene?",
    "What is the number of golf courses?",
    "What type of area is shown?",
    "Describe the picture.",
    "What is the dominant land cover?",
    "Is this area located in a rural or urban setting?",
    "What is the predominant surface in the scene?",
)
ONE = (
    "What is the color of the plane at the airport?",
    "How many trucks are at the quarry?",
    "What is the number of boats at the harbour?",
    "Is the tent at the solar farm parked moving or damaged?",
    "What category is the black object at the depot?",
    "Is the truck at the car park red?",
    "What is written on the roof?",
    "What is the surface under the plane at the rail yard?",
    # what is seen from above, asked of one place
    "Is the hall at the camp located in a rural or urban area?",
    "Is the area surrounding the stadium rural or urban?",
    "Does the top-most runway belong to a rural or urban area?",
    "What is the predominant color of the largest roof in the image?",
    # one thing with two qualities is not two things
    "Is the left-most and the largest runway in the image in an urban area?",
    "What is the function of the top-most and the smaller apron?",
)
SEVERAL = (
    ("Is the camp north of the stadium?", ("camp", "stadium")),
    ("Is the solar farm east of the power plant?", ("solar farm", "power plant")),
    ("Is the depot larger than the quarry?", ("depot", "quarry")),
    ("Which is wider, the river or the canal?", ("river", "canal")),
    ("What lies between the harbour and the airport?", ("harbour", "airport")),
    ("What lies between the forest and the river?", ("forest", "river")),
    ("How many ships are in the scene?", ()),
    ("What is the total number of vehicles?", ()),
    ("Are all the planes parked?", ()),
)


@pytest.mark.parametrize("question", NONE)
def test_what_is_seen_from_above_needs_no_closer_look(question):
    route = route_question(question)
    assert (route.word, route.places) == ("none", ())
    assert route.reason


@pytest.mark.parametrize("question", ONE)
def test_what_names_one_place_is_looked_at_there(question):
    assert route_question(question).word == "one"


@pytest.mark.parametrize(("question", "places"), SEVERAL)
def test_comparisons_and_counts_over_an_area_need_several_places(question, places):
    route = route_question(question)
    assert (route.word, route.places) == ("several", places)
    assert route.is_count is ("ships" in question or "total" in question)


@pytest.mark.parametrize("word", ["none", "one", "several"])
def test_a_demanded_route_is_obeyed(word):
    for question in (NONE[0], ONE[0], SEVERAL[0][0]):
        route = route_question(question, wanted=word, can_focus=False)
        assert (route.word, route.reason) == (word, "as demanded")
    assert route_question(SEVERAL[0][0], wanted="several").places == ("camp", "stadium")


def test_without_a_focus_there_is_nowhere_to_look():
    route = route_question(ONE[0], can_focus=False)
    assert (route.word, route.reason) == ("none", "the model cannot say where to look closer")


@pytest.mark.parametrize(("peak", "word"), [(1.0, "none"), (1.49, "none"), (1.51, "one")])
def test_flat_scores_count_where_words_decide_nothing(peak, word):
    assert route_question("What is wrong?", peak=lambda: peak).word == word


def test_scores_are_not_asked_for_where_words_decide():
    def never():
        raise AssertionError

    for question in (*NONE, ONE[0], SEVERAL[0][0]):
        route_question(question, peak=never)


def test_impossible_routes_are_refused():
    with pytest.raises(ModelError, match="choose one of auto, none"):
        route_question(ONE[0], wanted="two")
    for word, places in (("two", ()), ("one", ("camp", "stadium"))):
        with pytest.raises(QuestionError, match="a route is one of"):
            Route(word, "", places)
