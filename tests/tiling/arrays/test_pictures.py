"""Pictures that a program holds are scenes, and none is read in a way that it does not say."""

import io
import warnings

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import xarray as xr
from PIL import Image
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from geofovea.errors import SceneError, SceneRefusedError
from geofovea.tiling import TileReader, open_scene, plan_radiometry


def shown(picture, tile_size=64):
    """The whole native picture as RGB and its mask, put together from its tiles."""
    scene = open_scene(picture)
    reader = TileReader(scene, scene.pyramid(tile_size), plan_radiometry(scene))
    rgb = np.zeros((scene.height, scene.width, 3), "uint8")
    valid = np.zeros((scene.height, scene.width), bool)
    for tile in reader.pyramid.tiles(0):
        pixels = reader.read(tile)
        y, x = tile.row * tile_size, tile.col * tile_size
        h, w = min(tile_size, scene.height - y), min(tile_size, scene.width - x)
        rgb[y : y + h, x : x + w] = pixels.rgb[:h, :w]
        valid[y : y + h, x : x + w] = pixels.valid[:h, :w]
    return rgb, valid


@pytest.fixture
def image(texture):
    """``(3, 90, 130)`` of uint8."""
    return texture(90, 130, 3, "uint8")


@pytest.mark.parametrize("order", ["bands first", "bands last", "bands last, not contiguous"])
def test_the_axis_of_three_bands_is_found_and_they_are_red_green_and_blue(image, order):
    array = image if order == "bands first" else np.moveaxis(image, 0, 2)
    if order == "bands last":
        array = array.copy()
    scene = open_scene(array)
    assert (scene.width, scene.height, scene.count) == (130, 90, 3)
    assert scene.colorinterp == ("red", "green", "blue")
    assert scene.georef == "none"
    rgb, valid = shown(array)
    assert (rgb == np.moveaxis(image, 0, 2)).all()
    assert valid.all()


def test_two_axes_are_one_gray_band(image):
    rgb, _ = shown(image[1])
    assert (rgb == image[1][..., None]).all()


def test_four_bands_have_no_names_and_a_warning_says_which_are_shown(texture):
    array = texture(90, 130, 4, "uint8")
    scene = open_scene(array)
    assert scene.colorinterp == ("undefined",) * 4
    plan = plan_radiometry(scene)
    assert any("bands" in warning for warning in (*scene.warnings, *plan.warnings))
    rgb, valid = shown(array)
    assert (rgb == np.moveaxis(array[:3], 0, 2)).all()
    assert valid.all()


def test_what_a_masked_array_masks_is_missing(image):
    mask = np.zeros(image.shape, bool)
    mask[:, 10:20, 30:50] = True
    _, valid = shown(np.ma.array(image, mask=mask))
    assert (valid == ~mask[0]).all()


def test_pixels_are_not_copied(image):
    scene = open_scene(image)
    image[:] = 7
    window = scene.source.handle(None).read([1])
    assert (window == 7).all()


