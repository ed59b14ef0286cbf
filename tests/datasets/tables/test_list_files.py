"""Lists that people name are regular files, read within bounds; anything else is an error."""

import json
import os
import socket
from pathlib import Path

import geopandas
import pytest
import shapely

from geofovea.datasets.inputs.manifest import read_manifest
from geofovea.datasets.inputs.region_files import read_regions
from geofovea.datasets.inputs.scene_lists import list_scenes
from geofovea.datasets.records.annotations import read_records
from geofovea.datasets.records.predictions import read_predictions
from geofovea.datasets.tables import list_files
from geofovea.errors import DataError

READERS = {
    "m.csv": read_manifest,
    "m.jsonl": read_manifest,
    "m.ndjson": lambda path: list_scenes([str(path)]),
    "m.parquet": read_manifest,
    "stac.json": lambda path: list_scenes([str(path)]),
    "r.geojson": read_regions,
    "r.gpkg": read_regions,
    "r.parquet": read_regions,
    "answers.jsonl": read_predictions,
    "answers.csv": read_predictions,
    "answers.parquet": read_predictions,
    "questions.jsonl": lambda path: list(read_records(path)),
}

FIRST_RECORD = json.dumps(
    {
        "question_id": "1",
        "image": "a.tif",
        "ground_truth": "yes",
        "category": "object status",
        "text": "Is it there?",
    }
)


def make_special(kind, path):
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a socket":
        here = Path.cwd()
        try:
            os.chdir(path.parent)  # the names of sockets are short
            socket.socket(socket.AF_UNIX).bind(path.name)
        finally:
            os.chdir(here)
    else:
        path.mkdir()


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["a pipe", "a device", "a socket", "a folder"])
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_what_is_no_regular_file_is_refused_without_waiting(name, kind, tmp_path):
    if kind == "a folder" and READERS[name].__name__ == "<lambda>" and name != "questions.jsonl":
        pytest.skip("a folder is a source of scenes")
    make_special(kind, tmp_path / name)
    # a socket cannot even be opened, and a folder may be a table in parts
    words = f"{kind} and not a regular file|cannot be read|holds no part of a table"
    if kind in ("a pipe", "a device"):
        words = f"{kind} and not a regular file"
    with pytest.raises(DataError, match=words):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("m.jsonl", '{"scene": "a.tif"}'),
        ("m.csv", "scene"),
        ("answers.jsonl", '{"id": "1", "answer": "yes"}'),
        ("answers.csv", "id,answer"),
        ("questions.jsonl", FIRST_RECORD),
    ],
)
def test_a_line_without_end_is_refused_before_it_fills_memory(name, line, tmp_path, monkeypatch):
    monkeypatch.setattr(list_files, "MOST_LINE_CHARACTERS", 1000)
    path = tmp_path / name
    with path.open("w") as file:
        file.write(line + "\n")
        file.truncate(1 << 40)  # a terabyte of zeros that takes no room
    with pytest.raises(DataError, match="line 2: has more than"):
        READERS[name](path)


def test_a_json_file_without_end_is_refused_before_it_fills_memory(tmp_path):
    path = tmp_path / "stac.json"
    with path.open("wb") as file:
        file.write(b'{"type": "FeatureCollection", "features": [')
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="MiB of JSON"):
        list_scenes([str(path)])


def test_rows_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("geofovea.datasets.inputs.manifest.MOST_ROWS", 3)
    path = tmp_path / "m.jsonl"
    rows = [json.dumps({"scene": f"{n}.tif"}) for n in range(4)]
    path.write_text("\n".join(rows[:3]))
    assert len(read_manifest(path)) == 3
    path.write_text("\n".join(rows))
    with pytest.raises(DataError, match="more than 3 rows"):
        read_manifest(path)


def test_a_link_to_a_list_is_the_list(tmp_path):
    (tmp_path / "real.csv").write_text("scene\na.tif\n")
    (tmp_path / "m.csv").symlink_to("real.csv")
    assert len(read_manifest(tmp_path / "m.csv")) == 1


def test_the_layer_that_holds_polygons_is_read_and_several_are_named(tmp_path):
    box, path = shapely.box(10.1, 49.5, 10.3, 49.8), tmp_path / "r.gpkg"
    for layer, shape in (("points", box.centroid), ("parcels", box)):
        frame = geopandas.GeoDataFrame({"n": [1]}, geometry=[shape], crs=4326)
        frame.to_file(path, layer=layer)
    assert read_regions(path)[0].geometry.equals(box)
    frame.to_file(path, layer="fields")
    with pytest.raises(DataError, match=r"'points', 'parcels', 'fields'; choose one with layer="):
        read_regions(path)
    assert read_regions(path, layer="parcels")[0].geometry.equals(box)
