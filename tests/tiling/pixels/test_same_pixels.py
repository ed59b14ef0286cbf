"""One picture, five ways in: a file, an array, the xarray engine, level files, a far-away file.

All must show the same pixels and miss the same ones, whatever marks them.
"""

import struct
import threading
import zlib
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.enums import ColorInterp

from geofovea.tiling import TileReader, open_scene, plan_radiometry
from geofovea.tiling.overviews import level_files
from geofovea.tiling.overviews.level_files import level_files_of

SIDE, MISSING, FINE, COARSE = 512, 192, 512, 64
RANDOM = np.random.default_rng(7)
RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
RGBA = (*RGB, ColorInterp.alpha)


def known_rows():
    """The oracle: the upper rows are missing."""
    known = np.ones((SIDE, SIDE), bool)
    known[:MISSING] = False
    return known


def smooth(bands, dtype, low, high):
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    waves = [np.sin(5 * x + b) * np.cos(4 * y - b) for b in range(bands)]
    return (low + (np.stack(waves) + 1) / 2 * (high - low)).astype(dtype)


def write(path, values, *, colors=None, mask=None, palette=None, **profile):
    shape = {"count": len(values), "height": SIDE, "width": SIDE, "dtype": values.dtype}
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    is_beside = profile.pop("is_beside", False)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=not is_beside),
        rasterio.open(path, "w", driver="GTiff", **(shape | layout | profile)) as file,
    ):
        if colors:
            file.colorinterp = colors
        file.write(values)
        if palette:
            file.write_colormap(1, palette)
        if mask is not None:
            file.write_mask(mask)


def with_alpha(path, dtype, opaque, transparent=0, further=0, **profile):
    high = 200 if np.dtype(dtype).kind == "u" and np.dtype(dtype).itemsize == 1 else 3000
    values = smooth(4 + further, dtype, 20, high)
    values[-1] = np.where(known_rows(), opaque, transparent)
    if "nodata" in profile:
        values[:3, ~known_rows()] = 255  # the collar is one color, which nodata does not name
    colors = (*RGB, *[ColorInterp.undefined] * further, ColorInterp.alpha)
    write(path, values, colors=colors, photometric="rgb", **profile)


def with_nodata(path, dtype, nodata, *, bands=1):
    values = smooth(bands, dtype, 20, 200)
    values[:, ~known_rows()] = np.array(nodata).astype(dtype)
    write(path, values, nodata=nodata)


def with_scattered(path, number, nodata=None):
    """A file whose missing pixels are not numbers: as a block, and scattered over the rest."""
    values = smooth(1, "float32", 20, 200)
    values[:, ~known_rows()] = number if nodata is None else nodata
    scattered = RANDOM.random((SIDE, SIDE)) < 0.05
    values[0, scattered & known_rows()] = number
    write(path, values, nodata=nodata)
    return known_rows() & ~scattered


def by_hand(path, values, photometric, tags=()):
    """A tiled TIFF of ``(bands, rows, cols)`` with tags that rasterio does not write."""
    planes = np.ascontiguousarray(values.transpose(1, 2, 0))
    content, blocks = bytearray(struct.pack("<2sHI", b"II", 42, 0)), []
    for y in range(0, SIDE, 128):
        for x in range(0, SIDE, 128):
            data = zlib.compress(planes[y : y + 128, x : x + 128].tobytes())
            blocks.append((len(content), len(data)))
            content += data
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    bands = len(values)
    fields = [
        *((256, "I", [SIDE]), (257, "I", [SIDE]), (258, "H", [8 * values.itemsize] * bands)),
        *((259, "H", [8]), (262, "H", [photometric]), (277, "H", [bands]), (284, "H", [1])),
        *((322, "H", [128]), (323, "H", [128]), (324, "I", [at for at, _ in blocks])),
        *((325, "I", [size for _, size in blocks]), (339, "H", [kind] * bands), *tags),
    ]
    entries = []
    for tag, letter, numbers in sorted(fields):
        data = numbers if letter == "s" else struct.pack(f"<{len(numbers)}{letter}", *numbers)
        value = data.ljust(4, b"\0")
        if len(data) > 4:
            content += b"\0" * (len(content) % 2)
            value = struct.pack("<I", len(content))
            content += data
        entries.append(
            struct.pack("<HHI", tag, {"H": 3, "I": 4, "s": 2}[letter], len(numbers)) + value
        )
    content += b"\0" * (len(content) % 2)
    struct.pack_into("<I", content, 4, len(content))
    content += struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    path.write_bytes(content)


def with_long_nodata(path, dtype, nodata):
    values = smooth(1, dtype, 20, 200)
    values[:, ~known_rows()] = nodata
    by_hand(path, values, 1, [(42113, "s", str(nodata).encode() + b"\0")])


