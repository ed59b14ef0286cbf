"""Time and memory from a path to tiles that an encoder can take, as the scene grows.

Side by side, on the same file, each measurement in a process of its own:

* ``geofovea`` reads what a descent reads: the overview, the base level, four tiles around one
  point on every level between, and sixteen native tiles.
* ``published`` does what the released code of the LRS-VQA method does to its image before any
  model runs: the whole image as float32, resized to every level of its pyramid, cut into tiles,
  all of them kept. It runs as far as ``--memory-limit-gb`` reaches and is skipped beyond.

Needs a Unix; peak memory is the resident set that the kernel saw. Nothing is asserted.

    python benchmarks/pyramid_cost.py --sides 4096,8192 --folder /tmp/scenes --json cost.json
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from side_by_side import aligned, cell, machine, peak_mib, report, run_child

SIDES = "4096,8192,16384,32768,65536"
TILE = 336
BASE_SIDE = 3 * TILE
GEOFOVEA_RUNS = 3
SEED = 7
TILES_PER_LEVEL, NATIVE_TILES = 4, 16
PLACE = (0.37, 0.61)
"""Where the descent goes, as shares of width and height."""

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Per-channel statistics of CLIP, which both sides normalize with."""

FLOAT_RGB_BYTES = 12
COPIES_ALIVE = 4.7
"""Float copies of the image at the peak: the tensor, its resized, padded and cut forms, the tiles
of the coarser levels (a third), and Pillow's image (a third: it spends four bytes on a pixel)."""


def read_geofovea(path: str) -> dict[str, Any]:
    """Read the tiles of one descent with GeoFovea; returns what it took."""
    import numpy as np

    from geofovea.tiling import Box, TileReader, open_scene, plan_radiometry

    imported = peak_mib()
    start, cpu_start = time.perf_counter(), time.process_time()
    scene = open_scene(path)
    pyramid = scene.pyramid(TILE, BASE_SIDE)
    reader = TileReader(scene, pyramid, plan_radiometry(scene))
    x_scene, y_scene = PLACE[0] * scene.width, PLACE[1] * scene.height
    tiles = [pyramid.overview]
    if pyramid.base_level != pyramid.top_level:
        tiles += pyramid.tiles(pyramid.base_level)
    for level in range(pyramid.base_level - 1, -1, -1):
        count = TILES_PER_LEVEL if level else NATIVE_TILES
        reach = math.isqrt(count) * (TILE << level)
        around = Box(x_scene - reach, y_scene - reach, x_scene + reach, y_scene + reach)
        near = sorted(
            pyramid.tiles_over(level, around),
            key=lambda tile: math.dist(pyramid.box_scene(tile).center, (x_scene, y_scene)),
        )
        tiles += near[:count]
    batch = np.empty((len(tiles), 3, TILE, TILE), np.float32)
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (MEAN, STD))
    for slot, tile in zip(batch, tiles, strict=True):
        slot[:] = (reader.read(tile).rgb.transpose(2, 0, 1) / np.float32(255) - mean) / std
    return result(start, cpu_start, imported, len(batch))


def read_published(path: str, limit_bytes: int) -> dict[str, Any]:
    """Prepare every tile of every level from the whole image; returns what it took."""
    import numpy as np
    import torch
    from PIL import Image

    imported = peak_mib()
    limit_address_space(limit_bytes)
    Image.MAX_IMAGE_PIXELS = None
    start, cpu_start = time.perf_counter(), time.process_time()
    with Image.open(path) as file:
        image = file.convert("RGB")
    # the published code holds on to Pillow's image too
    channels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    whole = channels.to(torch.float32).div_(255)
    del channels
    mean, std = (torch.tensor(each)[:, None, None] for each in (MEAN, STD))
    whole.sub_(mean).div_(std)
    height, width = whole.shape[1:]
    tiles = []
    for ratio in published_ratios(max(width, height)):
        tiles.append(published_tiles(whole, *published_grid(width, height, ratio)))
    return result(start, cpu_start, imported, sum(len(level) for level in tiles))


def published_ratios(long_side: int) -> list[float]:
    """The scales of the published pyramid, from the whole image in one tile up to native."""
    least = min(BASE_SIDE / long_side, 1.0)
    ratios, ratio = {least, min(TILE / long_side, 1.0)}, 1.0
    while ratio >= least:
        ratios.add(ratio)
        ratio /= 2
    return sorted(ratios)


def published_grid(width: int, height: int, ratio: float) -> tuple[int, int, int, int]:
    """``(cols, rows, width, height)`` of a level, enlarged until one side fills whole tiles."""
    cols, rows = (math.ceil(round(side * ratio, 6) / TILE) for side in (width, height))
    scale = min(cols * TILE / width, rows * TILE / height)
    return cols, rows, round(width * scale), round(height * scale)


def published_tiles(whole: Any, cols: int, rows: int, width: int, height: int) -> Any:
    """One level, resized from the whole image, padded with zeros and cut into tiles."""
    import torch.nn.functional as F

    resized = F.interpolate(whole[None], (height, width), mode="bilinear", align_corners=False)
    padded = F.pad(resized, (0, cols * TILE - width, 0, rows * TILE - height))
    grid = padded.reshape(3, rows, TILE, cols, TILE).permute(1, 3, 0, 2, 4)
    return grid.reshape(rows * cols, 3, TILE, TILE)


def published_need(width: int, height: int) -> int:
    """Bytes that ``read_published`` will hold at its peak, about."""
    cols, rows, _, _ = published_grid(width, height, 1.0)
    return round(cols * rows * TILE**2 * FLOAT_RGB_BYTES * COPIES_ALIVE)


