"""Files that are damaged, cut short or exchanged: an error or the right pixels, never others."""

import io
import logging
import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from geofovea.errors import GeoFoveaError, SceneReadError
from geofovea.tiling import Radiometry, Tile, TileReader, open_scene, plan_radiometry, prepare
from geofovea.tiling.files import handles
from geofovea.tiling.files.faults import is_damage
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_handle
from geofovea.tiling.files.png import damage_in_png
from geofovea.tiling.overviews import vips_worker
from geofovea.tiling.overviews.level_files import level_files_of

END_OF_JPEG = b"\xff\xd9"


def read_all(path, **options):
    scene = open_scene(path, **options)
    return read_tiles(scene)


def read_tiles(scene):
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    levels = range(reader.pyramid.top_level + 1)
    return [reader.read(t).rgb for level in levels for t in reader.pyramid.tiles(level)]


def block_range(path, row, col):
    """Where a TIFF keeps a block: ``(offset, size)`` in bytes."""
    with rasterio.open(path) as dataset:
        tags = {name: dataset.get_tag_item(f"{name}_{col}_{row}", "TIFF", bidx=1) for name in
                ("BLOCK_OFFSET", "BLOCK_SIZE")}  # fmt: skip
    return int(tags["BLOCK_OFFSET"]), int(tags["BLOCK_SIZE"])


@pytest.fixture
def damaged_jpeg_tiff(make_tiled, texture):
    """A JPEG TIFF whose block (1, 1) ends in its middle; GDAL only warns, and makes up the rest."""
    path = make_tiled(texture(256, 256), compress="jpeg", photometric="ycbcr")
    offset, size = block_range(path, 1, 1)
    data = bytearray(path.read_bytes())
    data[offset + size // 2 : offset + size // 2 + 2] = END_OF_JPEG
    path.write_bytes(data)
    return path


@pytest.fixture
def damaged_jpeg(make_raster, texture):
    """A JPEG with an end mark in its middle, and one at its end as it should be."""
    path = make_raster(texture(256, 256), "scene.jpg", driver="JPEG", QUALITY=90)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2] = END_OF_JPEG
    path.write_bytes(data)
    return path


def test_rasterio_shows_made_up_pixels_without_an_error(damaged_jpeg_tiff, damaged_jpeg):
    # the reason for all that follows; when this fails, rasterio has learned to raise
    for path in (damaged_jpeg_tiff, damaged_jpeg):
        with rasterio.open(path) as dataset:
            assert dataset.read().shape == (3, 256, 256)


@pytest.mark.parametrize("kind", ["damaged_jpeg_tiff", "damaged_jpeg"])
def test_pixels_that_the_decoder_made_up_are_a_read_error(kind, request):
    path = request.getfixturevalue(kind)
    with pytest.raises(SceneReadError, match=r"could not be read: .*(premature|Corrupt)"):
        read_all(path)


def test_a_damaged_tile_stays_an_error_and_the_others_stay_right(damaged_jpeg_tiff):
    scene = open_scene(damaged_jpeg_tiff)
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    with rasterio.open(damaged_jpeg_tiff) as dataset:
        truth = np.moveaxis(dataset.read(window=((0, 64), (0, 64))), 0, -1)
    for _ in range(3):
        with pytest.raises(SceneReadError):
            reader.read(Tile(0, 1, 1))
        assert (reader.read(Tile(0, 0, 0)).rgb == truth).all()


def test_a_damaged_picture_that_is_decoded_once_stays_an_error(damaged_jpeg):
    scene = open_scene(damaged_jpeg)
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    for _ in range(2):
        with pytest.raises(SceneReadError):
            reader.read(Tile(0, 3, 3))


def test_damage_is_seen_on_every_thread(damaged_jpeg_tiff):
    scene = open_scene(damaged_jpeg_tiff)
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    with ThreadPoolExecutor(4) as pool:
        for error in pool.map(lambda _: _error_of(reader, Tile(0, 1, 1)), range(8)):
            assert isinstance(error, SceneReadError)


def _error_of(reader, tile):
    try:
        reader.read(tile)
    except GeoFoveaError as error:
        return error
    return None


@pytest.mark.parametrize("how", ["level", "disabled", "logging.disable"])
def test_damage_is_seen_where_logging_is_silenced(damaged_jpeg_tiff, how):
    logger = logging.getLogger("rasterio._err")
    try:
        if how == "level":
            logger.setLevel(logging.CRITICAL)
        elif how == "disabled":  # as logging.config does with every logger it is not told about
            logger.disabled = True
        else:
            logging.disable(logging.CRITICAL)
        with pytest.raises(SceneReadError):
            read_all(damaged_jpeg_tiff)
    finally:
        logger.setLevel(logging.NOTSET)
        logger.disabled = False
        logging.disable(logging.NOTSET)


