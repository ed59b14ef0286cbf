"""What a few bytes claim is refused before anything makes room for it, with the way out."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import rasterio
from PIL import Image

from geofovea.errors import SceneRefusedError
from geofovea.tiling import open_scene, prepare
from geofovea.tiling.files.progressive import bytes_held_whole
from geofovea.tiling.machine import child_memory


def jpeg(width, height, mode="RGB", *, markers=(0xC2,), **options):
    """A small JPEG whose header claims another size."""
    buffer = io.BytesIO()
    Image.new(mode, (64, 64)).save(buffer, "JPEG", **options)
    data = bytearray(buffer.getvalue())
    at = next(data.find(bytes((0xFF, m))) for m in markers if bytes((0xFF, m)) in data)
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def one_scan_a_component(width, height):
    """A sequential JPEG of three scans: the first holds one component of three."""
    data = jpeg(width, height, markers=(0xC0,))
    at = data.find(b"\xff\xda")
    return data[:at] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + data[at:]


def png(width, height, color=2, depth=8, interlaced=1):
    """A PNG without all its pixels."""

    def chunk(name, body):
        crc = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + crc

    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    body = zlib.compress(bytes(100))
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", body), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


PROGRESSIVE = {"progressive": True}
WHOLE = {
    "progressive.jpg": (jpeg(14_000, 14_000, subsampling=0, **PROGRESSIVE), 14_000**2 * 6),
    "halved.jpg": (jpeg(12_000, 12_000, subsampling=2, **PROGRESSIVE), 12_000**2 * 3),
    "grey.jpg": (jpeg(16_000, 9600, "L", **PROGRESSIVE), 16_000 * 9600 * 2),
    "scans.jpg": (one_scan_a_component(12_800, 12_800), 12_800**2 * 3),
    "fill.jpg": (
        jpeg(14_000, 14_000, **PROGRESSIVE).replace(b"\xff\xc2", b"\xff" * 9000 + b"\xc2"),
        14_000**2 * 3,
    ),
    "interlaced.png": (png(12_000, 12_000), 12_000**2 * 3),
    "grey.png": (png(20_000, 20_000, color=0), 20_000**2),
    "deep.png": (png(9000, 9000, color=6, depth=16), 9000**2 * 8),
    "palette.png": (png(12_000, 12_000, color=3), 12_000**2 * 3),
}


@pytest.mark.parametrize("name", WHOLE)
def test_pictures_that_decoders_hold_whole_are_refused_with_the_command(tmp_path, name):
    content, held = WHOLE[name]
    path = tmp_path / name
    path.write_bytes(content)
    driver = "PNG" if name.endswith("png") else "JPEG"
    assert bytes_held_whole(io.BytesIO(content), driver) == pytest.approx(held, rel=0.01)
    with pytest.raises(SceneRefusedError, match="decoded whole") as refused:
        open_scene(path)
    command = str(refused.value).rpartition("rewrite it: ")[2]
    assert command.startswith("gdal_translate ")
    assert command.endswith(f"-of COG {path} {path.stem}.cog.tif")
    assert ("GDAL_ALLOW_LARGE_LIBJPEG_MEM_ALLOC YES" in command) == (driver == "JPEG")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"interlaced": True}])
def test_small_ones_and_plain_ones_are_opened(tmp_path, options):
    path = tmp_path / "scene.jpg"
    if "interlaced" in options:
        import pyvips

        path = tmp_path / "scene.png"
        pyvips.Image.black(300, 200, bands=3).pngsave(str(path), interlace=True)
    else:
        Image.new("RGB", (300, 200)).save(path, **options)
    with path.open("rb") as file:
        held = bytes_held_whole(file, "PNG" if path.suffix == ".png" else "JPEG")
    assert (held > 0) == bool(options)
    assert open_scene(path).width == 300


def test_a_jpeg_that_hides_its_frame_behind_segments_is_refused(tmp_path):
    data = jpeg(14_000, 14_000, progressive=True)
    path = tmp_path / "scene.jpg"
    path.write_bytes(data[:2] + b"\xff\xfe\x00\x02" * 70_000 + data[2:])
    with pytest.raises(SceneRefusedError, match="segments"):
        open_scene(path)


def test_rows_that_are_too_long_to_be_copied_are_refused(tmp_path):
    path = tmp_path / "scene.png"
    path.write_bytes(png(400_000, 3, interlaced=0))
    with pytest.raises(SceneRefusedError, match=r"rows are 400000 pixels.*gdal_translate"):
        open_scene(path)


def tiff(count, kind, tag=254):
    """A BigTIFF of many directories that all show the same pixels."""
    side, out = 64, bytearray(b"II+\0" + struct.pack("<HHQ", 8, 0, 16))
    for number in range(count):
        tags = {tag: kind if number else 0, 256: side, 257: side, 258: 8, 259: 1, 262: 1, 273: 16}
        tags |= {277: 1, 278: side, 279: side * side}
        entries = [struct.pack("<HHQQ", t, 16, 1, v) for t, v in sorted(tags.items())]
        body = struct.pack("<Q", len(entries)) + b"".join(entries)
        following = 0 if number == count - 1 else len(out) + len(body) + 8
        out += body + struct.pack("<Q", following)
    return bytes(out) + bytes(side * side)


@pytest.mark.parametrize(
    ("count", "kind", "tag", "what"),
    [
        (10_000, 1, 254, "128 overviews or masks"),
        (200, 1, 254, "128 overviews or masks"),
        (10_000, 4, 254, "128 overviews or masks"),
        (10_000, 5, 254, "128 overviews or masks"),
        (10_000, 2, 255, "128 overviews or masks"),
        (20_000, 0, 254, "8192 images"),
    ],
)
@pytest.mark.parametrize("where", ["scene.tif", "scene.tif.ovr", "scene.tif.msk"])
def test_more_images_than_a_pyramid_has_are_refused(
    make_tiled, texture, tmp_path, count, kind, tag, what, where
):
    make_tiled(texture(100, 100))
    (tmp_path / where).write_bytes(tiff(count, kind, tag))
    with pytest.raises(SceneRefusedError, match=rf"more than {what}.*gdal_translate"):
        open_scene(tmp_path / "scene.tif")


@pytest.mark.parametrize("count", [1, 20, 120])
def test_as_many_images_as_a_pyramid_may_have_are_opened(tmp_path, count):
    path = tmp_path / "scene.tif"
    path.write_bytes(tiff(count, 1))
    with rasterio.open(path) as dataset:
        factors = tuple(dataset.overviews(1))
    assert open_scene(path).overviews == factors[:32]


def test_directories_that_point_at_each_other_end(tmp_path):
    data = bytearray(tiff(2, 1))
    data[8:16] = struct.pack("<Q", 16)
    second = 16 + 8 + 10 * 20 + 8
    data[second + 208 : second + 216] = struct.pack("<Q", 16)
    path = tmp_path / "scene.tif"
    path.write_bytes(data)
    assert open_scene(path).width == 64


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of processes")
def test_the_memory_of_a_child_counts(make_raster, monkeypatch, small_counts_as_large):
    before = child_memory.resident_bytes()
    monkeypatch.setattr(child_memory, "_peak_bytes", 0)
    with subprocess.Popen(
        [sys.executable, "-c", "x = b'x' * 300_000_000; print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        child.stdout.readline()
        with child_memory.ChildMemory(child.pid) as memory:
            memory.look()
        child.communicate(b"\n")
    assert child_memory.peak_with_children() >= before + 300_000_000 - 50_000_000
    monkeypatch.setattr(child_memory, "_peak_bytes", 0)
    path = make_raster(np.zeros((3, 3000, 3000), "uint8"), "scene.png", driver="PNG")
    prepare(open_scene(path))
    # libvips alone takes more than this
    assert child_memory.peak_with_children() > child_memory.resident_bytes() + 20_000_000
