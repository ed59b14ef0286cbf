"""A file of polygons holds what it shows: nothing in it leads to other files or to the network."""

import http.server
import json
import sqlite3
import threading

import geopandas
import pytest
import shapely

from geofovea.datasets.inputs.region_files import read_regions
from geofovea.errors import DataError

RING = [[10, 10], [30, 10], [30, 30], [10, 10]]
FEATURE = {
    "type": "Feature",
    "properties": {"name": "a \u00e9"},
    "geometry": {"type": "Polygon", "coordinates": [RING]},
}


@pytest.fixture
def asked():
    """Paths that anybody asked of a server on this machine, and its port."""
    paths = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield paths, server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def collection(crs=None, **members):
    return {"type": "FeatureCollection", "features": [FEATURE], **members} | (
        {} if crs is None else {"crs": crs}
    )


LINK = {"type": "link", "properties": {"href": "http://127.0.0.1:PORT/crs.wkt", "type": "ogcwkt"}}
URL = {"type": "url", "properties": {"url": "http://127.0.0.1:PORT/crs.wkt"}}
THERE = "http://127.0.0.1:PORT/x"
PLAIN = json.dumps(collection())


def put_before(member, name, value):
    """The plain collection with one more member before another, wherever that is."""
    return PLAIN.replace(f'"{member}"', f'"{name}": {json.dumps(value)}, "{member}"')


LEADING_AWAY = {
    "a link": json.dumps(collection(LINK)),
    "a url": json.dumps(collection(URL)),
    "another case": put_before("features", "CRS", {"Type": "Link", "Properties": {"href": THERE}}),
    "an escape": json.dumps(collection(LINK)).replace('"crs"', '"\\u0063rs"'),
    "in a geometry": put_before("coordinates", "crs", LINK),
    "in a feature": put_before("properties", "crs", URL),
    "line by line": json.dumps(FEATURE) + "\n" + json.dumps(FEATURE | {"crs": LINK}),
    "twice": json.dumps(collection({"type": "name", "properties": {"name": "EPSG:4326"}})).replace(
        '"features"', f'"crs": {json.dumps(LINK)}, "features"'
    ),
    "a pipeline": json.dumps(
        {
            "type": "gdal_streamed_alg",
            "command_line": f"gdal vector pipeline ! read {THERE} ! write streamed_dataset",
        }
    ),
    "a virtual file": '<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>'
    f"{THERE}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>",
    "a network link": '<kml xmlns="http://www.opengis.net/kml/2.2"><NetworkLink><Link><href>'
    f"{THERE}</href></Link></NetworkLink></kml>",
}


@pytest.mark.parametrize("suffix", [".geojson", ".json"])
@pytest.mark.parametrize("name", LEADING_AWAY)
def test_a_text_that_leads_away_is_refused_and_nobody_is_asked(tmp_path, asked, name, suffix):
    paths, port = asked
    file = tmp_path / f"r{suffix}"
    file.write_text(LEADING_AWAY[name].replace("PORT", str(port)), encoding="utf-8")
    with pytest.raises(DataError, match="is not opened"):
        read_regions(file)
    assert paths == []


@pytest.mark.parametrize(
    ("crs", "code"),
    [
        (None, "4326"),
        ({"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}, "32633"),
        ({"type": "EPSG", "properties": {"code": 3857}}, "3857"),
    ],
)
def test_geojson_that_names_its_crs_is_read(tmp_path, crs, code):
    file = tmp_path / "r.geojson"
    file.write_text(json.dumps(collection(crs)), encoding="utf-8")
    (region,) = read_regions(file)
    assert code in region.crs
    assert region.geometry.equals(shapely.Polygon(RING))
    file.write_text("\n".join([json.dumps(FEATURE)] * 2), encoding="utf-8")
    assert len(read_regions(file)) == 2


def test_topojson_is_in_lonlat(tmp_path):
    topology = {"type": "Topology", "arcs": [RING], "objects": {}}
    topology["objects"]["park"] = {"type": "Polygon", "arcs": [[0]]}
    (tmp_path / "t.json").write_text(json.dumps(topology), encoding="utf-8")
    (region,) = read_regions(tmp_path / "t.json")
    assert region.crs is not None


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".fgb", ".parquet"])
def test_a_file_is_what_it_is_called(tmp_path, asked, suffix):
    paths, port = asked
    for text in LEADING_AWAY.values():
        file = tmp_path / f"r{suffix}"
        file.write_text(text.replace("PORT", str(port)), encoding="utf-8")
        with pytest.raises(DataError, match="something else"):
            read_regions(file)
    assert paths == []


@pytest.fixture
def geopackage(tmp_path):
    path = tmp_path / "r.gpkg"
    frame = geopandas.GeoDataFrame({"name": ["a"]}, geometry=[shapely.box(0, 0, 1, 1)], crs=4326)
    frame.to_file(path)
    return path


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE VIEW away AS SELECT ogr_geocode('somewhere') AS x",
        "CREATE VIEW away AS SELECT \"ogr_datasource_load_layers\" ('http://127.0.0.1/x') AS x",
        "CREATE VIEW away AS SELECT load_extension('/tmp/x.so') AS x",
    ],
)
def test_a_geopackage_that_computes_its_tables_from_elsewhere_is_refused(geopackage, sql):
    assert len(read_regions(geopackage)) == 1
    with sqlite3.connect(geopackage) as database:
        database.execute(sql)
    database.close()
    with pytest.raises(DataError, match="'away' is computed from elsewhere"):
        read_regions(geopackage)


def test_a_geopackage_with_a_virtual_table_of_files_is_refused(geopackage):
    with sqlite3.connect(geopackage) as database:
        database.execute("PRAGMA writable_schema = 1")
        database.execute(
            "INSERT INTO sqlite_master VALUES ('table', 'away', 'away', 0, "
            "'CREATE VIRTUAL TABLE away USING VirtualOGR(''http://127.0.0.1/x'')')"
        )
    database.close()
    with pytest.raises(DataError, match="'away' is computed from elsewhere"):
        read_regions(geopackage)


def test_what_is_said_of_the_numbers_goes_before_what_the_file_says(geopackage):
    assert read_regions(geopackage, crs="pixels")[0].crs == "pixels"
    assert read_regions(geopackage, crs="EPSG:3857")[0].crs == "EPSG:3857"


@pytest.mark.parametrize("name", ["/vsicurl/http://127.0.0.1/x.geojson", "http://127.0.0.1/x.json"])
def test_an_address_is_no_file(name):
    with pytest.raises(DataError, match="no vector file"):
        read_regions(name)


def test_a_ring_of_one_point_is_an_error_that_names_its_row(tmp_path):
    broken = {"type": "Polygon", "coordinates": [[[15, 45]]]}
    features = [FEATURE, FEATURE | {"geometry": broken}, FEATURE]
    file = tmp_path / "regions.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with pytest.raises(DataError, match=r"regions\.geojson, row 2 cannot be read"):
        read_regions(file)


def test_a_ring_that_is_not_closed_is_an_error_with_its_row_and_no_warning(tmp_path, recwarn):
    ring = [[10, 50], [11, 50], [11, 51], [10, 51]]
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [r]}}
        for r in ([*ring, ring[0]], ring)
    ]
    path = tmp_path / "open.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with pytest.raises(DataError, match=r"row 2 .*closed"):
        list(read_regions(path))
    assert not recwarn.list
