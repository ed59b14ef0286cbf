"""Bad names and bad files are refused, and the message says what to do."""

import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy as copy_raster

from geofovea.errors import (
    LevelBuildError,
    SceneChangedError,
    SceneNotFoundError,
    SceneReadError,
    SceneRefusedError,
)
from geofovea.tiling import Tile, TileReader, open_scene, plan_radiometry
from geofovea.tiling.files import virtual_sources


def read_everything(path):
    """Open a file and read all its tiles, as an answer might."""
    scene = open_scene(path)
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    for level in range(reader.pyramid.top_level + 1):
        for tile in reader.pyramid.tiles(level):
            reader.read(tile)


INLINE_VRT = '<VRTDataset rasterXSize="8" rasterYSize="8"></VRTDataset>'


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("http://127.0.0.1:9/scene.tif", "allow_remote=True"),
        ("s3://bucket/scene.tif", "allow_remote=True"),
        ("/vsicurl/http://127.0.0.1:9/scene.tif", "allow_remote=True"),
        ("/vsizip/a.zip/scene.tif", "extract it"),
        (INLINE_VRT, "allow_vrt=True"),
        ("  " + INLINE_VRT, "allow_vrt=True"),
        ("GTIFF_DIR:off:8:scene.tif", "gdal_translate"),
        ("GTIFF_DIR:2:/vsicurl/http://127.0.0.1:9/scene.tif", "download"),
        ("NETCDF:scene.nc:band", "gdal_translate"),
        ('HDF5:"scene.h5"://band', "GDAL subdataset.*gdal_translate"),
    ],
)
def test_a_name_that_is_not_a_plain_file_is_refused_with_advice(name, advice):
    with pytest.raises(SceneRefusedError, match=advice):
        open_scene(name)


def test_what_is_missing_is_not_found(tmp_path):
    with pytest.raises(SceneNotFoundError, match=r"no file .*nothing\.tif"):
        open_scene(tmp_path / "nothing.tif")
    with pytest.raises(SceneNotFoundError, match="is empty; give the path"):
        open_scene("")
    with pytest.raises(SceneNotFoundError, match="is a directory"):
        open_scene(tmp_path)
    with pytest.raises(SceneNotFoundError, match="null"):
        open_scene("scene\0.tif")
    odd = tmp_path / os.fsdecode(b"caf\xe9.tif")
    odd.touch()
    with pytest.raises(SceneNotFoundError, match=r"not UTF-8 at character .*; rename the file"):
        open_scene(odd)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "scene.tif")
    with pytest.raises(SceneNotFoundError, match="not a regular file"):
        open_scene(tmp_path / "scene.tif")


@pytest.mark.parametrize("content", [b"", b"not a raster", b"RIFF0000WEBP", b"%PDF-1.7"])
def test_a_file_of_another_format_is_refused_naming_the_allowed_ones(tmp_path, content):
    path = tmp_path / "scene.tif"
    path.write_bytes(content)
    with pytest.raises(SceneRefusedError, match=r"GeoTIFF/COG, PNG, JPEG, JPEG 2000"):
        open_scene(path)


@pytest.mark.parametrize("name", ["scene.vrt", "scene.tif"])
def test_a_virtual_raster_is_refused_under_any_name_and_opens_when_allowed(
    make_raster, texture, tmp_path, name
):
    inner = make_raster(texture(40, 50), "inner.tif")
    copy_raster(inner, tmp_path / name, driver="VRT")
    with pytest.raises(SceneRefusedError, match="allow_vrt=True"):
        open_scene(tmp_path / name)
    scene = open_scene(tmp_path / name, allow_vrt=True)
    assert (scene.driver, scene.width, scene.height) == ("VRT", 50, 40)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"no raster")])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_virtual_raster_without_its_source_is_a_read_error_and_never_black(
    make_raster, texture, tmp_path, depth, damage
):
    whole = make_raster(texture(40, 50), "whole.tif")
    copy_raster(whole, tmp_path / "whole.vrt", driver="VRT")
    inner = make_raster(texture(40, 50), "inner.tif")
    outer = tmp_path / "inner.tif"
    for number in range(depth):
        copy_raster(outer, tmp_path / f"scene{number}.vrt", driver="VRT")
        outer = tmp_path / f"scene{number}.vrt"
    damage(Path(inner))
    # while another virtual raster is open, GDAL reads the second time without an error
    with rasterio.open(tmp_path / "whole.vrt") as other:
        other.read(1)
        with pytest.raises(SceneReadError, match=r"shows .*inner\.tif.*put that file back"):
            open_scene(outer, allow_vrt=True)


