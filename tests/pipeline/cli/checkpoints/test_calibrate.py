"""``geofovea calibrate`` and ``bench focus`` say what they found, or what to do."""

import json

import pytest
from chat_server import says
from cli_toys import is_one_error_line


@pytest.mark.slow
def test_a_calibration_goes_on_where_the_tokens_ended_and_is_printed(run, tmp_path):
    into = ["calibrate", "--output", tmp_path / "run", "--looks", 2, "--no-install"]
    refused = run(*into, "--tokens", 300)
    assert refused.exit_code == 1
    assert is_one_error_line(refused)
    assert "allow more with --tokens" in refused.stderr
    done = run(*into, "--json")
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    # two looks do not tell much; the layer that was trained to point is chosen all the same
    assert 2 in record["mode"]["layers"]
    assert 300 < record["tokens"] < 10_000
    names = {"calibration.md", "calibration.png", "geofovea.json", "calibration.jsonl"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == names
    again = run(*into)
    assert "held-out objects; uncalibrated" in again.stdout


@pytest.mark.slow
def test_at_an_endpoint_the_prompted_focus_is_measured(run, server, tmp_path):
    server.otherwise = says("5")
    where = ["--model", "openai:toy", "--base-url", server.url]
    done = run("calibrate", "--output", tmp_path / "run", *where, "--json")
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    (focus,) = record["focuses"]
    assert (focus["focus"], record["best_focus"]) == ("prompted", "prompted")
    assert 0 <= focus["accuracy"][0] <= 1
    assert focus["tokens"] > 0
    assert "mode" not in record
    assert "prompted" in (tmp_path / "run" / "calibration.md").read_text(encoding="utf-8")
    refused = run("calibrate", "--output", tmp_path / "other", *where, "--max-calls", 2)
    assert refused.exit_code == 1
    assert is_one_error_line(refused)
    assert "--max-calls" in refused.stderr


@pytest.mark.slow
def test_the_bench_of_the_focus_prints_the_table_that_it_writes(run, tmp_path):
    arguments = ["--kinds", "corner", "--shares", "0,0.9", "--looks", 2]
    result = run("bench", "focus", "--output", tmp_path, *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() == (tmp_path / "focus.md").read_text(encoding="utf-8").strip()
    rows = json.loads((tmp_path / "focus.json").read_text(encoding="utf-8"))["rows"]
    accuracy = {(r["share"], r["mode"]): r["accuracy"][0] for r in rows}
    assert accuracy[0.9, "raw"] < 0.3 < accuracy[0, "raw"] <= accuracy[0.9, "default"]


def test_a_kind_that_cannot_be_planted_is_refused(run, tmp_path):
    result = run("bench", "focus", "--output", tmp_path, "--kinds", "magic")
    assert result.exit_code == 1
    assert "no planting 'magic'" in result.stderr


@pytest.mark.parametrize("limits", [["--looks", 1], ["--tokens", 0], ["--seconds", 0]])
def test_a_calibration_that_measures_nothing_is_refused(run, tmp_path, limits):
    result = run("calibrate", "--output", tmp_path, *limits)
    assert result.exit_code == 1
    assert is_one_error_line(result)
