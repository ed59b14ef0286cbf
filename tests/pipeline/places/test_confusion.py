"""Matching places with the truth, and the file of what was measured."""

import pytest

from geofovea.errors import DataError
from geofovea.pipeline.places.confusion import Confusion, match_places, read_confusion
from geofovea.pipeline.places.place import Place
from geofovea.tiling.pyramid import Box, Tile


def places(*boxes):
    return [Place(Box(*box), 0.9, 0, "truck", (Tile(0, 0, 0),)) for box in boxes]


@pytest.mark.parametrize(
    ("boxes", "truth", "counts"),
    [
        ([(0, 0, 10, 10)], [(0, 0, 10, 10)], (1, 0, 0)),
        ([(0, 0, 10, 10), (1, 1, 9, 9)], [(0, 0, 10, 10)], (1, 0, 1)),
        ([(0, 0, 40, 40)], [(0, 0, 10, 10), (20, 20, 30, 30)], (1, 1, 0)),
        ([(9, 9, 19, 19)], [(0, 0, 10, 10)], (0, 1, 1)),
        ([], [(0, 0, 10, 10)], (0, 1, 0)),
        ([(0, 0, 10, 10)], [], (0, 0, 1)),
    ],
    ids=["hit", "double", "one for two", "a corner is none", "missed", "false alarm"],
)
def test_each_place_hits_one_thing_at_most(boxes, truth, counts):
    assert match_places(places(*boxes), [Box(*box) for box in truth]) == counts


def test_what_was_measured_is_stored_and_added_up(tmp_path):
    one = Confusion(8, 2, 1, 100, "toy")
    one.save(tmp_path / "errors.json")
    assert read_confusion(tmp_path / "errors.json") == one
    both = one + Confusion(2, 8, 1, 100)
    assert (both.recall, both.tiles, both.model) == (0.5, 200, "toy")
    assert both.precision == 10 / 12


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"hits": 1}', "[" * 5000])
def test_a_file_that_holds_no_confusion_is_refused(tmp_path, text):
    path = tmp_path / "errors.json"
    path.write_text(text)
    with pytest.raises(DataError, match="confusion"):
        read_confusion(path)


@pytest.mark.parametrize("counts", [(0, 1, 0, 5), (1, 0, 0, 0), (-1, 0, 0, 5), (1.5, 0, 0, 5)])
def test_counts_that_measure_nothing_are_refused(counts):
    with pytest.raises(DataError):
        Confusion(*counts)
