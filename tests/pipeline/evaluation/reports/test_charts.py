"""The chart shows the numbers of the scores, and no interval where none is known."""

import pytest

from geofovea.pipeline.evaluation.reports.charts import chart_rows
from geofovea.pipeline.evaluation.reports.tables import collapsed


def estimate(value, low, high, count=9):
    return {"value": value, "low": low, "high": high, "count": count}


def scores(**groups):
    return {
        "figures": {"official": {"OA": estimate(0.6, 0.5, 0.7)}},
        "blind": {"OA": estimate(0.4, 0.3, 0.5)},
        "groups": {
            kind: {name: {"official": found} for name, found in of.items()}
            for kind, of in groups.items()
        },
    }


def test_a_figure_has_its_interval_and_the_best_constant_beside_it():
    (row,) = chart_rows(scores())
    assert (row.value, row.low, row.high, row.blind) == (60, 50, 70, 40)
    assert row.text == "60.0 [50.0, 70.0]"


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.5), (None, None), (1.0, 1.0)])
def test_an_interval_that_is_not_known_is_not_drawn(low, high):
    found = scores()
    found["figures"]["official"]["OA"] |= {"low": low, "high": high}
    (row,) = chart_rows(found)
    assert (row.low, row.high) == (None, None)
    assert row.text == "60.0 [n/a]"


def test_groups_follow_their_heading_and_one_alone_is_left_out():
    found = scores(
        category={"count": estimate(0.2, 0.1, 0.3), "color": estimate(0.9, 0.8, 1.0)},
        source={"FAIR": estimate(0.6, 0.5, 0.7)},
    )
    labels = [(row.label, row.is_heading) for row in chart_rows(found)]
    assert labels == [
        ("OA", False),
        ("By category", True),
        ("count (9)", False),
        ("color (9)", False),
    ]


def test_numbers_never_leave_the_chart():
    found = scores(category={"a": estimate(1.2, -0.1, 1.3), "b": estimate(0.0, 0.0, 0.4)})
    for row in chart_rows(found):
        assert all(0 <= x <= 100 for x in (row.value, row.low, row.high) if x is not None)


HEADER = ("figure", "official", "strict", "lenient", "gain")


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        ([["OA", "1.0", "1.0", "1.0", "0.5"]], ("figure", "official, strict, lenient", "gain")),
        ([["OA", "1.0", "1.0", "2.0", "2.0"]], ("figure", "official, strict", "lenient", "gain")),
        ([["OA", "1.0", "1.0", "1.0", "5"], ["AA", "1.0", "2.0", "2.0", "5"]],
         ("figure", "official", "strict, lenient", "gain")),
        ([["word", "word", "other", "–", "–"]], HEADER),
        ([], HEADER),
    ],
)  # fmt: skip
def test_columns_that_hold_the_same_numbers_become_one(rows, header):
    titles, cells = collapsed((HEADER, rows))
    assert titles == header
    assert all(len(row) == len(header) for row in cells)