def limit_address_space(extra_bytes: int) -> None:
    """Let this process take so much more than it has, so that it fails and not the machine."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    limit = pages * resource.getpagesize() + extra_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def result(start: float, cpu_start: float, imported: float, tiles: int) -> dict[str, Any]:
    """One measurement as the child prints it."""
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "cpu_seconds": time.process_time() - cpu_start,
        "peak_mib": peak_mib(),
        "imports_mib": imported,
        "tiles": tiles,
    }


def make_scene(path: str, side: int) -> dict[str, Any]:
    """Write the synthetic scene of a side."""
    from geofovea.datasets.synthetic.scene_files import write_scene
    from geofovea.datasets.synthetic.world import make_world

    write_scene(make_world(SEED, side, side), path)
    return {}


def child(task: str, path: str, number: int) -> dict[str, Any]:
    """What a fresh process does."""
    try:
        if task == "make":
            return make_scene(path, number)
        return read_geofovea(path) if task == "geofovea" else read_published(path, number)
    except (MemoryError, RuntimeError) as error:
        # torch has no exception of its own for an allocation on the CPU
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            return {"reason": "out of memory"}
        raise


def measure(side: int, folder: Path, limit_bytes: int) -> dict[str, Any]:
    """Both sides on the scene of one size, which is made where it is not there yet."""
    path = folder / f"synthetic_{side}_{SEED}.tif"
    if not path.exists():
        print(f"writing {path}", file=sys.stderr)
        failed = run_child(__file__, ["make", str(path), str(side)]).get("reason")
        if failed:
            raise SystemExit(f"{path} could not be written: {failed}")
    runs = [run_child(__file__, ["geofovea", str(path), "0"]) for _ in range(GEOFOVEA_RUNS)]
    need = published_need(side, side)
    if need > limit_bytes:
        reason = f"skipped: needs about {need / 1e9:.1f} GB, the limit is {limit_bytes / 1e9:.1f}"
        published = {"reason": reason}
    else:
        published = run_child(__file__, ["published", str(path), str(limit_bytes)])
    return {
        "side": side,
        "megapixels": side * side / 1e6,
        "file_mb": path.stat().st_size / 1e6,
        "geofovea": _median(runs),
        "published": published,
    }


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    failed = [run for run in runs if "reason" in run]
    if failed:
        return failed[0]
    summary = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return summary | {"all_seconds": [run["seconds"] for run in runs]}


COLUMNS = (
    *("side", "Mpx", "time a", "time b", "b/a", "cpu a", "cpu b", "b/a"),
    *("peak a", "peak b", "b/a", "grow a", "grow b"),
)


def table(rows: list[dict[str, Any]]) -> str:
    """The measurements in aligned columns, and below them why some are missing."""
    cells, notes = [COLUMNS], []
    for row in rows:
        a, b = row["geofovea"], row["published"]
        for name, run in (("a", a), ("b", b)):
            if "reason" in run:
                notes.append(f"{name} at {row['side']}: {run['reason']}")
        cells.append(
            (
                str(row["side"]),
                f"{row['megapixels']:.0f}",
                cell(a, "seconds", "{:.2f} s"),
                cell(b, "seconds", "{:.2f} s"),
                _ratio(b, a, "seconds"),
                cell(a, "cpu_seconds", "{:.2f} s"),
                cell(b, "cpu_seconds", "{:.2f} s"),
                _ratio(b, a, "cpu_seconds"),
                cell(a, "peak_mib", "{:.0f} MiB"),
                cell(b, "peak_mib", "{:.0f} MiB"),
                _ratio(b, a, "peak_mib"),
                _ratio(a, rows[0]["geofovea"], "seconds"),
                _ratio(b, rows[0]["published"], "seconds"),
            )
        )
    return "\n".join([aligned(cells), *notes])


def _ratio(above: dict[str, Any], below: dict[str, Any], name: str) -> str:
    return f"{above[name] / below[name]:.2f}x" if name in above and name in below else "-"


def main() -> None:
    """Measure, print the table, and write the numbers where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sides", default=SIDES, help=f"pixels, with commas (default {SIDES})")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "geofovea-scenes",
        help="where the synthetic scenes are kept, or made at first use (default %(default)s)",
    )
    parser.add_argument(
        "--memory-limit-gb",
        type=float,
        default=8.0,
        help="what the published steps may take beyond their imports (default %(default)s)",
    )
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        task, path, number = options.child
        print(json.dumps(child(task, path, int(number))))
        return
    try:
        sides = [int(side) for side in options.sides.split(",")]
    except ValueError:
        parser.error(f"--sides must be whole numbers with commas, got {options.sides!r}")
    options.folder.mkdir(parents=True, exist_ok=True)
    limit_bytes = round(options.memory_limit_gb * 1e9)
    rows = [measure(side, options.folder, limit_bytes) for side in sides]
    print(f"a: GeoFovea, tiles of one descent, median of {GEOFOVEA_RUNS} runs")
    print("b: the published steps, all tiles of all levels, 1 run; Pillow decodes the same")
    print("   file, a tiled JPEG-in-TIFF")
    print("time: on the wall, and only worth reading where nothing else runs; cpu: of the process")
    print("grow: time relative to the first side; peaks include the imports, which alone take")
    for name in ("geofovea", "published"):
        print(f"   {name}: {cell(rows[0][name], 'imports_mib', '{:.0f} MiB')}")
    report(machine(), table(rows), rows, options.json)


if __name__ == "__main__":
    main()
