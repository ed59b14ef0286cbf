"""A batch says with its exit code, its log and its report what became of its rows."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import shapely
from click.testing import CliRunner
from PIL import Image
from pipeline_toys import QUESTION, texture

from geofovea.pipeline.answers.drawing.theme import EVIDENCE
from geofovea.pipeline.cli import main
from geofovea.pipeline.system import progress

FEW = ("--max-tiles", "6", "--max-tokens", "20", "--jsonl-only")


@pytest.fixture
def batch(tiny_folder, tmp_path):
    def call(*words):
        every = ["batch", *words, "-o", tmp_path / "out", "--model", tiny_folder, *FEW]
        return CliRunner().invoke(main, [str(word) for word in every])

    return call


@pytest.fixture
def rows(tmp_path):
    def read():
        lines = (tmp_path / "out" / "answers.jsonl").read_text().splitlines()
        return {row["id"]: row for row in map(json.loads, lines)}

    return read


@pytest.fixture
def manifest(tmp_path, scene_path):
    """A table of one scene that is there and one that is not."""
    path = tmp_path / "rows.csv"
    path.write_text(f"scene,question\n{scene_path},{QUESTION}\nmissing.tif,{QUESTION}\n")
    return path


def test_failed_rows_are_exit_code_3_until_somebody_allows_them(batch, manifest, scene_path):
    failed = batch(manifest)
    assert failed.exit_code == 3
    assert "1 of 2 rows answered, 1 failed" in failed.stdout
    # nothing is left to do, and the rows have failed all the same
    assert batch(manifest).exit_code == 3
    assert batch(manifest, "--allow-failures").exit_code == 0
    told = json.loads(batch(manifest, "--json").stdout)
    assert (told["failed"], told["answered"]) == (1, 1)


def test_a_batch_without_failures_is_exit_code_0(batch, scene_path):
    assert batch(scene_path, "--question", QUESTION).exit_code == 0


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".tsv"])
def test_columns_of_any_name_are_the_scene_and_the_question(
    batch, rows, tmp_path, scene_path, suffix
):
    table = {"file": str(scene_path), "prompt": QUESTION, "question": "none of ours"}
    path = tmp_path / f"rows{suffix}"
    if suffix == ".jsonl":
        path.write_text(json.dumps(table) + "\n")
    else:
        separator = "\t" if suffix == ".tsv" else ","
        path.write_text("\n".join(separator.join(line) for line in (table, table.values())) + "\n")
    refused = batch(path)
    assert refused.exit_code == 1
    named = batch(path, "--scene-column", "file", "--question-column", "prompt")
    assert named.exit_code == 0, named.output
    (row,) = rows().values()
    assert (row["scene"], row["question"]) == (str(scene_path), QUESTION)
    absent = batch(path, "--scene-column", "nowhere", "--overwrite")
    assert absent.exit_code == 1
    assert "nowhere" in absent.stderr or "--scene-column" in absent.stderr


def test_a_parquet_table_has_columns_of_any_name(batch, rows, tmp_path, scene_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table({"file": [str(scene_path)], "prompt": [QUESTION], "id": ["one"]})
    parquet.write_table(table, tmp_path / "rows.parquet")
    named = batch(
        tmp_path / "rows.parquet", "--scene-column", "file", "--question-column", "prompt"
    )
    assert named.exit_code == 0, named.output
    assert rows()["one"]["question"] == QUESTION


def test_what_synthesize_writes_is_asked_as_it_is(batch, rows, tmp_path):
    made = tmp_path / "made"
    words = ["synthesize", "-o", made, "--side", "1024", "--per-category", "1"]
    assert CliRunner().invoke(main, [str(word) for word in words]).exit_code == 0
    done = batch(made / "annotations.jsonl")
    assert done.exit_code == 0, done.output
    records = [json.loads(line) for line in (made / "annotations.jsonl").read_text().splitlines()]
    assert {key: row["question"] for key, row in rows().items()} == {
        record["question_id"]: record["text"] for record in records
    }


def test_verify_fails_the_rows_of_a_damaged_scene(batch, rows, make_tiff):
    scene = make_tiff(texture(1500, 1500))
    data = bytearray(scene.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    scene.write_bytes(bytes(data))
    assert batch(scene, "--question", QUESTION, "--verify").exit_code == 3
    (row,) = rows().values()
    assert "could not be read" in row["error"]


def test_a_log_gets_a_line_now_and_then_while_items_are_worked_on(batch, scene_path, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.02)
    result = batch(scene_path, "--question", QUESTION, "--question", "What is it?")
    lines = [line for line in result.stderr.splitlines() if line.startswith("asking: ")]
    assert lines
    assert all(re.fullmatch(r"asking: [012] of 2(, .*)?, \d+\.\d min", line) for line in lines)
    assert "asking" not in batch(scene_path, "--question", QUESTION, "-q").stderr


class Words(HTMLParser):
    """The text of a page, and its pictures."""

    def __init__(self, page):
        super().__init__()
        self.text, self.pictures, self.tags = "", [], set()
        self.feed(page)

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])


def test_a_report_tells_all_rows_as_a_page_and_as_a_table(batch, manifest, tmp_path, scene_path):
    hostile = "<script>alert(1)</script> | a"
    manifest.write_text(manifest.read_text() + f'{scene_path},"{hostile}"\n')
    assert batch(manifest).exit_code == 3
    result = CliRunner().invoke(main, ["report", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    page = Words((tmp_path / "out" / "report.html").read_text())
    text = (tmp_path / "out" / "report.md").read_text()
    for words in (QUESTION, "2 of 3 rows answered, 1 failed", "missing.tif", hostile):
        assert words in page.text
    assert "script" not in page.tags
    # one picture a row whose scene is there, in the page itself
    assert len(page.pictures) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.pictures)
    assert "2 of 3 rows answered, 1 failed" in text
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({line.replace("\\|", "").count("|") for line in table[-4:]}) == 1


def test_a_report_shows_where_each_answer_was_read_from_any_folder(
    batch, rows, tmp_path, scene_path, monkeypatch
):
    monkeypatch.chdir(scene_path.parent)
    assert batch(scene_path.name, "--question", QUESTION).exit_code == 0
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["report", "out"]).exit_code == 0
    page = Words((tmp_path / "out" / "report.html").read_text())
    (row,), (source,) = rows().values(), page.pictures
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as picture:
        seen = np.asarray(picture).astype(int)
    finest = min(evidence["level"] for evidence in row["evidence"])
    boxes = np.array([e["box_scene"] for e in row["evidence"] if e["level"] == finest])
    scale = max(seen.shape[:2]) / max(row["scene_facts"]["width"], row["scene_facts"]["height"])
    ends = boxes[:, :2].min(axis=0) * scale, boxes[:, 2:].max(axis=0) * scale
    # a frame that nobody could see is made larger
    center, half = (ends[0] + ends[1]) / 2, np.maximum((ends[1] - ends[0]) / 2, 5)
    (left, top), (right, bottom) = (center - half).astype(int), (center + half).astype(int)
    for line in (seen[top + 2, left + 4 : right - 3], seen[top + 4 : bottom - 3, left + 2]):
        assert len(line) > 2
        assert np.abs(line.mean(axis=0) - EVIDENCE).max() < 60
    inside = shapely.geometry.shape(row["geometry"]).representative_point()
    latitude, longitude = re.search(r"([\d.]+)° N, ([\d.]+)° E", page.text).groups()
    assert (float(latitude), float(longitude)) == pytest.approx((inside.y, inside.x), abs=1e-5)


def test_a_folder_without_a_batch_or_a_run_has_no_report(tmp_path):
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert result.exit_code == 1
    (tmp_path / "answers.jsonl").write_text('["no result"]\n')
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
