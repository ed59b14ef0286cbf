"""A place in a table restricts its row, whatever the table; none is passed over in silence."""

import json

import geopandas
import pandas as pd
import pytest
import shapely

from geofovea.datasets.inputs.manifest import read_manifest
from geofovea.errors import DataError

BOX = shapely.box(12.41, 41.92, 12.43, 41.94)
GEOJSON = shapely.geometry.mapping(BOX)


def table(path, **columns):
    """A manifest of one row; the suffix says which kind."""
    row = {"scene": "a.tif", "question": "What is there?", **columns}
    if path.suffix == ".jsonl":
        path.write_text(json.dumps(row) + "\n")
    elif path.suffix == ".csv":
        pd.DataFrame([row]).to_csv(path, index=False)
    else:
        pd.DataFrame([row]).to_parquet(path)
    return path


SUFFIXES = [".csv", ".jsonl", ".parquet"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("column", ["geometry", "geom", "wkt", "WKT", "the_geom"])
def test_wkt_with_a_crs_restricts_its_row(suffix, column, tmp_path):
    for columns in (
        {column: BOX.wkt, "crs": "EPSG:4326"},
        {column: BOX.wkt, "srid": "4326"},
        {column: f"SRID=4326;{BOX.wkt}"},
    ):
        (row,) = read_manifest(table(tmp_path / f"m{suffix}", **columns))
        assert row.region.equals(BOX)
        assert row.region_crs == "EPSG:4326"


def test_geojson_is_longitude_and_latitude(tmp_path):
    feature = {"type": "Feature", "properties": {}, "geometry": GEOJSON}
    for value in (GEOJSON, feature, json.dumps(GEOJSON)):
        (row,) = read_manifest(table(tmp_path / "m.jsonl", geometry=value))
        assert row.region.equals(BOX)
        assert row.region_crs == "OGC:CRS84"
    (row,) = read_manifest(table(tmp_path / "m.csv", geojson=json.dumps(GEOJSON)))
    assert row.region.equals(BOX)
    utm = table(tmp_path / "m.jsonl", geometry=GEOJSON, crs="EPSG:32633")
    assert read_manifest(utm)[0].region_crs == "EPSG:32633"


def test_wkb_in_parquet_restricts_its_row(tmp_path):
    path = table(tmp_path / "m.parquet", geometry=BOX.wkb, crs="EPSG:4326")
    assert read_manifest(path)[0].region.equals(BOX)


def test_pixels_may_be_said_in_words(tmp_path):
    (row,) = read_manifest(
        table(tmp_path / "m.csv", wkt="POLYGON((0 0,9 0,9 9,0 0))", crs="pixels")
    )
    assert row.region.area == pytest.approx(40.5)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"geometry": BOX.wkt}, "column 'geometry': has no CRS"),
        ({"geometry": "", "crs": "EPSG:4326"}, "column 'geometry': is empty"),
        ({"geometry": "POLYGON EMPTY", "crs": "EPSG:4326"}, "column 'geometry': is empty"),
        ({"geometry": "near the river", "crs": "EPSG:4326"}, "not a geometry"),
        ({"geometry": "POLYGON((0 0, 1", "crs": "EPSG:4326"}, "not a geometry"),
        ({"area_of_interest": BOX.wkt}, "'area_of_interest': holds a place"),
        ({"footprint": "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)))"}, "'footprint': holds a place"),
        ({"geometry": BOX.wkt, "wkt": BOX.wkt}, "several columns of geometry"),
        ({"bbox": "[12.41, 41.92, 12.43, 41.94]"}, "'bbox': holds a place"),
        ({"extent": "12.41 41.92 12.43 41.94"}, "'extent': holds a place"),
        (
            {"minx": 1, "miny": 2, "maxx": 3, "maxy": 4},
            "'minx', 'miny', 'maxx', 'maxy': hold a box",
        ),
        ({"x0": 10, "y0": 20, "x1": 30, "y1": 40}, "'x0', 'y0', 'x1', 'y1': hold a box"),
        ({"ULX": 1, "ULY": 4, "LRX": 3, "LRY": 2}, "'ULX', 'ULY', 'LRX', 'LRY': hold a box"),
        ({"West": 1.5, "South": 2, "East": 3, "North": "4"}, "'West', 'South', 'East', 'North'"),
    ],
)
def test_a_place_that_is_not_used_is_an_error(suffix, columns, words, tmp_path):
    with pytest.raises(DataError, match=words):
        read_manifest(table(tmp_path / f"m{suffix}", **columns))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"geometry": None}, "is empty"),
        ({"geometry": {"type": "Polygon", "coordinates": []}}, "is empty"),
        ({"geometry": {"type": "Polygon"}}, "not a geometry"),
        ({"geometry": 5}, "not a geometry"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[0, "a"]]]}}, "not a geometry"),
        ({"bbox": [0, 0, 1, 1]}, "'bbox': holds a place"),
        ({"bbox": {"xmin": 0, "ymin": 0, "xmax": 1, "ymax": 1}}, "'bbox': holds a place"),
        ({"aoi": GEOJSON}, "'aoi': holds a place"),
    ],
)
def test_a_place_in_json_that_is_not_used_is_an_error(columns, words, tmp_path):
    with pytest.raises(DataError, match=words):
        read_manifest(table(tmp_path / "m.jsonl", **columns))


def test_a_box_beside_a_polygon_restricts_nothing_more(tmp_path):
    corners = {"minx": 12, "miny": 41, "maxx": 13, "maxy": 42}
    (row,) = read_manifest(table(tmp_path / "m.csv", geometry=BOX.wkt, crs="EPSG:4326", **corners))
    assert row.region.equals(BOX)


def test_words_in_other_columns_are_no_places(tmp_path):
    columns = {"region": "Lazio", "point": "A", "shape": "round", "polygon": "yes"}
    columns |= {"bbox": "yes", "west": "", "south": None, "east": 1, "north": 2, "minx": 3}
    for suffix in SUFFIXES:
        (row,) = read_manifest(table(tmp_path / f"m{suffix}", **columns))
        assert row.region is None


@pytest.mark.parametrize("sep", [",", ";", "\t"])
def test_the_index_that_pandas_writes_without_a_name_is_no_place(tmp_path, sep):
    path = tmp_path / "m.csv"
    frame = pd.DataFrame({"scene": ["a.tif", "b.tif"], "question": ["What?", "Where?"]})
    frame.to_csv(path, sep=sep)
    assert path.read_text().startswith(sep)
    rows = read_manifest(path)
    assert [(row.question, row.region) for row in rows] == [("What?", None), ("Where?", None)]


@pytest.mark.parametrize("missing", [None, shapely.Polygon()])
def test_a_row_of_geoparquet_without_geometry_is_an_error(missing, tmp_path):
    frame = {"scene": ["a.tif"] * 2, "question": ["a?", "b?"]}
    geopandas.GeoDataFrame(frame, geometry=[BOX, missing], crs=4326).to_parquet(
        tmp_path / "m.parquet"
    )
    with pytest.raises(DataError, match="row 2, column 'geometry': is empty"):
        read_manifest(tmp_path / "m.parquet")


def test_the_boxes_that_geoparquet_keeps_of_its_geometry_are_no_second_place(tmp_path):
    frame = geopandas.GeoDataFrame({"scene": ["a.tif"]}, geometry=[BOX], crs=4326)
    frame.to_parquet(tmp_path / "m.parquet", write_covering_bbox=True)
    assert read_manifest(tmp_path / "m.parquet")[0].region.equals(BOX)