@pytest.mark.parametrize("side", [40, 60])
def test_a_mask_of_another_size_is_refused_and_never_laid_on_the_scene(make_raster, texture, side):
    path = make_raster(texture(40, 40), "scene.tif")
    other = make_raster(texture(side, side), "other.tif")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(other, "r+") as dataset:
        dataset.write_mask(np.eye(side, dtype=bool))
    Path(f"{other}.msk").rename(f"{path}.msk")
    if side == 40:
        assert open_scene(path).mask_kind == "internal"
    else:
        with pytest.raises(SceneRefusedError, match="60 x 60 pixels and the scene 40 x 40"):
            open_scene(path)


@pytest.mark.parametrize("flags", ["2", None, "0"])
def test_a_mask_that_is_not_used_is_told(make_raster, texture, flags):
    path = make_raster(texture(40, 40), "scene.tif")
    mask = make_raster(np.eye(40, dtype=np.uint8)[None] * 255, "mask.tif")
    if flags:
        with rasterio.open(mask, "r+") as dataset:
            dataset.update_tags(INTERNAL_MASK_FLAGS_1=flags)
    mask.rename(f"{path}.msk")
    scene = open_scene(path)
    told = [text for text in scene.warnings if "is not used" in text]
    if flags == "2":
        assert (scene.mask_kind, told) == ("internal", [])
    else:
        assert scene.mask_kind == "none"
        assert f"'{path}.msk' is not used" in told[0]
        assert "INTERNAL_MASK_FLAGS_1=2" in told[0]


def test_of_very_many_sources_the_later_ones_must_be_there(
    make_raster, texture, tmp_path, monkeypatch
):
    monkeypatch.setattr(virtual_sources, "_MOST_OPENED", 1)
    source = make_raster(texture(40, 50), "source.tif")
    scene = tmp_path / "scene.vrt"
    copy_raster(source, scene, driver="VRT")
    assert open_scene(scene, allow_vrt=True).width == 50
    Path(source).unlink()
    with pytest.raises(SceneReadError, match=r"shows .*source\.tif"):
        open_scene(scene, allow_vrt=True)


@pytest.mark.parametrize("change", ["gone", "other"])
def test_a_source_that_changes_after_opening_is_an_error_in_every_thread(
    make_raster, texture, tmp_path, change
):
    source = make_raster(texture(40, 50), "source.tif")
    copy_raster(source, tmp_path / "inner.vrt", driver="VRT")
    copy_raster(tmp_path / "inner.vrt", tmp_path / "scene.vrt", driver="VRT")
    scene = open_scene(tmp_path / "scene.vrt", allow_vrt=True)
    reader = TileReader(scene, scene.pyramid(32), plan_radiometry(scene))
    tiles = [Tile(0, 0, 0), Tile(0, 0, 1), Tile(0, 1, 0)]
    assert reader.read(tiles[0]).valid.any()
    Path(source).unlink()
    if change == "other":
        make_raster(255 - texture(40, 50), "source.tif")

    def refused(tile):
        with pytest.raises(SceneChangedError, match="or a file that it shows, changed"):
            reader.read(tile)

    # a thread that opens the file only now reads its first tile with an error, and black after it
    with ThreadPoolExecutor(1) as other:
        for tile in tiles:
            refused(tile)
            other.submit(refused, tile).result()
    if change == "other":
        again = open_scene(tmp_path / "scene.vrt", allow_vrt=True)
        assert again.identity != scene.identity


def test_odd_but_plain_file_names_open(make_raster, texture, tmp_path, monkeypatch):
    for name in ("a b.tif", "a#b?c=1.tif", "naïve.tif", "scene.TIFF", "scene.png"):
        assert open_scene(make_raster(texture(9, 9), name)).width == 9
    monkeypatch.chdir(tmp_path)
    make_raster(texture(9, 9), "B01:x.tif")
    with pytest.raises(SceneRefusedError, match=r"\./B01:x\.tif"):
        open_scene("B01:x.tif")
    assert open_scene("./B01:x.tif").width == 9


