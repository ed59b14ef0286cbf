"""What a cold ``geofovea ask`` costs before its question: CPU seconds of each part, in one run.

Every part is a new process that imports or does a little more than the one before; the difference
is the part's own. Seconds of CPU are those of the process with its children, the median of a few
rounds, turn about, so that a machine that others keep busy is busy for all parts. The question is
measured inside a process that has loaded the model and opened the scene.

Modules are compiled in a round before, as they are after the first start on any machine. Where
Python may not write bytecode (``PYTHONDONTWRITEBYTECODE``), every start compiles them again:
``--compile`` shows what that costs.

    python benchmarks/start_up.py [--rounds 3] [--compile]
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
from side_by_side import aligned, child_cpu_seconds, machine

QUESTION = "How many trucks are at the airport?"
CLASSES = "import torch, transformers as t; t.LlavaForConditionalGeneration; t.AutoTokenizer"
LOAD = """
from geofovea.pipeline.hosts.load import embedded_model_path
folder = str(embedded_model_path())
t.LlavaForConditionalGeneration.from_pretrained(folder)
t.AutoTokenizer.from_pretrained(folder)
"""
ASK = """
import json, sys, time
import geofovea as gf
session = gf.SceneSession(gf.open_scene(sys.argv[1]), gf.load_host())
start = time.process_time()
session.ask(sys.argv[2])
print(json.dumps(time.process_time() - start))
"""
STEPS = ("python alone", "import torch", "stock model classes", "stock model loaded")


def parts(scene: Path) -> dict[str, list[str]]:
    """Commands by what each does, the cheapest first."""
    run = "from geofovea.pipeline.cli import main; main()"
    return {
        "python alone": ["-c", "pass"],
        "import torch": ["-c", "import torch"],
        "stock model classes": ["-c", CLASSES],
        "stock model loaded": ["-c", CLASSES + LOAD],
        "geofovea ask": ["-c", run, "ask", str(scene), QUESTION],
        "geofovea --help": ["-c", run, "--help"],
        "geofovea inspect": ["-c", run, "inspect", str(scene)],
    }


def question_cpu_seconds(scene: Path, env: dict[str, str]) -> float:
    """CPU seconds of the first question in a new process."""
    command = [sys.executable, "-c", ASK, str(scene), QUESTION]
    process = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return float(json.loads(process.stdout))


def measure(scene: Path, env: dict[str, str], rounds: int) -> dict[str, float]:
    """Median CPU seconds of every part and of the question."""
    commands = parts(scene)
    times: dict[str, list[float]] = {name: [] for name in (*commands, "question")}
    for turn in range(-1, rounds):
        costs = {name: child_cpu_seconds(command, env) for name, command in commands.items()}
        costs["question"] = question_cpu_seconds(scene, env)
        if turn >= 0:  # the round before compiles modules and fills the page cache
            for name, seconds in costs.items():
                times[name].append(seconds)
    return {name: median(each) for name, each in times.items()}


def table(costs: dict[str, float]) -> str:
    """The parts with their own share, and what is left for us to mend."""
    lines = [("", "CPU s", "more")]
    for name, seconds in costs.items():
        place = STEPS.index(name) if name in STEPS else 0
        more = f"{seconds - costs[STEPS[place - 1]]:+.2f}" if place else ""
        lines.append((name, f"{seconds:.2f}", more))
    ours = costs["geofovea ask"] - costs["stock model classes"] - costs["question"]
    lines.append(("ask - classes - question", f"{ours:.2f}", ""))
    return aligned(lines)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="keep no bytecode between starts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.tif"
        write_scene(make_world(5, 2048, 2048), scene)
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        env["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "bytecode")
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        if options.compile:
            env["PYTHONDONTWRITEBYTECODE"] = "1"
        costs = measure(scene, env, options.rounds)
    print(", ".join(f"{name} {value}" for name, value in machine().items()), end="\n\n")
    print(table(costs))


if __name__ == "__main__":
    main()
