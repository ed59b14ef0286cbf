"""Scenes and questions as people list them; what is wrong is named by row and column."""

import json

import geopandas
import pandas as pd
import pytest
import shapely

from geofovea.datasets.inputs.manifest import read_manifest
from geofovea.datasets.inputs.region_files import read_regions
from geofovea.datasets.inputs.scene_lists import list_scenes
from geofovea.errors import DataError

CSV = 'id,scene,question\na,one.tif,How many?\nb,sub/two.tif,"Is it, or not?"\n'


@pytest.fixture
def write(tmp_path):
    """``write(name, content)``: a file with that text or those bytes."""

    def make(name, content=""):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def facts(rows):
    return [(row.id, row.scene, row.question) for row in rows]


def test_the_same_rows_come_from_every_kind_of_table(write, tmp_path):
    told = [("a", f"{tmp_path}/one.tif", "How many?")]
    told += [("b", f"{tmp_path}/sub/two.tif", "Is it, or not?")]
    frame = pd.read_csv(write("m.csv", CSV))
    frame.to_parquet(tmp_path / "m.parquet")
    frame.to_json(tmp_path / "m.jsonl", orient="records", lines=True)
    for name in ("m.csv", "m.parquet", "m.jsonl"):
        assert facts(read_manifest(tmp_path / name)) == told
    assert facts(read_manifest(write("bom.CSV", b"\xef\xbb\xbf" + CSV.encode()))) == told
    assert facts(read_manifest(write("crlf.csv", CSV.replace("\n", "\r\n") + "\r\n"))) == told


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    "names", [("Scene", "QUESTION", "Id"), (" scene", "Question", "ID"), ("Image", "Text", "id")]
)
def test_columns_are_known_in_any_case(tmp_path, names, suffix):
    frame = pd.DataFrame([["one.tif", "How many?", "a"]], columns=list(names))
    path = tmp_path / f"m.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False, sep=";")
    elif suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    assert facts(read_manifest(path)) == [("a", f"{tmp_path}/one.tif", "How many?")]


def test_a_column_that_bears_the_known_name_goes_before_one_in_another_case(write):
    path = write("m.csv", "\n\nscene,Scene,question\none.tif,forest,How many?\n")
    assert [row.scene for row in read_manifest(path)] == [str(path.parent / "one.tif")]


def test_a_geoparquet_brings_a_polygon_for_each_row(tmp_path):
    shapes = [shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)]
    frame = {"scene": ["one.tif", "two.tif"], "id": [7, 8]}
    geopandas.GeoDataFrame(frame, geometry=shapes, crs="EPSG:32633").to_parquet(
        tmp_path / "m.geoparquet"
    )
    first, second = read_manifest(tmp_path / "m.geoparquet")
    assert (first.id, first.question) == ("7", None)
    assert first.region.equals(shapes[0])
    assert "32633" in first.region_crs
    assert second.region.equals(shapes[1])


def test_urls_and_absolute_paths_stay_what_they_are(write):
    names = ["https://example.org/a.tif", "s3://bucket/a.tif", "/data/a.tif", "/vsizip/a.zip"]
    path = write("m.jsonl", "\n".join(json.dumps({"scene": n}) for n in names))
    assert [row.scene for row in read_manifest(path)] == names
    assert [row.id for row in read_manifest(path)] == [f"m.jsonl:{n}" for n in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.csv", "scene\n", "no rows"),
        ("m.csv", "picture,question\na,b\n", "no column 'scene', only 'picture', 'question'"),
        ("m.csv", "scene,scene\na,b\n", "column 'scene' occurs twice"),
        ("m.csv", "SCENE,Scene\na,b\n", "column 'scene' occurs twice"),
        ("m.csv", "scene,Max_Tiles\na,8\n", "'Max_Tiles' is not read.* give max_tiles="),
        ("m.jsonl", '{"scene": "a", "max_tokens": 8}\n', "'max_tokens' is not read"),
        ("m.csv", "", "m.csv is empty: it needs a header"),
        ("m.csv", "scene,question\na.tif,Why?\n ,Why?\n", "row 2, column 'scene': is empty"),
        ("m.csv", "scene,question\na.tif,Is it, or not?\n", "row 1, column 'question': .* 3;"),
        ("m.csv", "scene,question\na.tif\n", "row 1, column 'question': the header has 2"),
        ("m.csv", 'scene\n"a.tif\n', "row 1: is not CSV"),
        ("m.csv", b"scene\n\xff\xfe.tif\n", "not UTF-8"),
        ("m.jsonl", '{"scene": "a.tif"}\n{"scene"\n', "row 2: is not JSON"),
        ("m.jsonl", "[1, 2]\n", "row 1: .* is not a JSON object"),
        ("m.jsonl", '{"picture": "a.tif"}\n', "row 1, column 'scene': is not there"),
        ("m.jsonl", '{"scene": 5}\n', "row 1, column 'scene': 5 is not text"),
        ("m.jsonl", '{"scene": "a", "id": [1]}\n', r"row 1, column 'id': \[1\] is not text"),
        ("m.jsonl", '{"scene": "a", "question": ""}\n', "column 'question': is empty"),
        ("m.jsonl", '{"scene": "a\\u0000b"}\n', "column 'scene': .* NUL"),
        ("m.jsonl", "[" * 100_000, "row 1: is not JSON"),
        ("m.parquet", "no parquet", "not a Parquet file, or a damaged one"),
        ("m.txt", "scene\n", "not a manifest"),
    ],
)
def test_a_malformed_manifest_is_named_by_row_and_column(write, name, content, words):
    with pytest.raises(DataError, match=words):
        read_manifest(write(name, content))