@pytest.mark.parametrize(("driver", "kind"), [("PNG", "PNG"), ("JPEG", "JPEG")])
def test_a_png_or_jpeg_that_was_cut_short_is_not_read(make_raster, texture, driver, kind):
    path = make_raster(texture(200, 200), f"scene.{driver.lower()}", driver=driver)
    read_everything(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SceneReadError, match=f"the {kind} ends before its end mark"):
        open_scene(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_tiff_that_was_cut_short_is_a_read_error(make_tiled, texture, share):
    path = make_tiled(texture(300, 300))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SceneReadError, match="could not be read"):
        read_everything(path)


def test_damaged_pixels_are_a_read_error_with_the_reason(make_tiled, texture):
    path = make_tiled(texture(300, 300))
    with rasterio.open(path) as dataset:
        offset = int(dataset.tags(ns="TIFF", bidx=1).get("BLOCK_OFFSET_1_1", 0)) or 20_000
    data = bytearray(path.read_bytes())
    data[offset : offset + 2000] = os.urandom(2000)
    path.write_bytes(data)
    with pytest.raises(SceneReadError, match=r"could not be read: .*band"):
        read_everything(path)


def tiff_with_one_huge_tile(side):
    """A TIFF header that claims one tile of ``side`` squared pixels and stores ten bytes."""
    entries = [
        (256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1),
        (322, 4, side), (323, 4, side), (324, 4, 300), (325, 4, 10),
    ]  # fmt: skip
    tags = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    header = b"II*\0" + struct.pack("<IH", 8, len(entries)) + tags + bytes(4)
    return header.ljust(300, b"\0") + b"x\x9c\x03\0\0\0\0\x01\0\0"


def test_a_tiny_file_that_claims_a_huge_block_is_refused(tmp_path):
    path = tmp_path / "bomb.tif"
    path.write_bytes(tiff_with_one_huge_tile(32768))
    assert path.stat().st_size < 400
    with pytest.raises(SceneRefusedError, match=r"32768 x 32768 .* 256 MiB"):
        open_scene(path)


def test_a_virtual_raster_beside_the_scene_cannot_swap_its_overviews(
    make_tiled, make_raster, texture, tmp_path
):
    path = make_tiled(np.full((1, 128, 128), 10, "uint8"))
    secret = make_raster(np.full((1, 64, 64), 200, "uint8"), "secret.tif")
    copy_raster(secret, f"{path}.ovr", driver="VRT")
    with pytest.raises(SceneRefusedError, match="not a TIFF"):
        open_scene(path)


def test_metadata_inside_the_scene_cannot_swap_its_overviews(make_tiled, make_raster):
    path = make_tiled(np.full((1, 128, 128), 10, "uint8"))
    secret = make_raster(np.full((1, 64, 64), 200, "uint8"), "secret.tif")
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(secret))
    with pytest.raises(SceneRefusedError, match="names another file as its overviews"):
        open_scene(path)


def test_an_aux_file_beside_the_scene_cannot_swap_its_overviews(
    make_tiled, make_raster, reader_of, tmp_path
):
    path = make_tiled(np.full((1, 128, 128), 10, "uint8"))
    secret = make_raster(np.full((1, 64, 64), 200, "uint8"), "secret.tif")
    (tmp_path / "scene.tif.aux.xml").write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS">'
        f'<MDI key="OVERVIEW_FILE">{secret}</MDI></Metadata></PAMDataset>'
    )
    reader = reader_of(path)
    assert reader.scene.overviews == ()
    pixels = reader.read(reader.pyramid.overview)
    assert set(pixels.rgb[pixels.valid].ravel()) == {10}


def test_plain_overviews_beside_the_scene_are_used(make_tiled, texture):
    path = make_tiled(texture(256, 256))
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4])
    assert path.with_name("scene.tif.ovr").exists()
    assert open_scene(path).overviews == (2, 4)


