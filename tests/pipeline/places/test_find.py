"""Places of a real scene: what is covered, what is told, what is refused, what is written."""

import json
import random

import geopandas
import numpy as np
import pytest
import shapely
from shapely.geometry import shape

import geofovea as gf
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_pad
from geofovea.errors import BudgetError, CancelledError, ModelError, OutputError, QuestionError
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.focus.shown_names import ShownNames
from geofovea.pipeline.places.confusion import match_places
from geofovea.pipeline.places.coverage import LEAST_SAMPLE
from geofovea.pipeline.places.find import find_places
from geofovea.tiling.geo.region import Region


@pytest.fixture
def session(embedded_host, scene_path):
    return gf.SceneSession(gf.open_scene(scene_path), embedded_host)


@pytest.fixture
def pad(world):
    """The pad of the one site, with a little around it, and what stands on it."""
    site = world.named_sites[0]
    return Region(shapely.box(*site.apron.as_tuple())), site


def test_a_sweep_finds_the_things_that_stand_there(session, pad):
    region, site = pad
    for kind in sorted({thing.kind for thing in site.things}):
        places = session.find(kind, coverage="sweep", region=region)
        things = site.of_kind(kind)
        hit = [t for t in things if any(t.box.intersection(p.box_scene) for p in places)]
        assert places.coverage.is_complete
        assert len(hit) >= len(things) - 1
        assert len(places) <= len(things) + 1
        assert all(p.label == kind and p.outline == "tokens" for p in places)


@pytest.mark.parametrize("verb", ["find", "count"])
def test_an_area_in_a_phrase_that_is_not_computed_limits_nothing_and_that_is_said(
    session, pad, verb
):
    region, site = pad
    kind = site.things[0].kind
    for phrase, area in (
        (f"{kind} in the north-east corner of the depot", "in the north-east corner"),
        (f"{kind} near the depot", "near the depot"),
        (kind, ""),
    ):
        result = getattr(session, verb)(phrase, tiles=2, region=region)
        warnings = (result.places if verb == "count" else result).warnings
        told = [each for each in warnings if "limits nothing" in each]
        assert bool(told) == bool(area)
        assert all(each.startswith(f"'{area}") for each in told)


@pytest.mark.parametrize(("seed", "kind", "there"), [(6, "helicopter", 4), (10, "plane", 5)])
def test_of_several_things_in_a_tile_each_is_found(embedded_host, tmp_path, seed, kind, there):
    world = make_pad(random.Random(seed), 288)
    things = world.sites[0].of_kind(kind)
    write_scene(world, tmp_path / "pad.tif")
    session = gf.SceneSession(gf.open_scene(tmp_path / "pad.tif"), embedded_host)
    places = session.find(kind, coverage="sweep", second_look=False)
    assert len(things) == there
    assert match_places(places, [thing.box for thing in things]) == (there, 0, 0)


def test_an_adjective_leaves_the_things_that_are_so(session, pad):
    region, site = pad
    thing = site.things[0]
    other = next(c for c in ("red", "blue", "white") if not site.of_color(c))
    described = session.find(f"{thing.color} {thing.kind}", coverage="sweep", region=region)
    assert any(thing.box.intersection(p.box_scene) for p in described)
    assert len(session.find(f"{other} {thing.kind}", coverage="sweep", region=region)) == 0


def test_nothing_of_a_kind_is_an_empty_table_with_its_coverage(session, pad):
    region, site = pad
    kinds = {"plane", "helicopter", "truck", "boat", "tank", "tent"}
    missing = min(kinds - {thing.kind for thing in site.things})
    places = session.find(missing, coverage="sweep", region=region)
    assert list(places) == []
    assert places.coverage.is_complete
    assert places.coverage.recall is None
    assert len(places.to_geodataframe()) == 0
    assert places.geojson()["features"] == []


def test_a_search_keeps_its_budget_and_says_what_it_left(session):
    places = session.find("truck", tiles=40)
    coverage, cost = places.coverage, places.cost
    assert cost.tiles_encoded <= 40
    assert 0 < coverage.tiles_looked < coverage.tiles_total
    assert coverage.tiles_looked + coverage.tiles_ruled_out + coverage.tiles_left == (
        coverage.tiles_total
    )
    # a fifth, and what no second look needed
    assert 8 <= coverage.sampled == 10 - coverage.looked_again
    assert coverage.stopped == "tiles"
    # what is called ruled out was put to the test
    assert 0 < coverage.ruled_out_sampled <= coverage.sampled
    assert coverage.ruled_out_misses <= coverage.ruled_out_sampled
    assert coverage.tiles_ruled_out > 0
    assert coverage.to_dict()["ruled_out_miss_rate"] == coverage.ruled_out_miss_rate
    assert f"{coverage.ruled_out_sampled} such tiles looked at" in coverage.text
    assert any("40" in w or "native tiles" in w for w in places.warnings)
    again = session.find("truck", tiles=40)
    assert [p.box_scene for p in again] == [p.box_scene for p in places]


