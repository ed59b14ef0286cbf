"""Questions that compare by a number, or all pairs of their places: what is read, and answered."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import Affine

from geofovea.pipeline.answers.measurement import LocatedPlace
from geofovea.pipeline.relations.choosing import choose
from geofovea.pipeline.relations.compute import compute
from geofovea.pipeline.relations.grammar import parse_question
from geofovea.tiling.opening import open_scene

TWO = ("pond", "mill")
THREE = ("pond", "mill", "school")

# (kind, places), and what else is asked: a unit, a direction or a measure; "less" for the smaller
QUESTIONS = {
    "Is the pond about twice as large as the mill?": ("equal", TWO, "area", 2.0),
    "Is the pond half the size of the mill?": ("equal", TWO, "area", 0.5),
    "Does the pond cover three times the area of the mill?": ("equal", TWO, "area", 3.0),
    "Is the pond two and a half times as long as the mill?": ("equal", TWO, "length", 2.5),
    "Is the pond twice as small as the mill?": ("equal", TWO, "area", 0.5),
    "Is the pond at least twice as large as the mill?": ("larger", TWO, "area", 2.0),
    "Is the pond twice as far from the school as the mill?": (
        "equal",
        THREE,
        "distance",
        2.0,
    ),
    "How large are the pond and the mill?": ("sizes", TWO, "area"),
    "What are the lengths of the pond, the mill and the school in km?": (
        "sizes",
        THREE,
        "length",
        "km",
    ),
    "Which of the mill and the school is north of the pond?": ("which toward", THREE, "north"),
    "Which is west of the pond, the mill or the school?": ("which toward", THREE, "west"),
    "How many meters apart are the edges of the pond and the mill?": ("gap", TWO, "m"),
    "How far east of the mill is the pond?": ("offset", TWO, "east"),
    "How far to the south is the pond of the mill?": ("offset", TWO, "south"),
    "How far is the pond north of the mill in km?": ("offset", TWO, "north", "km"),
    "How many meters west of the mill does the pond lie?": ("offset", TWO, "west", "m"),
    "How much farther north is the pond than the mill?": ("offset", TWO, "north"),
    "How many miles further east is the pond than the mill is?": ("offset", TWO, "east", "mi"),
    "Is the pond north or south of the mill?": ("side", TWO, "north"),
    "Does the pond lie to the east or to the west of the mill?": ("side", TWO, "east"),
    "Is the pond left or right of the mill?": ("side", TWO, "left"),
    "How far apart are the nearest edges of the pond and the mill?": ("gap", TWO),
    "What is the gap between the pond and the mill in feet?": ("gap", TWO, "ft"),
    "How far is the edge of the pond from the edge of the mill?": ("gap", TWO),
    "How much larger is the pond than the mill?": ("difference", TWO, "area"),
    "By how many hectares is the pond smaller than the mill?": (
        "difference",
        TWO,
        "area",
        "ha",
        "less",
    ),
    "How much longer is the pond than the mill?": ("difference", TWO, "length"),
    "How much more land does the pond cover than the mill?": ("difference", TWO, "area"),
    "What is the difference in area between the pond and the mill?": ("difference", TWO, "area"),
    "Is the pond larger or smaller than the mill?": ("difference", TWO, "area"),
    "How much closer is the pond to the school than the mill?": (
        "difference",
        THREE,
        "distance",
        "less",
    ),
    "How much farther is the school from the pond than from the mill?": (
        "difference",
        THREE,
        "distance",
    ),
    "How many times larger is the pond than the mill?": ("ratio", TWO, "area"),
    "How many times as large as the mill is the pond?": ("ratio", TWO, "area"),
    "How many times smaller is the mill than the pond?": ("ratio", TWO, "area"),
    "Is the pond as large as the mill?": ("equal", TWO, "area"),
    "Are the pond and the mill the same length?": ("equal", TWO, "length"),
    "Is the school as far from the pond as from the mill?": ("equal", THREE, "distance"),
    "Is the pond as far from the school as the mill is?": ("equal", THREE, "distance"),
    "Is the school equally far from the pond and the mill?": ("equal", THREE, "distance"),
    "Is the pond larger than 5 hectares?": ("exceeds", ("pond",), "area", "ha"),
    "Is the pond less than 1,200 m long?": ("exceeds", ("pond",), "length", "m", "less"),
    "Does the pond cover more than 2 square kilometers?": ("exceeds", ("pond",), "area", "km²"),
    "What is the combined area of the pond and the mill?": ("total", TWO, "area"),
    "How large are the pond and the mill together?": ("total", TWO, "area"),
    "What is the area of the pond and the mill in total, in hectares?": (
        "total",
        TWO,
        "area",
        "ha",
    ),
    "Sort the pond, the mill and the school by size": ("ranking", THREE, "area"),
    "List the pond, the mill and the school from smallest to largest": (
        "ranking",
        THREE,
        "area",
        "less",
    ),
    "Order the mill and the school by distance from the pond": (
        "ranking",
        THREE,
        "distance",
        "less",
    ),
    "How far apart are the pond, the mill and the school?": ("apart", THREE),
    "What are the distances between the pond, the mill and the school?": ("apart", THREE),
    "How far is the pond from the mill and from the school?": ("distances", THREE),
    "Which two of the pond, the mill and the school are closest to each other?": ("pair", THREE),
    "Which two of the pond, the mill and the school are farthest apart?": ("pair", THREE, "less"),
    "Which of the pond, the mill and the school lies between the other two?": ("middle", THREE),
    "Which lies between the pond and the mill: the school or the camp?": (
        "which between",
        (*TWO, "school", "camp"),
    ),
    "Is the distance between the pond and the mill more than 2 km?": ("within", TWO, "km", "less"),
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Half a meter to a pixel, north at the top."""
    path = tmp_path_factory.mktemp("scenes") / "scene.tif"
    where = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)}
    with rasterio.open(
        path, "w", driver="GTiff", width=2048, height=2048, count=1, dtype="uint8", **where
    ) as file:
        file.write(np.ones((1, 2048, 2048), np.uint8))
    return open_scene(path)


