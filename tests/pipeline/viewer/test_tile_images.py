"""Tiles as pictures: exact where they claim to be, close elsewhere, bounded in memory."""

import io
import os

import numpy as np
import pytest
from PIL import Image
from pipeline_toys import texture

from geofovea.errors import SceneChangedError
from geofovea.pipeline.viewer.tile_images import TileImages, tile_image
from geofovea.tiling.pyramid import Tile


def decoded(image):
    return np.asarray(Image.open(io.BytesIO(image.content)))


def pixels(side=64):
    return np.moveaxis(texture(side, side), 0, -1)


def test_known_pixels_become_jpeg_that_stays_close():
    image = tile_image(pixels(), np.ones((64, 64), bool))
    assert image.media_type == "image/jpeg"
    away = np.abs(decoded(image).astype(int) - pixels())
    assert away.mean() < 3
    assert away.max() <= 24


def test_missing_pixels_are_transparent_and_the_others_exact():
    valid = np.ones((64, 64), bool)
    valid[10:20, :30] = False
    image = tile_image(pixels(), valid)
    assert image.media_type == "image/png"
    rgba = decoded(image)
    np.testing.assert_array_equal(rgba[..., 3] == 255, valid)
    np.testing.assert_array_equal(rgba[..., 3] == 0, ~valid)
    np.testing.assert_array_equal(rgba[valid][:, :3], pixels()[valid])


def test_the_picture_of_a_model_tile_is_exact(serve_scene):
    scene = serve_scene()
    tile = Tile(1, 2, 3)
    image = TileImages().image(scene, "model", tile)
    np.testing.assert_array_equal(decoded(image), scene.session.reader.read(tile).rgb)


def test_a_tile_is_read_once_while_it_is_kept(serve_scene):
    scene, images = serve_scene(), TileImages()
    count, read = [], scene.grid.read
    scene.grid.read = lambda tile: count.append(tile) or read(tile)
    first = images.image(scene, "view", Tile(0, 0, 0))
    assert images.image(scene, "view", Tile(0, 0, 0)) is first
    assert len(count) == 1
    assert images.image(scene, "view", Tile(1, 0, 0)) is not first


def test_tiles_of_two_scenes_are_told_apart(serve_scene, make_tiff):
    images = TileImages()
    one, other = serve_scene(), serve_scene(make_tiff(texture(700, 700)), "2")
    first, second = (images.image(s, "view", Tile(0, 0, 0)) for s in (one, other))
    assert first.content != second.content


def test_memory_stays_within_its_bound(serve_scene):
    scene = serve_scene()
    images = TileImages(limit_bytes=200_000)
    for tile in scene.session.pyramid.tiles(1):
        images.image(scene, "model", tile)
        assert images.nbytes <= 200_000
    assert images.nbytes > 0


def test_many_threads_get_the_same_pictures_as_one(serve_scene):
    scene = serve_scene()
    tiles = list(scene.session.pyramid.tiles(2))
    alone = [TileImages().image(scene, "model", tile).content for tile in tiles]
    images = TileImages()
    futures = [images.submit(scene, "model", tile) for tile in tiles]
    assert [future.result().content for future in futures] == alone
    images.close()


def test_a_file_that_was_replaced_is_told_even_of_a_tile_that_is_kept(serve_scene, make_tiff):
    path = make_tiff(texture(600, 600))
    scene, images = serve_scene(path), TileImages()
    images.image(scene, "view", Tile(0, 0, 0))
    make_tiff(texture(600, 600)[::-1])
    os.utime(path, ns=(1, 1))
    with pytest.raises(SceneChangedError):
        images.image(scene, "view", Tile(0, 0, 0))
