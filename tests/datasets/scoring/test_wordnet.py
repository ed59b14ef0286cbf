"""The dictionary in the package knows WordNet 3.0 and undoes inflections as nltk does."""

import runpy

import pytest
from repository import ROOT

from geofovea.datasets.scoring.wordnet import NltkWordNet, synonyms
from geofovea.errors import DataError, MissingExtraError

TOOL = ROOT / "tools" / "make_synonym_table.py"
SAME = (
    ("parked", "parking"),
    ("grey", "gray"),
    ("2", "two"),
    ("two", "ii"),
    ("tree", "trees"),
    ("no", "nobelium"),
    ("red", "ruby"),
    ("building", "construction"),
    ("1", "i"),
    ("5", "v"),
    ("mice", "mouse"),
    ("paintings", "painted"),
)
DIFFERENT = (
    ("rectangular", "rectangle"),
    ("circular", "circle"),
    ("empty", "vacant"),
    ("docked", "moored"),
    ("street", "road"),
    ("ship", "boat"),
    ("urban", "urban."),
    ("parking lot", "car park"),
)


@pytest.fixture(scope="module")
def table():
    return synonyms("table")


@pytest.mark.parametrize(("one", "two"), SAME)
def test_words_of_one_meaning_share_a_synset(table, one, two):
    assert table.meanings(one) & table.meanings(two)


@pytest.mark.parametrize(("one", "two"), DIFFERENT)
def test_near_misses_of_the_published_rule_share_none(table, one, two):
    assert not table.meanings(one) & table.meanings(two)


def test_a_phrase_is_known_by_underscores_only(table):
    assert table.meanings("parking_lot") & table.meanings("car_park")
    assert not table.meanings("parking lot")


def test_derived_forms_cross_parts_of_speech(table):
    assert "rectangular" in table.derived("rectangle")
    assert table.derived("circular") & table.derived("circle")


def test_one_part_of_speech_can_be_asked_for(table):
    verbs, nouns = table.meanings("park", "v"), table.meanings("park", "n")
    assert verbs
    assert nouns
    assert not verbs & nouns
    assert verbs | nouns == table.meanings("park")


def test_the_notice_of_princeton_travels_along(table):
    assert "Copyright 2006 by Princeton University" in table.license


def test_without_a_dictionary_no_word_has_a_meaning():
    assert not synonyms("none").meanings("grey")
    assert not synonyms("none").derived("grey")


def test_an_unknown_source_of_synonyms_is_refused():
    with pytest.raises(DataError, match="unknown source of synonyms 'roget': table, nltk, none"):
        synonyms("roget")


def test_the_dictionary_of_nltk_agrees_where_it_is_installed(table):
    try:
        other = NltkWordNet()
    except (MissingExtraError, DataError) as error:
        pytest.skip(str(error))
    for one, two in SAME[:-1] + DIFFERENT:
        ours = bool(table.meanings(one) & table.meanings(two))
        assert ours == bool(other.meanings(one) & other.meanings(two)), (one, two)


NOTICE = "  1 This software is provided to you by Princeton.\n"
DATA = {
    "noun": [
        "00000101 06 n 02 Boat 0 barge 1 001 + 00000501 v 0102 | a thing that floats",
        "00000202 06 n 01 mouse 0 000 | a small animal",
    ],
    "verb": ["00000501 38 v 02 sail 0 boat 0 001 + 00000101 n 0201 01 + 08 00 | to go"],
    "adj": ["00000701 00 s 01 floating(p) 0 000 | not sinking"],
    "adv": ["00000801 02 r 01 afloat 0 000 | on water"],
}
INDEX = {
    "noun": ["barge n 1 1 + 1 0 00000101", "boat n 1 1 + 1 0 00000101", "mouse n 1 0 1 0 00000202"],
    "verb": ["boat v 1 1 + 1 0 00000501", "sail v 1 1 + 1 0 00000501"],
    "adj": ["floating a 1 0 1 0 00000701"],
    "adv": ["afloat r 1 0 1 0 00000801"],
}


def test_the_tool_reads_the_file_formats_of_wordnet(tmp_path):
    for part in DATA:
        (tmp_path / f"data.{part}").write_text(NOTICE + "\n".join(DATA[part]) + "\n")
        (tmp_path / f"index.{part}").write_text(NOTICE + "\n".join(INDEX[part]) + "\n")
        (tmp_path / f"{part}.exc").write_text("mice mouse\n" if part == "noun" else "")
    made = runpy.run_path(str(TOOL))["make_table"](tmp_path)
    assert made["senses"] == {
        "n": {"barge": [0], "boat": [0], "mouse": [1]},
        "v": {"boat": [2], "sail": [2]},
        "a": {"floating": [3]},
        "r": {"afloat": [4]},
    }
    # the first word of the noun leads to the second of the verb, and the second back to the first
    assert made["derived"] == {0: "boat", 2: "boat"}
    assert made["exceptions"]["n"] == {"mice": ["mouse"]}
    assert made["licence"] == "This software is provided to you by Princeton."
