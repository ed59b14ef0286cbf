"""Every verb says in one line what is wrong, and nothing heavy loads before one runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from cli_toys import FEW, is_one_error_line
from pipeline_toys import QUESTION, texture

from geofovea.pipeline.cli.program import main


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["ask"],
        ["ask", "scene.tif"],
        ["telepathy"],
        ["ask", "scene.tif", "Why?", "--telepathy"],
        ["ask", "scene.tif", "Why?", "--tiles", "many"],
        ["ask", "scene.tif", "Why?", "--focus", "telepathy"],
        ["synth"],
        ["inspect"],
    ],
)
def test_wrong_usage_exits_with_2_and_a_hint(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "name",
    [
        "missing.tif",
        "http://127.0.0.1:9/scene.tif",
        "/vsicurl/http://127.0.0.1:9/scene.tif",
        "/vsizip/a.zip/scene.tif",
        "",
    ],
)
@pytest.mark.parametrize("verb", ["ask", "inspect"])
def test_a_scene_that_may_not_be_opened_is_one_error_line(run, verb, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(verb, name, *([QUESTION] if verb == "ask" else []))
    assert result.exit_code == 1
    assert is_one_error_line(result)


@pytest.mark.parametrize("verb", ["ask", "inspect"])
@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ([], "pass --allow-remote and --allow-host 127.0.0.1"),
        (["--allow-remote"], "--allow-host 127.0.0.1"),
        (["--allow-remote", "--allow-host", "a.org", "--allow-host", "b.org"], "a.org, b.org"),
        (["--allow-remote", "--allow-host", "127.0.0.1"], "could not be read"),
    ],
)
def test_a_url_is_asked_only_on_a_host_that_was_allowed(run, verb, options, advice):
    # nothing listens on the port, so the last one gets as far as it can
    url = "http://mallory:word@127.0.0.1:9/scene.tif?signature=1"
    result = run(verb, url, *([QUESTION] if verb == "ask" else []), *options)
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert advice in result.stderr
    assert "mallory" not in result.stderr
    assert "signature" not in result.stderr


@pytest.mark.parametrize("verb", [["synth"], ["train"], ["demo"], ["bench", "synthetic"]])
def test_an_output_that_is_a_file_is_one_error_line(run, tmp_path, verb, tiny_folder):
    (tmp_path / "taken").write_text("x")
    model = ["--model", tiny_folder] if verb[0] == "bench" else []
    result = run(*verb, "--output", tmp_path / "taken", *model)
    assert result.exit_code == 1
    assert is_one_error_line(result)
    assert (tmp_path / "taken").read_text() == "x"


@pytest.mark.parametrize("verb", [[], ["ask"], ["inspect"], ["bench", "synthetic"]])
def test_help_is_there_for_every_verb(run, verb):
    for option in ("--help", "-h"):
        result = run(*verb, option)
        assert result.exit_code == 0
        assert "Usage: " in result.stdout


def test_every_output_may_be_given_as_o():
    context, groups, count = click.Context(main), [main], 0
    for group in groups:
        for name in group.list_commands(context):
            verb = group.get_command(context, name)
            if isinstance(verb, click.Group):
                groups.append(verb)
            for option in verb.params:
                if "--output" in option.opts:
                    assert "-o" in option.opts, name
                    count += 1
    assert count > 15


def test_the_version_is_that_of_the_package(run):
    import geofovea

    assert geofovea.__version__ in run("--version").stdout


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from geofovea.pipeline.cli import main\n"
        "for words in ([], ['ask'], ['bench', 'synthetic']):\n"
        "    try:\n"
        "        main([*words, '--help'])\n"
        "    except SystemExit:\n"
        "        pass\n"
        "heavy = ('torch', 'rasterio', 'transformers', 'numpy', 'rich')\n"
        "print('loaded:', *(n for n in heavy if n in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]
    assert done.stderr == ""


def test_a_stream_without_the_characters_of_a_table_gets_others(make_tiff):
    path = make_tiff(texture(400, 400))
    code = "from geofovea.pipeline.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "info", str(path)],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert b"400 ? 400 px" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_behind_the_output_is_said_in_one_line(make_tiff, options):
    code = "from geofovea.pipeline.cli import main; main()"
    arguments = ["info", str(make_tiff(texture(400, 400))), *options]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "make room" in done.stderr


@pytest.mark.slow
def test_a_whole_process_writes_one_line_when_a_scene_is_damaged(tiny_folder, make_tiff):
    # a library that logs on its own does so here, and not under a test runner that catches logs
    path = make_tiff(texture(400, 400))
    path.write_bytes(path.read_bytes()[:-20_000])
    code = "from geofovea.pipeline.cli import main; main()"
    arguments = ["ask", path, QUESTION, "--model", tiny_folder, *FEW]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")


@pytest.mark.slow
def test_a_whole_process_writes_nothing_but_the_answer(tiny_folder, scene_path):
    code = "from geofovea.pipeline.cli import main; main()"
    arguments = ["ask", scene_path, QUESTION, "--model", tiny_folder, *FEW, "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["question"] == QUESTION
    assert done.stderr == ""


def test_a_current_folder_that_was_removed_is_told(run, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = run("info", "scene.tif")
    assert result.exit_code == 2
    assert is_one_error_line(result)
    assert "the current folder was removed; change into one" in result.stderr