def place(label, x, y, width=100.0, height=100.0, token=4.0, score=1.0):
    shape = shapely.box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return LocatedPlace(label, shape, 0, token, score)


# 50 m x 50 m, 100 m x 100 m, 50 m x 200 m; the school lies halfway on the line
PLACES = {
    "pond": place("pond", 200, 1000),
    "mill": place("mill", 1800, 1200, 200, 200),
    "school": place("school", 1000, 1100, 100, 400),
    "camp": place("camp", 1000, 1900),
    "farm": place("farm", 4200, 1000, 600, 600),
}

# what is asked, the whole answer or a word at its end, and the first number in meters or a count
ANSWERS = {
    "How far east of the pond is the mill?": ("east", 800.0),
    "How far west of the pond is the mill?": ("east", -800.0),
    "How far south of the pond is the mill?": ("south", 100.0),
    "How far west of the pond is the farm?": ("km east", -2.0),
    "How much smaller is the farm than the pond?": ("ha larger", -8.75),
    "Is the mill north or south of the pond?": ("south", None),
    "Is the mill left or right of the pond?": ("right", None),
    "How far apart are the edges of the pond and the mill?": ("m", 725.8),
    "How much larger is the mill than the pond?": ("larger", 7500.0),
    "How much smaller is the mill than the pond?": ("larger", -7500.0),
    "How much smaller is the pond than the mill?": ("smaller", 7500.0),
    "How much closer is the school to the pond than the mill?": ("closer", 403.1),
    "How many times as large as the pond is the mill?": ("times", 4.0),
    "How many times smaller is the pond than the mill?": ("times", 4.0),
    "Is the school as far from the pond as from the mill?": ("yes", None),
    "Is the camp as far from the school as from the mill?": ("no", None),
    "Is the school as large as the mill?": ("yes", None),
    "Is the school as wide as the mill?": ("no", None),
    "Is the mill larger than 0.5 hectares?": ("yes", None),
    "Is the mill larger than half a hectare?": ("yes", None),
    "Is the mill four times as large as the pond?": ("yes", None),
    "Is the mill twice as large as the pond?": ("no", None),
    "Is the mill at least twice as large as the pond?": ("yes", None),
    "Is the school at least twice as large as the mill?": ("no", None),
    "Is the mill twice as far from the pond as the school?": ("yes", None),
    "How large are the pond and the mill in m2?": ("m²", None),
    "Which of the pond and the school is north of the camp?": ("pond and school", None),
    "Which of the pond and the camp is east of the mill?": ("none of them", None),
    "Is the mill smaller than 0.5 hectares?": ("no", None),
    "Is the mill less than 200 m long?": ("yes", None),
    "What is the combined area of the pond and the mill in m2?": ("m²", 12500.0),
    "Sort the mill, the school and the camp by distance from the pond": (
        "school, camp, mill",
        None,
    ),
    "Sort the pond and the mill from largest to smallest": ("mill, pond", None),
    "Which two of the pond, the mill and the camp are farthest apart?": ("pond and mill", None),
    "Which of the pond, the mill and the school lies between the other two?": ("school", None),
    "Which is between the pond and the mill: the school or the camp?": ("school", None),
    "Which of the pond, the school and the camp lies between the other two?": (
        "none of them",
        None,
    ),
}


