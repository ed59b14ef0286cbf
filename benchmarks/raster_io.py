"""Opening, the first overview, and random tiles at four scales, of one picture in several layouts.

Side by side, on the same files and the same places, each measurement in a process of its own:

* ``geofovea``: this package with an empty cache, so that the first overview contains the build of
  the level files where the layout needs them; ``geofovea again`` finds them.
* ``rasterio``: ``read(window, out_shape, average)`` on the file, with a block cache of the same
  size; GDAL chooses among the overviews.
* ``rio-tiler``: ``Reader.part`` in pixels (``ImageReader`` where there is no georeference).
* ``pyvips``: ``thumbnail`` for the overview; crops of the best page, or of the image opened for
  random access, for tiles.
* ``pyvips pyramid``: first writes an uncompressed pyramid with ``tiffsave``, then reads its pages.
* ``Pillow``: decodes the whole image once; ``reduce`` for overview and tiles.

A scale of tiles ends early after ``--scale-seconds``, so means are over what was read until then.
Times are wall clock; ``cpu`` columns are seconds of CPU, children included, and so are the ratios
of tiles, because they stay the same on a machine that does other things too.
Peaks are resident memory beyond the imports, those of child processes added. ``difference`` is the
mean absolute difference of the tiles from raw rasterio's, in gray values: 0 or little shows that
all read the same places; sixteen bits have none, because what is shown of them is stretched. Files
are kept in ``--folder``; a side of 32768 needs 16 GB there. Needs a Unix. Nothing is asserted.

    python benchmarks/raster_io.py --side 4096 --folder /tmp/raster-io --json io.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from side_by_side import (
    aligned,
    cell,
    cpu_seconds,
    machine,
    peak_mib,
    report,
    run_child,
)

TILE = 336
SCALES = (1, 4, 16, 64)
TILES_PER_SCALE = 50
BAND_COUNT = 3
CACHE_BYTES = 128 * 2**20
SEED = 11
USUAL_KINDS = ("cog", "tiled", "striped", "striped_deflate", "png")
KINDS = (*USUAL_KINDS, "striped16", "png16", "jp2")
READERS = (
    *("geofovea", "geofovea again", "rasterio", "rio-tiler"),
    *("pyvips", "pyvips pyramid", "Pillow"),
)
SUFFIX = {"png": ".png", "png16": ".png", "jp2": ".jp2"}

Read = Callable[[int, int, int], Any]
"""``read(scale, x_scene, y_scene)``: a tile ``(TILE, TILE, 3)`` from that corner."""


def places(side: int) -> dict[int, list[tuple[int, int]]]:
    """Corners of whole tiles on the grid of each scale that the scene has, in scene pixels."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    places_by_level = {}
    for scale in SCALES:
        count = side // (TILE * scale)
        if count:
            cells = rng.integers(0, count, (TILES_PER_SCALE, 2)) * TILE * scale
            places_by_level[scale] = [(int(x), int(y)) for x, y in cells]
    return places_by_level


PROFILES: dict[str, dict[str, Any]] = {
    "tiled": {"tiled": True, "blockxsize": 512, "blockysize": 512},
    "striped": {},
    "striped_deflate": {"compress": "deflate", "zlevel": 1},
    "striped16": {"dtype": "uint16"},
}
PROFILES["tiled"] |= PROFILES["striped_deflate"]
COPIED_FROM = {"cog": "tiled", "png": "tiled", "jp2": "tiled", "png16": "striped16"}


def make_scene(path: Path, kind: str, side: int) -> None:
    """Write one layout of the picture, or copy it from another."""
    if kind in PROFILES:
        write_picture(path, side, PROFILES[kind])
        return
    original = path.with_name(f"{COPIED_FROM[kind]}_{side}.tif")
    if kind == "jp2":
        import rasterio.shutil

        options = {"blockxsize": 1024, "blockysize": 1024, "quality": 25}
        rasterio.shutil.copy(original, path, driver="JP2OpenJPEG", **options)
    elif kind == "cog":
        import rasterio.shutil

        options = {"compress": "deflate", "level": 1, "blocksize": 512, "bigtiff": "yes"}
        options |= {"overview_resampling": "average", "num_threads": "all_cpus"}
        rasterio.shutil.copy(original, path, driver="COG", **options)
    else:
        import pyvips

        image = pyvips.Image.new_from_file(str(original))
        image.pngsave(str(path), compression=1)