def test_several_threads_of_gdal_do_not_swallow_the_warning(damaged_jpeg_tiff, monkeypatch):
    with rasterio.Env(GDAL_NUM_THREADS=4), pytest.raises(SceneReadError):
        read_all(damaged_jpeg_tiff)


@pytest.mark.parametrize(
    ("message", "means_damage"),
    [
        ("CPLE_AppDefined:JPEGLib:Corrupt JPEG data: bad Huffman code", True),
        ("CPLE_AppDefined:libjpeg: Corrupt JPEG data: premature end of data segment", True),
        ("CPLE_AppDefined:JPEGLib:Premature end of JPEG file", True),
        ("CPLE_AppDefined:JPEGLib:Corrupt JPEG data: 32 extraneous bytes before marker 0xd9", True),
        ("CPLE_AppDefined:JPEGLib:Corrupt JPEG data: 1 extraneous bytes before marker 0xd9", False),
        ("CPLE_AppDefined:JPEGLib:Invalid SOS parameters for sequential JPEG", False),
        (
            "CPLE_AppDefined:JPEGPreDecode:JPEG strip size exceeds expected dimensions, expected "
            "257x1, got 257x32",
            False,
        ),
        (
            "CPLE_AppDefined:JPEGPreDecode:Improper JPEG strip/tile size, expected 257x32, got "
            "128x32",
            True,
        ),
        ("CPLE_AppDefined:TIFFReadDirectory:Unknown field with tag 50000", False),
        ("CPLE_AppDefined:TIFFReadDirectoryCheckOrder:Invalid TIFF directory", False),
    ],
)
def test_warnings_about_pixels_are_told_from_warnings_about_headers(message, means_damage):
    assert is_damage(message) == means_damage


def test_rows_of_jpeg_below_the_last_strip_of_a_tiff_are_left_out(make_raster, texture):
    image = texture(129, 257)
    options = {"compress": "jpeg", "photometric": "minisblack", "interleave": "band"}
    path = make_raster(image, blockysize=32, **options)
    with rasterio.open(path) as dataset:
        stored = dataset.read()
    scene = open_scene(path)
    reader = TileReader(scene, scene.pyramid(512), plan_radiometry(scene, (1, 2, 3)))
    assert (reader.read(Tile(0, 0, 0)).rgb[:129, :257] == np.moveaxis(stored, 0, 2)).all()


def png_chunks(data):
    at, chunks = 8, []
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append(data[at + 4 : at + 8 + length])
        at += 12 + length
    return chunks


def png_of(chunks, wrong=()):
    def packed(chunk):
        checksum = zlib.crc32(chunk) ^ (chunk[:4] in wrong)
        return struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", checksum)

    return b"\x89PNG\r\n\x1a\n" + b"".join(map(packed, chunks))


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT", b"IEND"])
def test_a_png_whose_checksum_is_wrong_is_a_read_error(make_raster, texture, name):
    path = make_raster(texture(100, 100), "scene.png", driver="PNG")
    chunks = png_chunks(path.read_bytes())
    path.write_bytes(png_of(chunks))
    read_all(path)
    path.write_bytes(png_of(chunks, wrong=(name,)))
    with pytest.raises(SceneReadError, match=r"checksum|CRC|end mark|could not be read"):
        read_all(path)


def test_a_png_is_checked_before_its_pixels_are_used_and_not_to_open_it(
    make_raster, texture, small_counts_as_large, cache_folder
):
    path = make_raster(texture(200, 200), "scene.png", driver="PNG")
    path.write_bytes(png_of(png_chunks(path.read_bytes()), wrong=(b"IDAT",)))
    scene = open_scene(path)
    assert level_files_of(scene) is not None
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    for _ in range(2):
        with pytest.raises(SceneReadError, match=r"checksum|CRC"):
            reader.read(reader.pyramid.overview)
    assert not list(cache_folder.glob("*/level_*.tif"))


