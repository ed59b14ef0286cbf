"""A picture that viewers turn says so, whichever format it has and whoever opened it."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from geofovea.tiling import inspect_scene, open_scene

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

PICTURE = Image.fromarray(np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3))


def write(path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    # Pillow writes the tag of a TIFF by another name
    more = {"tiffinfo": {274: orientation}} if path.suffix == ".tif" else {}
    PICTURE.save(path, exif=exif, **more)
    return path


def turned(scene):
    return [warning for warning in scene.warnings if "orientation" in warning]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize(
    ("orientation", "words"), [(3, "by 180"), (6, "clockwise by 90"), (8, "counterclockwise by 90")]
)
def test_a_file_that_viewers_turn_has_a_warning_and_keeps_its_size(
    tmp_path, suffix, orientation, words
):
    scene = open_scene(write(tmp_path / f"picture{suffix}", orientation))
    assert (scene.width, scene.height) == PICTURE.size
    (warning,) = turned(scene)
    assert words in warning
    assert f"orientation {orientation}" in warning
    assert warning in inspect_scene(scene, scene.pyramid(32)).notes


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("orientation", [0, 1, 9, 60000])
def test_upright_pictures_and_unknown_numbers_have_none(tmp_path, suffix, orientation):
    assert not turned(open_scene(write(tmp_path / f"picture{suffix}", orientation)))


def test_a_picture_of_pillow_says_it_until_it_is_turned(tmp_path):
    with Image.open(write(tmp_path / "picture.jpg", 6)) as image:
        assert len(turned(open_scene(image))) == 1
        upright = ImageOps.exif_transpose(image)
    assert not turned(open_scene(upright))
    # Pillow turns a TIFF when it reads its pixels
    with Image.open(write(tmp_path / "picture.tif", 6)) as image:
        scene = open_scene(image)
    assert not turned(scene)
    assert (scene.width, scene.height) == PICTURE.size[::-1]


def test_a_png_whose_chunk_of_exif_is_no_tiff_opens(tmp_path):
    path = tmp_path / "picture.png"
    PICTURE.save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert not turned(open_scene(path))
