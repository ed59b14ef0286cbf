"""Which of several things a question means, on places that are made up."""

import numpy as np
import pytest
import shapely

from geofovea.pipeline.answers.measurement import LocatedPlace
from geofovea.pipeline.places.candidates import choose_things, several_text
from geofovea.pipeline.relations.grammar import parse_question
from geofovea.pipeline.relations.place_question import NamedThing, ThingQuestion
from geofovea.pipeline.relations.plane import Plane
from geofovea.tiling.arrays.scene import open_array


@pytest.fixture
def plane():
    return Plane.of(open_array(np.zeros((64, 2000, 3), np.uint8)), [])


def at(x, label, score=0.9):
    return LocatedPlace(label, shapely.box(x - 8, 20, x + 8, 36), 0, 8.0, score)


DEPOT = [at(1000, "depot")]
NEAR, FAR, SURE = at(1300, "plane", 0.7), at(100, "plane"), at(1900, "plane", 0.99)


@pytest.mark.parametrize(
    ("question", "chosen"),
    [
        ("How far is the plane from the depot?", NEAR),
        ("Is the plane within 500 m of the depot?", NEAR),
        ("Is the plane east of the depot?", SURE),
        ("How large is the plane?", SURE),
    ],
)
def test_of_several_things_the_nearest_is_measured_where_it_goes_by_distance(
    plane, question, chosen
):
    parsed = parse_question(question)
    by_name = {"depot": DEPOT, "plane": [FAR, NEAR, SURE]}
    places = choose_things(parsed, [by_name[name] for name in parsed.places], plane)
    assert places[parsed.places.index("plane")] is chosen


def test_each_class_is_represented_by_what_is_nearest_to_the_reference(plane):
    parsed = parse_question("Which is nearest to the depot: a plane or a truck?")
    trucks = [at(1200, "truck"), at(300, "truck", 0.99)]
    by_name = {"depot": DEPOT, "plane": [FAR, NEAR, SURE], "truck": trucks}
    places = choose_things(parsed, [by_name[name] for name in parsed.places], plane)
    assert places == (DEPOT[0], NEAR, trucks[0])


def test_two_classes_are_measured_where_they_are_nearest_to_each_other(plane):
    parsed = parse_question("How far is the plane from the truck?")
    trucks = [at(300, "truck"), at(1850, "truck")]
    assert choose_things(parsed, [[FAR, NEAR, SURE], trucks], plane) == (SURE, trucks[1])


def test_a_thing_that_was_not_found_is_none_and_hides_no_other(plane):
    parsed = parse_question("How far is the plane from the depot?")
    assert choose_things(parsed, [[], DEPOT], plane) == (None, DEPOT[0])


def test_that_there_are_several_is_told_with_what_was_measured():
    parsed = parse_question("How far is the plane from the depot?")
    told = several_text(parsed, "plane", NEAR, [FAR, NEAR, SURE])
    assert told == (
        "3 places may be the plane: measured was the nearest, at x 1300, y 28; others are at "
        "x 100, y 28; x 1900, y 28"
    )
    assert several_text(parsed, "plane", NEAR, [NEAR]) == ""


def test_a_name_is_the_thing_and_the_place_at_which_alone_it_counts():
    assert NamedThing.called("red truck at the depot") == NamedThing(
        "red truck at the depot", "red truck", "depot"
    )
    assert NamedThing.called("truck").place == ""
    parsed = parse_question("How far is the truck at the depot from the camp?")
    things = tuple(NamedThing.called(name) for name in parsed.places if "truck" in name)
    assert ThingQuestion(parsed, things).sites == ("camp", "depot")