@pytest.mark.parametrize("which", [0, 1, -1])
def test_libvips_finds_a_wrong_checksum_of_any_pixels_while_it_copies(
    make_raster, texture, small_counts_as_large, monkeypatch, which
):
    path = make_raster(texture(300, 300), "scene.png", driver="PNG")
    chunks = png_chunks(path.read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(handles, "damage_in_png", lambda _: pytest.fail("a second pass"))
        assert prepare(open_scene(path)).is_current
    pixels = [number for number, chunk in enumerate(chunks) if chunk[:4] == b"IDAT"]
    parts = [png_of([chunk])[8:] for chunk in chunks]
    number = pixels[which]
    parts[number] = png_of([chunks[number]], wrong=(b"IDAT",))[8:]
    path.write_bytes(png_of([]) + b"".join(parts))
    with pytest.raises(SceneReadError, match="checksum"):
        prepare(open_scene(path))


@pytest.mark.parametrize(
    ("fail_on", "code"), [("warning", 0), ("truncated", vips_worker.VIPS_SKIPS_CHECKSUMS)]
)
def test_a_libvips_that_skips_checksums_says_so(make_raster, texture, tmp_path, fail_on, code):
    path = make_raster(texture(60, 60), "scene.png", driver="PNG")
    command = [sys.executable, "-m", vips_worker.__name__, str(path), str(tmp_path / "copy.tif")]
    done = subprocess.run([*command, fail_on, "256", "copy"], check=False)
    assert done.returncode == code
    assert (tmp_path / "copy.tif").exists()


def test_a_png_that_lost_a_chunk_of_pixels_is_a_read_error(make_raster, texture):
    path = make_raster(texture(300, 300), "scene.png", driver="PNG")
    chunks = png_chunks(path.read_bytes())
    pixels = [number for number, chunk in enumerate(chunks) if chunk[:4] == b"IDAT"]
    assert len(pixels) > 3
    del chunks[pixels[1]]
    path.write_bytes(png_of(chunks))
    with pytest.raises(SceneReadError):
        read_all(path)


def test_a_checksum_of_what_pixels_do_not_need_is_not_held_against_a_png(make_raster, texture):
    path = make_raster(texture(60, 60), "scene.png", driver="PNG")
    chunks = png_chunks(path.read_bytes())
    chunks.insert(1, b"tEXtComment\0hello")
    path.write_bytes(png_of(chunks, wrong=(b"tEXt",)))
    assert len(read_all(path)) == 1


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_jpeg_2000_that_was_cut_short_is_a_read_error(make_raster, texture, share):
    options = {"driver": "JP2OpenJPEG", "BLOCKXSIZE": 64, "BLOCKYSIZE": 64}
    path = make_raster(texture(256, 256), "scene.jp2", **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SceneReadError):
        read_all(path)


# ------------------------------------------------------------- files that become other files


@pytest.fixture
def two_alike(make_tiled):
    """Two uncompressed TIFFs of the same size in bytes, one all 10, one all 200."""
    options = {"compress": None}
    first = make_tiled(np.full((1, 128, 128), 10, "uint8"), "scene.tif", **options)
    other = make_tiled(np.full((1, 128, 128), 200, "uint8"), "other.tif", **options)
    assert first.stat().st_size == other.stat().st_size
    return first, other


def rewritten_in_place(first, other):
    content = other.read_bytes()
    with first.open("r+b") as file:
        file.write(content)


def replaced(first, other):
    other.replace(first)


def dressed_up(change):
    """The same change, with size and modification time as before."""

    def apply(first, other):
        before = first.stat()
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        change(first, other)
        os.utime(first, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert first.stat().st_mtime_ns == before.st_mtime_ns
        assert first.stat().st_size == before.st_size

    return apply


CHANGES = {
    "rewritten in place": rewritten_in_place,
    "replaced": replaced,
    "rewritten, size and time restored": dressed_up(rewritten_in_place),
    "replaced, size and time restored": dressed_up(replaced),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_becomes_another_under_an_open_handle_shows_no_old_pixels(two_alike, change):
    first, other = two_alike
    scene = open_scene(first)
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    assert set(reader.read(Tile(0, 0, 0)).rgb.ravel()) == {10}
    CHANGES[change](first, other)
    for tile in (Tile(0, 0, 0), Tile(0, 1, 1), reader.pyramid.overview):
        with pytest.raises(SceneReadError, match="open the scene again"):
            reader.read(tile)
    again = open_scene(first)
    assert again.identity != scene.identity
    assert set(read_tiles(again)[0].ravel()) == {200}


def test_a_file_that_was_exchanged_and_put_back_is_noticed(two_alike, tmp_path):
    first, other = two_alike
    scene = open_scene(first)
    first.replace(tmp_path / "aside.tif")
    other.replace(first)
    first.replace(other)
    (tmp_path / "aside.tif").replace(first)
    with pytest.raises(SceneReadError, match="open the scene again"):
        read_tiles(scene)


def test_a_file_that_is_deleted_under_an_open_handle_is_an_error(two_alike):
    first, _ = two_alike
    scene = open_scene(first)
    read_tiles(scene)
    first.unlink()
    with pytest.raises(SceneReadError, match="vanished"):
        read_tiles(scene)


@pytest.mark.parametrize("suffix", [".ovr", ".msk", ".msk.ovr", ".ovr.ovr", ".aux"])
def test_what_turns_up_beside_an_open_scene_is_not_read_along(two_alike, suffix):
    first, other = two_alike
    scene = open_scene(first)
    read_tiles(scene)
    other.replace(f"{first}{suffix}")
    with pytest.raises(SceneReadError, match="open the scene again"):
        read_tiles(scene)


def test_a_read_that_is_overtaken_by_a_change_is_an_error(two_alike, monkeypatch):
    first, other = two_alike
    scene = open_scene(first)
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    reader.read(Tile(0, 0, 0))
    with gdal_settings():
        handle = open_handle(scene.source)

    class Overtaken:
        """The handle, with somebody else writing between the look at the file and the read."""

        def __getattr__(self, name):
            return getattr(handle, name)

        def read(self, *arguments, **options):
            rewritten_in_place(first, other)
            return handle.read(*arguments, **options)

    monkeypatch.setattr("geofovea.tiling.reader.open_handle", lambda *_: Overtaken())
    with pytest.raises(SceneReadError, match="changed"):
        reader.read(Tile(0, 1, 1))


def test_an_identity_names_the_file_and_all_that_belongs_to_it(make_tiled, texture):
    path = make_tiled(texture(128, 128))
    seen = {open_scene(path).identity}
    os.link(path, f"{path}.other-name")  # changes nothing but the inode's own time
    seen.add(open_scene(path).identity)
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2])
    seen.add(open_scene(path).identity)
    assert len(seen) == 3
    assert open_scene(path).identity == open_scene(path).identity


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 400), value=st.integers(0, 255))
def test_any_byte_of_a_header_may_be_any_other(make_tiled, at, value):
    path = make_tiled(np.full((1, 40, 40), 10, "uint8"), "scene.tif", tiled=False)
    data = bytearray(path.read_bytes())
    data[at % len(data)] = value
    path.with_name("damaged.tif").write_bytes(data)
    with suppress(GeoFoveaError):
        read_all(path.with_name("damaged.tif"))


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _with_tag(path, tag, value, out):
    """A copy of a little-endian TIFF with one tag of two bytes added, its directory at the end."""
    data = path.read_bytes()
    (place,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, place)
    entries = [data[place + 2 + 12 * i :][:12] for i in range(count)]
    entries.append(struct.pack("<HHIHH", tag, 3, 1, value, 0))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    out.write_bytes(data[:4] + struct.pack("<I", len(data)) + data[8:] + directory)
    return out


