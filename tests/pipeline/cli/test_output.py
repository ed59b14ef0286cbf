"""What a verb tells, to whom, and how it fails for a program."""

import json
import subprocess
import sys

import pytest
from cli_toys import FEW
from pipeline_toys import QUESTION, texture


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (["ask", "missing.tif", "Why?", "--model", "embedded"], 1, "SceneNotFoundError"),
        (["ask", "missing.tif", "Why?", "--max-tiles", "many"], 2, "UsageError"),
        (["ask", "missing.tif"], 2, "UsageError"),
        (["eval", "synthetic", "--root", "nowhere", "--output", "x"], 1, "DataError"),
        (["compare", "one", "two"], 1, "DataError"),
        (["config", "show", "--nonsense"], 2, "UsageError"),
    ],
)
def test_a_failure_with_json_is_an_object_with_the_exit_code(
    run, tmp_path, monkeypatch, words, code, kind
):
    monkeypatch.chdir(tmp_path)
    result = run(*words, "--json")
    assert result.exit_code == code
    error = json.loads(result.stdout)["error"]
    assert (error["kind"], error["exit_code"]) == (kind, code)
    # people read the same on the other stream, in one style
    assert f"error: {error['message']}" in result.stderr
    assert run(*words).stdout == ""


def test_an_error_speaks_of_options(run, tmp_path, make_tiff):
    (tmp_path / "x.vrt").write_text('<VRTDataset rasterXSize="8" rasterYSize="8"/>')
    assert "pass --allow-vrt if" in run("info", tmp_path / "x.vrt").stderr
    assert "=True" not in run("info", tmp_path / "x.vrt").stderr
    shown = run("info", make_tiff(texture(60, 60, 5)))
    assert "choose with --bands" in shown.stdout.replace("\n", " ")
    assert "bands=" not in shown.stdout


def test_quiet_shows_the_answer_alone_and_a_log_file_has_the_rest(ask, make_png, tmp_path):
    scene, log = make_png(80, 80), tmp_path / "log.txt"
    loud = ask(scene=scene)
    assert "warning" in loud.stderr
    quiet = ask("-q", "--log-file", log, scene=scene)
    assert quiet.stderr == ""
    assert quiet.stdout.splitlines()[0] == loud.stdout.splitlines()[0]
    lines = log.read_text().splitlines()
    assert any("is a demo that knows synthetic scenes only" in line for line in lines)
    assert all(line[:4].isdigit() for line in lines)
    failed = ask("-q", "--log-file", log, scene=tmp_path / "missing.tif")
    assert failed.stderr.startswith("error: there is no file")
    assert "SceneNotFoundError" in log.read_text().splitlines()[-1]


def test_a_log_file_that_cannot_be_written_is_one_line(ask, tmp_path):
    result = ask("--log-file", tmp_path / "nowhere" / "log.txt")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: the log file")


def test_details_go_to_standard_error(ask):
    assert " INFO " in ask("-v").stderr
    assert " INFO " not in ask().stderr


def test_the_package_runs_as_a_module(tiny_folder, scene_path):
    command = [sys.executable, "-m", "geofovea", "ask", scene_path, QUESTION, "--json"]
    done = subprocess.run(
        [*command, "--model", tiny_folder, *FEW], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["question"] == QUESTION


def test_verify_finds_damage_that_an_answer_would_not_meet(ask, run, make_tiff):
    scene = make_tiff(texture(1500, 1500))
    assert ask("--verify", scene=scene).exit_code == 0
    data = bytearray(scene.read_bytes())
    # the middle of the file: some block of the native image
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    scene.write_bytes(bytes(data))
    result = ask("--verify", scene=scene)
    assert result.exit_code == 1
    assert "could not be read" in result.stderr
    assert run("info", scene, "--verify").exit_code == 1
    assert run("info", scene).exit_code == 0
