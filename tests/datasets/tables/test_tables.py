"""Tables are read as the programs that wrote them meant it, or refused with their line."""

import csv
import io
import json

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geofovea.datasets.inputs.manifest import read_manifest
from geofovea.datasets.inputs.scene_lists import list_scenes
from geofovea.datasets.records.predictions import read_predictions
from geofovea.datasets.records.rows import cell_text, read_rows
from geofovea.datasets.tables.table_parts import missing_shards, shards_of
from geofovea.errors import DataError

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
SEPARATORS = (",", ";", "\t", "|")
QUESTION = 'Is the "Größe", or not; really?'


def table(rows, separator=",", says=False):
    held = io.StringIO()
    csv.writer(held, delimiter=separator).writerows(rows)
    return (f"sep={separator}\r\n" if says else "") + held.getvalue()


@pytest.mark.parametrize("says", [False, True], ids=["plain", "with sep="])
@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_manifest_and_answers_are_read_in_any_encoding_and_separator(
    tmp_path, suffix, encoding, separator, says
):
    file = tmp_path / f"m.{suffix}"
    rows = [["scene", "question"], ["a.png", QUESTION], ["b.png", "Why?"]]
    file.write_bytes(table(rows, separator, says).encode(encoding))
    assert [(r.id, r.question) for r in read_manifest(file)] == [
        (f"m.{suffix}:1", QUESTION),
        (f"m.{suffix}:2", "Why?"),
    ]
    rows = [["question_id", "prediction"], ["7", QUESTION], ["8", "white"]]
    file.write_bytes(table(rows, separator, says).encode(encoding))
    assert read_predictions(file).answers == {"7": QUESTION, "8": "white"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_files_that_were_joined_have_marks_within_that_are_no_part_of_a_line(tmp_path, encoding):
    rows = [{"question_id": str(number), "text": "b"} for number in range(3)]
    text = "".join(f"\ufeff{json.dumps(row)}\n" for row in rows)
    (tmp_path / "a.jsonl").write_bytes(text.encode(encoding))
    (tmp_path / "a.csv").write_bytes("\ufeff\ufeffquestion_id,text\n\ufeff0,b\n".encode(encoding))
    assert read_predictions(tmp_path / "a.jsonl").answers == {"0": "b", "1": "b", "2": "b"}
    assert read_predictions(tmp_path / "a.csv").answers == {"0": "b"}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.ndjson"])
def test_json_is_read_in_any_encoding(tmp_path, name, encoding):
    rows = [{"question_id": "7", "text": "Größe"}, {"question_id": "8", "text": "b"}]
    text = json.dumps(rows) if name == "a.json" else "\n".join(map(json.dumps, rows))
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert read_predictions(tmp_path / name).answers == {"7": "Größe", "8": "b"}
    if name != "a.json":
        (tmp_path / name).write_bytes('{"scene": "a.png"}\n'.encode(encoding))
        assert len(read_manifest(tmp_path / name)) == 1


def test_an_encoding_that_cannot_be_told_is_refused(tmp_path):
    for name, text in (("a.csv", "id,text\n1,Größe\n"), ("a.jsonl", '{"id": 1, "text": "Größe"}')):
        (tmp_path / name).write_bytes(text.encode("latin-1"))
        with pytest.raises(DataError, match=r"not UTF-8.*: save it as UTF-8"):
            read_predictions(tmp_path / name)


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), min_size=1, max_size=8))
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows):
    rows = [[f"{i}", text.replace("\0", "")] for i, (_, text) in enumerate(rows)]
    file = tmp_path_factory.mktemp("t") / "a.csv"
    for separator in SEPARATORS:
        text = table([["id", "prediction"], *rows], separator)
        try:
            file.write_bytes(text.encode())
        except UnicodeEncodeError:
            return
        found = {row.values["id"]: row.values["prediction"] for row in read_rows(file, ("id",))}
        # a number with a decimal comma is one with a point, where commas do not separate
        assert {k: v for k, v in found.items() if "," not in v and "." not in v} == {
            k: v for k, v in rows if "," not in found[k] and "." not in found[k]
        }


@pytest.mark.parametrize(
    ("cell", "text"),
    [("3,0", "3.0"), ("-12,50", "-12.50"), ("1,200", "1,200"), ("0,125", "0.125"), ("a,b", "a,b")],
)
def test_a_decimal_comma_is_a_point_where_commas_do_not_separate(tmp_path, cell, text):
    (tmp_path / "a.csv").write_text(f"id;prediction\n1;{cell}\n")
    assert read_predictions(tmp_path / "a.csv").answers == {"1": text}