def test_a_sample_of_few_tiles_tells_the_lower_end_of_the_recall_alone(session, pad):
    _, site = pad
    few, more = (
        session.find(site.things[0].kind, tiles=tiles, min_score=0.01).coverage
        for tiles in (16, 40)
    )
    assert few.sampled < LEAST_SAMPLE <= more.sampled
    assert few.recall is None
    assert 0 < few.recall_low < 1
    assert "too few to expect a recall (at least" in few.text
    assert more.recall is not None
    assert "expected recall" in more.text


def test_without_a_sample_nothing_is_called_ruled_out(session):
    coverage = session.find("truck", tiles=12, sampled_share=0).coverage
    assert (coverage.tiles_ruled_out, coverage.ruled_out_miss_rate) == (0, None)
    assert "ruled out" not in coverage.text
    assert coverage.tiles_looked + coverage.tiles_left == coverage.tiles_total


def test_a_sweep_that_is_cut_says_so(session):
    places = session.find("truck", coverage="sweep", tiles=7)
    assert (places.coverage.tiles_looked, places.coverage.stopped) == (7, "tiles")
    assert "the limit of tiles ended the search after 7 of" in places.warnings[-1]
    few = session.find("truck", coverage="sweep", tokens=4 * 36)
    assert (few.coverage.tiles_looked, few.coverage.stopped) == (4, "tokens")
    none = session.find("truck", coverage="sweep", seconds=1e-9)
    assert none.coverage.stopped == "time"
    assert 0 < none.coverage.tiles_looked < none.coverage.tiles_total
    # any process uses more than one MiB
    full = session.find("truck", coverage="sweep", host_ram_mb=1)
    assert full.coverage.stopped == "memory"


