"""Sixteen questions on one scene in one session, beside as many runs from nothing.

    python benchmarks/many_questions.py scene.tif --output runs/many_questions

The questions are asked of a host that is loaded once: together in one session; one after the other;
each in a session of its own; the same with encoded tiles on disk, cold and warm. Then everything
from nothing, the loading of the host included: all in one process, together; and each in a process
of its own, as with ``geofovea ask``. Every way gives the same answers, or the run fails. Ratios are
to the first way of the same kind. On a shared machine CPU seconds say more than the wall clock.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geofovea.datasets.synthetic.vocabulary import SITES
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tables import markdown_table
from geofovea.tiling.opening import open_scene
from side_by_side import cpu_seconds

QUESTION_FORMS = ("What is the color of the plane at the {}?", "How many boats are at the {}?")
ONE_PROCESS = """
import sys
import geofovea as gf
session = gf.SceneSession(gf.open_scene(sys.argv[1]), gf.load_host(sys.argv[2]))
for answer in session.ask_many(sys.argv[3:]):
    print(answer.text)
"""


def questions(count: int) -> list[str]:
    """Questions about different places, all in the words of the embedded model."""
    return [QUESTION_FORMS[i % 2].format(SITES[i // 2 % len(SITES)]) for i in range(count)]


def in_one_session(scene: str, host: Host, texts: list[str], *, together: bool) -> list[str]:
    """All questions to one session."""
    session = SceneSession(open_scene(scene), host, cache_tokens=False)
    if not together:
        return [session.ask(question).text for question in texts]
    return [answer_of(answer).text for answer in session.ask_many(texts)]


def answer_of(answer: Answer | Exception) -> Answer:
    """What `SceneSession.ask_many` gave, if it is an answer."""
    if isinstance(answer, Exception):
        raise answer
    return answer


def in_many_sessions(scene: str, host: Host, texts: list[str], *, on_disk: bool) -> list[str]:
    """Each question to a new session, which finds tiles on disk or nothing."""
    answers = []
    for question in texts:
        forget(host)
        session = SceneSession(open_scene(scene), host, cache_tokens=on_disk)
        answers.append(session.ask(question).text)
    return answers


def in_processes(scene: str, model: str, texts: list[str], each: int) -> list[str]:
    """So many questions to each new process."""
    environment = dict(os.environ, GEOFOVEA_CACHE_TOKENS="0")
    answers = []
    for first in range(0, len(texts), each):
        some = texts[first : first + each]
        command = [sys.executable, "-W", "ignore", "-c", ONE_PROCESS, scene, model, *some]
        process = subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment
        )
        answers += process.stdout.splitlines()
    return answers


def forget(host: Host) -> None:
    """Drop what a host remembers of earlier questions."""
    if hasattr(host, "forget_prefixes"):
        host.forget_prefixes()


def measured(run: Callable[[], list[str]]) -> tuple[list[str], float, float]:
    """Answers, wall seconds, CPU seconds."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    answers = run()
    return answers, time.perf_counter() - wall, cpu_seconds() - cpu


def main() -> None:
    """Run all ways and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--questions", type=int, default=16)
    options = parser.parse_args()
    make_folder(options.output)
    os.environ["GEOFOVEA_CACHE_DIR"] = str(options.output / "cache")
    texts, host, scene = questions(options.questions), load_host(options.model), options.scene
    in_many_sessions(scene, host, texts[:1], on_disk=False)  # what is slow once is not counted
    ways: dict[str, Callable[[], list[str]]] = {
        "one session, together": lambda: in_one_session(scene, host, texts, together=True),
        "one session, one by one": lambda: in_one_session(scene, host, texts, together=False),
        "new sessions": lambda: in_many_sessions(scene, host, texts, on_disk=False),
        "new sessions, tiles kept on disk": lambda: in_many_sessions(
            scene, host, texts, on_disk=True
        ),
        "the same again, all on disk": lambda: in_many_sessions(scene, host, texts, on_disk=True),
        "one process, from nothing": lambda: in_processes(scene, options.model, texts, len(texts)),
        "new processes, from nothing": lambda: in_processes(scene, options.model, texts, 1),
    }
    rows: list[dict[str, Any]] = []
    expected: list[str] = []
    for name, run in ways.items():
        forget(host)
        answers, wall, cpu = measured(run)
        print(f"{name}: {wall:.2f} s, {cpu:.2f} s of CPU", file=sys.stderr)
        expected = expected or answers
        if answers != expected:
            raise SystemExit(f"{name} answered {answers}, the first way {expected}")
        alike = [row for row in rows if name.endswith("nothing") is row["way"].endswith("nothing")]
        base = alike[0] if alike else {"wall_s": wall, "cpu_s": cpu}
        rows.append({"way": name, "wall_s": wall, "cpu_s": cpu, "ratio": wall / base["wall_s"],
                     "cpu_ratio": cpu / base["cpu_s"]})  # fmt: skip
    table = markdown_table(
        ("way", "wall s", "ratio", "CPU s", "ratio"),
        [
            [r["way"], f"{r['wall_s']:.2f}", f"{r['ratio']:.1f}", f"{r['cpu_s']:.2f}",
             f"{r['cpu_ratio']:.1f}"]
            for r in rows
        ],
    )  # fmt: skip
    write_text(options.output / "many_questions.json", json.dumps(rows, indent=1))
    print(table)


if __name__ == "__main__":
    main()
