"""Rows of two dates: compared, listed, refused alone, and asked again if a date changes."""

import json

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from pipeline_toys import texture
from rasterio.transform import Affine

from geofovea.pipeline.cli import main


@pytest.fixture
def folder(tmp_path):
    """One place at two dates, the later one with finer pixels and one square painted over."""
    pixels = texture(200, 200)
    finer = np.repeat(np.repeat(pixels, 2, axis=1), 2, axis=2).copy()
    finer[:, 100:180, 220:300] = 255 - finer[:, 100:180, 220:300]
    for name, content, size in (("before", pixels, 4), ("after", finer, 2)):
        write(tmp_path / f"{name}.tif", content, size)
    return tmp_path


def write(path, pixels, size):
    count, height, width = pixels.shape
    shape = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": "uint8"}
    place = Affine(size, 0, 500_000, 0, -size, 5_000_000)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=place, **shape) as file:
        file.write(pixels)


@pytest.fixture
def asked(folder, tiny_folder):
    """``asked(rows)``: the rows of a manifest by id, and the report of the run."""

    def call(rows):
        table = folder / "rows.csv"
        lines = ["id,scene,scene_before,question", *rows]
        table.write_text("\n".join(lines) + "\n")
        words = ["batch", table, "--output", folder / "out", "--model", tiny_folder]
        words += ["--allow-failures", "--jsonl-only", "--json", "--tokens", 60]
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        answers = (folder / "out" / "answers.jsonl").read_text().splitlines()
        return {row["id"]: row for row in map(json.loads, answers)}, json.loads(result.stdout)

    return call


def test_rows_of_two_dates_stand_beside_those_of_one(asked, folder):
    rows = [
        "list,after.tif,before.tif,find: changes",
        "words,after.tif,before.tif,What changed?",
        "one,after.tif,,What is it?",
        "count,after.tif,before.tif,count: truck",
        "gone,after.tif,nowhere.tif,What changed?",
    ]
    answers, _ = asked(rows)
    assert {name: row["status"] for name, row in answers.items()} == {
        **dict.fromkeys(("list", "words", "one"), "answered"),
        **dict.fromkeys(("count", "gone"), "failed"),
    }
    assert "is about one date; leave out scene_before" in answers["count"]["error"]
    assert answers["gone"]["error"].startswith("SceneNotFoundError")
    listed = answers["list"]
    assert any("coverage: " in warning for warning in listed["warnings"])
    boxes = [each["box_scene"] for each in listed["evidence"]]
    assert listed["answer"].split()[0] == str(len(boxes))
    assert len(listed["provenance"]["date_identities"]) == 2
    # both dates share the tokens of one answer
    assert 0 < answers["words"]["cost"]["tokens_llm"] <= 60
    # the same again asks nothing, and another earlier scene asks its rows anew
    assert asked(rows[:3])[1]["answered_now"] == 0
    write(folder / "before.tif", 255 - texture(200, 200), 4)
    assert asked(rows[:3])[1]["answered_now"] == 2
