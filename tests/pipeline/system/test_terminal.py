"""Nothing that a terminal would obey leaves any verb, whoever wrote it."""

import ast
import io
import json
import os
import re
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest
import rasterio
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pipeline_toys import QUESTION, texture
from rasterio.crs import CRS
from rich.cells import cell_len

import geofovea.pipeline
from geofovea.pipeline.cli import main
from geofovea.pipeline.system import progress
from geofovea.pipeline.system.tables import markdown_table, print_table
from geofovea.pipeline.system.terminal import echo, fact, visible
from geofovea.tiling.overviews import level_files

ESCAPE = "\x1b]0;PWN\x07\x1b[31m"
# an escape, a color of rich, an end of a color that never began, a forged line, a turned text
HOSTILE = f"a{ESCAPE}[red][/2024]\nerror: forged\r\u202egnp\x9b2J"
FEW = ("--tiles", 4, "--tokens", 40)


def is_harmless(text):
    return all(c.isprintable() or c == "\n" for c in text) and "\nerror: forged" not in text


def test_nobody_is_told_anything_where_a_shell_has_closed_the_output(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    fact("evidence", "51.15331° N")
    echo("rectangular")


def test_a_terminal_gets_a_fact_in_lines_of_its_width_and_a_file_gets_one(monkeypatch, capsys):
    text = "5 of 9 native tiles, and words that go on " * 4 + ESCAPE
    fact("looked at", text)
    whole = capsys.readouterr().out
    assert whole.count("\n") == 1
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    fact("looked at", text)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= 60
    assert all(line.startswith(" " * 13) for line in lines[1:])
    assert " ".join(" ".join(lines).split()) == " ".join(whole.split())


@given(st.text(st.characters(codec=None, categories=None)))
def test_any_text_becomes_one_line_of_printable_characters(text):
    shown = visible(text)
    assert all(c.isprintable() or c in "\u200c\u200d" for c in shown)
    shown.encode()
    if text.isprintable():
        assert shown == text
    several = visible(text, lines=True)
    assert several.count("\n") == text.count("\n")
    assert is_harmless(re.sub("[\t\u200c\u200d]|\nerror: forged", "", several))


def test_bytes_of_a_name_that_is_not_utf_8_can_be_shown():
    assert visible(os.fsdecode(b"caf\xe9.tif")) == r"caf\udce9.tif"
    assert visible("日本 naïve 🛰 \u2009x") == "日本 naïve 🛰  x"


def test_tables_show_brackets_as_they_are(capsys):
    print_table(("MB", "[b]scene[/b]"), [["1", "area[/2024]/[red]s[/red].tif"], ["2", HOSTILE]])
    shown = capsys.readouterr().out
    assert "[b]scene[/b]" in shown
    assert "area[/2024]/[red]s[/red].tif" in shown
    assert is_harmless(shown)


NAMES = (
    "很长的场景名字" * 9,
    "a_long_name_without_blanks_" * 5 + ".tif",
    "🛰 emoji 🏝 in names " * 5,
)


@pytest.mark.parametrize("numbers", [1, 3, 5])
@pytest.mark.parametrize("asked", [None, "100"])
def test_a_table_in_a_pipe_fits_and_breaks_no_number(capsys, monkeypatch, numbers, asked):
    monkeypatch.delenv("COLUMNS", raising=False)
    if asked:
        monkeypatch.setenv("COLUMNS", asked)
    interval = "12.34 [10.11, 14.55]"
    rows = [[name, *[interval] * numbers] for name in NAMES]
    print_table(["scene", *["gain over it"] * numbers], rows)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, lines)) <= int(asked or 80)
    words = " ".join(lines).split()
    for part in interval.split():
        assert words.count(part) == len(NAMES) * numbers
    # nothing of a name is lost
    shown_letters, letters = Counter("".join(words)), Counter("".join(NAMES).replace(" ", ""))
    assert shown_letters >= letters


