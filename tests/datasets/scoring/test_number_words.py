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
        ("twenty-one", 21),
        ("ninety - nine", 99),
        ("nine hundred", 900),
        ("five-hundred", 500),
        ("one hundred and five", 105),
        ("one hundred five", 105),
        ("three hundred and twenty-one", 321),
        ("nine\thundred\nand ninety nine", 999),
        ("two three", None),
        ("two-three", None),
        ("two and three", None),
        ("two or three", None),
        ("2 or 3", None),
        ("three to four", None),
        ("twenty eleven", None),
        ("twenty zero", None),
        ("five twenty", None),
        ("one zero five", None),
        ("and two", None),
        ("two and", None),
        ("one hundred and", None),
        ("twenty and one", None),
        ("two hundred hundred", None),
        ("zero hundred", None),
        ("twenty hundred", None),
        ("a dozen", None),
        ("a hundred", None),
        ("two thousand", None),
        ("1.200", None),
        ("1,200", None),
        ("1 200", None),
        ("many", None),
        ("hundred", None),
        ("and", None),
        ("-", None),
        ("", None),
        ("two hundred ships", None),
        ("two ships", None),
    ],
)
def test_number_words_are_read_and_others_are_not(words, number):
    assert number_of(words) == number


def test_every_number_that_words_say_is_read():
    units = ["", *["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]]
    teens = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
    tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    below = [*units, *teens.split(), *(f"{ten} {unit}".strip() for ten in tens for unit in units)]
    spoken = [*below, *(f"{unit} hundred {rest}".strip() for unit in units[1:] for rest in below)]
    assert [number_of(words) for words in spoken[1:]] == list(range(1, 1000))


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
    ["none at all", "", "3.5", "1.200", "two thousand", "a hundred and five", "5 million",
     "a dozen, or 13", "9" * 5000],
)  # fmt: skip
def test_what_is_not_understood_is_no_smaller_number(text):
    assert number_in(text) is None
