"""Numbers of things in words."""

import pytest

from geofovea._plurals import counted


@pytest.mark.parametrize(
    ("count", "words"),
    [
        ((0, "native tile"), "0 native tiles"),
        ((1, "native tile"), "1 native tile"),
        ((2, "native tile"), "2 native tiles"),
        ((1, "row is empty", "rows are empty"), "1 row is empty"),
        ((0, "row is empty", "rows are empty"), "0 rows are empty"),
        ((2, "row is empty", "rows are empty"), "2 rows are empty"),
    ],
)
def test_counts_agree_with_their_noun_and_verb(count, words):
    assert counted(*count) == words
