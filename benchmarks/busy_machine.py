"""A question on a busy machine: the number of threads that is chosen beside every fixed one.

Starts as many busy processes as there are cores, and twice that. Under each load, new processes ask
the embedded model the same question, with the threads that GeoFovea chooses and with 1 to all of
the cores, turn about, so that whatever else the machine does meets all of them. Last comes torch as
it is left alone: all cores, and threads that spin while they wait.

    python benchmarks/busy_machine.py [--questions 3] [--rounds 2] [--loads 0,1,2]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from geofovea.tiling.machine.cores import usable_cores

QUESTION = "How many trucks are at the airport?"
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
ASKER = """
import json, sys, time
import geofovea as gf
scene, threads, count = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
host = gf.load_host(threads=threads)
gf.SceneSession(gf.open_scene(scene), host).ask(sys.argv[4])
for _ in range(count):
    seconds, cpu = time.perf_counter(), time.process_time()
    gf.SceneSession(gf.open_scene(scene), host).ask(sys.argv[4])
    print(json.dumps([time.perf_counter() - seconds, time.process_time() - cpu]))
"""


def question_costs(scene: Path, way: str, count: int) -> list[list[float]]:
    """Seconds by the clock and of CPU of some questions, asked in a new process in one way."""
    env = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    threads = int(way) if way.isdigit() else None
    if way == "left alone":
        env["OMP_WAIT_POLICY"], threads = "ACTIVE", usable_cores()
    words = [sys.executable, "-c", ASKER, str(scene), json.dumps(threads), str(count), QUESTION]
    process = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in process.stdout.splitlines()]


def print_costs(scene: Path, busy: int, rounds: int, count: int) -> None:
    """Print what a question costs in each way while ``busy`` processes do nothing but compute."""
    fixed = [str(n) for n in range(1, usable_cores() + 1)]
    ways = ["chosen", *fixed, "left alone"]
    costs_by_way: dict[str, list[list[float]]] = {way: [] for way in ways}
    loads = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        for _ in range(rounds):
            for way in ways:
                costs_by_way[way] += question_costs(scene, way, count)
    finally:
        for load in loads:
            load.kill()
            load.wait()
    costs = {
        way: [median(column) for column in zip(*each, strict=True)]
        for way, each in costs_by_way.items()
    }
    best = min(costs[way][0] for way in fixed)
    print(f"{busy} busy processes on {usable_cores()} cores, load {os.getloadavg()[0]:.1f}")
    for way, (seconds, cpu) in costs.items():
        print(f"  {way:<12} {seconds:7.2f} s {cpu:7.2f} s of CPU {seconds / best:6.2f} x the best")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=3, help="In each process.")
    parser.add_argument("--rounds", type=int, default=2, help="Processes for each way and load.")
    parser.add_argument("--loads", default="1,2", help="Busy processes a core.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.tif"
        write_scene(make_world(5, 2048, 2048), scene)
        for load in options.loads.split(","):
            print_costs(scene, int(load) * usable_cores(), options.rounds, options.questions)


if __name__ == "__main__":
    main()
