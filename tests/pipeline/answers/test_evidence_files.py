"""Files of evidence lie over the scene in any GIS, carry the answer, and hold one score."""

import json
import sqlite3
import subprocess
import xml.etree.ElementTree as ET
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import geopandas
import pyogrio
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pipeline_toys import QUESTION, texture
from rasterio.crs import CRS
from rasterio.transform import Affine

from geofovea.errors import OutputError
from geofovea.pipeline.answers.evidence import Evidence, evidence_of
from geofovea.pipeline.answers.evidence_list import EvidenceList
from geofovea.pipeline.answers.qgis_style import qgis_style
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Box, Pyramid, Tile

FEW = Budget(tiles=12, tokens=60)
AFFINE = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)


@pytest.fixture
def answer(make_session):
    return make_session().ask(QUESTION, budget=FEW)


@pytest.fixture
def placeless(make_session, make_png):
    return make_session(make_png(300, 500)).ask(QUESTION, budget=FEW)


@pytest.fixture
def on_unknown_ground(make_session, make_tiff):
    """An affine, and no CRS that says what its numbers are."""
    return make_session(make_tiff(texture(300, 500), transform=AFFINE, crs=None)).ask(
        QUESTION, budget=FEW
    )


def test_every_feature_says_what_was_asked_and_answered(answer):
    collection = answer.evidence.geojson()
    facts = {"question": QUESTION, "answer": answer.text, "confidence": answer.confidence,
             "model": answer.model}  # fmt: skip
    assert facts.items() <= collection.items()
    for feature in collection["features"]:
        assert facts.items() <= feature["properties"].items()


def test_an_unknown_confidence_is_null_and_no_zero(answer):
    for unknown in (
        replace(answer, confidence_known=False),
        replace(answer, confidence=float("nan")),
    ):
        collection = unknown.evidence.geojson()
        assert collection["confidence"] is None
        json.dumps(collection, allow_nan=False)


def test_features_have_one_score_and_no_other(answer):
    for feature in answer.evidence.geojson()["features"]:
        assert "score" not in feature["properties"]
        assert feature["properties"]["attention"] >= 0


def test_the_whole_scene_is_no_evidence_beside_finer_tiles(answer):
    assert any(item.box_scene == answer.scene.box for item in answer.evidence)
    boxes = [f["properties"]["box_scene"] for f in answer.evidence.geojson()["features"]]
    assert boxes
    assert list(answer.scene.box.as_tuple()) not in boxes


def test_the_whole_scene_is_evidence_where_nothing_else_was_seen(make_session, make_png):
    answer = make_session(make_png(40, 50)).ask(QUESTION, budget=FEW)
    (feature,) = answer.evidence.geojson()["features"]
    assert feature["properties"]["attention"] == pytest.approx(1)


def test_fine_features_come_last_so_that_they_are_drawn_on_top(answer):
    levels = [f["properties"]["level"] for f in answer.evidence.geojson()["features"]]
    assert levels == sorted(levels, reverse=True)
    assert len(set(levels)) > 1


def test_attention_is_a_density_over_the_scene(make_session):
    """Over tiles that cover the scene, attention times area adds up to the area of the scene."""
    answer = make_session().ask(QUESTION, budget=Budget(tiles=12, tokens=5000))
    level = max(item.tile.level for item in answer.evidence.tiles)
    base = [item for item in answer.evidence if item.tile.level == level]
    assert sum(item.box_scene.area for item in base) == answer.scene.box.area
    mass = sum(item.attention * item.box_scene.area for item in base) / answer.scene.box.area
    assert mass == pytest.approx(1, rel=1e-5)