def test_numbers_that_need_more_columns_than_a_pipe_has_get_them(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    row = [f"{number}234567890" for number in range(9)]
    print_table(["scene", *(f"figure{n}" for n in range(9))], [["a.tif", *row]])
    assert set(row) <= set(capsys.readouterr().out.split())


def test_markdown_lines_up_where_letters_take_two_columns():
    lines = markdown_table(("name", "n"), [["很长", "1"], ["🏝", "23"], ["abc", "3"]]).splitlines()
    assert len({cell_len(line) for line in lines}) == 1


def test_titles_of_progress_bars_are_harmless(monkeypatch):
    from rich.console import Console

    seen = []

    class Recorder(Console):
        """A console that believes to be a terminal, and remembers what it was asked to show."""

        def __init__(self, **_):
            super().__init__(file=io.StringIO(), force_terminal=True, width=300)

        def render_lines(self, renderable, *args, **options):
            lines = super().render_lines(renderable, *args, **options)
            seen.extend(segment.text for line in lines for segment in line)
            return lines

    monkeypatch.setattr("rich.console.Console", Recorder)
    with progress.progress_bar(f"level files of {HOSTILE}") as advance:
        advance(0.5)
    with progress.counting_bar(f"asking {HOSTILE}", 3) as count:
        count(1, HOSTILE)
    text = "".join(seen)
    assert "[red][/2024]" in text
    assert is_harmless(text)


@pytest.mark.parametrize(
    ("bar", "step", "line"),
    [
        (lambda: progress.progress_bar("hashing"), (0.374,), "hashing: 37 %, "),
        (
            lambda: progress.counting_bar("asking", 9),
            (2, "1 failed"),
            "asking: 2 of 9, 1 failed, ",
        ),
    ],
    ids=["share", "count"],
)
def test_a_log_gets_lines_of_every_bar(bar, step, line, monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.01)
    with bar() as advance:
        advance(*step)
        told, end = "", time.monotonic() + 20
        while line not in told and time.monotonic() < end:
            time.sleep(0.01)
            told += capsys.readouterr().err
    assert re.search(rf"^{line}\d\.\d min$", told, re.MULTILINE)


def test_everything_is_printed_through_one_function():
    folder = Path(geofovea.pipeline.__file__).parent
    around = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in ("click.echo", "click.secho", "print", "sys.stdout.write", "Console"):
                around.append((path.name, called))
    consoles = {(name, "Console") for name in ("progress.py", "tables.py", "inspect.py")}
    # the child process of chat templates speaks to its parent
    child = {("chat_template_worker.py", "sys.stdout.write")}
    assert set(around) - consoles - child <= {("terminal.py", "click.echo")}


@pytest.fixture
def run(monkeypatch, tmp_path):
    """``run("inspect", path)``: what is shown, which must be harmless, and the exit code."""
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(level_files, "DECODE_ONCE_PIXELS", 10_000)

    def call(*arguments, code=0):
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        assert result.exit_code == code, result.output
        assert is_harmless(result.output), arguments
        return result.output

    return call


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / HOSTILE
    path.mkdir(parents=True)
    return path


@pytest.fixture
def scene(folder):
    """A striped file in a folder with a hostile name, whose CRS has a hostile name as well."""
    path, stand_in = folder / "s.tif", "Q" * len(ESCAPE)
    wkt = CRS.from_proj4("+proj=laea +lat_0=50 +lon_0=10 +datum=WGS84 +units=m").to_wkt()
    wkt = wkt.replace('PROJCS["unknown"', f'PROJCS["Lab{stand_in}"')
    shape = {"width": 600, "height": 500, "count": 3, "dtype": "uint8", "crs": wkt}
    with rasterio.open(
        path, "w", "GTiff", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **shape
    ) as dataset:
        dataset.write(texture(500, 600))
        dataset.update_tags(TIFFTAG_IMAGEDESCRIPTION=f"Q{stand_in}")
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), ESCAPE.encode()))
    return path


def test_what_is_said_of_a_scene_is_harmless(run, scene, tiny_folder):
    shown = run("inspect", scene)
    assert "[red][/2024]" in shown
    assert r"Lab\x1b]0;PWN\x07\x1b[31m" in shown
    run("inspect", scene, "--json")
    run("ask", scene, QUESTION, "--model", tiny_folder, *FEW)
    # a path stands alone on its line, so that it can be copied whole
    assert visible(str(scene)) in run("cache", "list").splitlines()
    run("cache", "list", "--json")
    run("cache", "clear", "--yes")


