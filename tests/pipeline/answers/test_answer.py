"""An answer keeps the contract of its JSON, and its evidence lies where the scene lies."""

import json
import math

import pytest
import rasterio
from pipeline_toys import QUESTION, texture
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform_bounds

from geofovea.errors import MissingExtraError, OutputError
from geofovea.pipeline.answers.confidence import confidence_of
from geofovea.regionfocus.budget import Budget

FEW = Budget(tiles=12, tokens=60)
STAGES = {"open", "read", "encode", "focus", "answer", "total"}


@pytest.fixture
def answer(make_session):
    return make_session().ask(QUESTION, budget=FEW)


@pytest.fixture
def placeless(make_session, make_png):
    """An answer about a picture without georeference."""
    return make_session(make_png(300, 200)).ask(QUESTION, budget=FEW)


def test_json_has_exactly_the_keys_of_the_contract(answer, scene_path):
    row = answer.to_json()
    assert set(row) == {
        "question", "answer", "confidence", "model", "scene", "evidence", "cost", "warnings",
        "radiometry", "stopped", "route", "choices", "confidence_known",
        "confidence_text", "measurement",
    }  # fmt: skip
    assert set(row["route"]) == {"route", "reason", "places"}
    assert set(row["scene"]) == {"path", "width", "height", "levels", "crs", "gsd_m"}
    assert set(row["cost"]) == {
        "tiles_read", "tiles_encoded", "tiles_by_level", "tokens_total", "tokens_llm", "seconds",
        "peak_rss_mb", "budget", "tokens_end", "reductions", "flops", "focus",
    }  # fmt: skip
    assert set(row["cost"]["seconds"]) == STAGES
    assert set(row["cost"]["budget"]) == {
        "tiles", "tokens", "seconds", "host_ram_mb", "device_ram_mb"
    }  # fmt: skip
    assert row["evidence"]
    for item in row["evidence"]:
        assert set(item) == {
            "level", "row", "col", "box_scene", "score", "attention", "tokens", "geometry"
        }  # fmt: skip
    assert [(item["attention"], item["tokens"]) for item in row["evidence"]] == [
        (item.attention, item.tokens) for item in answer.evidence
    ]
    assert row["scene"] == {
        "path": str(scene_path),
        "width": 2048,
        "height": 2048,
        "levels": 6,
        "crs": "EPSG:32633",
        "gsd_m": pytest.approx(0.5, rel=1e-2),
    }


def test_json_survives_a_strict_round_trip(answer, placeless):
    for one in (answer, placeless):
        row = one.to_json()
        text = json.dumps(row, allow_nan=False)
        assert json.dumps(json.loads(text)) == text
        assert all(isinstance(key, str) for key in row["cost"]["tiles_by_level"])
        assert row["cost"]["peak_rss_mb"] > 10


def rings_of(geometry):
    polygons = geometry["coordinates"]
    return polygons if geometry["type"] == "Polygon" else [r for p in polygons for r in p]


def test_geojson_opens_with_closed_rings_on_the_scene(answer, scene_path, tmp_path):
    answer.evidence.to_geojson(tmp_path / "evidence.geojson")
    collection = json.loads((tmp_path / "evidence.geojson").read_text(encoding="utf-8"))
    with rasterio.open(scene_path) as dataset:
        west, south, east, north = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)
    assert collection == answer.evidence.geojson()
    assert collection["type"] == "FeatureCollection"
    assert "crs" not in collection
    items = answer.evidence.tiles[::-1]
    for feature, item in zip(collection["features"], items, strict=True):
        assert feature["type"] == "Feature"
        assert feature["properties"]["tokens"] == item.tokens
        assert feature["properties"]["box_scene"] == list(item.box_scene.as_tuple())
        for ring in rings_of(feature["geometry"]):
            assert ring[0] == ring[-1]
            assert len(ring) >= 4
            assert all(west - 1e-7 <= x <= east + 1e-7 for x, _ in ring)
            assert all(south - 1e-7 <= y <= north + 1e-7 for _, y in ring)


def test_each_polygon_is_where_rasterio_puts_its_box(answer, scene_path):
    with rasterio.open(scene_path) as dataset:
        transform, crs = dataset.transform, dataset.crs
    for item, row in zip(answer.evidence, answer.evidence.to_json(), strict=True):
        x0, y0, x1, y1 = item.box_scene.as_tuple()
        left, top = transform @ (x0, y0)
        right, bottom = transform @ (x1, y1)
        bounds = transform_bounds(crs, "EPSG:4326", left, bottom, right, top)
        ring = rings_of(row["geometry"])[0]
        lon, lat = zip(*ring, strict=True)
        assert (min(lon), min(lat), max(lon), max(lat)) == pytest.approx(bounds, abs=1e-7)