def test_attention_of_a_finer_look_is_a_share_of_what_led_to_it():
    """A scene of 64 pixels in tiles of 16, one token each, all of which are evidence."""
    pyramid = Pyramid(64, 64, 16)

    def look(level, tiles, scores):
        tokens = tokens_of_tiles(torch.zeros(len(tiles), 1, 2), (1, 1), tiles, pyramid)
        return LevelLook(level, tuple(tiles), tokens, torch.tensor(scores))

    base = [Tile(1, row, col) for row in (0, 1) for col in (0, 1)]
    native = [Tile(0, 0, 0), Tile(0, 0, 1)]
    looks = (
        look(2, [Tile(2, 0, 0)], [5.0]),
        look(1, base, [6.0, 2.0, 1.0, 1.0]),
        look(0, native, [9.0, 1.0]),
    )
    tiles = [tile for each in looks for tile in each.tiles]
    tokens = tokens_of_tiles(torch.zeros(len(tiles), 1, 2), (1, 1), tiles, pyramid)
    found = {e.tile: e.attention for e in evidence_of(Descent(looks, "native"), tokens, pyramid)}
    # a base tile is a quarter of the scene, so all of the mass on it would be four times the mean
    expected = [1.0, 2.4, 0.8, 0.4, 0.4]
    # half of the first base tile led to the native two, which are a sixteenth of the scene each:
    # 0.6 / 2 of the mass, nine tenths of it on the first
    expected += [0.3 * 0.9 * 16, 0.3 * 0.1 * 16]
    assert [found[tile] for tile in tiles] == pytest.approx(expected, rel=1e-6)


def test_a_finer_tile_holds_no_more_attention_than_what_led_to_it(make_session):
    """So it can be compared between levels: it is a share of the same whole."""
    answer = make_session().ask(QUESTION, budget=Budget(tiles=24, tokens=5000))
    masses = {}
    for item in answer.evidence.tiles:
        level = item.tile.level
        masses[level] = masses.get(level, 0) + item.attention * item.box_scene.area
    held = [masses[level] for level in sorted(masses, reverse=True)]
    assert len(held) > 1
    assert held == sorted(held, reverse=True)
    assert held[0] <= answer.scene.box.area * (1 + 1e-5)


def layer_of(path):
    return {"layer": "evidence"} if path.suffix == ".gpkg" else {}


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg"])
def test_without_georeference_gdal_sees_it_over_the_picture(placeless, tmp_path, suffix):
    path = tmp_path / f"evidence{suffix}"
    placeless.save(path)
    info = pyogrio.read_info(path, **layer_of(path))
    # GDAL and QGIS show a picture without georeference at x 0 to width, y 0 down to -height
    frame = geopandas.read_file(path, **layer_of(path))
    assert "4326" not in str(info["crs"])
    assert "WGS" not in str(info["crs"])
    expected = [item.box_scene for item in placeless.evidence.tiles[::-1]]
    for shape, box in zip(frame.geometry, expected, strict=True):
        assert shape.bounds == (box.x0, -box.y1, box.x1, -box.y0)
    west, south, east, north = frame.total_bounds
    assert (0 <= west < east <= 500, -300 <= south < north <= 0) == (True, True)


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg"])
def test_with_an_affine_alone_it_lies_where_that_puts_the_picture(
    on_unknown_ground, tmp_path, suffix
):
    path = tmp_path / f"evidence{suffix}"
    on_unknown_ground.save(path)
    frame = geopandas.read_file(path, **layer_of(path))
    for shape, item in zip(frame.geometry, on_unknown_ground.evidence.tiles[::-1], strict=True):
        box = item.box_scene
        (left, top), (right, bottom) = AFFINE @ (box.x0, box.y0), AFFINE @ (box.x1, box.y1)
        assert shape.bounds == pytest.approx((left, bottom, right, top))


def test_a_geopackage_has_the_crs_of_the_scene_and_the_rows_of_the_frame(answer, tmp_path):
    path = tmp_path / "evidence.gpkg"
    answer.save(path)
    read, frame = geopandas.read_file(path, layer="evidence"), answer.evidence.to_geodataframe()
    assert read.crs == CRS.from_epsg(32633)
    assert read.geometry.geom_equals(frame.geometry).all()
    assert read.attention.tolist() == pytest.approx(frame.attention.tolist())
    assert set(read.question) == {QUESTION}
    assert [p.name for p in tmp_path.iterdir()] == ["evidence.gpkg"]


def test_qgis_finds_the_style_inside_a_geopackage(answer, tmp_path):
    answer.save(tmp_path / "evidence.gpkg")
    with closing(sqlite3.connect(tmp_path / "evidence.gpkg")) as database:
        rows = database.execute(
            "SELECT f_table_name, f_geometry_column, styleQML, useAsDefault FROM layer_styles"
        ).fetchall()
        column = database.execute(
            "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = 'evidence'"
        ).fetchone()
    ((table, geometry, style, is_default),) = rows
    assert (table, geometry, is_default) == ("evidence", *column, 1)
    assert ET.fromstring(style.split("\n", 1)[1]).tag == "qgis"


