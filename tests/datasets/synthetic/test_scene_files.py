"""A synthetic scene on disk is a real COG that says what it is, or it is not there at all."""

import numpy as np
import pytest
import rasterio
from full_disks import few_bytes

from geofovea.datasets.synthetic import scene_files
from geofovea.datasets.synthetic.rendering import render_window
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.vocabulary import SYNTHETIC_MARK
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import OutputError
from geofovea.tiling import TileReader, open_scene, plan_radiometry

# what JPEG at quality 90 with halved chroma does to saturated things of a few pixels
MEAN_TOLERANCE, TOLERANCE = 2.5, 110


@pytest.fixture(scope="module")
def world():
    return make_world(11, 2048, 2048)


@pytest.fixture(scope="module")
def scene_path(world, tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes") / "scene.tif"
    write_scene(world, path)
    return path


def test_a_scene_is_a_cloud_optimized_tiled_file_with_overviews(scene_path):
    with rasterio.open(scene_path) as dataset:
        assert (dataset.driver, dataset.width, dataset.height, dataset.count) == (
            "GTiff",
            2048,
            2048,
            3,
        )
        assert dataset.block_shapes == [(512, 512)] * 3
        assert dataset.overviews(1) == [2, 4]
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.compression.name == "jpeg"


def test_a_scene_lies_in_utm_33_north_at_half_a_meter(scene_path):
    with rasterio.open(scene_path) as dataset:
        assert dataset.crs.to_epsg() == 32633
        assert dataset.transform[:2] == (0.5, 0)
        assert dataset.transform[3:5] == (0, -0.5)
    scene = open_scene(scene_path)
    assert scene.gsd_m == pytest.approx(0.5, rel=0.01)
    assert scene.georef == "affine"


def test_scenes_of_different_seeds_lie_in_different_places(tmp_path):
    corners = set()
    for seed in (0, 1, 2):
        path = tmp_path / f"{seed}.tif"
        write_scene(make_world(seed, 768, 768), path)
        with rasterio.open(path) as dataset:
            corners.add((dataset.transform.c, dataset.transform.f))
    assert len(corners) == 3


def test_a_scene_says_that_it_is_synthetic(scene_path):
    with rasterio.open(scene_path) as dataset:
        description = dataset.tags()["TIFFTAG_IMAGEDESCRIPTION"]
    assert description.startswith(SYNTHETIC_MARK)
    assert "seed 11" in description


def test_native_pixels_are_those_of_the_rendering_up_to_jpeg(world, scene_path):
    rendered = render_window(world, 0, 0, 0, 2048, 2048).astype(int)
    with rasterio.open(scene_path) as dataset:
        stored = np.moveaxis(dataset.read(), 0, -1)
    difference = np.abs(stored - rendered)
    assert difference.mean() < MEAN_TOLERANCE
    assert difference.max() <= TOLERANCE


def test_a_tile_of_a_coarse_level_is_what_the_renderer_shows_there(world, scene_path):
    scene = open_scene(scene_path)
    reader = TileReader(scene, scene.pyramid(224), plan_radiometry(scene))
    for level in range(reader.pyramid.top_level + 1):
        for tile in reader.pyramid.tiles(level):
            pixels = reader.read(tile)
            width, height = pixels.valid_size
            shown = pixels.rgb[:height, :width].astype(int)
            x0, y0 = tile.col * 224, tile.row * 224
            difference = np.abs(shown - render_window(world, level, x0, y0, width, height))
            assert difference.mean() < MEAN_TOLERANCE, tile


def test_a_ragged_scene_is_written_whole(tmp_path):
    world = make_world(6, 2500, 771)
    path = tmp_path / "scene.tif"
    write_scene(world, path)
    with rasterio.open(path) as dataset:
        assert dataset.shape == (771, 2500)
        corner = np.moveaxis(dataset.read(window=((700, 771), (2300, 2500))), 0, -1)
    difference = np.abs(corner - render_window(world, 0, 2300, 700, 200, 71).astype(int))
    assert difference.mean() < MEAN_TOLERANCE


def test_progress_rises_to_one(tmp_path):
    shares = []
    write_scene(make_world(0, 4500, 4500), tmp_path / "scene.tif", shares.append)
    assert shares == sorted(set(shares))
    assert 0 < shares[0] < 0.2
    assert shares[-1] == 1
    assert len(shares) == 10  # nine windows and the copy


def test_a_place_that_cannot_be_written_is_an_output_error(world, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.tif").mkdir()
    for path, advice in [
        (tmp_path / "absent" / "scene.tif", "make it first"),
        (tmp_path / "file" / "scene.tif", "make it first"),
        (tmp_path / "folder.tif", "could not be written"),
    ]:
        with pytest.raises(OutputError, match=advice):
            write_scene(world, path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.tif"]


def test_a_folder_without_permission_is_an_output_error(world, tmp_path, monkeypatch):
    monkeypatch.setattr(scene_files.os, "access", lambda path, mode: False)  # root may write all
    with pytest.raises(OutputError, match="not a folder that can be written"):
        write_scene(world, tmp_path / "scene.tif")


def test_a_disk_that_becomes_full_is_told_as_such_and_leaves_nothing(world, tmp_path):
    with few_bytes(3000), pytest.raises(OutputError, match=r"File too large; make room there"):
        write_scene(world, tmp_path / "scene.tif")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10**9})
    monkeypatch.setattr(scene_files.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OutputError, match=r"needs up to 15\.0 GB, .* has 1\.0 GB free"):
        write_scene(make_world(0, 65536, 65536), tmp_path / "scene.tif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_write_leaves_nothing_behind(tmp_path, error):
    def interrupt(share):
        if share > 0.2:
            raise error

    with pytest.raises(error):
        write_scene(make_world(0, 4500, 4500), tmp_path / "scene.tif", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_keeps_the_scene_that_was_there(tmp_path):
    path = tmp_path / "scene.tif"
    write_scene(make_world(0, 768, 768), path)
    before = path.read_bytes()

    def interrupt(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scene(make_world(1, 768, 768), path, interrupt)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