def test_what_a_model_says_is_harmless(run, make_tiff, tiny_folder, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_folder, model)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {
        word if word.startswith(("<", "[")) else f"{word}{ESCAPE}": n for word, n in words.items()
    }
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    path = make_tiff(texture(300, 300))
    shown = run("ask", path, QUESTION, "--model", model, *FEW)
    assert "\x1b" not in shown
    run(
        "ask", path, QUESTION, "--model", model, *FEW, "--choice", f"yes{HOSTILE}", "--choice", "no"
    )


@pytest.mark.parametrize("verb", ["ask", "inspect", "batch", "eval", "report", "nothing"])
def test_errors_that_repeat_a_name_are_harmless(verb, run, folder):
    gone = folder / f"gone{HOSTILE}.tif"
    if verb == "ask":
        run("ask", gone, QUESTION, code=1)
        run("ask", gone, QUESTION, "--evidence", folder / "no" / HOSTILE, code=1)
        run("ask", gone, QUESTION, "--model", f"{folder}/{HOSTILE}", code=1)
        run("ask", gone, QUESTION, "--focus", "oracle", "--box", HOSTILE, code=1)
        run("ask", gone, QUESTION, f"--{HOSTILE}", code=2)
        run("ask", gone, QUESTION, "--focus", HOSTILE, code=2)
    elif verb == "inspect":
        run("inspect", gone, code=1)
        run("inspect", f"https://ex.org/{HOSTILE}", code=1)
        (folder / "page.tif").write_text("<html>")
        run("inspect", folder / "page.tif", code=1)
    elif verb == "batch":
        run("batch", gone, "--question", QUESTION, "--output", folder / "out", code=1)
        (folder / "m.csv").write_text(f"image{ESCAPE},b\n1,2\n")
        run("batch", folder / "m.csv", "--output", folder / "out", code=1)
        (folder / "i.json").write_text(json.dumps({"type": HOSTILE}))
        run("batch", folder / "i.json", "--output", folder / "out", code=1)
        run("batch", folder, "--regions", folder / HOSTILE, "--output", folder / "out", code=1)
    elif verb == "eval":
        run("eval", HOSTILE, "--root", folder, code=2)
        run("eval", "synthetic", "--root", folder / HOSTILE, "--output", folder / "out", code=1)
    elif verb == "report":
        run("report", folder, code=1)
    else:
        run(HOSTILE, code=2)
        run(f"--{HOSTILE}", code=2)


def test_the_summary_of_a_batch_is_harmless(run, folder, tiny_folder, make_tiff):
    shutil.copy(make_tiff(texture(300, 300)), folder / "good.tif")
    (folder / f"bad{ESCAPE}.tif").write_text("no picture")
    few = (*FEW, "--jsonl-only", "--allow-failures")
    options = ("--question", QUESTION, "--model", tiny_folder, *few)
    shown = run("batch", folder, *options, "--output", folder / "out")
    assert "1 of 2 rows answered, 1 failed" in shown
    run("batch", folder, *options, "--output", folder / "out", "--json")


def test_names_in_answers_files_and_training_folders_are_harmless(run, folder, tmp_path):
    root = tmp_path / "root"
    (root / "image").mkdir(parents=True)
    row = {"image_name": f"a{ESCAPE}.tif", "category": f"color{HOSTILE}", "split": "test"}
    row |= {"question": "Which?", "question_id": "1", "type": "global", "ground_truth": "grey"}
    (root / "LRS-GRO.jsonl").write_text(json.dumps(row))
    answers = folder / "answers.jsonl"
    answers.write_text(json.dumps({"question_id": "1", "answer": f"grey{HOSTILE}"}))
    run("eval", "lrs-gro", "--root", root, "--predictions", answers)
    answers.write_text(json.dumps({"question_id": "1", f"x{ESCAPE}": "grey"}))
    run("eval", "lrs-gro", "--root", root, "--predictions", answers, code=1)


def test_what_is_written_where_is_harmless(run, folder):
    run("synth", "--output", folder / "synth", "--side", 768)