def answered(scene, question):
    parsed = parse_question(question)
    return compute(parsed, question, [PLACES[name] for name in parsed.places], scene)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_comparison_by_a_number_is_read(question):
    kind, places, *details = QUESTIONS[question]
    parsed = parse_question(question)
    assert parsed is not None
    assert (parsed.kind, parsed.places) == (kind, places)
    said = {parsed.direction, parsed.measure, parsed.unit} - {""}
    said |= {parsed.times} - {1.0}
    assert said | ({"less"} if not parsed.is_most else set()) == set(details)


@pytest.mark.parametrize("question", ANSWERS)
def test_a_comparison_is_answered_by_where_the_places_lie(scene, question):
    text, value = ANSWERS[question]
    measured = answered(scene, question)
    assert measured.text.endswith(text)
    if value is not None:
        assert measured.quantities[0].value == pytest.approx(value, rel=2e-3)
        shown = float(measured.text.split(" ")[0].replace(",", ""))
        assert shown == pytest.approx(abs(value), rel=0.02)


def test_all_pairs_of_three_places_have_their_distances(scene):
    measured = answered(scene, "How far apart are the pond, the mill and the school?")
    values = {number.name: number.value for number in measured.quantities}
    assert values == pytest.approx(
        {"pond and mill": 806.2, "pond and school": 403.1, "mill and school": 403.1}, rel=2e-3
    )
    assert len(measured.lines) == 3
    measured = answered(scene, "How far is the pond from the mill and from the school in km?")
    assert [number.unit for number in measured.quantities] == ["km", "km"]


def test_a_difference_within_its_error_says_that_it_may_be_the_other_way_round(scene):
    pond, mill = place("pond", 200, 1000), place("mill", 1800, 1001, 102, 100)
    for question in (
        "How far north of the mill is the pond?",
        "How much larger is the mill than the pond?",
    ):
        parsed = parse_question(question)
        places = [{"pond": pond, "mill": mill}[name] for name in parsed.places]
        assert "other way round" in " ".join(compute(parsed, question, places, scene).warnings)
    assert not answered(scene, "How much larger is the mill than the pond?").warnings


def test_a_gap_is_known_less_well_than_the_way_between_centers(scene):
    question = "What is the gap between the pond and the mill?"
    gap, distance = answered(scene, question).quantities
    assert gap.error > 2 * distance.error
    moved = replace(PLACES["pond"], drift=40.0)
    parsed = parse_question(question)
    gap, distance = compute(parsed, question, [moved, PLACES["mill"]], scene).quantities
    # where a place is not known, its edges are not either
    assert gap.error > distance.error > 20


def test_a_comparison_picks_a_choice_and_none_that_says_the_opposite(scene):
    farther = answered(scene, "How far east of the pond is the mill?")
    assert choose(farther, ["100 m", "800 m", "2 km"]) == 1
    wrong = answered(scene, "How far west of the pond is the mill?")
    assert choose(wrong, ["100 m", "800 m", "2 km"]) is None
    side = answered(scene, "Is the mill north or south of the pond?")
    assert choose(side, ["It is north", "It is south"]) == 1
    pair = answered(scene, "Which two of the pond, the mill and the camp are farthest apart?")
    choices = ["the pond and the camp", "the mill and the pond", "the mill and the camp"]
    assert choose(pair, choices) == 1
    order = answered(scene, "Sort the mill, the school and the camp by distance from the pond")
    assert choose(order, ["mill, school, camp", "school, camp, mill"]) == 1
