"""Decoded blocks are kept within a budget, decoded once, and give the pixels of the file."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from rasterio.drivers import raster_driver_extensions
from rasterio.windows import Window

from geofovea.errors import GeometryError, SceneReadError
from geofovea.tiling import TileReader, access_mode, open_scene, plan_radiometry
from geofovea.tiling.cache.blocks import BlockCache


def zeros(count):
    return lambda: np.zeros(count, np.uint8)


def test_what_was_not_used_for_longest_goes_first():
    cache = BlockCache(100)
    for key in "abc":
        cache.get(key, zeros(30))
    cache.get("a", zeros(30))
    cache.get("d", zeros(30))
    assert cache.bytes == 90
    decoded = []
    for key in "acdb":
        cache.get(key, lambda k=key: decoded.append(k) or np.zeros(30, np.uint8))
    assert decoded == ["b"]


def test_a_block_that_is_larger_than_the_budget_is_not_kept():
    cache = BlockCache(100)
    cache.get("a", zeros(60))
    assert cache.get("b", zeros(101)).nbytes == 101
    assert cache.bytes == 60
    with pytest.raises(GeometryError, match="budget"):
        BlockCache(0)


def test_threads_that_want_one_block_decode_it_once():
    cache, decoded, is_wanted = BlockCache(100), [], threading.Event()

    def decode():
        is_wanted.wait(30)
        decoded.append(1)
        return np.arange(9, dtype=np.uint8)

    with ThreadPoolExecutor(4) as pool:
        blocks = [pool.submit(cache.get, "a", decode) for _ in range(4)]
        is_wanted.set()
        assert all(block.result().sum() == 36 for block in blocks)
    assert decoded == [1]


def test_a_block_that_cannot_be_decoded_is_not_kept():
    cache = BlockCache(100)

    def fail():
        raise SceneReadError("damaged")

    for _ in range(2):
        with pytest.raises(SceneReadError):
            cache.get("a", fail)
    assert cache.get("a", zeros(5)).nbytes == 5


@pytest.fixture
def jp2(tmp_path, texture):
    """A lossless JPEG 2000 of 1300 x 1100 pixels in blocks of 256, and its pixels."""
    if "jp2" not in raster_driver_extensions():
        pytest.skip("this build of GDAL has no JPEG 2000")
    array = texture(1100, 1300)
    shape = {"width": 1300, "height": 1100, "count": 3, "dtype": "uint8"}
    options = {"QUALITY": 100, "REVERSIBLE": "YES", "BLOCKXSIZE": 256, "BLOCKYSIZE": 256}
    path = tmp_path / "scene.jp2"
    with rasterio.open(path, "w", driver="JP2OpenJPEG", **shape, **options) as dataset:
        dataset.write(array)
    return path, array


class Counting:
    """A dataset that notes which windows are decoded."""

    def __init__(self, handle, decoded):
        self.handle, self.decoded = handle, decoded

    def __getattr__(self, name):
        return getattr(self.handle, name)

    def read(self, *arguments, **options):
        self.decoded.append(options["window"])
        return self.handle.read(*arguments, **options)


def test_jpeg_2000_is_read_directly_with_the_pixels_of_rasterio(jp2, monkeypatch, cache_folder):
    path, array = jp2
    scene = open_scene(path)
    assert access_mode(scene) == "direct"
    rows_block, cols_block = scene.block_shape
    blocks = -(-1100 // rows_block) * -(-1300 // cols_block)
    assert blocks > 4
    decoded = []
    real = TileReader.__init__.__globals__["open_handle"]
    monkeypatch.setattr(
        "geofovea.tiling.reader.open_handle", lambda *a: Counting(real(*a), decoded)
    )
    reader = TileReader(scene, scene.pyramid(112), plan_radiometry(scene))
    for tile in reader.pyramid.tiles(0):
        box, (width, height) = reader.pyramid.box_scene(tile), reader.pyramid.valid_size(tile)
        x, y = int(box.x0), int(box.y0)
        truth = np.moveaxis(array[:, y : y + height, x : x + width], 0, -1)
        assert np.array_equal(reader.read(tile).rgb[:height, :width], truth)
    assert len(decoded) == len(set(decoded)) == blocks  # each once, for 120 tiles
    for level in (1, 2):
        with rasterio.open(path, overview_level=level - 1) as dataset:
            assert dataset.width == reader.pyramid.level_size(level)[0]
            for tile in reader.pyramid.tiles(level):
                width, height = reader.pyramid.valid_size(tile)
                window = Window(tile.col * 112, tile.row * 112, width, height)
                truth = np.moveaxis(dataset.read(window=window), 0, -1)
                assert np.array_equal(reader.read(tile).rgb[:height, :width], truth)
    assert not cache_folder.exists()


def test_damage_in_a_jpeg_2000_is_an_error_each_time(jp2):
    path, _ = jp2
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    scene = open_scene(path)
    reader = TileReader(scene, scene.pyramid(112), plan_radiometry(scene))
    last = list(reader.pyramid.tiles(0))[-1]
    for _ in range(2):
        with pytest.raises(SceneReadError):
            reader.read(last)