def test_without_georeference_the_contract_has_no_geometry(placeless):
    row = placeless.to_json()
    assert row["scene"]["crs"] is None
    assert row["scene"]["gsd_m"] is None
    assert {item["geometry"] for item in row["evidence"]} == {None}


def test_a_geodataframe_has_the_crs_and_the_areas_of_the_scene(answer):
    frame = answer.evidence.to_geodataframe()
    assert frame.crs.to_epsg() == 32633
    assert list(frame.columns) == [
        "question", "answer", "confidence", "model", "level", "row", "col", "score", "attention",
        "tokens", "area_m2", "geometry",
    ]  # fmt: skip
    items = answer.evidence.tiles[::-1]
    assert list(frame.area) == pytest.approx([item.box_scene.area * 0.25 for item in items])
    whole = sum(i.tokens for i in answer.evidence if i.box_scene == answer.scene.box)
    assert int(frame.tokens.sum()) + whole == answer.cost.tokens_llm


def test_a_geodataframe_without_georeference_is_in_pixels(placeless):
    frame = placeless.evidence.to_geodataframe()
    assert frame.crs is None
    assert list(frame.area) == pytest.approx(
        [i.box_scene.area for i in placeless.evidence.tiles[::-1]]
    )


def test_a_turned_scene_keeps_the_areas_of_its_tiles(make_session, make_tiff):
    turned = Affine.translation(500_000, 5_400_000) @ Affine.rotation(30) @ Affine.scale(2, -2)
    path = make_tiff(texture(200, 300), transform=turned, crs=CRS.from_epsg(32633))
    answer = make_session(path).ask(QUESTION, budget=FEW)
    areas = [4 * item.box_scene.area for item in answer.evidence.tiles[::-1]]
    assert list(answer.evidence.to_geodataframe().area) == pytest.approx(areas)


def test_evidence_has_its_area_on_the_ground_whatever_the_crs_does_to_areas(
    make_session, make_tiff, tmp_path
):
    # at 60 degrees north a meter of Web Mercator is half a meter
    mercator = Affine(1, 0, 1_113_194.9, 0, -1, 8_399_737.9)
    path = make_tiff(texture(200, 300), transform=mercator, crs=CRS.from_epsg(3857))
    answer = make_session(path).ask(QUESTION, budget=FEW)
    items = answer.evidence.tiles[::-1]
    expected = [pytest.approx(item.box_scene.area / 4, rel=1e-2) for item in items]
    assert list(answer.evidence.to_geodataframe().area_m2) == expected
    answer.evidence.to_geojson(tmp_path / "e.geojson")
    features = json.loads((tmp_path / "e.geojson").read_text(encoding="utf-8"))["features"]
    assert [feature["properties"]["area_m2"] for feature in features] == expected
    assert answer.scene.gsd_m == pytest.approx(0.5, rel=1e-2)


def test_without_georeference_there_is_no_area(placeless, tmp_path):
    assert set(placeless.evidence.to_geodataframe().area_m2) == {None}
    placeless.evidence.to_geojson(tmp_path / "e.geojson")
    features = json.loads((tmp_path / "e.geojson").read_text(encoding="utf-8"))["features"]
    assert {feature["properties"]["area_m2"] for feature in features} == {None}


def test_without_geopandas_the_extra_is_named(answer, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "geopandas", None)
    with pytest.raises(MissingExtraError, match=r"geofovea\[geo\]"):
        answer.evidence.to_geodataframe()


def test_geojson_into_a_missing_folder_is_an_output_error(answer, tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        answer.evidence.to_geojson(tmp_path / "nowhere" / "evidence.geojson")


def test_evidence_is_a_sequence(answer):
    evidence = answer.evidence
    assert list(evidence) == [evidence[i] for i in range(len(evidence))]
    assert evidence[:2] == tuple(evidence)[:2]
    assert evidence[-1] in evidence


@pytest.mark.parametrize(
    ("log_probabilities", "confidence"),
    [((), 0), ((0.0,), 1), ((math.log(0.5), math.log(0.5)), 0.25), ((-1e9,), 0)],
)
def test_confidence_is_the_probability_of_the_whole_text(log_probabilities, confidence):
    assert confidence_of(log_probabilities) == pytest.approx(confidence)
