"""The tiles of a JPEG 2000 file are counted before any is decoded, and too large ones refused."""

import io

import numpy as np
import pytest
import rasterio

from geofovea.errors import SceneRefusedError
from geofovea.tiling import open_scene, plan_radiometry
from geofovea.tiling.files import jpeg2000
from geofovea.tiling.files.jpeg2000 import count_tiles

CODESTREAM = b"\xff\x4f\xff\x51"


@pytest.fixture
def make_jp2(make_raster, texture):
    def make(width, height, side):
        return make_raster(
            texture(height, width), "scene.jp2", driver="JP2OpenJPEG", blockxsize=side,
            blockysize=side, crs="EPSG:32633", quality=20,
        )  # fmt: skip

    return make


@pytest.mark.parametrize(
    ("width", "height", "side", "count"),
    [(512, 512, 128, 16), (513, 512, 128, 20), (500, 300, 64, 40), (500, 300, 512, 1)],
)
def test_tiles_are_counted_in_a_file_and_in_a_bare_codestream(make_jp2, width, height, side, count):
    content = make_jp2(width, height, side).read_bytes()
    start = content.index(CODESTREAM)
    assert start > 100  # boxes, with where it lies
    assert count_tiles(io.BytesIO(content)) == count
    assert count_tiles(io.BytesIO(content[start:])) == count


@pytest.mark.parametrize("length", [0, 7, 12, 60, 200])
def test_a_file_that_does_not_say_counts_as_one_tile(make_jp2, length):
    content = make_jp2(256, 256, 64).read_bytes()
    assert count_tiles(io.BytesIO(content[:length])) == 1
    assert count_tiles(io.BytesIO(content[:length] + bytes(100))) == 1
    start = content.index(CODESTREAM)
    for at, size in ((start + 24, 8), (start + 8, 8)):
        zeros = content[:at] + bytes(size) + content[at + size :]
        assert count_tiles(io.BytesIO(zeros)) == 1


def test_a_file_that_is_one_large_tile_is_refused_and_the_same_in_small_tiles_is_not(
    make_jp2, monkeypatch
):
    size = make_jp2(1024, 1024, 128).stat().st_size
    monkeypatch.setattr(jpeg2000, "MAX_TILE_BYTES", size // 2)
    assert open_scene(make_jp2(1024, 1024, 128)).width == 1024
    path = make_jp2(1024, 1024, 1024)
    with pytest.raises(SceneRefusedError, match="smaller tiles: gdal_translate -of COG"):
        open_scene(path)


def test_one_tile_shows_the_pixels_that_rasterio_does(make_jp2, reader_of):
    reader = reader_of(make_jp2(700, 500, 700))
    with rasterio.open(reader.scene.path) as dataset:
        truth = dataset.read()
    for tile in reader.pyramid.tiles(0):
        pixels, box = reader.read(tile), reader.pyramid.box_scene(tile)
        y, x = int(box.y0), int(box.x0)
        width, height = pixels.valid_size
        shown = np.moveaxis(pixels.rgb[:height, :width], -1, 0)
        assert np.array_equal(shown, truth[:, y : y + height, x : x + width])
    assert plan_radiometry(reader.scene).stretch is None
