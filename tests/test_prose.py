"""What reads our prose finds British spellings and house words, and leaves names alone."""

import pytest
from check_prose import Proselint, house_faults, spelling_faults
from prose_fixes import american_markdown, american_python
from prose_texts import Text, help_texts, markdown_texts, without_code
from prose_words import AMERICAN, american

MODULE = '''"""Colours of a ``colour`` map."""

COLOUR = "true-colour"  # the grey one


def centre(neighbours, name):
    """Find the centre.

    Args:
        neighbours: Neighbours of it.
        name: Its name.
    """
    raise ValueError(f"the colour {neighbours.colour} of {name} is no colour")
'''
AMERICAN_MODULE = '''"""Colors of a ``colour`` map."""

COLOUR = "true-colour"  # the gray one


def centre(neighbours, name):
    """Find the center.

    Args:
        neighbours: Neighbors of it.
        name: Its name.
    """
    raise ValueError(f"the color {neighbours.colour} of {name} is no color")
'''


def page(words):
    return Text("page.md", without_code(words), True)


def test_a_module_is_rewritten_and_its_names_stay():
    assert american_python(MODULE) == AMERICAN_MODULE
    assert american_python(AMERICAN_MODULE) == AMERICAN_MODULE


def test_data_of_others_stay_in_strings_and_not_in_comments():
    text = 'PROMPT = "What colour is it?"  # the colour\n'
    assert american_python(text, is_data=True) == 'PROMPT = "What colour is it?"  # the color\n'


def test_a_page_is_rewritten_but_for_its_code_and_links():
    text = "The colour `grey` of [a centre](https://example.org/centre/colour)\n\n```\ngrey\n```\n"
    better = "The color `grey` of [a center](https://example.org/centre/colour)\n\n```\ngrey\n```\n"
    assert american_markdown(text) == better


def test_phrases_are_replaced_where_that_is_always_right():
    assert american_markdown("It goes on with that for ever.") == "It continues with that forever."


@pytest.mark.parametrize(
    ("british", "plain"),
    [("Colours", "Colors"), ("normalisation", "normalization"), ("GREY", "GRAY")],
)
def test_capitals_and_endings_are_kept(british, plain):
    assert american(british) == plain


def test_no_american_word_is_taken_for_a_british_one():
    assert not set(AMERICAN) & set(AMERICAN.values())


def test_a_fault_names_its_line_and_what_to_write():
    (spelling,) = spelling_faults(page("One.\n\nThe colour."))
    assert spelling == "page.md:3: 'colour': write 'color'"
    (house,) = house_faults(page("The run goes on with the next."))
    assert house == "page.md:1: 'goes on with': write continues with"
    assert not list(house_faults(page("The oracle knows where to look.")))


def test_proselint_reads_along():
    proselint = Proselint()
    (fault,) = proselint.faults(page("It is safe.\nIt lasts for ever.\n"))
    assert fault.startswith("page.md:2: 'for ever'")
    assert not list(proselint.faults(page("It lasts. " * 20)))


def test_all_pages_and_all_help_are_read():
    assert {"README.md", "docs/supported.md"} <= {text.place for text in markdown_texts()}
    assert {"geofovea --help", "geofovea ask --help"} <= {text.place for text in help_texts()}
