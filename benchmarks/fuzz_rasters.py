"""Damage small rasters in many ways and see that each ends in a typed error or in honest pixels.

    python benchmarks/fuzz_rasters.py --cases 500 --seed 1 [--real FOLDER] [--json]

Every case is a mutated file that a child process opens and reads as an answer would, under limits
of memory, CPU time and wall time. What can happen to it:

    error         a GeoFoveaError
    same          every tile that was read shows the pixels of the undamaged file
    undetectable  other pixels that plain rasterio reads too, without an error or a warning, and no
                  checksum of a PNG is wrong. Most formats have none (TIFF, JPEG, JPEG 2000). A tile
                  of DEFLATE has one, which libtiff does not reach when the damaged data fill the
                  tile too early; checking it would double the cost of every read, so those cases
                  are counted here as well
    SILENT        other pixels although plain rasterio fails or warns, reads something else, or a
                  checksum of a PNG is wrong
    UNTYPED       an exception that is not a GeoFoveaError
    CRASH, HANG   the process died, or ran past a limit

Exit code 1 if any case ends in one of those in capitals. The same seed gives the same cases.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import random
import resource
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window

from geofovea.errors import GeoFoveaError
from geofovea.tiling import TileReader, open_scene, plan_radiometry
from geofovea.tiling.files.source import resolve_source

SIDE = 256
TILE = 64
MOST_TILES = 40
MEMORY_BYTES = 4 * 2**30
CPU_SECONDS = 20
CASES_PER_WORKER = 100
BAD = ("SILENT", "UNTYPED", "CRASH", "HANG")
OUTCOMES = ("error", "same", "undetectable", *BAD)
LARGEST_REAL = 2 * 2**20
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


class Sample(NamedTuple):
    """An undamaged file."""

    kind: str
    suffix: str
    content: bytes


class Case(NamedTuple):
    """One damaged file, or with the mutation ``none`` the file as it was."""

    kind: str
    suffix: str
    mutation: str
    content: bytes


# ------------------------------------------------------------------------------------- files


def generated_samples(folder: Path) -> list[Sample]:
    """One small file of each layout."""
    y, x = np.mgrid[:SIDE, :SIDE]
    noise = np.random.default_rng(0).normal(0, 6, (3, SIDE, SIDE))
    waves = [128 + 60 * np.sin(x / (9 + b)) + 40 * np.cos(y / 13) for b in range(3)]
    image = (np.stack(waves) + noise).clip(0, 255).astype("uint8")
    tiled = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    layouts: list[tuple[str, str, dict[str, Any]]] = [
        ("striped TIFF", "GTiff", {}),
        ("striped TIFF DEFLATE", "GTiff", {"compress": "deflate", "predictor": 2}),
        ("tiled TIFF DEFLATE", "GTiff", {**tiled, "compress": "deflate"}),
        ("tiled TIFF LZW", "GTiff", {**tiled, "compress": "lzw"}),
        ("tiled TIFF ZSTD", "GTiff", {**tiled, "compress": "zstd", "BIGTIFF": "YES"}),
        ("planar TIFF", "GTiff", {**tiled, "interleave": "band", "compress": "packbits"}),
        ("COG JPEG", "COG", {"COMPRESS": "JPEG", "BLOCKSIZE": 64, "OVERVIEW_COUNT": 2}),
        ("COG DEFLATE", "COG", {"COMPRESS": "DEFLATE", "BLOCKSIZE": 64, "OVERVIEW_COUNT": 2}),
        ("PNG", "PNG", {}),
        ("JPEG", "JPEG", {"QUALITY": 90}),
        ("JPEG 2000", "JP2OpenJPEG", {"QUALITY": 30, "BLOCKXSIZE": 64, "BLOCKYSIZE": 64}),
    ]
    plain = folder / "plain.tif"
    _write(plain, image)
    suffixes = {"PNG": ".png", "JPEG": ".jpg", "JP2OpenJPEG": ".jp2"}
    samples = []
    for kind, driver, options in layouts:
        path = folder / ("sample" + suffixes.get(driver, ".tif"))
        if driver == "GTiff":
            _write(path, image, **options)
            if kind == "tiled TIFF DEFLATE":
                with rasterio.open(path, "r+") as dataset:
                    dataset.build_overviews([2, 4], Resampling.average)
        else:
            with rasterio.Env(GDAL_PAM_ENABLED=False):
                copy_raster(plain, path, driver=driver, **options)
        samples.append(Sample(kind, path.suffix, path.read_bytes()))
        path.unlink()
    return samples


def _write(path: Path, image: np.ndarray, **options: Any) -> None:
    profile = {"width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8", "photometric": "rgb"}
    with rasterio.open(path, "w", driver="GTiff", **profile, **options) as dataset:
        dataset.write(image)


def real_samples(folder: Path) -> list[Sample]:
    """The small rasters of a folder, each a kind of its own."""
    samples = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (".tif", ".png", ".jpg", ".jp2"):
            continue
        if path.stat().st_size <= LARGEST_REAL and not path.name.startswith("corrupt"):
            samples.append(Sample(path.name, path.suffix, path.read_bytes()))
    return samples


# --------------------------------------------------------------------------------- mutations


def mutate(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """The name of a mutation that was drawn, and what it makes of a file."""
    data = bytearray(content)
    kind = draw.choice(
        (
            "bits",
            "bits",
            "header bits",
            "number",
            "number",
            "noise",
            "zeros",
            "cut",
            "drop",
            "twice",
        )
    )
    header = min(len(data), 1024)
    start = draw.randrange(len(data))
    length = min(draw.choice((1, 16, 256, 4096)), len(data) - start)
    if kind == "bits":
        for _ in range(draw.choice((1, 2, 8, 64))):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif kind == "header bits":
        for _ in range(draw.choice((1, 2, 4))):
            data[draw.randrange(header)] ^= 1 << draw.randrange(8)
    elif kind == "number":
        size, code = draw.choice(((1, "B"), (2, "H"), (4, "I")))
        at = draw.randrange(max(1, header - size))
        order = draw.choice("<>")
        data[at : at + size] = struct.pack(order + code, draw.choice(EXTREMES) % 256**size)
    elif kind == "noise":
        data[start : start + length] = draw.randbytes(length)
    elif kind == "zeros":
        data[start : start + length] = bytes(length)
    elif kind == "cut":
        del data[start:]
    elif kind == "drop":
        del data[start : start + length]
    else:
        data[start:start] = data[start : start + length]
    return kind, bytes(data)


def draw_cases(samples: list[Sample], count: int, seed: int) -> list[Case]:
    """Every sample undamaged, then ``count`` damaged files, the samples in turn."""
    cases = [Case(s.kind, s.suffix, "none", s.content) for s in samples]
    for number in range(count):
        sample = samples[number % len(samples)]
        mutation, content = mutate(sample.content, random.Random(f"{seed}/{number}"))
        cases.append(Case(sample.kind, sample.suffix, mutation, content))
    return cases


# ------------------------------------------------------------------------------- one process


def read_tiles(path: Path) -> dict[tuple[int, int, int], np.ndarray]:
    """The tiles of a scene, all of a small one; raises as the package does."""
    scene = open_scene(path)
    pyramid = scene.pyramid(TILE)
    reader = TileReader(scene, pyramid, plan_radiometry(scene))
    if sum(np.prod(pyramid.grid_shape(n)) for n in range(pyramid.top_level + 1)) <= MOST_TILES:
        tiles = [t for n in range(pyramid.top_level + 1) for t in pyramid.tiles(n)]
    else:
        # down the middle and the last corner: each level once, as a descent does
        tiles = [pyramid.overview]
        while tiles[-1].level:
            tiles.append(pyramid.children(tiles[-1])[-1])
        for _, tile in zip(range(MOST_TILES - len(tiles)), pyramid.tiles(0), strict=False):
            tiles.append(tile)
    return {(t.level, t.row, t.col): reader.read(t).rgb for t in tiles}


def objections(path: Path, ours: dict[tuple[int, int, int], np.ndarray]) -> str:
    """What anything but us has to say against these pixels; empty if nothing."""
    if path.suffix == ".png" and (problem := png_problem(path.read_bytes())):
        return problem
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("rasterio._err")
    logger.addHandler(handler)
    try:
        with rasterio.Env(GDAL_PAM_ENABLED=False, GDAL_NUM_THREADS=1):
            problem = _differences(path, ours)
    except (RasterioError, OSError, ValueError) as error:
        problem = f"rasterio fails: {error.__cause__ or error}"
    finally:
        logger.removeHandler(handler)
    # padding of a few bytes before the end mark is ordinary in pictures of cameras
    harmless = [f"{n} extraneous bytes before marker 0xd9" for n in range(1, 5)]
    warned = [
        m
        for m in messages
        if ("orrupt" in m or "remature" in m) and not any(f": {h}" in m for h in harmless)
    ]
    return problem or (f"rasterio warns: {warned[0]}" if warned else "")


def _differences(path: Path, ours: dict[tuple[int, int, int], np.ndarray]) -> str:
    driver = resolve_source(path).driver
    with rasterio.open(path, driver=driver, OVERVIEW_LEVEL="NONE") as dataset:
        is_plain = (
            dataset.dtypes[:3] == ("uint8",) * 3
            and [c.name for c in dataset.colorinterp] == ["red", "green", "blue"]
            and dataset.mask_flag_enums[0][0].name == "all_valid"
            # fewer bits are spread over eight
            and "NBITS" not in dataset.tags(1, ns="IMAGE_STRUCTURE")
        )
        for (level, row, col), rgb in ours.items():
            if level > 0:
                continue
            window = Window(col * TILE, row * TILE, TILE, TILE)
            window = window.intersection(Window(0, 0, dataset.width, dataset.height))
            theirs = np.moveaxis(dataset.read(window=window), 0, -1)
            if is_plain and (rgb[: theirs.shape[0], : theirs.shape[1]] != theirs).any():
                return f"rasterio reads other pixels in tile {row}, {col}"
    # what ours took from overviews is not compared pixel by pixel: they only must be readable
    for index in range(len(resolve_overviews(path, driver))):
        with rasterio.open(path, driver=driver, OVERVIEW_LEVEL=f"{index}only") as dataset:
            if dataset.width * dataset.height <= 16 * 2**20:
                dataset.read()
    return ""


def resolve_overviews(path: Path, driver: str) -> list[int]:
    """The overviews that a file brings with it; those of a JPEG are not stored."""
    with rasterio.open(path, driver=driver) as dataset:
        return [] if driver == "JPEG" else list(dataset.overviews(1))


def png_problem(content: bytes) -> str:
    """The first chunk of a PNG whose checksum is wrong, up to its end."""
    at = 8
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        stored = content[at + 8 + length : at + 12 + length]
        # lower case means ancillary: nothing that pixels are made of
        is_critical = not kind[0] & 0x20 or kind == b"tRNS"
        if is_critical and stored != struct.pack(">I", zlib.crc32(kind + body)):
            return f"the checksum of a {kind!r} chunk is wrong"
        at += 12 + length
        if kind == b"IEND":
            return ""
    return "the PNG has no end"


def judge(case: Case, path: Path, truth: dict[str, Any]) -> tuple[str, str]:
    """Read one case; its outcome and the reason."""
    path.write_bytes(case.content)
    try:
        tiles = read_tiles(path)
    except GeoFoveaError as error:
        return "error", type(error).__name__
    except Exception as error:
        return "UNTYPED", f"{type(error).__name__}: {error}"
    if case.mutation == "none":
        truth[case.kind] = tiles
    expected = truth[case.kind]
    if tiles.keys() == expected.keys() and all((tiles[k] == expected[k]).all() for k in tiles):
        return "same", ""
    problem = objections(path, tiles)
    return ("SILENT", problem) if problem else ("undetectable", "")


def work(connection: Connection, samples: list[Sample], folder: str) -> None:
    """Judge cases until told to stop; the parent watches the clock."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.getLogger("rasterio").propagate = False
    truth: dict[str, Any] = {}
    samples_by_kind = {s.kind: s for s in samples}
    while (received := connection.recv()) is not None:
        number, case = received
        path = Path(folder) / f"case{number}{case.suffix}"
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
        try:
            if case.kind not in truth and case.mutation != "none":
                sample = samples_by_kind[case.kind]
                judge(Case(case.kind, case.suffix, "none", sample.content), path, truth)
            outcome = judge(case, path, truth)
        finally:
            path.unlink(missing_ok=True)
        connection.send((number, *outcome))


