"""What a verb tells, to whom, and how it fails for a program."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from cli_toys import FEW
from pipeline_toys import QUESTION, texture
from repository import ROOT

from geofovea.datasets.synthetic.questions import ask_world
from geofovea.pipeline.answers import showing
from geofovea.pipeline.cli import demo


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


@pytest.mark.parametrize(
    ("words", "nested"),
    [
        (["ask", "SCENE", QUESTION], ("scene", "evidence", "cost")),
        (["find", "SCENE", "truck"], ("places", "coverage")),
        (["count", "SCENE", "truck"], ("coverage",)),
        (["info", "SCENE"], ("levels",)),
    ],
    ids=lambda value: value[0],
)
def test_every_field_of_the_json_is_documented(run, scene_path, words, nested):
    page = (ROOT / "docs" / "reference" / "outputs.md").read_text("utf-8")
    documented = set(re.findall(r"`(\w+)`", page))
    more = [] if words[0] == "info" else ["--model", "embedded", "--max-tiles", "12"]
    result = run(*(scene_path if word == "SCENE" else word for word in words), "--json", *more)
    record = json.loads(result.stdout)
    assert set(record) <= documented
    for name in nested:
        part = record[name]
        for each in part if isinstance(part, list) else [part]:
            assert set(each) <= documented


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


def test_details_say_what_is_looked_at_and_how_long_it_takes(ask, make_png, tmp_path):
    log = tmp_path / "log.txt"
    ask("--log-file", log, "--save-png", tmp_path / "a.png", scene=make_png(80, 80))
    text = log.read_text()
    stages = (
        r"model: loaded, \d",
        r"question: '.*' about .*\.png",
        r"look: level \d+: \d+ tiles?.*, \d+ tokens, \d+\.\d\d s",
        r"focus: \d+ tokens scored, \d",
        r"model: asked with \d+ vision tokens, \d",
        r"answer: '.*'; seconds: open \d.*, read \d.*, encode \d.*, total \d",
        r"file: wrote .*a\.png, \d",
    )
    place = 0
    for stage in stages:
        match = re.compile(rf" INFO {stage}").search(text, place)
        if match is None and stage.startswith("model: loaded"):
            continue  # an earlier test of this process loaded it
        assert match, stage
        place = match.end()
    assert " DEBUG " not in text
    ask("-vv", "--log-file", log, scene=make_png(80, 80))
    assert re.search(r" DEBUG tile: level \d+, row \d+, column \d+", log.read_text())


@pytest.mark.parametrize("files", [[], ["--save-png", "a.png"], ["--page", "a.html"]])
def test_open_shows_what_was_written_or_says_where_it_is(
    ask, make_png, tmp_path, monkeypatch, files
):
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr(showing.webbrowser, "open", lambda url: opened.append(url) or True)
    monkeypatch.setattr(showing, "has_screen", lambda: True)
    scene = make_png(80, 80)
    result = ask("--open", *files, scene=scene)
    assert result.exit_code == 0, result.stderr
    (url,) = opened
    file = Path(unquote(urlsplit(url).path))
    assert file.stat().st_size > 1000
    assert file.name == (files[1] if files else "answer.html")
    monkeypatch.setattr(showing, "has_screen", lambda: False)
    result = ask("--open", *files, scene=scene)
    assert "no browser here has a window: open /" in result.stderr
    assert len(opened) == 1


def test_open_is_for_one_question(ask, make_png):
    result = ask("Is it red?", "--open", scene=make_png(80, 80))
    assert result.exit_code == 2
    assert "--open are for one question" in result.stderr


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


def test_the_table_of_the_demo_claims_no_confidence_that_is_not_known(
    make_session, world, tmp_path, capsys
):
    questions = ask_world(world, 1)[:2]
    answers = [make_session().ask(question.text) for question in questions]
    known = replace(answers[0], confidence=0.62, confidence_known=True)
    doubted = replace(answers[1], confidence=0.0, confidence_known=False)
    demo._print(world, questions, [known, doubted], tmp_path)
    shown = capsys.readouterr().out
    assert " 62%" in shown
    assert " 0%" not in shown
    assert "–: the scene may not show it" in shown
