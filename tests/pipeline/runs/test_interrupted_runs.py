"""Signals end a run with its results written, its journal whole, and the exit code of shells."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from pipeline_toys import QUESTION

from geofovea.datasets.records.annotations import write_records
from geofovea.datasets.synthetic.annotations import record_of
from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.runs.journal import Journal

FEW = ("--tiles", "6", "--tokens", "20")
COUNT = 400
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
CODE = "from geofovea.pipeline.cli import main; main()"


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes") / "s.tif"
    write_scene(make_world(1, 768, 768), path)
    return path


@pytest.fixture
def manifest(scene, tmp_path):
    """Far more questions than are answered until the signal comes."""
    path = tmp_path / "m.jsonl"
    rows = (
        {"id": str(n), "scene": str(scene), "question": f"{QUESTION} {n}"} for n in range(COUNT)
    )
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def started(*words):
    command = [sys.executable, "-W", "ignore", "-c", CODE, *map(str, words)]
    # a shell may have told this process to ignore what is sent below
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: [signal.signal(s, signal.SIG_DFL) for s in SIGNALS],
    )


def wait_for_answers(process, folder, least=3):
    import sqlite3

    deadline = time.monotonic() + 120
    path = folder / "journal.sqlite"
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(sqlite3.Error):
            base = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            try:
                query = "SELECT count(*) FROM items WHERE state = 'answered'"
                if base.execute(query).fetchone()[0] >= least:
                    return
            finally:
                base.close()
        time.sleep(0.05)
    pytest.fail(f"nothing was answered: {process.communicate()}")


def ended(process, number, *, group=False):
    (os.killpg if group else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err, err
    return out, err


def answered(folder):
    with Journal(folder / "journal.sqlite") as journal:
        rows = journal._all("SELECT state, count(*) FROM items GROUP BY state")
    return dict(rows)


@pytest.mark.parametrize(
    ("number", "options", "group"),
    [
        (signal.SIGINT, (), False),
        (signal.SIGTERM, (), True),
        (signal.SIGINT, ("--executor", "processes"), True),
        pytest.param(signal.SIGTERM, ("--executor", "processes"), True, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, (), True, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, ("--executor", "ray"), False, marks=pytest.mark.slow),
    ],
)
def test_a_batch_writes_what_it_has(manifest, tiny_folder, tmp_path, number, options, group):
    if "ray" in options:
        pytest.importorskip("ray")
    output = tmp_path / "out"
    words = ("batch", manifest, "--output", output, "--model", tiny_folder, *FEW, *options)
    process = started(*words)
    wait_for_answers(process, output)
    _, err = ended(process, number, group=group)
    rows = [json.loads(line) for line in (output / "answers.jsonl").read_text().splitlines()]
    assert (output / "answers.parquet").exists()
    assert {row["status"] for row in rows} == {"answered"}
    # what was in hand is as if it had never been begun
    assert answered(output) == {"answered": len(rows)}
    assert err.splitlines()[-1].startswith(
        f"ended by {signal.Signals(number).name}; {len(rows)} of"
    )
    assert str(output / "answers.jsonl") in err


def test_a_second_signal_ends_at_once_and_leaves_a_whole_journal(manifest, tiny_folder, tmp_path):
    output = tmp_path / "out"
    process = started("batch", manifest, "--output", output, "--model", tiny_folder, *FEW)
    wait_for_answers(process, output)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode in (-signal.SIGINT, -signal.SIGTERM, 130, 143)
    with Journal(output / "journal.sqlite") as journal:
        assert journal.notes == []
    assert answered(output)["answered"] >= 3


def test_an_evaluation_writes_what_it_has(tiny_folder, tmp_path):
    world = make_world(1, 768, 768)
    root = tmp_path / "root"
    (root / "image").mkdir(parents=True)
    write_scene(world, root / "image" / "a.tif")
    questions = ask_world(world, 1) * 60
    records = (record_of(q, i, "image/a.tif", world) for i, q in enumerate(questions))
    write_records(records, root / "annotations.jsonl")
    output = tmp_path / "run"
    words = ("eval", "synthetic", "--root", root, "--output", output, "--model", tiny_folder, *FEW)
    process = started(*words)
    wait_for_answers(process, output)
    ended(process, signal.SIGTERM)
    items = (output / "items.jsonl").read_text().splitlines()
    scores = json.loads((output / "scores.json").read_text())
    assert 3 <= len(items) == scores["answered"] < scores["asked"]
    assert any(
        re.match(r"the run was stopped before \d+ questions were finished", note)
        for note in scores["notes"]
    )
    assert json.loads((output / "manifest.json").read_text())["counts"]["answered"] == len(items)


def test_many_questions_are_told_until_the_signal(scene, tiny_folder, tmp_path):
    path = tmp_path / "q.txt"
    path.write_text("\n".join(f"{QUESTION} {n}" for n in range(COUNT)))
    words = ("ask", scene, "--questions", path, "--model", tiny_folder, *FEW, "--json")
    process = started(*words)
    first = process.stdout.readline()
    out, err = ended(process, signal.SIGINT)
    rows = [json.loads(line) for line in (first + out).splitlines()]
    assert 1 <= len(rows) < COUNT
    assert [row["question"] for row in rows] == [f"{QUESTION} {n}" for n in range(len(rows))]
    assert err.splitlines()[-1] == f"ended by SIGINT; {len(rows)} answers printed, 0 failed"