SWALLOWED = {
    "never closed": ['2\t"red', "3\tround", "4\tboat"],
    "closed by another cell": ['2\t"red', "3\tround", '4\tboat"'],
    "closed inside another": ['2\t"red', "3\tround", '4\tbo"at'],
    "the last line": ["2\tred", "3\tround", '4\t"boat'],
}


@pytest.mark.parametrize("lines", SWALLOWED.values(), ids=SWALLOWED)
def test_an_unclosed_quotation_mark_is_an_error_with_its_line(tmp_path, lines):
    file = tmp_path / "a.tsv"
    file.write_text("\n".join(["question_id\tprediction", "1\twhite", *lines]) + "\n")
    at = 3 + next(i for i, line in enumerate(lines) if '"' in line)
    with pytest.raises(DataError, match=f"line {at}: a quotation mark"):
        read_predictions(file, known={"1", "2", "3", "4"})


def test_an_unclosed_quotation_mark_in_a_manifest_is_one_too(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    file = tmp_path / "m.csv"
    file.write_text('scene,question\na.png,"Why?\nb.png,Where"\n')
    with pytest.raises(DataError, match=r"row 1: is not CSV: in line 2 .* swallows line 3"):
        read_manifest(file)


def test_a_swallowed_line_too_long_for_a_name_is_no_row(tmp_path):
    file = tmp_path / "m.csv"
    file.write_text(f'scene,question\na.png,"Why?\n{"b" * 5000},Where"\n')
    (row,) = read_manifest(file)
    assert row.question.startswith("Why?")


def test_an_answer_of_several_lines_is_one_answer(tmp_path):
    (tmp_path / "a.csv").write_text('id,prediction\n1,"red, or\nnot, white"\n2,b\n')
    found = read_predictions(tmp_path / "a.csv", known={"1", "2"}).answers
    assert found == {"1": "red, or\nnot, white", "2": "b"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((3.0, "3"), (3.5, "3.5"), (-2.0, "-2"), (10**400, "1" + "0" * 400)),
        *((1e20, "1" + "0" * 20), (float("inf"), "inf"), (True, "True")),
        *((float("nan"), None), (None, None), ([1], None)),
    ],
)
def test_a_number_in_a_cell_is_its_shortest_text(value, text):
    assert cell_text(value) == text


def test_a_column_of_whole_numbers_with_a_gap_is_read_as_such(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"question_id": [1, 2, None], "prediction": [3, None, 12]})
    frame["question_id"] = frame["question_id"].fillna(7)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.to_csv(tmp_path / "b.csv", index=False, sep=";", decimal=",")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.tsv", "b.csv", "a.jsonl", "a.parquet"):
        found = read_predictions(tmp_path / name, known={"1", "2", "7"}).answers
        whole = {key: text.removesuffix(".0") for key, text in found.items()}
        assert whole == {"1": "3", "2": "", "7": "12"}, name


def write_parts(folder, rows, names=("part-00000.snappy.parquet", "part-00001.snappy.parquet")):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    for name, row in zip(names, rows, strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        parquet.write_table(pa.Table.from_pylist([row]), folder / name)


def test_a_folder_of_parts_is_one_table(tmp_path):
    folder = tmp_path / "m.parquet"
    write_parts(folder, [{"scene": "a.png", "question": "Why?"}, {"scene": "b.png"}])
    (folder / "_SUCCESS").touch()
    (folder / ".part-00000.snappy.parquet.crc").touch()
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    rows = list_scenes([str(folder)])
    assert [row.scene for row in rows] == [str(tmp_path / n) for n in ("a.png", "b.png")]
    assert len({row.id for row in rows}) == 2
    answers = tmp_path / "answers.parquet"
    names = ("part.2.parquet", "part.10.parquet")
    write_parts(answers, [{"id": 1, "prediction": "a"}, {"id": 2, "prediction": "b"}], names)
    assert list(read_predictions(answers).answers.items()) == [("1", "a"), ("2", "b")]


def test_values_in_the_names_of_folders_are_columns(tmp_path):
    names = ("question=Why%3F/part-0.parquet", "question=__HIVE_DEFAULT_PARTITION__/p.parquet")
    write_parts(tmp_path / "m.parquet", [{"scene": "a.png"}, {"scene": "b.png"}], names)
    assert {row.question for row in read_manifest(tmp_path / "m.parquet")} == {"Why?", None}


def test_parts_as_text_are_a_table_too(tmp_path):
    folder = tmp_path / "m.csv"
    folder.mkdir()
    for i in range(2):
        (folder / f"part-{i}.csv").write_text(f"scene\n{i}.png\n")
    assert [row.scene for row in read_manifest(folder)] == [
        str(tmp_path / f"{i}.png") for i in "01"
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("_delta_log/0.json", "a table of Delta Lake"),
        ("metadata/v1.metadata.json", "a table of Iceberg"),
        ("_temporary/0", "not written to its end"),
        ("other.csv", "parts of several kinds"),
    ],
)
def test_a_folder_that_is_no_plain_table_is_refused(tmp_path, more, message):
    folder = tmp_path / "a.parquet"
    write_parts(folder, [{"id": 1, "prediction": "a"}, {"id": 2, "prediction": "b"}])
    (folder / more).parent.mkdir(exist_ok=True)
    (folder / more).touch()
    with pytest.raises(DataError, match=message):
        read_predictions(folder)