def write_picture(path: Path, side: int, layout: dict[str, Any]) -> None:
    """A picture that compresses about as badly as a real one: noise of several sizes."""
    import numpy as np
    import rasterio
    from rasterio.transform import Affine
    from rasterio.windows import Window

    block = 2048
    rng = np.random.default_rng(SEED)
    texture = np.zeros((BAND_COUNT, block, block), np.float32)
    for step in (1, 4, 32, 256):
        coarse = rng.normal(0, 6 * step**0.3, (BAND_COUNT, block // step, block // step))
        texture += np.kron(coarse, np.ones((1, step, step))).astype(np.float32)
    profile = {"width": side, "height": side, "count": BAND_COUNT, "dtype": "uint8"}
    profile |= {"photometric": "rgb", "interleave": "pixel", "bigtiff": "yes"} | layout
    profile |= {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)}
    gain = 16 if profile["dtype"] == "uint16" else 1
    with rasterio.open(path, "w", "GTiff", num_threads="all_cpus", **profile) as dataset:
        for y in range(0, side, block // 4):
            height = min(block // 4, side - y)
            rows = np.empty((BAND_COUNT, height, side), profile["dtype"])
            for x in range(0, side, block):
                width = min(block, side - x)
                shade = 128 + 50 * np.sin(x / 9000 + y / 7000)
                first = y % block
                pixels = texture[:, first : first + height, :width] + shade
                rows[:, :, x : x + width] = np.clip(pixels, 0, 255) * gain
            dataset.write(rows, window=Window(0, y, side, height))


def open_geofovea(path: str) -> tuple[Callable[[], Any], Read]:
    """Open with this package; its overview and its tiles."""
    from geofovea.tiling import Tile, TileReader, open_scene, plan_radiometry

    scene = open_scene(path)
    pyramid = scene.pyramid(TILE)
    reader = TileReader(scene, pyramid, plan_radiometry(scene))

    def read(scale: int, x_scene: int, y_scene: int) -> Any:
        side = TILE * scale
        return reader.read(Tile(scale.bit_length() - 1, y_scene // side, x_scene // side)).rgb

    return lambda: reader.read(pyramid.overview).rgb, read


def open_rasterio(path: str) -> tuple[Callable[[], Any], Read]:
    """Open with rasterio as it comes."""
    import numpy as np
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES).__enter__()
    dataset = rasterio.open(path)

    def part(x: int, y: int, side: int) -> Any:
        shape = (BAND_COUNT, TILE, TILE)
        window = Window(x, y, side, side)
        pixels = dataset.read(window=window, out_shape=shape, resampling=Resampling.average)
        return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))

    return lambda: part(0, 0, dataset.width), lambda scale, x, y: part(x, y, TILE * scale)


def open_rio_tiler(path: str) -> tuple[Callable[[], Any], Read]:
    """Open with rio-tiler; windows in pixels, without a warp."""
    import numpy as np
    import rasterio
    from rio_tiler.io import ImageReader
    from rio_tiler.reader import part as read_part

    rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES).__enter__()
    dataset = rasterio.open(path)
    has_place = dataset.crs is not None
    image = None if has_place else ImageReader(path)

    def part(x: int, y: int, side: int) -> Any:
        if image is not None:
            part_read = image.part(
                (x, y + side, x + side, y),
                width=TILE,
                height=TILE,
                resampling_method="average",
            )
        else:
            west, north = dataset.transform * (x, y)
            east, south = dataset.transform * (x + side, y + side)
            part_read = read_part(
                dataset,
                (west, south, east, north),
                width=TILE,
                height=TILE,
                resampling_method="average",
            )
        return np.ascontiguousarray(np.moveaxis(part_read.data[:BAND_COUNT], 0, -1))

    return lambda: part(0, 0, dataset.width), lambda scale, x, y: part(x, y, TILE * scale)


def open_pyvips(path: str) -> tuple[Callable[[], Any], Read]:
    """Open with libvips: pages where there are any, else for random access."""
    import pyvips

    native = pyvips.Image.new_from_file(path)
    pages = {1: native}
    if path.endswith(".tif"):
        for number in range(1, native.get("n-pages") if native.get_typeof("n-pages") else 1):
            page = pyvips.Image.new_from_file(path, page=number)
            pages[round(native.width / page.width)] = page

    def read(scale: int, x_scene: int, y_scene: int) -> Any:
        factor = max(f for f in pages if f <= scale)
        side = TILE * scale // factor
        part = pages[factor].crop(x_scene // factor, y_scene // factor, side, side)
        return part.shrink(scale // factor, scale // factor).numpy()

    return lambda: pyvips.Image.thumbnail(path, TILE).numpy(), read


def open_pyvips_pyramid(path: str) -> tuple[Callable[[], Any], Read]:
    """Let libvips write a pyramid, then read that."""
    import pyvips

    target = path + ".pyramid.tif"
    image = pyvips.Image.new_from_file(path, access="sequential")
    options = {"tile_width": 256, "tile_height": 256, "compression": "none", "bigtiff": True}

    opened: list[tuple[Callable[[], Any], Read]] = []

    def overview() -> Any:
        image.tiffsave(target, tile=True, pyramid=True, **options)
        opened.append(open_pyvips(target))
        return opened[0][0]()

    return overview, lambda scale, x, y: opened[0][1](scale, x, y)


def open_pillow(path: str) -> tuple[Callable[[], Any], Read]:
    """Open with Pillow, which decodes the whole image when it is first touched."""
    import numpy as np
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    image = Image.open(path)

    def overview() -> Any:
        image.load()
        factor = image.width // TILE
        return np.asarray(image.reduce(factor).resize((TILE, TILE)))

    def read(scale: int, x_scene: int, y_scene: int) -> Any:
        side = TILE * scale
        part = image.crop((x_scene, y_scene, x_scene + side, y_scene + side))
        return np.asarray(part.reduce(scale))

    return overview, read


OPENERS = {
    "geofovea": open_geofovea,
    "geofovea again": open_geofovea,
    "rasterio": open_rasterio,
    "rio-tiler": open_rio_tiler,
    "pyvips": open_pyvips,
    "pyvips pyramid": open_pyvips_pyramid,
    "Pillow": open_pillow,
}


def import_all(reader: str) -> None:
    """What a program has imported before it opens anything."""
    import numpy  # noqa: F401, ICN001

    if "geofovea" in reader:
        from geofovea.tiling import TileReader, open_scene, plan_radiometry, prepare  # noqa: F401
    elif "pyvips" in reader:
        import pyvips  # noqa: F401
    elif reader == "rio-tiler":
        import rio_tiler.io
        import rio_tiler.reader  # noqa: F401
    elif reader == "Pillow":
        import PIL.Image  # noqa: F401
    else:
        import rasterio  # noqa: F401


def measure(reader: str, path: str, side: int, scale_seconds: float) -> dict[str, Any]:
    """What one reader takes; ``means`` of its tiles let the parent compare what they show."""
    import warnings

    warnings.simplefilter("ignore")  # a PNG has no georeference
    import_all(reader)
    imported = peak_mib(with_children=True)
    clock = time.perf_counter
    start = clock()
    overview, read = OPENERS[reader](path)
    opened, busy = clock(), cpu_seconds()
    overview()
    numbers: dict[str, Any] = {"open_s": opened - start, "overview_s": clock() - opened}
    numbers["overview_cpu_s"] = cpu_seconds() - busy
    means: dict[str, list[list[float]]] = {}
    for scale, corners in places(side).items():
        start, busy, results = clock(), cpu_seconds(), []
        for corner in corners:
            results.append(read(scale, *corner))
            if clock() - start > scale_seconds:
                break
        numbers[f"tile_ms_{scale}"] = (clock() - start) / len(results) * 1000
        numbers[f"tile_cpu_ms_{scale}"] = (cpu_seconds() - busy) / len(results) * 1000
        numbers[f"tiles_{scale}"] = len(results)
        means[str(scale)] = [
            tile[::16, ::16, :BAND_COUNT].astype(int).ravel().tolist() for tile in results[:5]
        ]
    if not Path(path).name.startswith(("striped16", "png16")):
        numbers["shown"] = means
    return numbers | {"peak_mib": peak_mib(with_children=True) - imported, "imports_mib": imported}


def _child(arguments: list[str], cache: Path, timeout: float) -> dict[str, Any]:
    return run_child(__file__, arguments, {"GEOFOVEA_CACHE_DIR": str(cache)}, timeout)


def measure_kind(kind: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All readers on one layout, which is made where it is not there yet."""
    folder, side = options.folder, options.side
    path = folder / f"{kind}_{side}{SUFFIX.get(kind, '.tif')}"
    if not path.exists():
        print(f"writing {path}", file=sys.stderr)
        failed = _child(["make", str(path), kind, str(side)], folder, 7200).get("reason")
        if failed:
            raise SystemExit(f"{path} could not be written: {failed}")
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    for reader in options.readers.split(","):
        print(f"{kind}: {reader}", file=sys.stderr)
        arguments = [reader, str(path), str(side), str(options.scale_seconds)]
        numbers = _child(arguments, cache, options.timeout)
        Path(f"{path}.pyramid.tif").unlink(missing_ok=True)
        yield {"kind": kind, "reader": reader, "file_mb": path.stat().st_size / 1e6, **numbers}
    shutil.rmtree(cache, ignore_errors=True)


def add_differences(rows: list[dict[str, Any]]) -> None:
    """Turn what each reader showed into its mean difference from raw rasterio."""
    truth = next((row.get("shown") for row in rows if row["reader"] == "rasterio"), None)
    for row in rows:
        picture = row.pop("shown", None)
        if picture is None or truth is None:
            continue
        total, count = 0, 0
        for scale in picture:
            for tile, true in zip(picture[scale], truth[scale], strict=False):
                total += sum(abs(a - b) for a, b in zip(tile, true, strict=True))
                count += len(tile)
        row["difference"] = total / max(1, count)


def table(rows: list[dict[str, Any]]) -> str:
    """The measurements in aligned columns; below them why some are missing."""
    scales = [scale for scale in SCALES if any(f"tile_ms_{scale}" in row for row in rows)]
    header = ["layout", "reader", "open s", "overview s", "cpu s"]
    header += [f"ms at 1/{scale}" for scale in scales]
    header += [f"cpu × rasterio {scale}" for scale in scales] + ["peak MiB", "difference"]
    lines, notes = [header], []
    for row in rows:
        base = next(r for r in rows if (r["kind"], r["reader"]) == (row["kind"], "rasterio"))
        if "reason" in row:
            notes.append(f"{row['kind']}, {row['reader']}: {row['reason']}")
        times = [f"tile_ms_{scale}" for scale in scales]
        line = [row["kind"], row["reader"]]
        line += [cell(row, "open_s", "{:.3f}"), cell(row, "overview_s", "{:.2f}")]
        line.append(cell(row, "overview_cpu_s", "{:.2f}"))
        line += [cell(row, name, "{:.1f}") for name in times]
        line += [
            f"{row[name] / base[name]:.2f}" if name in row and name in base else "-"
            for name in (f"tile_cpu_ms_{scale}" for scale in scales)
        ]
        lines.append([*line, cell(row, "peak_mib", "{:.0f}"), cell(row, "difference", "{:.2f}")])
    return "\n".join([aligned(lines, "<"), *notes])


def main() -> None:
    """Measure, print the table, and write the numbers where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--side", type=int, default=32768, help="pixels (default %(default)s)")
    parser.add_argument(
        "--kinds",
        default=",".join(USUAL_KINDS),
        help=f"layouts of {', '.join(KINDS)} (default %(default)s)",
    )
    parser.add_argument("--readers", default=",".join(READERS), help="default %(default)s")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "geofovea-raster-io",
        help="where the files are kept, or made at first use (default %(default)s)",
    )
    parser.add_argument("--scale-seconds", type=float, default=20.0, help="default %(default)s")
    parser.add_argument("--timeout", type=float, default=900.0, help="of one reader on one layout")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        task, path, *rest = options.child
        if task == "make":
            make_scene(Path(path), rest[0], int(rest[1]))
            print("{}")
        else:
            print(json.dumps(measure(task, path, int(rest[0]), float(rest[1]))))
        return
    wrong = {*options.kinds.split(",")} - {*KINDS} | {*options.readers.split(",")} - {*READERS}
    if wrong or "rasterio" not in options.readers.split(","):
        parser.error(f"choose kinds of {KINDS} and readers of {READERS}, rasterio among them")
    options.folder.mkdir(parents=True, exist_ok=True)
    kinds = options.kinds.split(",")
    for kind in kinds:
        copy = options.folder / f"{kind}_{options.side}{SUFFIX.get(kind, '.tif')}"
        original = options.folder / f"{COPIED_FROM.get(kind, kind)}_{options.side}.tif"
        if kind in COPIED_FROM and not copy.exists() and not original.exists():
            print(f"writing {original}", file=sys.stderr)
            arguments = ["make", str(original), COPIED_FROM[kind], str(options.side)]
            _child(arguments, options.folder, 7200)
    rows = []
    for kind in kinds:
        of_kind = list(measure_kind(kind, options))
        add_differences(of_kind)
        rows += of_kind
    report(machine(side=options.side), table(rows), rows, options.json)


if __name__ == "__main__":
    main()
