"""A summary says each kind of warning once, so that what every row says hides nothing else."""

from geofovea.pipeline.runs.batch_summary import errors_alike, warnings_alike


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


def test_errors_of_one_class_are_told_apart_by_their_words_and_not_by_names():
    errors = (
        "SceneRefusedError: 'a.vrt' is a GDAL virtual raster",
        "SceneRefusedError: 'x/b.tif' is empty",
        "SceneReadError: '/x/c.tif' could not be read: c.tif: no directory at 27263576",
        "SceneReadError: '/x/d.tif' could not be read: d.tif: no directory at 12",
    )
    failed = [{"id": f"row {n}", "error": error} for n, error in enumerate(errors)]
    told = [(each["id"], each["rows"], each["kind"]) for each in errors_alike(failed)]
    assert told == [
        ("row 2", 2, "SceneReadError"),
        ("row 0", 1, "SceneRefusedError"),
        ("row 1", 1, "SceneRefusedError"),
    ]