def test_two_rows_of_one_id_are_named_both(write):
    path = write("m.csv", "id,scene\na,1.tif\nb,2.tif\na,3.tif\n")
    with pytest.raises(DataError, match=r"'a' occurs twice: in .*row 1 and in .*row 3"):
        list_scenes([str(path)])


def test_a_folder_is_searched_for_rasters(write, tmp_path):
    for name in ("b.TIF", "a.png", "deep/er/c.jp2", "notes.txt", "a.tif.ovr", ".hidden.tif"):
        write(f"scenes/{name}")
    rows = list_scenes([str(tmp_path / "scenes")])
    names = ["a.png", "b.TIF", "deep/er/c.jp2"]
    assert [row.id for row in rows] == [f"{tmp_path}/scenes/{name}" for name in names]
    with pytest.raises(DataError, match="holds no file"):
        list_scenes(
            [
                str(
                    tmp_path / "scenes" / "deep" / "..",
                ),
                str(write("empty/x.txt").parent),
            ]
        )


def test_a_link_to_nowhere_is_listed_and_a_folder_like_a_raster_is_not(tmp_path):
    (tmp_path / "gone.tif").symlink_to(tmp_path / "nowhere.tif")
    (tmp_path / "loop.tif").symlink_to(tmp_path / "loop.tif")
    (tmp_path / "folder.tif").mkdir()
    names = [f"{tmp_path}/{name}.tif" for name in ("gone", "loop")]
    assert [row.scene for row in list_scenes([str(tmp_path)])] == names
    assert [row.scene for row in list_scenes([str(tmp_path / "*.tif")])] == names


def test_a_glob_and_a_folder_name_each_file_once(write, tmp_path):
    for name in ("x/a.tif", "x/b.tif", "x/y/c.tif"):
        write(name)
    names = [str(tmp_path / "x"), str(tmp_path / "**" / "*.tif"), str(tmp_path / "x" / "a.tif")]
    assert [row.scene for row in list_scenes(names)] == [
        str(tmp_path / n) for n in ("x/a.tif", "x/b.tif", "x/y/c.tif")
    ]
    with pytest.raises(DataError, match="matches no file"):
        list_scenes([str(tmp_path / "*.nothing")])
    with pytest.raises(DataError, match="there is no"):
        list_scenes([str(tmp_path / "missing.tif")])
    with pytest.raises(DataError, match="an empty name stands for no scene"):
        list_scenes([""])
    odd = write("odd[1].tif")
    assert list_scenes([str(odd)])[0].scene == str(odd)


@pytest.mark.parametrize("name", ["rows.xlsx", "scenes.txt", "rows.csv.gz", "ROWS.ODS"])
def test_a_table_of_another_program_is_no_scene(write, name):
    with pytest.raises(DataError, match="save it as CSV with a column 'scene'"):
        list_scenes([str(write(name, "scene\na.tif\n"))])


def item(name, **assets):
    return {"type": "Feature", "id": name, "assets": assets}


COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def test_stac_items_give_their_picture(write, tmp_path):
    items = [
        item("1", thumbnail={"href": "t.png", "roles": ["thumbnail"]}, B1={"href": "./b1.tif"}),
        item("2", B1={"href": "b.tif", "type": COG}, visual={"href": "v.tif", "type": COG}),
        item("3", data={"href": "https://example.org/d.tif"}, meta={"href": "m.xml"}),
        item("4", data={"href": "file:///data/a%20b.tif", "type": COG}),
    ]
    path = write("items.json", json.dumps({"type": "FeatureCollection", "features": items}))
    assert [(row.id, row.scene) for row in list_scenes([str(path)])] == [
        ("1", f"{tmp_path}/b1.tif"),
        ("2", f"{tmp_path}/v.tif"),
        ("3", "https://example.org/d.tif"),
        ("4", "/data/a b.tif"),
    ]
    one = write("one.json", json.dumps(items[1]))
    assert list_scenes([str(one)], asset="B1")[0].scene == f"{tmp_path}/b.tif"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "its type is None"),
        ('{"type": "Catalog"}', "its type is 'Catalog'"),
        ('{"type": "FeatureCollection", "features": []}', "has no features: give STAC items"),
        ('{"type": "Feature", "id": "a", "properties": {}}', "item 1, field 'assets'"),
        (json.dumps(item(5, a={"href": "a.tif"})), "item 1, field 'id': 5"),
    ],
)
def test_a_malformed_item_is_named(write, content, words):
    with pytest.raises(DataError, match=words):
        list_scenes([str(write("items.json", content))])