@pytest.mark.parametrize("suffix", [".msk", ".msk.ovr", ".ovr.ovr", ".ovr.msk", ".OVR", ".MSK"])
def test_a_virtual_raster_beside_the_scene_cannot_become_its_mask_or_its_overviews(
    make_tiled, make_raster, suffix
):
    path = make_tiled(np.full((1, 128, 128), 10, "uint8"))
    secret = make_raster(np.full((1, 64, 64), 200, "uint8"), "secret.tif")
    copy_raster(secret, f"{path}{suffix}", driver="VRT")
    with pytest.raises(SceneRefusedError, match="not a TIFF"):
        open_scene(path)


@pytest.mark.parametrize("name", ["scene.aux", "scene.tif.aux"])
def test_an_imagine_file_beside_the_scene_cannot_bring_overviews(make_tiled, name):
    path = make_tiled(np.full((1, 256, 256), 10, "uint8"))
    with rasterio.Env(USE_RRD=True), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4])
    imagine = path.with_suffix(".aux")
    with rasterio.Env(GDAL_PAM_ENABLED=False), rasterio.open(path) as dataset:
        assert dataset.overviews(1) == [2, 4]  # what the refusal is for
    imagine.rename(path.with_name(name))
    with pytest.raises(SceneRefusedError, match="replace the overviews"):
        open_scene(path)


def test_an_aux_file_of_another_program_is_nothing_to_us(make_tiled, texture, tmp_path):
    path = make_tiled(texture(20, 20))
    (tmp_path / "scene.aux").write_text("\\relax")
    assert open_scene(path).width == 20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_what_is_no_file_beside_the_scene_is_refused_without_waiting(make_tiled, texture):
    path = make_tiled(texture(20, 20))
    os.mkfifo(f"{path}.msk")
    with pytest.raises(SceneRefusedError, match="not a TIFF"):
        open_scene(path)


def test_a_link_is_followed_to_a_file_and_to_nothing_else(make_tiled, texture, tmp_path):
    path = make_tiled(texture(20, 20))
    links = {name: tmp_path / f"{name}.tif" for name in ("good", "device", "folder", "circle")}
    links["good"].symlink_to(path)
    links["device"].symlink_to("/dev/zero")
    links["folder"].symlink_to(tmp_path)
    links["circle"].symlink_to(links["circle"])
    assert open_scene(links["good"]).width == 20
    for name, reason in (
        ("device", "not a regular"),
        ("folder", "directory"),
        ("circle", "no file"),
    ):
        with pytest.raises(SceneNotFoundError, match=reason):
            open_scene(links[name])


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", "/dev/null"])
def test_devices_are_refused(path):
    with pytest.raises(SceneNotFoundError):
        open_scene(path)


def test_files_of_the_system_that_look_regular_are_refused():
    with pytest.raises(SceneRefusedError, match=r"in no format|is empty"):
        open_scene("/proc/self/maps")


@pytest.mark.parametrize("name", [" ", "x" * 300, "a\nb.tif", "\udcff.tif", "s\ud800.tif", "~"])
def test_a_name_of_no_file_is_not_found_whatever_its_characters(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SceneNotFoundError, match=r"no file|is a directory|not UTF-8"):
        open_scene(name)


def test_names_with_odd_characters_open_the_file_of_that_name(make_raster, texture, tmp_path):
    names = ("a\nb.tif", "a!b.tif", "a::b.tif", "%2e%2e.tif", "a'b\"c.tif", "[1].tif", "-o.tif")
    for side, name in enumerate((*names, " a.tif ", "&amp;.tif", "vsi.tif"), start=5):
        plain = make_raster(texture(side, side), "plain.tif")
        plain.rename(tmp_path / name)
        assert open_scene(tmp_path / name).width == side
        read_everything(tmp_path / name)


def test_a_name_that_is_not_utf_8_is_refused_and_not_guessed(make_raster, texture, tmp_path):
    path = make_raster(texture(9, 9))
    odd = os.fsencode(tmp_path) + b"/\xff.tif"
    path.rename(os.fsdecode(odd))
    with pytest.raises(SceneNotFoundError, match="not UTF-8"):
        open_scene(os.fsdecode(odd))


