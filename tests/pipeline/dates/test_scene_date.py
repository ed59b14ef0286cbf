"""Dates come from the caller, a STAC item or a tag, and from nowhere else."""

import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
import rasterio

from geofovea.errors import DataError, SceneError
from geofovea.pipeline.dates.scene_date import date_of
from geofovea.tiling import open_scene


@pytest.fixture
def scene_with(tmp_path, make_tiff):
    import numpy as np

    def make(imagery=None, written=None):
        path = make_tiff(np.zeros((3, 40, 40), np.uint8))
        with rasterio.open(path, "r+") as dataset:
            if written:
                dataset.update_tags(TIFFTAG_DATETIME=written)
            if imagery:
                dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME=imagery)
        return open_scene(path)

    return make


GIVEN = [
    ("2024-06-01", "2024-06-01"),
    (date(2024, 6, 1), "2024-06-01"),
    ("2024-06-01T10:20:30Z", "2024-06-01T10:20:30Z"),
    ("2024-06-01T12:20:30+02:00", "2024-06-01T10:20:30Z"),
    (datetime(2024, 6, 1, 10, 20, 30, tzinfo=UTC), "2024-06-01T10:20:30Z"),
    (datetime(2024, 6, 1, 1, 0, tzinfo=timezone(timedelta(hours=2))), "2024-05-31T23:00:00Z"),
]


@pytest.mark.parametrize(("given", "text"), GIVEN)
def test_what_the_caller_says_goes_before_the_file(scene_with, given, text):
    found = date_of(scene_with(written="1999:01:01 00:00:00"), given)
    assert (found.text, found.source, found.warning) == (text, "the caller", "")


def test_the_acquisition_goes_before_the_date_of_the_file(scene_with):
    found = date_of(scene_with("2019-05-10 10:20:30", "2021:07:08 09:10:11"))
    assert (found.text, found.warning) == ("2019-05-10T10:20:30Z", "")
    assert "ACQUISITIONDATETIME" in found.source


def test_the_date_of_a_file_comes_with_a_warning(scene_with):
    found = date_of(scene_with(written="2021:07:08 09:10:11"))
    assert found.text == "2021-07-08T09:10:11Z"
    assert "when the file was written" in found.warning


@pytest.mark.parametrize("tag", [None, "yesterday", "0000:00:00 00:00:00", "2021:13:45 99:99:99"])
def test_nothing_is_guessed(scene_with, tag):
    found = date_of(scene_with(written=tag))
    assert (found.moment, found.text, found.words, found.source) == (None, "", "", "")


@pytest.mark.parametrize("text", ["yesterday", "06/01/2024", "", "2024-13-01"])
def test_what_is_no_date_is_refused(scene_with, text):
    with pytest.raises(SceneError, match="is not a date: give one such as 2024-06-01"):
        date_of(scene_with(), text)


def test_a_stac_item_says_when(scene_with, tmp_path):
    item = tmp_path / "item.json"
    item.write_text(json.dumps({"properties": {"datetime": "2020-02-03T04:05:06Z"}}))
    found = date_of(scene_with(), item)
    assert (found.text, found.source) == ("2020-02-03T04:05:06Z", "the STAC item item.json")
    item.write_text(
        json.dumps({"properties": {"datetime": None, "start_datetime": "2020-02-03T00:00:00Z"}})
    )
    assert date_of(scene_with(), item).words == "2020-02-03"


@pytest.mark.parametrize("content", ["[]", "{}", '{"properties": {"datetime": null}}'])
def test_a_stac_item_without_a_time_is_refused(scene_with, tmp_path, content):
    item = tmp_path / "item.json"
    item.write_text(content)
    with pytest.raises(DataError, match="names no time"):
        date_of(scene_with(), str(item))
