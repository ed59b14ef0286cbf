"""Values come with the numbers of their lines, and a line that is no JSON is named."""

import pytest

from geofovea.datasets.tables.json_lines import json_lines
from geofovea.datasets.tables.text_files import BadLineError


def test_values_have_the_numbers_of_their_lines_and_blank_lines_hold_none():
    lines = ["\n", '{"a": 1}\n', "  \n", "[2]\n", "null"]
    assert list(json_lines(lines)) == [(2, {"a": 1}), (4, [2]), (5, None)]


@pytest.mark.parametrize("line", ["{broken", "[" * 100_000, "1 2"])
def test_a_line_that_is_no_json_is_named_after_those_before_it(line):
    values = json_lines(['{"a": 1}\n', "\n", line])
    assert next(values) == (1, {"a": 1})
    with pytest.raises(BadLineError) as caught:
        next(values)
    assert (caught.value.line, caught.value.number) == (3, 3)