def test_a_small_file_that_claims_a_terapixel_opens_but_is_not_decoded_whole(tmp_path):
    path = tmp_path / "bomb.tif"
    profile = {"width": 1_000_000, "height": 1_000_000, "count": 1, "dtype": "uint8"}
    profile |= {"tiled": True, "blockxsize": 8192, "blockysize": 8192, "compress": "deflate"}
    with rasterio.open(path, "w", driver="GTiff", **profile, SPARSE_OK=True):
        pass
    assert path.stat().st_size < 300_000
    scene = open_scene(path)
    reader = TileReader(scene, scene.pyramid(336), plan_radiometry(scene))
    assert reader.read(Tile(0, 2976, 2976)).rgb.shape == (336, 336, 3)
    with pytest.raises(
        LevelBuildError, match=r"1e\+12 pixels .* at most 1.72e\+10; build overviews"
    ):
        reader.read(reader.pyramid.overview)


def tiny_png(width, height):
    """A PNG that claims any size and holds one empty chunk of pixels."""

    def chunk(kind, body):
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_a_png_that_claims_gigapixels_is_refused_before_any_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(tiny_png(60_000, 60_000))
    with pytest.raises(SceneRefusedError, match=r"60000 x 60000 .* 2048 Mpx .*gdal_translate"):
        open_scene(path)


def test_a_picture_that_claims_more_than_it_holds_is_a_read_error(tmp_path):
    path = tmp_path / "scene.png"
    path.write_bytes(tiny_png(600, 600))
    with pytest.raises(SceneReadError, match="could not be read"):
        read_everything(path)


def test_a_virtual_raster_over_raw_bytes_cannot_show_another_file(tmp_path):
    (tmp_path / "secret.txt").write_text("the secret of the house" * 10)
    (tmp_path / "scene.tif").write_text(
        '<VRTDataset rasterXSize="10" rasterYSize="10">'
        '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
        '<SourceFilename relativeToVRT="1">secret.txt</SourceFilename></VRTRasterBand></VRTDataset>'
    )
    with pytest.raises(SceneRefusedError, match="allow_vrt=True"):
        open_scene(tmp_path / "scene.tif")


def test_a_virtual_raster_over_bytes_without_a_header_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "scene.raw").write_bytes(bytes(50))
    (tmp_path / "scene.vrt").write_text(
        '<VRTDataset rasterXSize="10" rasterYSize="10">'
        '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
        '<SourceFilename relativeToVRT="1">scene.raw</SourceFilename></VRTRasterBand></VRTDataset>'
    )
    with pytest.raises(SceneReadError, match="copy it with gdal_translate"):
        open_scene(tmp_path / "scene.vrt", allow_vrt=True)


def test_a_file_that_changes_while_in_use_is_noticed(make_tiled, texture, reader_of):
    path = make_tiled(texture(100, 100))
    scene = open_scene(path)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(SceneReadError, match="open the scene again"):
        plan_radiometry(scene)
    assert open_scene(path).identity != scene.identity


def test_every_reference_raster_opens_or_is_refused_for_a_reason(shared_raster):
    if shared_raster.suffix == ".vrt":
        with pytest.raises(SceneRefusedError, match="allow_vrt=True"):
            open_scene(shared_raster)
    elif shared_raster.name.startswith("corrupt"):
        with pytest.raises(SceneReadError, match="could not be read"):
            read_everything(shared_raster)
    else:
        assert open_scene(shared_raster).count >= 1


def test_a_file_that_is_replaced_while_it_is_opened_has_changed_and_is_not_unreadable(
    make_tiled, texture, monkeypatch
):
    path = make_tiled(texture(64, 64, 3, "uint8"))
    real = os.open

    def replaced(name, *flags, **more):
        if str(name) == str(path):
            path.write_bytes(path.read_bytes() + b"more")
        return real(name, *flags, **more)

    monkeypatch.setattr(os, "open", replaced)
    with pytest.raises(SceneChangedError, match="open it again") as caught:
        open_scene(path)
    assert "permissions" not in str(caught.value)


@pytest.mark.parametrize("driver", ["GTiff", "PNG", "JPEG"])
def test_a_file_is_opened_once_for_all_that_is_read_as_bytes(make_raster, monkeypatch, driver):
    path = make_raster(np.full((3, 40, 50), 7, np.uint8), "scene", driver=driver)
    opened, plain_open = [], open

    def counted(name, *args, **options):
        opened.append(name)
        return plain_open(name, *args, **options)

    monkeypatch.setattr("builtins.open", counted)
    open_scene(path)
    assert [str(name) for name in opened].count(str(path)) == 1
