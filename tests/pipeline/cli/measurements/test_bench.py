"""Benches print the table that they write, of the model that they are told of."""

import json

import pytest
from cli_toys import FEW, is_one_error_line

from geofovea.pipeline.evaluation.counts import bench as count_bench


@pytest.mark.slow
def test_bench_prints_the_table_that_it_writes(run, tmp_path, tiny_folder):
    arguments = ["--sides", "1024", "--scenes", 1, "--per-category", 1, *FEW]
    result = run("bench", "synthetic", "--output", tmp_path, "--model", tiny_folder, *arguments)
    assert result.exit_code == 0, result.stderr
    assert "### 1024 × 1024 px" in result.stdout
    assert result.stdout.strip() == (tmp_path / "table.md").read_text(encoding="utf-8").strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bench", "journal", "few"),
    [
        ("synthetic", None, ["--sides", "1024", *FEW]),
        ("policies", "run.json", ["--side", "1024", *FEW, "--world", 2]),
        ("reductions", "reductions.jsonl", ["--sides", "1024", "--methods", "divprune"]),
    ],
)
def test_a_bench_loads_its_model_as_it_is_told(run, tmp_path, tiny_folder, bench, journal, few):
    world = 2 if "--world" in few else 1
    common = [*few, "--scenes", 1, "--per-category", 1, "--model", tiny_folder]
    into = ["bench", bench, "--output", tmp_path / "run", *common]
    refused = run(*into, "--positions", "scene")
    assert refused.exit_code == 1
    assert "no positions 'scene'" in refused.stderr
    done = run(*into, "--dtype", "bfloat16")
    assert done.exit_code == 0, done.stderr
    (scene,) = (tmp_path / "run").glob("*.tif")
    assert ("_world2" in scene.name) == (world == 2)
    if journal:
        first = json.loads((tmp_path / "run" / journal).read_text().splitlines()[0])
        assert first["loading"] == {"dtype": "bfloat16"}
        assert first.get("world", 1) == world
        other = run(*into)
        assert other.exit_code == 1, "answers in other numbers are not mixed"
        assert is_one_error_line(other)


def test_ways_to_count_are_compared_on_the_command_line(run, tmp_path, monkeypatch):
    monkeypatch.setattr(count_bench, "THINGS", ("truck",))
    few = ["--output", tmp_path, "--sides", "768", "--scenes", 1]
    result = run("bench", "count", *few, "--budgets", "2", "--world", 2)
    assert result.exit_code == 0, result.stderr
    assert "intervals that hold the truth" in result.stdout
    assert result.stdout.strip() == (tmp_path / "table.md").read_text(encoding="utf-8").strip()
    assert (tmp_path / "scene_768_920000_world2.tif").exists()
    refused = run("bench", "count", *few, "--budgets", "2")
    assert "another bench" in refused.stderr, "counts of two worlds are not mixed"
    refused = run("bench", "count", *few, "--budgets", "0")
    assert refused.exit_code != 0
    assert is_one_error_line(refused)