# ------------------------------------------------------------------------------------ parent


class Worker:
    """A child process that is replaced when it dies, hangs or has judged enough."""

    def __init__(self, samples: list[Sample], folder: str, wall_seconds: float) -> None:
        self._samples, self._folder, self._wall_seconds = samples, folder, wall_seconds
        self._context = multiprocessing.get_context("spawn")
        self._cases_left = 0

    def _start(self) -> None:
        self._pipe, child = self._context.Pipe()
        arguments = (child, self._samples, self._folder)
        self._process = self._context.Process(target=work, args=arguments, daemon=True)
        self._process.start()
        child.close()
        self._cases_left = CASES_PER_WORKER

    def judge(self, number: int, case: Case) -> tuple[str, str]:
        """The outcome of one case."""
        if self._cases_left == 0:
            self.stop()
            self._start()
        self._cases_left -= 1
        try:
            self._pipe.send((number, case))
            if self._pipe.poll(self._wall_seconds):
                _, outcome, reason = self._pipe.recv()
                return outcome, reason
            outcome, reason = "HANG", f"no end within {self._wall_seconds:.0f} s"
            self._process.kill()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            outcome = "HANG" if code == -24 else "CRASH"  # 24: SIGXCPU
            reason = f"exit code {code}"
        self._cases_left = 0
        return outcome, reason

    def stop(self) -> None:
        """End the process, if there is one."""
        if not hasattr(self, "_process"):
            return
        if self._process.is_alive():
            try:
                self._pipe.send(None)
                self._process.join(10)
            except OSError:
                pass
            self._process.kill()
        self._process.join()
        self._pipe.close()


