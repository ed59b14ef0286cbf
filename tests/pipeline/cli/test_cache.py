"""``geofovea cache`` and what ``ask`` and ``inspect`` say of level files."""

import json

import click
import pytest
import rasterio
from click.testing import CliRunner
from pipeline_toys import QUESTION, texture

from geofovea.pipeline.cli import main
from geofovea.tiling import open_scene, plan_radiometry, prepare
from geofovea.tiling.cache import findings
from geofovea.tiling.overviews import level_files


@pytest.fixture
def run(monkeypatch, tmp_path):
    """``run("cache", "list")`` with a cache of its own, where small scenes count as large."""
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(level_files, "DECODE_ONCE_PIXELS", 10_000)
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def striped(tmp_path):
    """A striped TIFF of 600 × 500 pixels."""
    path = tmp_path / "striped.tif"
    pixels = texture(500, 600)
    shape = {"width": 600, "height": 500, "count": len(pixels), "dtype": "uint8"}
    with rasterio.open(path, "w", "GTiff", interleave="pixel", **shape) as dataset:
        dataset.write(pixels)
    return path


def test_an_empty_cache_is_listed_and_cleared(run, tmp_path):
    shown = run("cache", "list").stdout
    assert shown == (
        f"levels of 0 scenes, 0.0 MB of at most 32 GB in {tmp_path / 'cache'}\n"
        "0 findings of contrast and borders, 0.0 MB\n"
        "0 encoded tiles, 0.0 MB of at most 8 GB\n"
    )
    row = json.loads(run("cache", "clear", "--yes", "--json").stdout)
    removed = {"scenes": 0, "findings": 0, "tiles": 0, "bytes": 0, "left_alone": []}
    assert row == {"folder": str(tmp_path / "cache"), **removed}


def test_what_was_built_is_listed_and_cleared(run, striped, monkeypatch):
    prepare(open_scene(striped))
    monkeypatch.setenv("GEOFOVEA_CACHE_GB", "2.5")
    row = json.loads(run("cache", "list", "--json").stdout)
    assert row["bytes"] == row["scenes"][0]["bytes"] > 600 * 500 * 3
    (entry,) = row["scenes"]
    assert (entry["scene"], entry["levels"], entry["state"]) == (str(striped), [0, 1, 2], "current")
    assert row["limit_bytes"] == 2_500_000_000
    assert entry["used"] == pytest.approx(entry["built"], abs=60)
    shown = run("cache", "list").stdout
    assert "of at most 2.5 GB" in shown
    assert "striped.tif" in shown
    assert "levels of 1 scene," in shown
    assert json.loads(run("cache", "clear", "--yes", "--json").stdout)["scenes"] == 1
    assert json.loads(run("cache", "list", "--json").stdout)["scenes"] == []


def test_what_was_found_is_listed_and_cleared(run, tmp_path, monkeypatch):
    monkeypatch.setattr(findings, "_CHEAP_PIXELS", 1000)
    shape = {"width": 600, "height": 500, "count": 1, "dtype": "uint16"}
    path = tmp_path / "deep.tif"
    with rasterio.open(path, "w", "GTiff", **shape) as dataset:
        dataset.write(texture(500, 600)[:1].astype("uint16"))
    plan_radiometry(open_scene(path))
    listed = json.loads(run("cache", "list", "--json").stdout)
    assert (listed["findings"], listed["scenes"]) == (1, [])
    assert "1 finding of contrast and borders" in run("cache", "list").stdout
    cleared = json.loads(run("cache", "clear", "--yes", "--json").stdout)
    assert (cleared["findings"], cleared["bytes"]) == (1, listed["findings_bytes"])
    assert json.loads(run("cache", "list", "--json").stdout)["findings"] == 0
    plan_radiometry(open_scene(path))
    assert "1 finding and 0 encoded tiles" in run("cache", "clear", "--yes").stdout


def test_inspect_tells_what_a_question_will_build_and_builds_nothing(run, striped, tmp_path):
    row = json.loads(run("inspect", striped, "--json", "--tile-size", 64).stdout)
    assert row["way_in"] == "level_files"
    assert (row["level_files"]["builder"], row["level_files"]["are_built"]) == ("pyvips", False)
    assert row["level_files"]["levels"] == [0, 1, 2]
    assert "the first question builds" in run("inspect", striped).stdout
    assert not (tmp_path / "cache").exists()
    prepare(open_scene(striped))
    row = json.loads(run("inspect", striped, "--json", "--tile-size", 64).stdout)
    assert row["level_files"]["are_built"] is True


def test_a_question_builds_level_files_without_a_word_where_there_is_no_terminal(
    run, striped, tiny_folder
):
    budget = ["--tiles", "12", "--tokens", "60"]
    result = run("ask", striped, QUESTION, "--model", tiny_folder, "--json", *budget)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["scene"]["width"] == 600
    assert result.stderr == ""
    assert len(json.loads(run("cache", "list", "--json").stdout)["scenes"]) == 1