def test_polygons_come_with_their_names_and_their_crs(tmp_path):
    shapes = [shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)]
    frame = geopandas.GeoDataFrame({"name": ["east", "west"]}, geometry=shapes, crs="EPSG:32633")
    for name, write in (("r.gpkg", frame.to_file), ("r.parquet", frame.to_parquet)):
        write(tmp_path / name)
        regions = read_regions(tmp_path / name, name_column="name")
        assert [r.name for r in regions] == ["east", "west"]
        assert regions[0].geometry.equals(shapes[0])
        assert "32633" in regions[0].crs
        assert [r.name for r in read_regions(tmp_path / name)] == ["1", "2"]
    with pytest.raises(DataError, match="no column 'title', only 'name'"):
        read_regions(tmp_path / "r.gpkg", name_column="title")
    with pytest.raises(DataError, match="has no layer 'nowhere', only 'r'; choose"):
        read_regions(tmp_path / "r.gpkg", layer="nowhere")


def test_a_row_without_a_name_is_called_by_its_number(tmp_path):
    shapes = [shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)]
    frame = geopandas.GeoDataFrame({"name": ["east", None]}, geometry=shapes, crs="EPSG:32633")
    frame.to_file(tmp_path / "r.gpkg")
    regions = read_regions(tmp_path / "r.gpkg", name_column="name")
    assert [r.name for r in regions] == ["east", "2"]


@pytest.mark.parametrize(
    ("name", "is_known"),
    [
        ("urn:ogc:def:crs:EPSG::32633", True),
        ("urn:ogc:def:crs:EPSG:9.8:32633", True),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", True),
        ("urn:ogc:def:crs:ESRI::102001", True),
        ("EPSG:32633", True),
        # GDAL would take these for longitude and latitude
        ("urn:ogc:def:crs:EPSG::999999", False),
        ("EPSG:999999", False),
        ("UTM 33N", False),
    ],
)
def test_a_crs_by_an_unknown_name_is_an_error_and_not_degrees(write, name, is_known):
    polygon = shapely.geometry.mapping(shapely.box(0, 0, 1, 1))
    content = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": name}},
        "features": [{"type": "Feature", "properties": {}, "geometry": polygon}],
    }
    path = write("r.geojson", json.dumps(content))
    if is_known:
        assert len(read_regions(path)) == 1
    else:
        with pytest.raises(DataError, match=r"is not a known CRS .*; write one such as"):
            read_regions(path)


@pytest.mark.parametrize(
    ("crs", "meant"),
    [("EPSG:32633", "EPSG:32633"), (" 32633 ", "EPSG:32633"), ("pixels", "pixels")],
)
def test_a_stated_crs_goes_before_that_of_the_file(tmp_path, crs, meant):
    frame = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    frame.to_file(tmp_path / "r.gpkg")
    assert read_regions(tmp_path / "r.gpkg", crs=crs)[0].crs == meant
    with pytest.raises(DataError, match="'EPSG:banana' is not a known CRS"):
        read_regions(tmp_path / "r.gpkg", crs="EPSG:banana")


def test_a_shapefile_without_its_index_says_what_to_copy(tmp_path):
    frame = geopandas.GeoDataFrame({"n": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326")
    frame.to_file(tmp_path / "r.shp")
    (tmp_path / "r.shx").unlink()
    with pytest.raises(DataError, match=r"without its index r\.shx: copy it"):
        read_regions(tmp_path / "r.shp")


def test_a_vector_file_that_reads_other_files_is_not_opened(write):
    path = write("r.geojson", "\n<OGRVRTDataSource><OGRVRTLayer/></OGRVRTDataSource>")
    with pytest.raises(DataError, match="is not opened"):
        read_regions(path)


@pytest.mark.parametrize("name", ["missing.gpkg", "text.geojson", "text.gpkg", "text.parquet"])
def test_an_unreadable_vector_file_is_told(write, tmp_path, name):
    if name.startswith("text"):
        write(name, "this is not a vector file")
    with pytest.raises(DataError, match=name):
        read_regions(tmp_path / name)
