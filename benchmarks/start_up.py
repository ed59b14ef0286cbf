"""What a cold ``geofovea ask`` costs before its question: CPU seconds of each part, in one run.

Every part is a new process that imports or does a little more than the one before; the difference
is the part's own. Seconds of CPU are those of the process with its children, the median of a few
rounds, turn about, so that a machine that others keep busy is busy for all parts.

    python benchmarks/start_up.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world

QUESTION = "How many trucks are at the airport?"
CLASSES = "import transformers as t; t.LlavaForConditionalGeneration; t.AutoTokenizer"
LOAD = "from geofovea.pipeline.hosts.load import embedded_model_path as p; f = str(p()); "
LOAD += "t.LlavaForConditionalGeneration.from_pretrained(f); t.AutoTokenizer.from_pretrained(f)"


def parts(scene: Path) -> dict[str, list[str]]:
    """Commands by what each does, the cheapest first."""
    run = "from geofovea.pipeline.cli import main; main()"
    torch = f"import torch; {CLASSES}"
    return {
        "python alone": ["-c", "pass"],
        "import torch": ["-c", "import torch"],
        "stock model classes": ["-c", torch],
        "stock model loaded": ["-c", f"{torch}; {LOAD}"],
        "geofovea ask": ["-c", run, "ask", str(scene), QUESTION],
        "geofovea --help": ["-c", run, "--help"],
        "geofovea inspect": ["-c", run, "inspect", str(scene)],
    }


def cpu_seconds(command: list[str], env: dict[str, str]) -> float:
    """CPU seconds of a process, its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], env=env, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.tif"
        write_scene(make_world(5, 2048, 2048), scene)
        commands = parts(scene)
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(cpu_seconds(command, env))
    costs = {name: median(each) for name, each in times.items()}
    before = 0.0
    for name, seconds in costs.items():
        more = f"{seconds - before:+7.2f}" if not name.startswith("geofovea -") else ""
        print(f"{name:<22} {seconds:6.2f} s of CPU {more}")
        before = seconds if name in list(costs)[:4] else 0.0
    rest = costs["geofovea ask"] - costs["stock model loaded"]
    print(f"beside torch and the stock model, the question included: {rest:.2f} s of CPU")


if __name__ == "__main__":
    main()
