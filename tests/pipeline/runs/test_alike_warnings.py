"""A summary says each kind of warning once, so that what every row says hides nothing else."""

from geofovea.pipeline.runs.batch_summary import warnings_alike


def row(*warnings):
    return {"status": "answered", "warnings": list(warnings) or None}


def test_warnings_that_differ_in_numbers_alone_are_one_by_the_first():
    rows = [row(f"found in {n} of the {10 * n} tiles", *["rare"] * (n == 3)) for n in range(1, 9)]
    assert warnings_alike([*rows, row()]) == [("found in 1 of the 10 tiles", 8), ("rare", 1)]


def test_a_row_counts_once_however_often_it_says_a_kind():
    assert warnings_alike([row("took 1.5 s", "took 2,000 s")]) == [("took 1.5 s", 1)]


def test_other_words_are_other_warnings():
    told = warnings_alike([row("no CRS in a.tif"), row("no CRS in b.tif"), row("no CRS in b.tif")])
    assert told == [("no CRS in b.tif", 2), ("no CRS in a.tif", 1)]
