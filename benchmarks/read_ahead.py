"""How much of the time of reads disappears behind an encoder, when tiles are read ahead.

The tiles of one look are read and encoded in batches, as a session does: one after the other, and
with ``ReadAhead``. The encoder takes as long as the reads do, ``waiting`` for a device
which leaves the processor idle, or ``computing`` on one core itself. The hidden share is what the
second way saves, by the time of the reads alone; each time is the best of ``--rounds``, which begin
with no file open, so that blocks are decoded.

Then what as many tiles in families of four cost in processor time on some threads, with the
children of a parent on any thread, and together on one: decoded blocks belong to the handle of a
thread. Nothing is asserted.

    python benchmarks/read_ahead.py --side 8192
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from geofovea.tiling.pyramid import Tile
from raster_io import PROFILES, TILE, write_picture

BATCH = 16


def batches(pictures: Iterator[Any]) -> Iterator[list[Any]]:
    """The pictures in lists of a batch."""
    while batch := list(islice(pictures, BATCH)):
        yield batch


def best_seconds(rounds: int, work: Callable[[], None]) -> float:
    """The shortest time of some rounds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def waiting(seconds: float) -> None:
    """An encoder on a device."""
    time.sleep(seconds)


def computing(seconds: float) -> None:
    """An encoder on one core, which lets go of Python's lock as torch does."""
    end, matrix = time.perf_counter() + seconds, np.ones((256, 256), np.float32)
    while time.perf_counter() < end:
        matrix @ matrix


def processor_seconds(reader: Any, tiles: list[Any], threads: int, *, parted: bool) -> float:
    """What reading costs on some threads that have no file open, the least of three times."""
    from geofovea.tiling.read_ahead import ReadAhead

    times = []
    for _ in range(3):
        start = time.process_time()
        if parted:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(reader.read, tiles))
        else:
            list(ReadAhead(reader, threads=threads).read(tiles))
        times.append(time.process_time() - start)
    return min(times)


def families(pyramid: Any, count: int) -> list[Any]:
    """Native tiles of some parents, four by four."""
    rows, cols = (side // 2 for side in pyramid.grid_shape(0))
    parents = np.random.default_rng(1).permutation(rows * cols)[: count // 4]
    places = [divmod(int(parent), cols) for parent in parents]
    return [
        Tile(0, 2 * row + i, 2 * col + j) for row, col in places for i in (0, 1) for j in (0, 1)
    ]


def main() -> None:
    """Measure and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--side", type=int, default=8192, help="pixels (default %(default)s)")
    parser.add_argument("--tiles", type=int, default=96, help="of one look (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default %(default)s")
    options = parser.parse_args()

    from geofovea.tiling import TileReader, open_scene, plan_radiometry
    from geofovea.tiling.files.handles import close_handles
    from geofovea.tiling.read_ahead import ReadAhead

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.tif"
        write_picture(path, options.side, PROFILES["tiled"])
        scene = open_scene(path)
        reader = TileReader(scene, scene.pyramid(TILE), plan_radiometry(scene))
        tiles = list(reader.pyramid.tiles(0))
        order = np.random.default_rng(0).permutation(len(tiles))[: options.tiles]
        look = [tiles[i] for i in order]

        def consume(pictures: Iterator[Any], encode: Callable[[], None]) -> None:
            for _ in batches(pictures):
                encode()

        def plain() -> Iterator[Any]:
            close_handles(scene.source)
            return map(reader.read, look)

        def ahead() -> Iterator[Any]:
            return ReadAhead(reader).read(look)

        reads = best_seconds(options.rounds, lambda: consume(plain(), lambda: None))
        print(f"{platform.platform()}, {os.cpu_count()} cores, side {options.side}")
        print(f"{len(look)} native tiles of {TILE} pixels, read alone: {reads:.3f} s")
        a_batch = reads / -(-len(look) // BATCH)
        for encoder in (waiting, computing):

            def encode(encoder: Callable[[float], None] = encoder) -> None:
                encoder(a_batch)

            one = best_seconds(options.rounds, lambda: consume(plain(), encode))
            other = best_seconds(options.rounds, lambda: consume(ahead(), encode))
            share = (one - other) / reads
            print(f"{encoder.__name__:9}  {one:.3f} s  ahead {other:.3f} s  hidden {share:.0%}")
        some = families(reader.pyramid, options.tiles)
        print(f"processor time of {len(some)} tiles, children parted and together:")
        for threads in (1, 2, 4, 8):
            times = [processor_seconds(reader, some, threads, parted=p) for p in (True, False)]
            print(f"{threads} threads  {times[0]:.3f} s  {times[1]:.3f} s")


if __name__ == "__main__":
    main()