def with_palette(path, *, has_alpha):
    values = np.zeros((2, SIDE, SIDE), np.uint8)
    values[0, :, ::2], values[0, :, 1::2], values[1] = 3, 200, np.where(known_rows(), 255, 0)
    table = np.zeros((3, 256), np.uint16)
    table[:, 3], table[:, 200] = (65535, 0, 0), (0, 0, 65535)
    colors = [(320, "H", table.ravel().tolist())]
    if has_alpha:
        by_hand(path, values, 3, [*colors, (338, "H", [2])])
        return None
    by_hand(path, values[:1], 3, colors)
    return np.ones((SIDE, SIDE), bool)


def with_mask(path, *, is_beside=False, bands=3, opaque=255):
    values = smooth(bands, "uint8", 20, 200)
    colors = RGBA if bands == 4 else RGB
    if bands == 4:
        values[3] = 255
        values[3, :, :128] = 0
    write(path, values, mask=known_rows(), is_beside=is_beside, photometric="rgb", colors=colors)
    if opaque != 255:
        with rasterio.open(f"{path}.msk", "r+") as mask:
            mask.write(np.where(known_rows(), opaque, 0).astype(np.uint8), 1)
    known = known_rows()
    known[:, : 128 if bands == 4 else 0] = False
    return known


def with_zero_as_white(path, dtype):
    top = np.iinfo(dtype).max
    write(path, top - smooth(1, dtype, 20, 0.8 * top), photometric="miniswhite")
    return np.ones((SIDE, SIDE), bool)


def with_scales(path, dtype, scales):
    """A file whose numbers stand for less the greater they are, where a scale is below zero."""
    values = smooth(len(scales), dtype, 20, 200)
    values = np.stack([v if s > 0 else 220 - v for v, s in zip(values, scales, strict=True)])
    with_colors = {"colors": RGB, "photometric": "rgb"} if len(scales) == 3 else {}
    write(path, values, **with_colors)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = scales, [220.0 * (scale < 0) for scale in scales]
    return np.ones((SIDE, SIDE), bool)


def with_inks(path):
    write(path, smooth(4, "uint8", 20, 200), photometric="cmyk", interleave="pixel")
    return np.ones((SIDE, SIDE), bool)


SAMPLES = {
    "alpha of eight bits": partial(with_alpha, dtype="uint8", opaque=255),
    "alpha of 0 and 1": partial(with_alpha, dtype="uint8", opaque=1),
    "alpha and nodata": partial(with_alpha, dtype="uint8", opaque=255, nodata=0),
    "alpha behind further bands": partial(with_alpha, dtype="uint8", opaque=255, further=2),
    "alpha of sixteen bits behind near infrared": partial(
        with_alpha, dtype="uint16", opaque=65535, further=1
    ),
    "alpha of sixteen bits": partial(with_alpha, dtype="uint16", opaque=65535),
    "thin alpha of sixteen bits": partial(
        with_alpha, dtype="uint16", opaque=65535, transparent=600
    ),
    "sixteen bits, 255 is opaque": partial(with_alpha, dtype="uint16", opaque=255),
    "sixteen bits, 1 is opaque": partial(with_alpha, dtype="uint16", opaque=1),
    "alpha of signed bits": partial(with_alpha, dtype="int16", opaque=32767),
    "float alpha": partial(with_alpha, dtype="float32", opaque=1),
    "float alpha up to 255": partial(with_alpha, dtype="float32", opaque=255),
    "double alpha": partial(with_alpha, dtype="float64", opaque=1),
    "nodata of eight bits": partial(with_nodata, dtype="uint8", nodata=0),
    "nodata of three bands": partial(with_nodata, dtype="uint8", nodata=0, bands=3),
    "nodata of sixteen bits": partial(with_nodata, dtype="uint16", nodata=65535),
    "negative nodata": partial(with_nodata, dtype="int16", nodata=-9999),
    "float nodata": partial(with_nodata, dtype="float32", nodata=-9999.9),
    "lowest float nodata": partial(with_nodata, dtype="float32", nodata=-3.4028234663852886e38),
    "double nodata": partial(with_nodata, dtype="float64", nodata=1e300),
    "least of 64 bits": partial(with_long_nodata, dtype="int64", nodata=-(2**63)),
    "most of 64 bits": partial(with_long_nodata, dtype="int64", nodata=2**63 - 1),
    "most of 64 unsigned bits": partial(with_long_nodata, dtype="uint64", nodata=2**64 - 1),
    "undeclared NaN": partial(with_scattered, number=np.nan),
    "undeclared infinity": partial(with_scattered, number=np.inf),
    "NaN beside nodata": partial(with_scattered, number=np.nan, nodata=-1.0),
    "mask inside": with_mask,
    "mask beside": partial(with_mask, is_beside=True),
    "mask beside of 0 and 1": partial(with_mask, is_beside=True, opaque=1),
    "mask and alpha": partial(with_mask, bands=4),
    "zero is white": partial(with_zero_as_white, dtype="uint8"),
    "zero is white, sixteen bits": partial(with_zero_as_white, dtype="uint16"),
    "scale below zero": partial(with_scales, dtype="uint8", scales=[-1.0]),
    "scale below zero in one of three bands": partial(
        with_scales, dtype="uint8", scales=[1.0, -1.0, 0.5]
    ),
    "scale below zero, sixteen bits": partial(with_scales, dtype="int16", scales=[-0.1]),
    "palette": partial(with_palette, has_alpha=False),
    "palette and alpha": partial(with_palette, has_alpha=True),
    "inks": with_inks,
}


