"""Scenes and questions are written so that they can be read again."""

import json

import pytest
import rasterio
from cli_toys import is_one_error_line
from PIL import Image

from geofovea.datasets.benchmarks.lrs_vqa import read_records


def test_synth_writes_scenes_and_questions_that_can_be_read(run, ask, tmp_path):
    folder = tmp_path / "data"
    arguments = ["--side", 1024, "--scenes", 2, "--per-category", 1, "--seed", 3]
    result = run("synth", "--output", folder, *arguments)
    assert result.exit_code == 0, result.stderr
    records = list(read_records(folder / "annotations.jsonl"))
    assert len({r.image for r in records}) == 2
    assert len({r.category for r in records}) >= 6
    assert all((folder / r.image).is_file() and r.image_size == (1024, 1024) for r in records)
    assert len(list((folder / "image").iterdir())) == 2
    answer = ask("--json", scene=folder / records[0].image, question=records[0].question)
    told = json.loads(answer.stdout)["warnings"]
    assert all("the answer was cut" in warning for warning in told)


@pytest.mark.parametrize("options", [["--scenes", 0], ["--per-category", 0], ["--side", 100]])
def test_synth_of_nothing_is_one_error_line(run, tmp_path, options):
    result = run("synth", "--output", tmp_path / "data", *options)
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert not (tmp_path / "data").exists()


def test_a_name_with_the_suffix_of_a_tiff_is_one_scene_with_its_questions_beside_it(run, tmp_path):
    scene, arguments = tmp_path / "scene.tif", ["--side", 768, "--per-category", 1, "--seed", 3]
    result = run("synthesize", "--output", scene, *arguments)
    assert result.exit_code == 0, result.stderr
    records = list(read_records(tmp_path / "scene.jsonl"))
    assert {record.image for record in records} == {"scene.tif"}
    # not one whose answer may be that there is none
    shown = next(record for record in records if record.category == "object color")
    assert f'geofovea ask {scene} "{shown.question}"' in result.stdout
    # a synthetic scene may be made anew; an image of one's own is never written over
    assert run("synthesize", "--output", scene, *arguments).exit_code == 0
    Image.new("RGB", (768, 768)).save(scene)
    before = scene.read_bytes()
    assert is_one_error_line(run("synthesize", "--output", scene, *arguments))
    assert scene.read_bytes() == before


@pytest.mark.parametrize("options", [["--scenes", 2], ["--dates", 2]])
def test_one_file_holds_no_several_scenes(run, tmp_path, options):
    result = run("synthesize", "--output", tmp_path / "scene.tif", *options)
    assert result.exit_code == 2
    assert "name a folder" in result.stderr


def test_synth_writes_dates_with_questions_about_them(run, tmp_path):
    arguments = ["--side", 768, "--dates", 2, "--per-category", 1, "--seed", 4]
    result = run("synth", "--output", tmp_path, *arguments)
    assert result.exit_code == 0, result.stderr
    lines = (tmp_path / "annotations.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows
    assert all(len(row["images"]) == 2 and row["image"] == row["images"][0] for row in rows)
    assert len(list((tmp_path / "image").iterdir())) == 2
    wrong = run("synth", "--output", tmp_path / "none", *arguments[:2], "--dates", 0)
    assert is_one_error_line(wrong)
    assert "dates at least 2" in wrong.stderr


def test_synth_writes_the_second_world_with_near_infrared(run, ask, tmp_path):
    arguments = ["--side", 1024, "--per-category", 1, "--seed", 3, "--world", 2, "--nir"]
    result = run("synth", "--output", tmp_path, *arguments)
    assert result.exit_code == 0, result.stderr
    (scene,) = (tmp_path / "image").iterdir()
    with rasterio.open(scene) as dataset:
        assert dataset.descriptions == ("red", "green", "blue", "nir")
    lines = (tmp_path / "annotations.jsonl").read_text().splitlines()
    assert {json.loads(line)["world"] for line in lines} == {2}
    # the model of these tests knows version 1 alone, and says so
    record = next(iter(read_records(tmp_path / "annotations.jsonl")))
    answer = ask("--json", scene=scene, question=record.question)
    warnings = json.loads(answer.stdout)["warnings"]
    assert any("another version of the synthetic world" in warning for warning in warnings)


def test_the_first_world_has_no_near_infrared(run, tmp_path):
    result = run("synth", "--output", tmp_path / "data", "--nir")
    assert result.exit_code == 2
    assert "--nir needs --world 2" in result.stderr


def test_green_roofs_without_near_infrared_are_a_wrong_use(run, tmp_path):
    result = run("synthesize", "--output", tmp_path / "data", "--world", 2, "--green-roofs")
    assert result.exit_code == 2
    assert "--green-roofs needs --nir" in result.stderr
    assert not (tmp_path / "data").exists()