def test_the_style_stands_beside_geojson_and_replaces_nobodys_own(answer, tmp_path):
    answer.evidence.to_geojson(tmp_path / "a.geojson")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.geojson", "a.qml"]
    (tmp_path / "b.qml").write_text("mine")
    answer.evidence.to_geojson(tmp_path / "b.geojson")
    assert (tmp_path / "b.qml").read_text() == "mine"


IN_QGIS = """
import sys
from qgis.core import QgsApplication, QgsVectorLayer
application = QgsApplication([], False)
application.initQgis()
for name in sys.argv[1:]:
    layer = QgsVectorLayer(name, "evidence", "ogr")
    message, has_style = layer.loadDefaultStyle()
    renderer = layer.renderer()
    print(layer.isValid(), has_style, type(renderer).__name__, renderer.classAttribute(),
          len(renderer.ranges()), layer.featureCount())
"""


def _fails(command):
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.mark.slow
def test_qgis_itself_opens_the_files_in_their_style(answer, tmp_path):
    command = ["/usr/bin/python3", "-I", "-c"]
    if not Path(command[0]).exists() or _fails([*command, "import qgis.core"]):
        pytest.skip("QGIS is not installed: apt-get install python3-qgis")
    names = [str(tmp_path / f"answer.{suffix}") for suffix in ("geojson", "gpkg")]
    for name in names:
        answer.save(name)
    environment = {"QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)}
    result = subprocess.run(
        [*command, IN_QGIS, *names], env=environment, capture_output=True, text=True, check=False
    )
    rows = [line for line in result.stdout.splitlines() if line.startswith("True")]
    count = len(answer.evidence.tiles)
    assert rows == [f"True True QgsGraduatedSymbolRenderer attention 5 {count}"] * 2


def classes_of(style):
    root = ET.fromstring(style.split("\n", 1)[1])
    renderer = root.find("renderer-v2")
    assert renderer.get("attr") == "attention"
    names = {symbol.get("name") for symbol in renderer.iter("symbol")}
    ranges = [(float(r.get("lower")), float(r.get("upper"))) for r in renderer.iter("range")]
    assert {r.get("symbol") for r in renderer.iter("range")} == names
    return ranges


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e7)), max_size=20))
def test_every_attention_has_exactly_one_class_or_lies_between_two(values):
    ranges = classes_of(qgis_style(values))
    for (_, upper), (lower, _) in pairwise(ranges):
        assert upper == pytest.approx(lower)
    assert all(low <= high for low, high in ranges)
    for value in filter(None, values):
        assert any(low <= value <= high for low, high in ranges) or value < 1e-15


def test_large_tiles_are_drawn_below_small_ones_in_qgis():
    order = ET.fromstring(qgis_style([1.0]).split("\n", 1)[1]).find(
        "renderer-v2/orderby/orderByClause"
    )
    assert (order.text, order.get("asc")) == ('"level"', "0")


def test_evidence_of_no_answer_is_written_too(answer, tmp_path):
    items = [Evidence(Tile(0, 0, 0), Box(0, 0, 64, 64), 1.0, 3)]
    alone = EvidenceList(items, answer.scene)
    alone.to_geojson(tmp_path / "e.geojson")
    (feature,) = json.loads((tmp_path / "e.geojson").read_text())["features"]
    assert feature["properties"]["attention"] is None
    EvidenceList([], answer.scene).to_geojson(tmp_path / "none.geojson")
    assert json.loads((tmp_path / "none.geojson").read_text())["features"] == []


def test_a_geopackage_that_fails_leaves_the_older_one(answer, tmp_path, monkeypatch):
    path = tmp_path / "e.gpkg"
    path.write_bytes(b"older")

    def fail(*_args, **_more):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("geofovea.pipeline.answers.evidence_files._add_style", fail)
    with pytest.raises(OutputError, match="disk I/O error"):
        answer.save(path)
    assert path.read_bytes() == b"older"
    assert [p.name for p in tmp_path.iterdir()] == ["e.gpkg"]
