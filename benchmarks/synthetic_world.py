"""What the second synthetic world costs beside the first: rendering windows, writing a scene.

For each level, windows of ``--side`` pixels at most are rendered at random places of several worlds
of both versions, in turn. The lowest CPU time of ``--rounds`` rounds counts. A pixel of level l
stands for 4**l *native pixels*, so the column ``2, native`` shows the cost of a scene.
``memory`` is the most that a window takes beside its own bytes, as ``tracemalloc`` counts it, after
the textures have been drawn. Nothing is asserted.

    OMP_NUM_THREADS=1 python benchmarks/synthetic_world.py
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEED = 11
LEVELS = (0, 1, 3, 5, 7)


def cpu_of(work: Callable[[], Any], rounds: int) -> float:
    """The least CPU seconds of some rounds."""
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def windows_of(extent: int, level: int, side: int, count: int) -> list[tuple[int, int, int]]:
    """Corners and sides of random windows of a level."""
    rng = random.Random(SEED * 100 + level)
    side = min(side, extent >> level)
    room = (extent >> level) - side
    return [(rng.randint(0, room), rng.randint(0, room), side) for _ in range(count)]


def render_all(world: Any, level: int, windows: list[tuple[int, int, int]]) -> None:
    """Render some windows."""
    from geofovea.datasets.synthetic.rendering import render_window

    for x, y, side in windows:
        render_window(world, level, x, y, side, side)


def measure_level(worlds: dict[int, list[Any]], level: int, side: int, rounds: int) -> dict:
    """Nanoseconds a pixel and mebibytes of both versions at a level."""
    count = 4 if level < 3 else 2
    row: dict[str, Any] = {"level": level}
    for version, group in worlds.items():
        total = pixels = peak = 0.0
        for world in group:
            windows = windows_of(world.width, level, side, count)
            render_all(world, level, windows[:1])
            total += cpu_of(lambda w=world, p=windows: render_all(w, level, p), rounds)
            pixels += sum(wide * wide for _, _, wide in windows)
            tracemalloc.start()
            render_all(world, level, windows[:1])
            peak = max(peak, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            row["side"] = windows[0][2]
        row[f"ns_{version}"] = 1e9 * total / pixels
        row[f"mib_{version}"] = peak / 2**20
    row["ratio"] = row["ns_2"] / row["ns_1"]
    return row


def measure_writing(worlds: dict[int, list[Any]], rounds: int) -> dict[str, float]:
    """CPU seconds of writing the first world of each version as three bands."""
    from geofovea.datasets.synthetic.scene_files import write_scene

    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for version, (world, *_) in worlds.items():
            path = Path(folder) / f"{version}.tif"
            seconds[version] = cpu_of(lambda w=world, p=path: write_scene(w, p), rounds)
    return {"seconds_1": seconds[1], "seconds_2": seconds[2], "ratio": seconds[2] / seconds[1]}


def main() -> None:
    """Measure, and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extent", type=int, default=16384, help="side of the worlds in pixels")
    parser.add_argument("--sides", default="192,1024,2048", help="sides of windows in pixels")
    parser.add_argument("--worlds", type=int, default=4, help="worlds of each version")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=int, default=4096, help="side of the scene to write; 0: no")
    options = parser.parse_args()

    from geofovea.datasets.synthetic.versions import world_of

    seeds = range(SEED, SEED + options.worlds)
    extent = options.extent
    worlds = {v: [world_of(v, seed, extent, extent) for seed in seeds] for v in (1, 2)}
    print("| window | level | 1, ns a pixel | 2, ns a pixel | ratio | 2, native | MiB 1 | MiB 2 |")
    for side in map(int, options.sides.split(",")):
        for level in LEVELS:
            row = measure_level(worlds, level, side, options.rounds)
            native = row["ns_2"] / 4**level
            print(
                f"| {row['side']} | {level} | {row['ns_1']:.1f} | {row['ns_2']:.1f} "
                f"| {row['ratio']:.2f} | {native:.3f} | {row['mib_1']:.0f} | {row['mib_2']:.0f} |",
                flush=True,
            )
    if options.write:
        side = options.write
        small = {v: [world_of(v, SEED, side, side)] for v in (1, 2)}
        print(json.dumps({"written": side} | measure_writing(small, options.rounds)))


if __name__ == "__main__":
    main()