def run(cases: list[Case], samples: list[Sample], wall_seconds: float) -> list[dict[str, Any]]:
    """Judge all cases one after the other; the records in order."""
    records = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        worker = Worker(samples, folder, wall_seconds)
        try:
            for number, case in enumerate(cases):
                outcome, reason = worker.judge(number, case)
                record = {"case": number, "kind": case.kind, "mutation": case.mutation}
                records.append({**record, "outcome": outcome, "reason": reason})
        finally:
            worker.stop()
    return records


def table(records: list[dict[str, Any]]) -> str:
    """Outcomes by kind of file, as text."""
    counts: dict[str, Counter[str]] = {}
    for record in records:
        counts.setdefault(record["kind"], Counter())[record["outcome"]] += 1
    width = max(len(kind) for kind in counts)
    lines = [" ".join(["".ljust(width), "cases", *(o.rjust(12) for o in OUTCOMES)])]
    for kind, counter in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        cells = [str(counter[outcome]).rjust(12) for outcome in OUTCOMES]
        lines.append(" ".join([kind.ljust(width), str(counter.total()).rjust(5), *cells]))
    return "\n".join(lines)


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=500, help="damaged files in all")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same cases")
    parser.add_argument("--real", type=Path, help="folder of real rasters to damage as well")
    parser.add_argument("--only", type=int, help="judge this one case in this process, to debug it")
    parser.add_argument("--wall", type=float, default=120, help="seconds for one case")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        samples = generated_samples(folder) + (real_samples(options.real) if options.real else [])
        cases = draw_cases(samples, options.cases, options.seed)
        if options.only is not None:
            case, truth = cases[options.only], {}
            path = folder / f"case{case.suffix}"
            whole = next(c for c in cases if c.kind == case.kind)
            judge(whole, path, truth)
            print(case.kind, case.mutation, *judge(case, path, truth))
            return 0
        records = run(cases, samples, options.wall)
    bad = [record for record in records if record["outcome"] in BAD]
    seconds = time.perf_counter() - started
    if options.json:
        print(json.dumps({"seed": options.seed, "seconds": seconds, "records": records}))
    else:
        print(table(records))
        for record in bad:
            print("case {case}: {kind}, {mutation}: {outcome}: {reason}".format(**record))
        print(f"seed {options.seed}, {len(records)} cases, {seconds:.0f} s, {len(bad)} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