def array_of(path):
    """The same as somebody would build it by hand from what rasterio says."""
    with rasterio.open(path) as file:
        values, attrs, coords = file.read(), {}, {}
        coords["band"] = [color.name for color in file.colorinterp]
        if file.nodata is not None:
            attrs["_FillValue"] = file.nodata
        if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
            attrs["_FillValue"] = values[0, 0, 0]
        if file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES":
            attrs["photometric"] = "miniswhite"
        if file.scales != (1.0,) * file.count:
            attrs |= {"scales": file.scales, "offsets": file.offsets}
        flags = {flag.name for flag in file.mask_flag_enums[0]}
        if "per_dataset" in flags and "alpha" not in flags:
            coords["mask"] = (("y", "x"), file.read_masks(1))
        if file.colorinterp[0] == ColorInterp.palette:
            table = file.colormap(1)
            attrs["colormap"] = [v for i in range(max(table) + 1) for v in table[i]]
    return xr.DataArray(values, dims=("band", "y", "x"), coords=coords, attrs=attrs)


def eight_bits_of(path):
    """The oracle of colors: what rasterio reads, where nothing is stretched; None else."""
    with rasterio.open(path) as file:
        if file.dtypes[0] != "uint8":
            return None
        values = file.read()[: 3 if file.count >= 3 else 1]
        if file.colorinterp[0] == ColorInterp.palette:
            table = file.colormap(1)
            values = np.array([table[i][:3] for i in range(256)]).T[:, values[0]]
        if file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES":
            values = 255 - values
        for band in np.flatnonzero(np.less(file.scales[: len(values)], 0)):
            values[band] = 255 - values[band]
    return np.broadcast_to(values, (3, SIDE, SIDE)).transpose(1, 2, 0)


class Ranges(SimpleHTTPRequestHandler):
    """Serves a folder in ranges."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        try:
            with Path(self.translate_path(self.path)).open("rb") as file:
                content = file.read()
        except OSError:
            self.send_error(404)
            return
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        part = content[int(first) : int(last) + 1]
        self.send_response(206)
        end = int(first) + len(part) - 1
        self.send_header("Content-Range", f"bytes {first}-{end}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


@contextmanager
def serving(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def pictures(source, **options):
    """RGB and validity of the whole scene, native and eight times as coarse."""
    scene = open_scene(source, **options)
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    return [reader.read_box(scene.box, (side, side)) for side in (FINE, COARSE)]


def ways_in(path, monkeypatch):
    yield "file", pictures(path)
    yield "array", pictures(array_of(path))
    yield "engine", pictures(xr.open_dataset(path, engine="geofovea"))
    with serving(path.parent) as address:
        url = f"{address}/{path.name}"
        yield "far away", pictures(url, allow_remote=True, allowed_hosts=("127.0.0.1",))
    monkeypatch.setattr(level_files, "DECODE_ONCE_PIXELS", 10_000)
    assert level_files_of(open_scene(path)) is not None
    yield "level files", pictures(path)
    yield "level files of the engine", pictures(xr.open_datatree(path, engine="geofovea"))


def coarse_shares(known):
    step = FINE // COARSE
    return known.reshape(COARSE, step, COARSE, step).mean(axis=(1, 3))


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_all_ways_in_show_the_same_pixels_and_miss_the_same(sample, tmp_path, monkeypatch):
    path = tmp_path / "scene.tif"
    known = SAMPLES[sample](path)
    known = known_rows() if known is None else known
    shares, right = coarse_shares(known), eight_bits_of(path)
    first = None
    for way, ((fine, valid), (coarse, valid_coarse)) in ways_in(path, monkeypatch):
        assert (valid == known).all(), f"{way}: other native pixels are missing"
        assert valid_coarse[shares > 0.75].all(), f"{way}: known coarse pixels are missing"
        assert not valid_coarse[shares == 0].any(), f"{way}: missing coarse pixels are shown"
        if first is None:
            first = fine, coarse
            assert right is None or (fine == right)[known].all(), "other colors than rasterio's"
        assert (fine == first[0]).all(), f"{way}: other native colors"
        is_plain = shares == 1
        off = np.abs(coarse[is_plain].astype(int) - first[1][is_plain])
        assert off.max(initial=0) == 0, f"{way}: other coarse colors, by up to {off.max()}"
        # the coarse picture is the average of the native one
        step = FINE // COARSE
        mean = fine.reshape(COARSE, step, COARSE, step, 3).mean(axis=(1, 3))
        assert np.abs(coarse - mean)[is_plain].max(initial=0) <= 3, f"{way}: no average"
