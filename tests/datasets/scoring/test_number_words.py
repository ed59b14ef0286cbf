"""Whole numbers in digits and words, alone and inside of what a model says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofovea.datasets.scoring.number_words import number_in, number_of


@given(st.integers(-(10**15), 10**15))
def test_digits_are_their_number(number):
    assert number_of(str(number)) == number


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("zero", 0),
        ("nineteen", 19),
        ("forty two", 42),
        ("nine hundred", 900),
        ("many", None),
        ("hundred", None),
        ("", None),
        ("two hundred ships", None),
        ("two ships", None),
    ],
)
def test_number_words_are_read_and_others_are_not(words, number):
    assert number_of(words) == number


@given(st.integers(0, 10**15), st.sampled_from(["{}", "{:,}", "There are {:,} ships.", "{}.0"]))
def test_the_number_of_a_sentence_is_read_with_and_without_commas(number, form):
    assert number_in(form.format(number)) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("There are 12 ships.", 12),
        ("1,200, and a few more", 1200),
        ("1, 2 or 3", 1),
        ("Seven", 7),
        ("a total of twenty-one", 21),
        ("forty two of them", 42),
        ("between two and three", 2),
        ("Two hundred and five trucks", 205),
        ("nine hundred", 900),
        ("someone counted eight", 8),
    ],
)
def test_the_first_number_of_a_text_is_read_whole(text, number):
    assert number_in(text) == number


@pytest.mark.parametrize(
    "text",
    ["none at all", "", "3.5", "two thousand", "a hundred and five", "5 million", "a dozen, or 13",
     "9" * 5000],
)  # fmt: skip
def test_what_is_not_understood_is_no_smaller_number(text):
    assert number_in(text) is None