@pytest.fixture
def two_kinds(run, striped, tmp_path, monkeypatch):
    """Level files of one scene, and a finding of another."""
    monkeypatch.setattr(findings, "_CHEAP_PIXELS", 1000)
    shape = {"width": 600, "height": 500, "count": 1, "dtype": "uint16", "tiled": True}
    deep = tmp_path / "deep.tif"
    with rasterio.open(deep, "w", "GTiff", **shape, blockxsize=256, blockysize=256) as dataset:
        dataset.write(texture(500, 600)[:1].astype("uint16"))
    prepare(open_scene(striped))
    plan_radiometry(open_scene(deep))
    return striped, deep


def test_nothing_is_cleared_unasked_where_nobody_can_be_asked(run, two_kinds):
    for words in ([], ["--json"], ["--kind", "levels"]):
        refused = run("cache", "clear", *words)
        assert refused.exit_code == 2
        assert "--yes" in refused.stderr
    row = json.loads(run("cache", "list", "--json").stdout)
    assert (len(row["scenes"]), row["findings"]) == (1, 1)


@pytest.mark.parametrize(("said", "removed"), [("y\n", 1), ("n\n", 0), ("\n", 0)])
def test_at_a_terminal_it_asks_first(two_kinds, monkeypatch, said, removed):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    from geofovea.pipeline.cli import cache as cli_cache

    monkeypatch.setattr(cli_cache.sys, "stdin", Terminal(said))
    try:
        cli_cache.clear_command.main([], standalone_mode=False)
    except click.Abort:
        assert removed == 0
    assert findings.count_findings()[0] == 1 - removed


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ([], (0, 0)),
        (["--kind", "levels"], (0, 1)),
        (["--kind", "findings"], (1, 0)),
        (["--kind", "tokens"], (1, 1)),
        (["--kind", "levels", "--kind", "findings"], (0, 0)),
        (["--older-than", "1h"], (1, 1)),
        (["--older-than", "0m"], (0, 0)),
        (["SCENE"], (0, 1)),
        (["SCENE", "--kind", "findings"], (1, 1)),
        (["DEEP"], (1, 0)),
        (["SCENE", "DEEP"], (0, 0)),
        (["elsewhere.tif"], (1, 1)),
    ],
)
def test_a_scene_a_kind_and_an_age_choose_what_is_cleared(run, two_kinds, words, left):
    names = {"SCENE": two_kinds[0], "DEEP": two_kinds[1]}
    result = run("cache", "clear", "--yes", *(names.get(word, word) for word in words))
    assert result.exit_code == 0, result.stderr
    row = json.loads(run("cache", "list", "--json").stdout)
    assert (len(row["scenes"]), row["findings"]) == left


@pytest.mark.parametrize("age", ["", "30", "d", "-1d", "1y", "nan h", "1e3d"])
def test_an_age_that_is_none_is_refused(run, age):
    refused = run("cache", "clear", "--yes", "--older-than", age)
    assert refused.exit_code == 2
    assert "such as 30d" in refused.stderr


def test_what_was_left_alone_is_named_and_stays(run, two_kinds, tmp_path):
    strangers = ["tokens/thesis/chapter.txt", "findings/notes.md", "levels/a\x1b[2Jb/photo.tif"]
    for name in strangers:
        (tmp_path / "cache" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / name).write_text("mine")
    shown = run("cache", "clear", "--yes").stdout
    assert "left alone" in shown
    assert "tokens/thesis/" in shown
    assert "findings/notes.md" in shown
    assert "\x1b" not in shown
    assert all((tmp_path / "cache" / name).read_text() == "mine" for name in strangers)
    row = json.loads(run("cache", "clear", "--yes", "--json").stdout)
    assert sorted(row["left_alone"])[1:] == ["levels/a\x1b[2Jb/", "tokens/thesis/"]


def test_time_for_an_answer_ends_a_build_and_names_the_way_out(run, striped, tiny_folder):
    ask = ("ask", striped, QUESTION, "--model", tiny_folder, "--tiles", 12, "--tokens", 60)
    result = run(*ask, "--seconds", "1e-6")
    assert result.exit_code == 1
    assert "gdaladdo" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert run(*ask).exit_code == 0
    assert run(*ask, "--seconds", "1e-6").exit_code == 0


def test_an_answer_says_that_level_files_were_damaged(run, striped, tiny_folder, tmp_path):
    import os

    ask = ("ask", striped, QUESTION, "--model", tiny_folder, "--tiles", 12, "--tokens", 60)
    first = json.loads(run(*ask, "--json").stdout)
    for path in (tmp_path / "cache" / "levels").glob("*/level_0.tif"):
        status = path.stat()
        content = bytearray(path.read_bytes())
        content[len(content) // 8 : len(content) // 2] = bytes(
            255 - b for b in content[len(content) // 8 : len(content) // 2]
        )
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = json.loads(run(*ask, "--json").stdout)
    assert again["answer"] == first["answer"]
    assert again["evidence"] == first["evidence"]
    assert any("damaged" in warning for warning in again["warnings"])
