"""Which sentences compare all places of a class, and which do not."""

import pytest

from geofovea.datasets.synthetic.earth.making import make_earth
from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import QuestionError
from geofovea.pipeline.relations.grammar import parse_question
from geofovea.pipeline.relations.superlatives import Superlative, parse_superlative

# what is asked, and (thing, measure, direction, reference, most of it, how many)
SENTENCES = {
    "Which is the largest lake?": ("lake", "area", "", "", True, 1),
    "what is the biggest field in the scene": ("field", "area", "", "", True, 1),
    "Where is the smallest red truck?": ("red truck", "area", "", "", False, 1),
    "the northernmost truck": ("truck", "direction", "north", "", True, 1),
    "The two largest fields": ("field", "area", "", "", True, 2),
    "which are the three longest runways?": ("runway", "length", "", "", True, 3),
    "Find the widest pier.": ("pier", "width", "", "", True, 1),
    "Show me the narrowest bridge": ("bridge", "width", "", "", False, 1),
    "closest truck to the harbor": ("truck", "distance", "", "harbor", False, 1),
    "Which truck is closest to the harbour?": ("truck", "distance", "", "harbour", False, 1),
    "which truck is nearest the harbor": ("truck", "distance", "", "harbor", False, 1),
    "Which of the trucks is farthest from the red roof?": (
        "truck",
        "distance",
        "",
        "red roof",
        True,
        1,
    ),
    "Which two churches are nearest to the school?": ("church", "distance", "", "school", False, 2),
    "which trucks are the two closest to the camp": ("truck", "distance", "", "camp", False, 2),
    "Which truck is farthest north?": ("truck", "direction", "north", "", True, 1),
    "Which is the furthest south boat?": ("boat", "direction", "south", "", True, 1),
    "Where is the most westerly tent?": ("tent", "direction", "west", "", True, 1),
    "the left-most plane": ("plane", "direction", "left", "", True, 1),
    "Where is the south-easternmost house?": ("house", "direction", "southeast", "", True, 1),
    "Which lake is the largest in this image?": ("lake", "area", "", "", True, 1),
}

# what is asked, and (thing, measure, direction, reference), and where in the scene
IN_A_PART = {
    "What is the largest lake in the north?": (("lake", "area", "", ""), ("north",)),
    "the biggest building in the south-east": (("building", "area", "", ""), ("southeast",)),
    "Find the longest runway in the western part of the image": (
        ("runway", "length", "", ""),
        ("west",),
    ),
    "In the northern half, which lake is the largest?": (("lake", "area", "", ""), ("north",)),
    "Which truck in the north is the largest?": (("truck", "area", "", ""), ("north",)),
    "the largest tank on the left side of the image": (("tank", "area", "", ""), ("left",)),
    "Which is the northernmost truck in the eastern half?": (
        ("truck", "direction", "north", ""),
        ("east",),
    ),
    "the truck closest to the harbor in the southern half": (
        ("truck", "distance", "", "harbor"),
        ("south",),
    ),
    "the narrowest bridge in the lower right quadrant": (
        ("bridge", "width", "", ""),
        ("below", "right"),
    ),
}

OTHERS = (
    "largest lake in the north of Germany",
    "the largest boat in the northern half of the harbour",
    "the largest truck near the north",
    "the largest lake in the north corner",
    "What color is the largest lake in the north?",
    "Is the largest lake in the north?",
    "Which is the largest, the lake or the pond?",
    "Which of the pond, the lake and the sea is the largest?",
    "Which is closer to the school, the pond or the mill?",
    "What is the color of the largest lake?",
    "How many of the largest trucks are there?",
    "Is the largest lake north of the camp?",
    "Is the truck the northernmost?",
    "Which are the largest lakes?",
    "What is the shortest route to the harbor?",
    "What is the longest side of the pond?",
    "What is the largest object?",
    "What is the most common vehicle?",
    "What is the smallest number of trucks?",
    "the northern truck",
    "Which truck is north?",
    "the closest truck",
    "the truck nearest me",
    "Which truck is closest to the edge?",
    "What is the largest area of water?",
    "Which is the largest ship in the harbor?",
    "Which is the longest river in Germany?",
    "What is the nearest place to the school?",
    "Which building is the tallest?",
    "the newest truck",
    "which one is the largest",
    "largest",
    "",
    "the largest " + "very " * 50 + "large lake",
)


@pytest.mark.parametrize("question", SENTENCES)
def test_a_superlative_is_understood(question):
    parsed = parse_superlative(question)
    assert parsed is not None
    assert (
        parsed.thing,
        parsed.measure,
        parsed.direction,
        parsed.reference,
        parsed.is_most,
        parsed.count,
    ) == SENTENCES[question]
    # no sentence is of both grammars
    assert parse_question(question) is None


@pytest.mark.parametrize(("question", "expected"), IN_A_PART.items())
def test_a_superlative_may_name_a_half_or_a_quarter_of_the_scene(question, expected):
    parsed = parse_superlative(question)
    asked = (parsed.thing, parsed.measure, parsed.direction, parsed.reference)
    assert (asked, parsed.part.directions) == expected


@pytest.mark.parametrize("question", OTHERS)
def test_what_compares_no_class_is_left_alone(question):
    assert parse_superlative(question) is None


@pytest.mark.parametrize("make", [make_world, make_earth])
def test_no_question_of_the_synthetic_world_is_taken_for_a_superlative(make):
    questions = ask_world(make(7, 8192, 8192), 12)
    assert len(questions) > 50
    assert not [q.text for q in questions if parse_superlative(q.text)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"measure": "direction"},
        {"measure": "area", "direction": "north"},
        {"measure": "distance"},
        {"measure": "area", "reference": "camp"},
        {"measure": "area", "count": 0},
    ],
)
def test_an_impossible_superlative_is_refused(wrong):
    with pytest.raises(QuestionError):
        Superlative("the words", "truck", **wrong)
