"""Questions as the grammars read them: amounts in digits, and those that are no numbers."""

import pytest

from geofovea.pipeline.relations.counts import parse_area_phrase, parse_part_count
from geofovea.pipeline.relations.grammar import parse_question
from geofovea.pipeline.relations.wording import plain_question, vague_amount


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("half a kilometer", "0.5 kilometer"),
        ("a half mile", "0.5 mile"),
        ("½ mile", "0.5 mile"),
        ("a quarter of a mile", "0.25 mile"),
        ("three quarters of a mile", "0.75 mile"),
        ("one and a half kilometers", "1.5 kilometers"),
        ("1 and a half kilometers", "1.5 kilometers"),
        ("1 1/2 miles", "1.5 miles"),
        ("a mile and a half", "1.5 mile"),
        ("a hundred meters", "100 meters"),
        ("two hundred and fifty meters", "250 meters"),
        ("a thousand feet", "1000 feet"),
        ("a kilometer", "1 kilometer"),
        ("about 500 m", "500 m"),
        ("roughly half a kilometre", "0.5 kilometre"),
        ("five square kilometers", "5 square kilometers"),
    ],
)
def test_an_amount_in_words_is_read_in_digits(words, digits):
    assert (
        plain_question(f"Is it within {words} of the camp?") == f"is it within {digits} of the camp"
    )


@pytest.mark.parametrize(
    "text",
    [
        "is a yard north of the pond",
        "is the pond half the size of the mill",
        "how far is a foot bridge from a mill",
        "which of these two ponds is the largest",
        "is the pond within half an hour of the mill",
    ],
)
def test_words_that_are_no_amount_stay(text):
    assert plain_question(text) == text


def test_a_distance_in_words_bounds_places_and_areas():
    for words, meters in (("half a kilometer", 500), ("a quarter of a mile", 402.336)):
        parsed = parse_question(f"Is the pond within {words} of the mill?")
        assert (parsed.kind, parsed.meters) == ("within", pytest.approx(meters))
        counted = parse_part_count(f"Is there a truck within {words} of the depot?")
        assert counted.part.meters == pytest.approx(meters)
        phrase = parse_area_phrase(f"trucks within {words} of the depot")
        assert phrase.part.meters == pytest.approx(meters)


def test_an_amount_that_is_no_number_is_named_and_bounds_nothing():
    for words in ("a few hundred meters", "several miles", "a couple of kilometers"):
        question = f"Is the pond within {words} of the mill?"
        assert vague_amount(question) == words
        assert parse_question(question) is None
    for question in ("Are there several trucks?", "Is the pond within 300 m of some mill?"):
        assert vague_amount(question) is None


def test_an_area_with_its_unit_is_no_name_of_a_place():
    for words in ("1600 m2", "1600m2", "2 km²"):
        assert parse_question(f"Is the pond larger than {words}?").kind == "exceeds"
