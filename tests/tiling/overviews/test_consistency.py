"""Overviews that are not of the picture of their file are noticed, said and not used."""

import shutil
import struct

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from geofovea.tiling import TileReader, inspect_scene, open_scene, plan_radiometry

SIDE = 1024


@pytest.fixture
def make_overviews(make_tiled):
    """A raster with overviews inside or beside it."""

    def make(array, name="scene.tif", *, beside=False, factors=(2, 4, 8), **options):
        path = make_tiled(array, name)
        with (
            rasterio.Env(TIFF_USE_OVR="YES" if beside else "NO"),
            rasterio.open(path, "r+") as file,
        ):
            file.build_overviews(factors, options.get("resampling", Resampling.average))
        return path

    return make


def means(path):
    scene = open_scene(path)
    reader = TileReader(scene, scene.pyramid(128), plan_radiometry(scene))
    tops = range(reader.pyramid.top_level + 1)
    return [reader.read_box(scene.box, (SIDE >> level,) * 2)[0].mean() for level in tops]


def erase_blocks(path, width, first=0):
    """Leave blocks of one overview unwritten from a number on, as a killed gdaladdo does."""
    content = bytearray(path.read_bytes())
    (place,) = struct.unpack_from("<I", content, 4)
    while place:
        (count,) = struct.unpack_from("<H", content, place)
        at = [place + 2 + 12 * i for i in range(count)]
        tags = {struct.unpack_from("<H", content, start)[0]: start for start in at}
        if struct.unpack_from("<H", content, tags[256] + 8)[0] == width:
            for tag in (324, 325):
                kind, number, value = struct.unpack_from("<HII", content, tags[tag] + 2)
                size = {3: 2, 4: 4}[kind]
                start = value if number * size > 4 else tags[tag] + 8
                for index in range(first, number):
                    content[start + index * size : start + (index + 1) * size] = bytes(size)
        (place,) = struct.unpack_from("<I", content, place + 2 + 12 * count)
    path.write_bytes(content)


@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_overviews_of_radar_are_used_whatever_its_type(make_raster, dtype):
    parts = np.random.default_rng(0).integers(-900, 900, (2, 1, SIDE, SIDE))
    slc = (parts[0] + 1j * parts[1]).astype("complex64")
    options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "dtype": dtype}
    scene = open_scene(make_raster(slc, overviews=(2, 4), resampling=Resampling.nearest, **options))
    assert (scene.dtype, scene.overviews) == (dtype, (2, 4))
    assert scene.warnings == ()


@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_averages_of_phases_of_all_kinds_are_used_though_they_are_darker(make_raster, dtype):
    # a field of steady strength: its averages are far weaker than any pixel
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (1, SIDE, SIDE))
    slc = (3000 * np.exp(1j * phases)).astype("complex64")
    path = make_raster(slc, dtype=dtype, overviews=(2, 4))
    with rasterio.open(path, overview_level=1) as overview, rasterio.open(path) as dataset:
        native = dataset.read(1).reshape(SIDE // 4, 4, SIDE // 4, 4)
        assert np.abs(overview.read(1) - native.mean((1, 3))).max() < 3
    scene = open_scene(path)
    assert (scene.overviews, scene.warnings) == ((2, 4), ())


@pytest.mark.parametrize("strength", [0, 9000])
def test_overviews_of_another_radar_picture_are_not_used(make_overviews, tmp_path, strength):
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (1, SIDE, SIDE))
    slc = (3000 * np.exp(1j * phases)).astype("complex64")
    make_overviews(np.full_like(slc, strength), "old.tif", beside=True)
    make_overviews(slc, "scene.tif", beside=True)
    shutil.move(tmp_path / "old.tif.ovr", tmp_path / "scene.tif.ovr")
    scene = open_scene(tmp_path / "scene.tif")
    assert scene.overviews == ()
    assert "is not of this picture" in scene.warnings[0]


@pytest.mark.parametrize("first", [0, 8])
def test_an_overview_whose_blocks_were_never_written_is_not_used(make_overviews, first):
    path = make_overviews(np.full((3, SIDE, SIDE), 150, np.uint8))
    erase_blocks(path, SIDE // 4, first)
    scene = open_scene(path)
    assert scene.overviews == (2,)
    assert "1/4 is not of this picture" in scene.warnings[0]
    assert scene.warnings[0] in inspect_scene(scene, scene.pyramid(128)).notes
    assert np.allclose(means(path), 150, atol=1)


def test_overviews_of_another_shape_are_not_used(make_overviews, make_tiled, tmp_path):
    make_overviews(np.full((3, SIDE, SIDE), 40, np.uint8), "old.tif", beside=True)
    path = make_tiled(np.full((3, SIDE // 2, SIDE), 150, np.uint8), "wide.tif")
    shutil.move(tmp_path / "old.tif.ovr", tmp_path / "wide.tif.ovr")
    scene = open_scene(path)
    assert scene.overviews == ()
    assert "are no smaller version of" in scene.warnings[0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_overviews_of_an_older_picture_are_not_used(
    make_overviews, make_tiled, texture, tmp_path, dtype
):
    make_overviews(texture(SIDE, SIDE, 1).astype(dtype), "old.tif", beside=True)
    path = make_tiled((255 - texture(SIDE, SIDE, 1)).astype(dtype) * (1 if dtype == "uint8" else 9))
    shutil.move(tmp_path / "old.tif.ovr", tmp_path / "scene.tif.ovr")
    scene = open_scene(path)
    assert scene.overviews == ()
    assert "differ from the native ones" in scene.warnings[0]


def test_overviews_that_scattered_nan_emptied_are_not_used(make_overviews):
    values = np.random.default_rng(0).random((1, SIDE, SIDE), dtype=np.float32)
    values[np.random.default_rng(1).random(values.shape) < 0.05] = np.nan
    path = make_overviews(values)
    scene = open_scene(path)
    assert scene.overviews == ()
    reader = TileReader(scene, scene.pyramid(128), plan_radiometry(scene))
    assert reader.read_box(scene.box, (128, 128))[1].mean() > 0.99


@pytest.mark.parametrize("how", ["nearest", "average", "bilinear", "cubic", "gauss", "mode"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("size", [(777, 1001), (1024, 640)])
def test_overviews_of_any_resampling_are_used(make_overviews, texture, how, dtype, size):
    path = make_overviews(texture(*size, 1).astype(dtype), resampling=Resampling[how])
    scene = open_scene(path)
    assert (scene.overviews, scene.warnings) == ((2, 4, 8), ())


def test_overviews_of_noise_and_of_a_picture_with_a_mask_are_used(make_tiled, texture):
    noise = np.random.default_rng(0).integers(0, 255, (3, 600, 800)).astype(np.uint8)
    mask = np.full((600, 800), 255, np.uint8)
    mask[:300] = 0
    noise[:, :300] = 255  # what lies under the mask is not a picture
    path = make_tiled(noise, mask=mask, overviews=(2, 4, 8))
    assert open_scene(path).overviews == (2, 4, 8)