@pytest.mark.parametrize(
    ("phrase", "options", "error", "message"),
    [
        ("  ", {}, QuestionError, "the phrase is empty"),
        ("x" * 3000, {}, QuestionError, "3000 characters"),
        (7, {}, QuestionError, "a phrase is a text"),
        ("truck", {"coverage": "all"}, QuestionError, "choose one of search, sweep"),
        ("truck", {"tiles": 0}, BudgetError, "tiles=0"),
        ("truck", {"tokens": 3}, BudgetError, "cannot hold a single tile"),
        ("truck", {"min_score": 0}, QuestionError, "min_score=0"),
        ("truck", {"sampled_share": 1.0}, QuestionError, "sampled_share=1.0"),
        ("truck", {"focus": "none such", "tiles": 9}, ModelError, "unknown focus"),
        ("truck", {"focus": "oracle", "tiles": 9}, gf.GeometryError, "needs at least one"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_with_a_word_on_it(
    session, phrase, options, error, message
):
    with pytest.raises(error, match=message):
        session.find(phrase, **options)


def test_a_watcher_hears_and_ends_it(session):
    class Ender(Watcher):
        tiles = 0

        def looking(self, tiles):
            self.tiles += len(tiles)

        def check(self):
            if self.tiles > 20:
                raise CancelledError("enough")

    ender = Ender()
    with pytest.raises(CancelledError):
        find_places(session, "truck", coverage="sweep", watch=ender)
    assert 20 < ender.tiles < 60


@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "parquet", "json", "csv"])
def test_places_are_saved_as_what_the_suffix_says(session, pad, tmp_path, suffix):
    region, site = pad
    places = session.find(site.things[0].kind, coverage="sweep", region=region)
    path = tmp_path / f"places.{suffix}"
    places.save(path)
    if suffix == "json":
        assert json.loads(path.read_text())["count"] == len(places)
    elif suffix == "csv":
        assert len(path.read_text().splitlines()) == len(places) + 1
    else:
        read = geopandas.read_parquet if suffix == "parquet" else geopandas.read_file
        frame = read(path, **({"layer": "places"} if suffix == "gpkg" else {}))
        assert len(frame) == len(places)
        assert list(frame["score"]) == [p.score for p in places]
        expected = places.to_geodataframe().to_crs(frame.crs)
        assert frame.geometry.iloc[0].equals_exact(expected.geometry.iloc[0], 1e-3)


def test_an_unknown_suffix_lists_those_that_are_known(session, tmp_path):
    places = session.find("truck", coverage="sweep", tiles=2)
    with pytest.raises(OutputError, match=r"\.csv, \.geojson, \.gpkg, \.json, \.parquet"):
        places.save(tmp_path / "places.doc")


def test_the_row_of_a_place_has_its_place_on_the_ground(session, pad):
    region, site = pad
    places = session.find(site.things[0].kind, coverage="sweep", region=region)
    row = places.to_dict()["places"][0]
    on_ground = shape(row["geometry"])
    assert -180 <= on_ground.centroid.x <= 180
    assert row["area_m2"] == pytest.approx(places[0].box_scene.area * 0.25, rel=0.02)
    assert json.dumps(places.to_dict())
    assert repr(places).startswith(f"Places({len(places)} place")
    assert repr(places).endswith(f" of {places.coverage.tiles_total} native tiles looked at)")


def test_a_thing_of_which_the_model_knows_no_word_is_said_to_be_something_else(session):
    one, two = (session.find(phrase, tiles=4).warnings for phrase in ("red zeppelin", "red truck"))
    assert one[0].startswith("the embedded model knows no word for 'zeppelin'")
    assert not any("knows no word" in warning for warning in two)


@pytest.mark.parametrize("verb", ["find", "count"])
def test_a_place_that_cannot_be_counted_is_told_without_a_word_that_nobody_wrote(session, verb):
    result = getattr(session, verb)("depot", tiles=2)
    warnings = (result.places if verb == "count" else result).warnings
    assert "knows 'depot' but not 'depots'" in warnings[0]
    assert "how large is the depot?" in warnings[0]
    assert not any("does not know the word" in warning for warning in warnings)


def test_an_adjective_that_the_model_does_not_know_is_told(session):
    warnings = session.find("puce truck", tiles=2).warnings
    assert any("does not know the word puce" in warning for warning in warnings)


def test_a_picture_without_ground_gives_pixels(embedded_host, make_png):
    path = make_png(300, 400)
    with pytest.warns(gf.DemoModelWarning):
        places = gf.find(path, "truck", model=embedded_host, coverage="sweep", min_score=0.01)
    assert places.is_demo
    assert all(row["geometry"] is None for row in places.to_dict()["places"])
    assert places.geojson()["crs"]["type"] == "name"


def test_an_endpoint_that_only_speaks_gives_whole_tiles_and_says_so(server, make_tiff):
    path = make_tiff(np.full((3, 700, 700), 120, np.uint8))
    places = gf.find(path, "red truck", model="openai:toy", endpoint=server.url, coverage="sweep")
    assert {p.outline for p in places} == {"tile"}
    assert len(places) == places.coverage.tiles_total
    assert any("a place is a whole tile" in w for w in places.warnings)
    assert any("gives no probabilities" in w for w in places.warnings)
    assert "Is any red truck visible" in server.texts()
    assert places.cost.endpoint.calls == places.coverage.tiles_total


def judged(monkeypatch, likely):
    """Let the dual encoder say the same of every tile."""
    told = lambda _, noun, tiles: [likely for _ in tiles]  # noqa: E731
    monkeypatch.setattr(ShownNames, "thing_probabilities", told)


def test_a_tile_counts_by_the_mean_of_what_model_and_dual_encoder_say(session, pad, monkeypatch):
    region, site = pad
    kind = site.things[0].kind
    judged(monkeypatch, None)
    alone = session.find(kind, coverage="sweep", region=region, second_look=False)
    assert len(alone) > 0
    judged(monkeypatch, 1e-9)
    assert len(session.find(kind, coverage="sweep", region=region, second_look=False)) == 0
    judged(monkeypatch, 0.5)
    halved = session.find(kind, coverage="sweep", region=region, second_look=False)
    assert [p.box_scene for p in halved] == [p.box_scene for p in alone]
    # at even odds of the one, the other's odds have their root left
    for both, one in zip(halved, alone, strict=True):
        odds = one.score / (1 - one.score)
        assert both.score == pytest.approx(odds**0.5 / (1 + odds**0.5), abs=1e-6)


def test_a_number_at_a_place_is_counted_by_what_the_model_says_alone(session, pad, monkeypatch):
    site = pad[1]
    question = f"How many {site.things[0].kind}s are at the {site.kind}?"
    usual = session.ask(question).text
    judged(monkeypatch, 1e-9)
    assert session.ask(question).text == usual
