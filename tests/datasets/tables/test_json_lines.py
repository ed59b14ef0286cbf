"""Values come with the numbers of their lines, and a line that is not JSON is named."""

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


@pytest.mark.parametrize(
    "line",
    [
        '{"scene": "a.tif", "scene": "b.tif"}',
        '{"scene": "a.tif", "box": [{"x": 1, "x": 1}]}',
        '{"\\u0073cene": "a.tif", "scene": "a.tif"}',
    ],
)
def test_a_name_that_stands_twice_is_refused_with_its_line(line):
    values = json_lines(['{"scene": "a.tif"}', "", line])
    assert next(values) == (1, {"scene": "a.tif"})
    with pytest.raises(BadLineError, match="occurs twice in one object; leave out") as caught:
        next(values)
    assert caught.value.line == 3
