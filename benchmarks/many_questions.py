"""Sixteen questions on one scene in one session, beside as many runs from nothing.

    python benchmarks/many_questions.py scene.tif --output runs/many_questions

The questions are asked of a host that is loaded once: in one session; each in a session of its own;
each in a session of its own with encoded tiles on disk, cold and warm; and each in a process of its
own, which loads the host, too. Every way gives the same answers, or the run fails. Where the
machine is shared, the CPU column says more than the wall column.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from geofovea.datasets.vocabulary import SITES
from geofovea.pipeline.host import Host
from geofovea.pipeline.models import load_host
from geofovea.pipeline.output import make_folder, write_text
from geofovea.pipeline.session import SceneSession
from geofovea.pipeline.tables import markdown_table
from geofovea.tiling.scene import open_scene

ASKED = ("What is the color of the plane at the {}?", "How many boats are at the {}?")
ONE_PROCESS = """
import sys
import geofovea as gf
session = gf.SceneSession(gf.open_scene(sys.argv[1]), gf.load_host(sys.argv[2]))
print(session.ask(sys.argv[3]).text)
"""


def questions(count: int) -> list[str]:
    """Questions about different places, all in the words of the embedded model."""
    return [ASKED[i % 2].format(SITES[i // 2 % len(SITES)]) for i in range(count)]


def in_one_session(scene: str, host: Host, asked: list[str]) -> list[str]:
    """All questions to one session."""
    session = SceneSession(open_scene(scene), host, cache_tokens=False)
    return [session.ask(question).text for question in asked]


def in_many_sessions(scene: str, host: Host, asked: list[str], *, kept: bool) -> list[str]:
    """Each question to a new session, which finds tiles on disk or nothing."""
    answers = []
    for question in asked:
        forget(host)
        session = SceneSession(open_scene(scene), host, cache_tokens=kept)
        answers.append(session.ask(question).text)
    return answers


def in_many_processes(scene: str, model: str, asked: list[str]) -> list[str]:
    """Each question to a new process."""
    environment = dict(os.environ, GEOFOVEA_CACHE_TOKENS="0")
    return [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", ONE_PROCESS, scene, model, question],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
        ).stdout.strip()
        for question in asked
    ]


def forget(host: Host) -> None:
    """Drop what a host remembers of earlier questions."""
    if hasattr(host, "forget_prefixes"):
        host.forget_prefixes()


def cpu_seconds() -> float:
    """CPU time of this process and of those that it waited for."""
    own, others = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


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
    given = parser.parse_args()
    make_folder(given.output)
    os.environ["GEOFOVEA_CACHE_DIR"] = str(given.output / "cache")
    asked, host, scene = questions(given.questions), load_host(given.model), given.scene
    in_many_sessions(scene, host, asked[:1], kept=False)  # what is slow once is not counted
    ways: dict[str, Callable[[], list[str]]] = {
        "one session": lambda: in_one_session(scene, host, asked),
        "new sessions": lambda: in_many_sessions(scene, host, asked, kept=False),
        "new sessions, tiles kept on disk": lambda: in_many_sessions(scene, host, asked, kept=True),
        "the same again, all on disk": lambda: in_many_sessions(scene, host, asked, kept=True),
        "new processes": lambda: in_many_processes(scene, given.model, asked),
    }
    rows, first = [], None
    for name, run in ways.items():
        forget(host)
        answers, wall, cpu = measured(run)
        print(f"{name}: {wall:.2f} s, {cpu:.2f} s of CPU", file=sys.stderr)
        first = first or (answers, wall, cpu)
        if answers != first[0]:
            raise SystemExit(f"{name} answered {answers}, one session {first[0]}")
        rows.append({"way": name, "wall_s": wall, "cpu_s": cpu, "ratio": wall / first[1],
                     "cpu_ratio": cpu / first[2]})  # fmt: skip
    table = markdown_table(
        ("way", "wall s", "ratio", "CPU s", "ratio"),
        [
            [r["way"], f"{r['wall_s']:.2f}", f"{r['ratio']:.1f}", f"{r['cpu_s']:.2f}",
             f"{r['cpu_ratio']:.1f}"]
            for r in rows
        ],
    )  # fmt: skip
    write_text(given.output / "many_questions.json", json.dumps(rows, indent=1))
    print(table)


if __name__ == "__main__":
    main()
