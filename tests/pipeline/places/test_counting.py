"""Counts of a real scene: swept, sampled, within polygons, and what they rest on."""

import json

import pytest
import shapely

import geofovea as gf
from geofovea.errors import BudgetError, OutputError, QuestionError
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.places.confusion import Confusion
from geofovea.tiling.geo.region import Region


@pytest.fixture
def session(embedded_host, scene_path):
    return gf.SceneSession(gf.open_scene(scene_path), embedded_host)


@pytest.fixture
def kind_and_region(world):
    site = world.named_sites[0]
    return site.things[0].kind, Region(shapely.box(*site.apron.as_tuple())), site


def test_a_swept_region_counts_what_find_finds(session, kind_and_region):
    kind, region, site = kind_and_region
    count = session.count(kind, region=region, region_name="pad")
    found = session.find(kind, coverage="sweep", region=region)
    assert count.method == "sweep"
    assert count.region == "pad"
    assert count.coverage.is_complete
    assert [p.box_scene for p in count.places] == [p.box_scene for p in found]
    assert abs(len(count.places) - len(site.of_kind(kind))) <= 1
    assert count.low <= count.value <= count.high


def test_the_measured_errors_of_the_model_are_taken_out_of_its_counts(session, kind_and_region):
    kind, region, _ = kind_and_region
    count = session.count(kind, region=region)
    assert count.confusion is not None
    assert count.confusion.model == session.host.name
    assert count.value > len(count.places) > 0


def test_without_measured_errors_the_count_says_that_it_is_one_of_detections(
    session, kind_and_region
):
    kind, region, _ = kind_and_region
    count = session.count(kind, region=region)
    if count.confusion is None:
        assert count.value == len(count.places)
        assert any("errors of detection" in warning for warning in count.warnings)
    measured = session.count(kind, region=region, confusion=Confusion(50, 50, 0, 1000))
    assert measured.value == pytest.approx(2 * len(count.places))
    assert not any("errors of detection" in warning for warning in measured.warnings)


def test_a_sample_keeps_its_budget_and_says_how_it_was_drawn(session):
    count = session.count("truck", tiles=40)
    assert count.method == "sample"
    assert count.strata > 1
    assert count.cost.tiles_encoded <= 40
    assert not count.coverage.is_complete
    assert count.low <= count.value <= count.high
    again = session.count("truck", tiles=40)
    assert (again.value, again.low, again.high) == (count.value, count.low, count.high)
    assert json.dumps(count.to_dict())
    assert repr(count).startswith("Count(")


def test_tokens_that_may_end_before_the_last_tile_show_tiles_of_the_whole_scene(session):
    rows, _ = session.pyramid.grid_shape(0)
    looked = list[gf.Tile]()

    class Seen(Watcher):
        def looking(self, tiles):
            looked.extend(tiles)

    count = session.count("truck", tokens=40 * 36, watch=Seen())
    assert (count.method, count.coverage.stopped) == ("sample", "tokens")
    # what was not looked at is estimated from what was
    assert min(tile.row for tile in looked) < rows / 5
    assert max(tile.row for tile in looked) > 4 * rows / 5


def test_a_budget_of_one_tile_counts_with_an_interval(session):
    count = session.count("truck", tiles=1)
    assert count.coverage.tiles_looked == 1
    assert count.high >= count.value >= count.low >= 0


@pytest.mark.parametrize(
    ("phrase", "options", "error"),
    [("", {}, QuestionError), ("truck", {"tiles": 0}, BudgetError)],
)
def test_what_cannot_be_counted_is_refused(session, phrase, options, error):
    with pytest.raises(error):
        session.count(phrase, **options)


def test_a_count_is_saved_as_a_number_or_as_its_places(session, kind_and_region, tmp_path):
    kind, region, _ = kind_and_region
    count = session.count(kind, region=region)
    count.save(tmp_path / "count.json")
    assert json.loads((tmp_path / "count.json").read_text())["low"] == count.low
    count.save(tmp_path / "count.csv")
    assert len((tmp_path / "count.csv").read_text().splitlines()) == len(count.places) + 1
    with pytest.raises(OutputError, match=r"as \.json, its places as \.geojson.*\.csv"):
        count.save(tmp_path / "count.doc")


def test_one_call_counts_what_a_session_counts(session, scene_path, embedded_host, kind_and_region):
    kind, region, _ = kind_and_region
    once = gf.count(str(scene_path), kind, region=region, model=embedded_host)
    again = session.count(kind, region=region)
    assert isinstance(once, gf.Count)
    assert (once.value, once.low, once.high) == (again.value, again.low, again.high)
    assert len(once.places) == len(again.places)
