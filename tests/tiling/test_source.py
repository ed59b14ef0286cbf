"""Bad names and bad files are refused, and the message says what to do."""

import os
import struct

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy as copy_raster

from geofovea.errors import SceneNotFoundError, SceneReadError, SceneRefusedError
from geofovea.tiling import TileReader, open_scene, plan_radiometry


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
        ("/vsizip/a.zip/scene.tif", "allow_remote=True"),
        (INLINE_VRT, "allow_vrt=True"),
        ("  " + INLINE_VRT, "allow_vrt=True"),
        ("GTIFF_DIR:1:scene.tif", "gdal_translate"),
        ("NETCDF:scene.nc:band", "gdal_translate"),
    ],
)
def test_a_name_that_is_not_a_plain_file_is_refused_with_advice(name, advice):
    with pytest.raises(SceneRefusedError, match=advice):
        open_scene(name)


def test_what_is_missing_is_not_found(tmp_path):
    with pytest.raises(SceneNotFoundError, match=r"no file .*nothing\.tif"):
        open_scene(tmp_path / "nothing.tif")
    with pytest.raises(SceneNotFoundError, match="is a directory"):
        open_scene(tmp_path)
    with pytest.raises(SceneNotFoundError, match="null"):
        open_scene("scene\0.tif")


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
