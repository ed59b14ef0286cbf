"""TIFFs of several pages: listed, and one chosen where they differ."""

import struct

import numpy as np
import pytest
import xarray as xr
from PIL import Image, TiffImagePlugin

from geofovea.datasets.inputs.manifest import place_scene
from geofovea.datasets.inputs.scene_lists import list_scenes
from geofovea.errors import SceneRefusedError
from geofovea.tiling import TileReader, inspect_scene, open_scene, plan_radiometry
from geofovea.tiling.files.pages import pages_of
from geofovea.tiling.files.source import split_page

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def page(height, width, value, bands=3, dtype=np.uint8):
    shape = (height, width, bands) if bands > 1 else (height, width)
    return Image.fromarray(np.full(shape, value, dtype))


def write(path, pages, subfiles=None, *, big=False):
    if subfiles is None:
        pages[0].save(path, save_all=True, append_images=pages[1:], big_tiff=big)
        return path
    with TiffImagePlugin.AppendingTiffWriter(str(path), new=True) as file:
        for image, subfile in zip(pages, subfiles, strict=True):
            image.save(file, format="TIFF", tiffinfo={254: subfile})
            file.newFrame()
    return path


def listed(path):
    with path.open("rb") as file:
        return pages_of(file)


def mean_of(name):
    scene = open_scene(name)
    reader = TileReader(scene, scene.pyramid(32), plan_radiometry(scene))
    return reader.read_box(scene.box, (8, 8))[0].mean(), (scene.width, scene.height)


@pytest.mark.parametrize("big", [False, True])
def test_pages_that_differ_are_refused_with_their_list_and_how_to_choose(tmp_path, big):
    path = write(tmp_path / "scene.tif", [page(30, 40, 9), page(120, 160, 77)], big=big)
    with pytest.raises(SceneRefusedError) as refused:
        open_scene(path)
    message = str(refused.value)
    assert "page 1: 40 x 30, 3 bands; page 2: 160 x 120, 3 bands" in message
    assert f"GTIFF_DIR:2:{path}" in message
    assert mean_of(f"GTIFF_DIR:2:{path}") == (77, (160, 120))
    assert mean_of(f"GTIFF_DIR:1:{path}") == (9, (40, 30))


@pytest.mark.parametrize(
    "second", [page(30, 40, 9, bands=1), page(30, 40, 9, bands=1, dtype=np.uint16), page(31, 40, 9)]
)
def test_pages_differ_in_size_bands_or_type(tmp_path, second):
    path = write(tmp_path / "scene.tif", [page(30, 40, 9), second])
    with pytest.raises(SceneRefusedError, match="2 images that differ"):
        open_scene(path)


def test_pages_of_one_kind_are_said(tmp_path):
    path = write(tmp_path / "scene.tif", [page(30, 40, v, bands=1) for v in (10, 20, 30)])
    scene = open_scene(path)
    assert "3 pages of 40 x 30 pixels and only page 1 is shown" in scene.warnings[0]
    assert scene.warnings[0] in inspect_scene(scene, scene.pyramid(32)).notes
    assert scene.warnings[0] in plan_radiometry(scene).warnings
    assert [mean_of(f"GTIFF_DIR:{n}:{path}")[0] for n in (1, 2, 3)] == [10, 20, 30]


def test_a_reduced_image_in_front_is_not_the_scene(tmp_path):
    path = write(tmp_path / "scene.tif", [page(30, 40, 9), page(120, 160, 77)], [1, 0])
    assert mean_of(path) == (77, (160, 120))
    assert "page 2: 160 x 120, 3 bands is opened" in open_scene(path).warnings[0]


def test_reduced_images_and_masks_are_no_pages(make_tiled, texture):
    mask = np.full((300, 400), 255, np.uint8)
    mask[:100] = 0
    path = make_tiled(texture(300, 400), mask=mask, overviews=(2, 4))
    assert len(listed(path)) == 6
    assert open_scene(path).warnings == ()


def test_a_page_is_another_scene_for_caches(tmp_path):
    path = write(tmp_path / "scene.tif", [page(30, 40, v) for v in (10, 20)])
    names = [path, f"GTIFF_DIR:1:{path}", f"GTIFF_DIR:2:{path}"]
    assert len({open_scene(name).identity for name in names}) == 3


@pytest.mark.parametrize("number", [0, 3])
def test_a_page_that_is_not_there_is_refused(tmp_path, number):
    path = write(tmp_path / "scene.tif", [page(30, 40, v) for v in (10, 20)])
    with pytest.raises(SceneRefusedError):
        open_scene(f"GTIFF_DIR:{number}:{path}")


def test_a_page_of_what_is_no_tiff_is_refused(tmp_path):
    path = tmp_path / "scene.png"
    page(30, 40, 9).save(path)
    with pytest.raises(SceneRefusedError, match="not a TIFF"):
        open_scene(f"GTIFF_DIR:1:{path}")


def test_pages_are_named_alike_in_lists_and_in_the_xarray_engine(tmp_path, monkeypatch):
    path = write(tmp_path / "scene.tif", [page(30, 40, 9), page(120, 160, 77)])
    name = f"GTIFF_DIR:2:{path}"
    assert [row.scene for row in list_scenes([name])] == [name]
    assert place_scene("GTIFF_DIR:2:scene.tif", tmp_path) == name
    assert xr.open_dataset(name, engine="geofovea").sizes["x"] == 160
    monkeypatch.chdir(tmp_path)
    assert mean_of("GTIFF_DIR:2:scene.tif")[0] == 77


def test_directories_in_a_circle_end(tmp_path):
    path = write(tmp_path / "scene.tif", [page(30, 40, 9)])
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, start)
    struct.pack_into("<I", content, start + 2 + 12 * entries, start)
    path.write_bytes(content)
    assert len(listed(path)) == 1


def test_pages_before_a_directory_that_cannot_be_read_count(tmp_path):
    path = write(tmp_path / "scene.tif", [page(30, 40, 9), page(120, 160, 77)])
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, start)
    struct.pack_into("<I", content, start + 2 + 12 * entries, len(content) - 1)
    path.write_bytes(content)
    assert [each.layout for each in listed(path)] == [(40, 30, 3, (8, 1))]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("GTIFF_DIR:2:a.tif", (2, "a.tif")),
        ("gtiff_dir:12:/x:y.tif", (12, "/x:y.tif")),
        ("GTIFF_DIR:0:a.tif", (0, "GTIFF_DIR:0:a.tif")),
        ("GTIFF_DIR:off:8:a.tif", (0, "GTIFF_DIR:off:8:a.tif")),
        ("a.tif", (0, "a.tif")),
    ],
)
def test_the_name_of_a_page_is_taken_apart(name, split):
    assert split_page(name) == split