REFUSED = {
    "both ends short": (np.ones((3, 500, 4), "uint8"), r"both its first and its last axis"),
    "both ends long": (np.ones((20, 30, 40), "uint8"), r"neither its first nor its last axis"),
    "a batch": (np.ones((2, 64, 64, 3), "uint8"), r"take one image of it"),
    "a line": (np.ones(9, "uint8"), r"not one image"),
    "a number": (np.array(3), r"not one image"),
    "no rows": (np.ones((0, 9), "uint8"), r"is empty"),
    "no bands": (np.ones((64, 64, 0), "uint8"), r"is empty"),
    "truth": (np.ones((64, 64), bool), r"bool"),
    "words": (np.full((64, 64), "a"), "must be integers"),
    "objects": (np.full((64, 64), None), "must be integers"),
    "print colors": (Image.new("CMYK", (64, 64)), r"convert\('RGB'\)"),
    "video colors": (Image.new("YCbCr", (64, 64)), r"convert\('RGB'\)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_picture_that_can_be_read_in_two_ways_or_none_is_refused(what):
    picture, message = REFUSED[what]
    with pytest.raises(SceneError, match=message):
        open_scene(picture)


def test_the_way_that_the_error_names_opens_the_same_pixels():
    small = np.arange(3 * 8 * 9, dtype="uint8").reshape(3, 8, 9)
    with pytest.raises(SceneError, match="dims="):
        open_scene(small)
    assert open_scene(xr.DataArray(small, dims=("band", "y", "x"))).count == 3


PIL_MODES = {"L": 0, "LA": 0, "RGB": 0, "RGBA": 0, "P": 0, "1": 0}


@pytest.mark.parametrize("mode", PIL_MODES)
def test_a_pil_image_shows_what_pillow_shows(image, mode):
    original = Image.fromarray(np.moveaxis(image, 0, 2).copy()).convert(mode)
    if mode in ("LA", "RGBA"):
        alpha = np.full((90, 130), 255, "uint8")
        alpha[:30] = 0
        original.putalpha(Image.fromarray(alpha))
    rgb, valid = shown(original)
    expected = np.asarray(original.convert("RGBA"))
    assert (valid == (expected[..., 3] > 0)).all()
    assert (rgb[valid] == expected[..., :3][valid]).all()


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_the_color_that_a_png_calls_transparent_is_missing(image, mode):
    original = Image.fromarray(np.moveaxis(image, 0, 2) // 64 * 64).convert(mode)
    color = original.getpixel((5, 5))
    file = io.BytesIO()
    original.save(file, "png", transparency=color)
    rgb, valid = shown(Image.open(file))
    expected = np.asarray(Image.open(file).convert("RGBA"))
    assert 0 < valid.sum() < valid.size
    assert (valid == (expected[..., 3] > 0)).all()
    assert (rgb[valid] == expected[..., :3][valid]).all()


@pytest.mark.parametrize(("mode", "dtype"), [("I;16", "uint16"), ("I", "int32"), ("F", "float32")])
def test_a_pil_image_of_numbers_keeps_them(mode, dtype):
    numbers = np.arange(64 * 80, dtype=dtype).reshape(64, 80) * 3
    original = Image.frombytes(mode, (80, 64), numbers.tobytes())
    scene = open_scene(original)
    assert scene.dtype == dtype
    assert (scene.source.handle(None).read([1])[0] == numbers).all()


def test_an_open_dataset_stands_for_its_file_and_may_be_closed_afterwards(make_tiled, image):
    path = make_tiled(image, overviews=(2,))
    with rasterio.open(path) as dataset:
        scene = open_scene(dataset)
    assert scene == open_scene(path)
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    assert reader.read(next(iter(reader.pyramid.tiles(0)))).valid.any()


def closed(path):
    dataset = rasterio.open(path)
    dataset.close()
    return dataset


DATASETS = {
    "closed": (closed, "is closed"),
    "written": (lambda path: rasterio.open(path, "r+"), "is open for writing"),
    "in memory": (lambda path: MemoryFile(path.read_bytes()).open(), "has no file"),
    "warped": (lambda path: WarpedVRT(rasterio.open(path)), "is warped"),
    "an overview": (lambda path: rasterio.open(path, overview_level=0), "shows an overview"),
}


@pytest.mark.parametrize("kind", DATASETS)
def test_a_dataset_that_is_not_its_file_is_refused(make_tiled, image, kind):
    make, message = DATASETS[kind]
    path = make_tiled(image, overviews=(2,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        dataset = make(path)
        with pytest.raises(SceneRefusedError, match=message):
            open_scene(dataset)
        dataset.close()


def test_a_dataset_is_no_way_around_the_rules_for_files(make_tiled, image, tmp_path):
    path = make_tiled(image)
    virtual = tmp_path / "scene.vrt"
    with rasterio.open(path) as dataset, WarpedVRT(dataset) as warped:
        rasterio.shutil.copy(warped, virtual, driver="VRT")
    with rasterio.open(virtual) as dataset:
        with pytest.raises(SceneRefusedError, match="allow_vrt=True"):
            open_scene(dataset)
        assert open_scene(dataset, allow_vrt=True).width == 130
