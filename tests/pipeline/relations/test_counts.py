"""Which sentences ask how many there are at one place, and which do not."""

import pytest

from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.relations.counts import parse_part_count, parse_place_count

SENTENCES = {
    "How many trucks are at the airport?": "truck",
    "how many red trucks are there in the rail yard": "red truck",
    "How many boats can be seen inside the harbor?": "boat",
    "What is the number of helicopters at the camp?": "helicopter",
    "Give the total number of tents within that vineyard.": "tent",
    "The count of planes on the runway": "plane",
    "Count the tanks in the depot.": "tank",
    "count all of the churches in the town": "church",
    "Number of boats at the car park": "boat",
    "Please tell me the number of tents at the camp": "tent",
    "Can you tell me how many trucks are at the depot in this image?": "truck",
    "How many storage tanks lie at the power plant 2?": "storage tank",
}

# what is counted, and in which part of the scene
IN_A_PART = {
    "How many trucks are there in the northern half of the scene?": ("truck", ("north",)),
    "How many red trucks can be seen in the left half of the image?": ("red truck", ("left",)),
    "Number of tents in the upper half": ("tent", ("above",)),
    "Count the planes in the eastern part of the scene": ("plane", ("east",)),
    "In the western half of the image, how many tanks are there?": ("tank", ("west",)),
    "What is the number of helicopters in the north?": ("helicopter", ("north",)),
    "How many trucks are in the bottom right quarter?": ("truck", ("below", "right")),
    "How many trucks are in the northern half of the depot?": None,
    "How many trucks are east of the river?": None,
    "How many percent of the trucks are in the north?": None,
    "How many people are in the north?": None,
    "How many planes park in the north?": None,
    "How many gas tanks sit in the north?": ("gas tank", ("north",)),
    "Total number of planes that can be found in the north": None,
    "Total number of planes in the north": ("plane", ("north",)),
    "How many planes are located in the north?": ("plane", ("north",)),
    "Can you see a plane in the north?": ("plane", ("north",)),
    "How many of the trucks are in the north?": None,
    "How many trucks are in the scene?": None,
}

OTHERS = (
    "How many trucks are there?",
    "How many trucks are in the scene?",
    "How many trucks are in this image?",
    "How many trucks are at the airport and the harbor?",
    "How many trucks and boats are at the harbor?",
    "How many trucks are north of the airport?",
    "How many trucks are at the north side of the airport?",
    "How many more trucks are at the airport than at the depot?",
    "How many percent of the roofs are in the village?",
    "How many meters are within the runway?",
    "How many lanes are on the highway?",
    "How many people are at the stadium?",
    "How many kinds of ships are in the harbor?",
    "How many colors are at the depot?",
    "How many trucks are at the depot that burned down?",
    "How many planes were at the airport last year?",
    "How many of the trucks are at the depot?",
    "What is the number of the house at the road?",
    "Are two trucks at the airport?",
    "How many trucks fit in the depot?",
    "what is the count at the airport",
    "How many " + "very " * 50 + "old trucks are at the depot?",
)


@pytest.mark.parametrize(("question", "thing"), SENTENCES.items())
def test_a_question_for_a_number_at_a_place_names_what_is_counted(question, thing):
    assert parse_place_count(question) == thing


@pytest.mark.parametrize("question", OTHERS)
def test_what_asks_for_anything_else_is_left_to_the_model(question):
    assert parse_place_count(question) is None


def test_of_the_questions_of_the_synthetic_world_those_for_counts_alone_are_counted():
    for question in ask_world(make_world(5, 4096, 4096), per_category=6):
        is_counted = parse_place_count(question.text) is not None
        assert is_counted == (question.category == "count"), question.text


@pytest.mark.parametrize(("question", "expected"), IN_A_PART.items())
def test_a_number_in_a_half_or_a_quarter_of_the_scene_is_asked_for_as_such(question, expected):
    parsed = parse_part_count(question)
    assert (parsed and (parsed.thing, parsed.part.directions)) == expected
    assert parse_place_count(question) is None