@pytest.mark.parametrize(
    ("there", "lost"),
    [
        (["t-00000-of-00003.parquet", "t-00002-of-00003.parquet"], ["t-00001-of-00003.parquet"]),
        (["t-00001-of-00003.parquet"], ["t-00000-of-00003.parquet", "t-00002-of-00003.parquet"]),
        (["t-1-of-3.jsonl", "t-3-of-3.jsonl"], ["t-2-of-3.jsonl"]),
        (["t_0_of_2.tsv"], ["t_1_of_2.tsv"]),
        (["t-00000-of-00002-ab12.parquet", "t-00001-of-00002-cd34.parquet"], []),
        (["t-00000-of-00001.parquet", "u-00000-of-00002.parquet"], []),
        (["plain.parquet", "a-of-b.parquet"], []),
        (["t-0-of-99999999999.tsv"], []),
    ],
)
def test_shards_that_the_names_of_others_count_are_missed(tmp_path, there, lost):
    for name in there:
        (tmp_path / name).touch()
    first = tmp_path / there[0]
    assert list(missing_shards(first)) == lost
    assert shards_of(first)[0] == first


HEX = shapely.to_wkb(shapely.box(0, 0, 1, 1), hex=True)
GEOMETRIES = {
    "wkt": ("wkt", "POLYGON ((0 0, 1 0, 1 1, 0 0))", "has no CRS"),
    "wkt of any name": ("where", "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)))", "holds a place"),
    "ewkt": ("where", "SRID=4326;POLYGON((0 0, 1 0, 1 1, 0 0))", "holds a place"),
    "hex": ("the_geom", HEX, "has no CRS"),
    "hex of any name": ("where", HEX, "holds a place"),
    "geojson": (
        "where",
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}',
        "holds a place",
    ),
}


@pytest.mark.parametrize(("column", "value", "reason"), GEOMETRIES.values(), ids=GEOMETRIES)
def test_geometries_that_are_not_read_are_refused(tmp_path, column, value, reason):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    row = {"scene": "a.png", column: value}
    (tmp_path / "m.csv").write_text(table([list(row), list(row.values())], ";"))
    inner = json.loads(value) if value.startswith("{") else value
    (tmp_path / "m.jsonl").write_text(json.dumps(row | {column: inner}))
    parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "m.parquet")
    for name in ("m.csv", "m.jsonl", "m.parquet"):
        with pytest.raises(DataError, match=f"column '{column}': {reason}"):
            read_manifest(tmp_path / name)


def test_a_geometry_of_any_kind_is_read_with_its_crs(tmp_path):
    box = shapely.box(0, 0, 1, 1)
    for text in (box.wkt, HEX, shapely.to_geojson(box)):
        rows = [["scene", "geometry", "crs"], ["a.png", text, "EPSG:4326"]]
        (tmp_path / "m.csv").write_text(table(rows, ";"))
        (row,) = read_manifest(tmp_path / "m.csv")
        assert (row.region.equals(box), row.region_crs) == (True, "EPSG:4326")


def test_geometries_of_parquet_without_the_key_geo_are_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    wkb = bytes.fromhex("0101000000" + "00" * 16)
    made_for_it = {b"ARROW:extension:name": b"geoarrow.wkb"}
    reasons = {"geometry": ("has no CRS", "is empty"), "footprint": ("holds a place", None)}
    for name, more in (("geometry", {}), ("footprint", made_for_it)):
        filled, empty = reasons[name]
        fields = [pa.field("scene", pa.string()), pa.field(name, pa.binary(), metadata=more)]
        held = pa.table([["a.png"], [wkb]], schema=pa.schema(fields))
        parquet.write_table(held, tmp_path / "m.parquet")
        with pytest.raises(DataError, match=f"column '{name}': {filled}"):
            read_manifest(tmp_path / "m.parquet")
        none = pa.table([["a.png"], [None]], schema=pa.schema(fields))
        parquet.write_table(none, tmp_path / "m.parquet")
        if empty is None:
            assert read_manifest(tmp_path / "m.parquet")[0].region is None
            continue
        with pytest.raises(DataError, match=f"column '{name}': {empty}"):
            read_manifest(tmp_path / "m.parquet")


def test_a_spreadsheet_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match="PRED_FORMAT=tsv"):
        read_predictions(tmp_path / "a.xlsx")
