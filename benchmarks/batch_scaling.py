"""How a batch scales with its workers: measured for a few, modeled on paper for many.

Side by side in one run:

* ``wait``: items that only wait, as a worker does whose model runs on an accelerator of its own.
  What is lost against the ideal is what the executor itself costs, whatever else this machine does.
* ``ask``: questions to the embedded model, which wants the cores of this machine for itself.

The model: the process that holds the journal is one server that spends ``d`` seconds on an item
(a commit with full synchronization, and a message each way), measured with items that do nothing.
With items of ``t`` seconds, ``w`` workers reach ``min(w / (t + d), 1 / d)`` items a second.

    python benchmarks/batch_scaling.py --workers 1,2 --executors processes,ray
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.runs.batch_worker import SceneWork
from geofovea.pipeline.runs.executors.base import Executor
from geofovea.pipeline.runs.executors.in_process import InProcessExecutor
from geofovea.pipeline.runs.executors.processes import ProcessExecutor
from geofovea.pipeline.runs.item import Item, ItemKey, Work, Worker
from geofovea.pipeline.runs.journal import Journal
from geofovea.pipeline.runs.runner import RunCounts, run_items
from geofovea.pipeline.session.settings import AskSettings
from geofovea.pipeline.system.tables import markdown_table

PLACES = ("airport", "harbour", "depot", "quarry", "camp", "stadium", "solar farm", "village")
THINGS = ("plane", "truck", "hall", "boat", "tank", "tent")
MANY = 64
ACCESS = {"allow_vrt": False, "allow_remote": False, "allowed_hosts": ()}


@dataclass(frozen=True)
class SleepWork:
    """Work that only takes time."""

    seconds: float

    def open(self) -> Worker:
        """Nothing is loaded."""
        return self.wait

    def wait(self, _group: str, _payload: Mapping[str, Any]) -> dict[str, Any]:
        """Wait."""
        if self.seconds:
            time.sleep(self.seconds)
        return {"answer": "yes", "evidence": ["as large as usual"] * 200}


def waiting_items(count: int) -> list[Item]:
    """Items of eight groups."""
    return [Item(ItemKey(f"s{n % 8}", f"{n}", "c"), f"s{n % 8}", {}) for n in range(count)]


def question_work(folder: Path, scenes: int, each: int) -> tuple[list[Item], SceneWork]:
    """Questions about new scenes, and the work that answers them."""
    settings = AskSettings("embedded", {})
    items = []
    for seed in range(scenes):
        path = folder / f"{seed}.tif"
        write_scene(make_world(seed, 1024, 1024), path)
        for n in range(each):
            thing, place = THINGS[n % len(THINGS)], PLACES[(n + seed) % len(PLACES)]
            text = f"How many {thing}s are at the {place}?"
            key = ItemKey(str(path), f"{n} {text}", "c")
            items.append(Item(key, str(path), {"question": text, "region": None}))
    return items, SceneWork(settings, settings.hash, ACCESS, threads=1)


def executor_of(executor: str, workers: int, work: Work) -> Executor:
    """An executor by name."""
    if executor == "inline":
        return InProcessExecutor(work)
    if executor == "processes":
        return ProcessExecutor(workers, work)
    from geofovea.pipeline.runs.executors.ray import RayExecutor

    return RayExecutor(workers, work)


def seconds_of(executor: str, workers: int, work: Work, items: list[Item]) -> float:
    """Wall time of an item, from the first answers on: starting workers is not counted."""
    ends: list[tuple[float, int]] = []

    def report(counts: RunCounts) -> None:
        ends.append((time.perf_counter(), counts.answered))

    with (
        tempfile.TemporaryDirectory() as folder,
        Journal(Path(folder) / "journal.sqlite") as journal,
    ):
        counts = run_items(items, journal, executor_of(executor, workers, work), report=report)
    if counts.failed:
        raise SystemExit(f"{counts.failed} items failed; the figures would mean nothing")
    # half of the items: by then every worker is at work
    first, last = ends[len(ends) // 2], ends[-1]
    return (last[0] - first[0]) / (last[1] - first[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--executors", default="processes")
    parser.add_argument("--wait", type=float, default=0.1, help="seconds of an item that waits")
    parser.add_argument("--items", type=int, default=120)
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--questions", type=int, default=12, help="of each scene")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = [int(part) for part in options.workers.split(",")]
    rows_measured = []
    with tempfile.TemporaryDirectory() as folder:
        questions, work = question_work(Path(folder), options.scenes, options.questions)
        for executor in options.executors.split(","):
            # the server alone: nothing waits, so its own time is all there is
            server = seconds_of(executor, 2, SleepWork(0), waiting_items(2 * options.items))
            for kind, job, items in (
                ("wait", SleepWork(options.wait), waiting_items(options.items)),
                ("ask", work, questions),
            ):
                times = {n: seconds_of(executor, n, job, items) for n in sizes}
                base = times[sizes[0]] * sizes[0]
                for n, each in times.items():
                    rows_measured.append(
                        {
                            "executor": executor,
                            "items": kind,
                            "workers": n,
                            "server_ms": 1000 * server,
                            "per_second": 1 / each,
                            "efficiency": base / each / n,
                            "model_64": min(MANY / (base + server), 1 / server),
                            "model_64_of_1_s": min(MANY / (1 + server), 1 / server),
                        }
                    )
    header = ["executor", "items", "workers", "items/s", "efficiency", "server d, ms"]
    header += [f"{MANY} workers, model, items/s", f"{MANY} workers, items of 1 s"]
    rows = [
        [
            row["executor"],
            row["items"],
            str(row["workers"]),
            f"{row['per_second']:.2f}",
            f"{row['efficiency']:.2f}",
            f"{row['server_ms']:.2f}",
            f"{row['model_64']:.0f}",
            f"{row['model_64_of_1_s']:.1f}",
        ]
        for row in rows_measured
    ]
    print(markdown_table(header, rows))
    print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if options.json:
        options.json.write_text(json.dumps(rows_measured, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