@pytest.mark.parametrize(("tag", "value"), [(274, 0), (274, 9), (296, 0), (296, 7), (266, 0)])
def test_a_tag_without_a_known_value_that_no_pixel_needs_refuses_no_file(
    make_raster, texture, tmp_path, tag, value
):
    # orientation, unit of the resolution, order of bits: some programs write 0
    plain = make_raster(texture(90, 130), photometric="rgb")
    odd = _with_tag(plain, tag, value, tmp_path / "odd.tif")
    with rasterio.open(plain) as dataset:
        stored = np.moveaxis(dataset.read(), 0, -1)
    for nodata in (None, "auto"):
        scene = open_scene(odd, nodata=nodata)
        reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
        rgb, _ = reader.read_box(scene.box, (90, 130))
        assert (rgb == stored).all()


@pytest.mark.parametrize("rows", [0, 1, 150, 299])
@pytest.mark.parametrize(("color", "numbers"), [(0, 1), (2, 3), (6, 4)])
def test_a_png_whose_pixels_end_early_is_an_error_with_all_checksums_right(
    tmp_path, rows, color, numbers
):
    row = b"\0" + bytes([200]) * (numbers * 300)
    header = struct.pack(">IIBBBBB", 300, 300, 8, color, 0, 0, 0)
    path = tmp_path / "scene.png"
    for held in (300, rows):
        stream = zlib.compress(row * held)
        parts = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", stream) + png_chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
        scene = open_scene(path)
        reader = TileReader(scene, scene.pyramid(100), Radiometry((1,)))
        if held == 300:
            assert (reader.read_box(scene.box, (300, 300))[0] == 200).all()
            continue
        with pytest.raises(SceneReadError, match="its pixels end early"):
            reader.read_box(scene.box, (300, 300))


def test_a_png_whose_stream_is_no_stream_is_an_error(tmp_path):
    header = struct.pack(">IIBBBBB", 30, 30, 8, 0, 0, 0, 0)
    parts = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"no stream") + png_chunk(b"IEND", b"")
    assert "inflated" in damage_in_png(io.BytesIO(b"\x89PNG\r\n\x1a\n" + parts))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 33)])
def test_a_whole_png_of_any_kind_passes(mode, size):
    stream = io.BytesIO()
    shown = Image.new("L", size, 7).convert(mode) if mode != "I;16" else Image.new(mode, size)
    shown.save(stream, "PNG")
    assert damage_in_png(io.BytesIO(stream.getvalue())) == ""
