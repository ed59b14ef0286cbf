"""What one grid of pixels for all tile sizes costs: tiles of every level, beside other ways.

For each file and tile size, each way in a process of its own, in turn, the least of ``--rounds``:

* ``grid``: this package, in whose levels no pixel depends on the tile.
* ``before``: the same tiles by the sources of another version (``--before``, its ``src`` folder).
* ``rasterio``: ``read(window, out_shape, average)`` of what each tile covers, clipped to the scene,
  on one open file: GDAL stretches the tiles at the edges.

Times are seconds of CPU of the reads alone; opening and the stretch come before. ``differ`` is the
share of numbers of all levels in which tiles of this size differ from tiles of the first size.
Where a level has more tiles than ``--tiles``, some of them are read, the same in each way, and its
differences are not counted. Nothing is asserted.

    git worktree add /tmp/before v0.1.0
    python benchmarks/pixel_grid.py scene.png --before /tmp/before/src
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEED = 5
SIZES = "192,336,512"
TILES = 400


def open_package(path: str, side: int) -> Callable[[Any], Any]:
    """Tiles by this package: the part on the scene, as RGB."""
    from geofovea.tiling import TileReader, open_scene, plan_radiometry

    scene = open_scene(path)
    reader = TileReader(scene, scene.pyramid(side), plan_radiometry(scene))

    def read(tile: Any) -> Any:
        pixels = reader.read(tile)
        width, height = pixels.valid_size
        return pixels.rgb[:height, :width]

    return read


def open_rasterio(path: str, side: int) -> Callable[[Any], Any]:
    """Tiles by rasterio: the first three bands of the window below a tile."""
    import numpy as np
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    from geofovea.tiling import Pyramid

    rasterio.Env(GDAL_CACHEMAX=128 * 2**20).__enter__()
    dataset = rasterio.open(path)
    pyramid = Pyramid(dataset.width, dataset.height, side)
    bands = list(dataset.indexes)[:3]

    def read(tile: Any) -> Any:
        box = pyramid.box_scene(tile)
        width, height = pyramid.valid_size(tile)
        pixels = dataset.read(
            bands,
            window=Window(box.x0, box.y0, box.width, box.height),
            out_shape=(len(bands), height, width),
            resampling=Resampling.average,
        )
        return np.moveaxis(pixels, 0, -1)

    return read


def measure(way: str, path: str, sides: list[int], most_tiles: int) -> dict[str, Any]:
    """Read the tiles of all levels at each size; returns seconds, tiles and differences."""
    import numpy as np

    from geofovea.tiling import open_scene

    scene = open_scene(path)
    first: dict[int, Any] = {}
    rows = {}
    for side in sides:
        read = (open_rasterio if way == "rasterio" else open_package)(path, side)
        pyramid = scene.pyramid(side)
        seconds, count, differ, compared = 0.0, 0, 0, 0
        for level in range(pyramid.top_level + 1):
            tiles = list(pyramid.tiles(level))
            is_whole = len(tiles) <= most_tiles
            if not is_whole:
                tiles = sorted(random.Random(SEED).sample(tiles, most_tiles))
            start = time.process_time()
            pixels = [read(tile) for tile in tiles]
            seconds += time.process_time() - start
            count += len(tiles)
            if not is_whole:
                continue
            width, height = pyramid.level_size(level)
            shown = np.zeros((height, width, pixels[0].shape[2]), pixels[0].dtype)
            for tile, part in zip(tiles, pixels, strict=True):
                y, x = tile.row * side, tile.col * side
                shown[y : y + len(part), x : x + part.shape[1]] = part
            if level in first:
                differ += int((first[level] != shown).sum())
                compared += shown.size
            else:
                first[level] = shown
        rows[str(side)] = {
            "cpu_s": seconds,
            "tiles": count,
            "differ": differ / compared if compared else 0.0,
        }
    return rows


def run_child(way: str, path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one way in a fresh process."""
    environment = dict(os.environ)
    if way == "before":
        environment["PYTHONPATH"] = str(options.before)
    arguments = [way, str(path), options.sizes, str(options.tiles)]
    command = [sys.executable, __file__, "--child", *arguments]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment).stdout
    return dict(json.loads(output))


def compare(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All ways on one file, in turn; the least time of each."""
    ways = ["grid", *(["before"] if options.before else []), "rasterio"]
    best: dict[str, Any] = {}
    for _ in range(options.rounds):
        for way in ways:
            for side, row in run_child(way, path, options).items():
                known = best.setdefault(side, {}).setdefault(way, row)
                known["cpu_s"] = min(known["cpu_s"], row["cpu_s"])
    return best


def table(results: dict[str, dict[str, Any]]) -> str:
    """One line for each file, tile size and way."""
    lines = [f"{'file':<24}{'tile':>5}{'way':>10}{'tiles':>7}{'cpu s':>9}{'ratio':>7}{'differ':>8}"]
    for name, sizes in results.items():
        for side, ways in sizes.items():
            for way, row in ways.items():
                ratio = ways["grid"]["cpu_s"] / row["cpu_s"]
                lines.append(
                    f"{name:<24.23}{side:>5}{way:>10}{row['tiles']:>7}{row['cpu_s']:>9.3f}"
                    f"{ratio:>7.2f}{row['differ']:>8.2%}"
                )
    return "\n".join([*lines, "", "ratio: of the CPU seconds of grid to those of this way"])


def main() -> None:
    """Measure, print the table, and write the numbers where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="*", type=Path, help="scenes")
    parser.add_argument(
        "--sizes", default=SIZES, help="of tiles, with commas (default %(default)s)"
    )
    parser.add_argument("--tiles", type=int, default=TILES, help="most of a level (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default %(default)s")
    parser.add_argument("--before", type=Path, help="src folder of another version")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        way, path, sizes, tiles = options.child
        warnings.simplefilter("ignore")  # a PNG has no georeference
        print(json.dumps(measure(way, path, [int(s) for s in sizes.split(",")], int(tiles))))
        return
    if not options.files:
        parser.error("name at least one scene")
    results = {path.name: compare(path, options) for path in options.files}
    print(f"{platform.platform()}, python {platform.python_version()}, {os.cpu_count()} cores\n")
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
