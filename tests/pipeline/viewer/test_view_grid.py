"""The pixels of a view tile are those that the model sees, on every scene and every level."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pipeline_toys import texture, wide_texture

from geofovea.errors import GeometryError, SceneError, SceneReadError
from geofovea.pipeline.viewer.view_grid import ViewGrid
from geofovea.tiling.opening import open_scene
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.pyramid import Tile
from geofovea.tiling.reader import TileReader

SHARED = os.environ.get("GEOFOVEA_SHARED")
SAMPLES = (
    sorted(
        path
        for path in Path(SHARED, "data").rglob("*")
        if path.suffix in (".tif", ".png", ".jp2", ".jpg") and path.stat().st_size < 30 * 2**20
    )
    if SHARED
    else []
)


def reader_of(path, tile_size=96, **opening):
    scene = open_scene(path, **opening)
    return TileReader(scene, scene.pyramid(tile_size), plan_radiometry(scene))


def model_level(reader, level):
    """A whole level, pasted of the model's tiles: RGB and validity of the part on the scene."""
    width, height = reader.pyramid.level_size(level)
    rgb, valid = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), bool)
    side = reader.pyramid.tile_size
    for tile in reader.pyramid.tiles(level):
        pixels = reader.read(tile)
        w, h = pixels.valid_size
        y, x = tile.row * side, tile.col * side
        rgb[y : y + h, x : x + w] = pixels.rgb[:h, :w]
        valid[y : y + h, x : x + w] = pixels.valid[:h, :w]
    return rgb, valid


def view_level(grid, reader, level):
    width, height = reader.pyramid.level_size(level)
    rows, cols = -(-height // grid.side), -(-width // grid.side)
    parts = [[grid.read(Tile(level, row, col)) for col in range(cols)] for row in range(rows)]
    rgb = np.concatenate([np.concatenate([p[0] for p in row], 1) for row in parts])
    valid = np.concatenate([np.concatenate([p[1] for p in row], 1) for row in parts])
    return rgb, valid


def check_same_pixels(reader):
    grid = ViewGrid(reader)
    for level in range(min(grid.levels, reader.pyramid.top_level + 1)):
        rgb, valid = model_level(reader, level)
        height, width = valid.shape
        seen, known = view_level(grid, reader, level)
        np.testing.assert_array_equal(known[:height, :width], valid)
        np.testing.assert_array_equal(seen[:height, :width], rgb)
        # what lies beyond the scene is never shown as known
        assert not known[height:].any()
        assert not known[:, width:].any()


@pytest.mark.parametrize(
    ("height", "width", "profile"),
    [
        (512, 768, {}),
        (700, 701, {}),
        (1300, 411, {"blockxsize": 256, "blockysize": 256}),
        (97, 1211, {"tiled": False, "blockxsize": None, "blockysize": 3}),
    ],
)
@pytest.mark.parametrize("has_overviews", [True, False])
def test_view_and_model_see_the_same_pixels(make_tiff, height, width, profile, has_overviews):
    path = make_tiff(texture(height, width), **profile)
    if has_overviews:
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4], rasterio.enums.Resampling.average)
    check_same_pixels(reader_of(path))


def test_missing_pixels_are_missing_in_the_view(make_tiff):
    pixels = texture(600, 640)
    pixels[:, 100:300, 50:500] = 0
    check_same_pixels(reader_of(make_tiff(pixels, nodata=0)))


def test_a_picture_without_georeference_and_numbers_of_16_bits_too(make_png, make_tiff):
    check_same_pixels(reader_of(make_png(333, 515)))
    check_same_pixels(reader_of(make_tiff(texture(400, 530, dtype="uint16") * 37)))


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLES, reason="no sample rasters: set GEOFOVEA_SHARED")
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_view_and_model_see_the_same_pixels_of_a_sample(path):
    try:
        reader = reader_of(str(path), 192)
    except SceneError as error:
        pytest.skip(str(error))
    if reader.scene.width * reader.scene.height > 2**25:
        pytest.skip("too large to be read whole here")
    if path.name == "corrupt.tif":
        with pytest.raises(SceneReadError):
            check_same_pixels(reader)
    else:
        check_same_pixels(reader)


def test_a_grid_knows_its_tiles_and_refuses_others(make_tiff):
    grid = ViewGrid(reader_of(make_tiff(texture(700, 1100))))
    assert grid.to_json() == {
        "side": grid.side,
        "levels": grid.levels,
        "width": 1100,
        "height": 700,
    }
    for level in range(grid.levels):
        step = grid.side << level
        rows, cols = -(-700 // step), -(-1100 // step)
        assert grid.contains(Tile(level, rows - 1, cols - 1))
        assert not grid.contains(Tile(level, rows, 0))
        assert not grid.contains(Tile(level, 0, cols))
    # a shift by such a level would fill the memory
    assert not grid.contains(Tile(10**9, 0, 0))
    with pytest.raises(GeometryError, match="not on the grid"):
        grid.read(Tile(0, 99, 0))


def test_the_coarsest_view_tile_shows_the_whole_scene(make_tiff):
    grid = ViewGrid(reader_of(make_tiff(texture(3000, 1000))))
    top = grid.levels - 1
    assert grid.contains(Tile(top, 0, 0))
    assert not grid.contains(Tile(top, 0, 1))
    assert not grid.contains(Tile(top, 1, 0))


def test_a_scene_with_overviews_is_prepared_and_a_striped_one_is_once_it_was_built(
    make_tiff, monkeypatch, tmp_path
):
    monkeypatch.setenv("GEOFOVEA_CACHE", str(tmp_path / "cache"))
    assert ViewGrid(reader_of(make_tiff(texture(600, 600)))).is_prepared
    shape = {"tiled": False, "blockxsize": None, "blockysize": 1, "compress": None}
    path = make_tiff(wide_texture(5000), name="striped.tif", **shape)
    grid = ViewGrid(reader_of(path))
    assert not grid.is_prepared
    grid.prepare()
    assert grid.is_prepared
    assert ViewGrid(reader_of(path)).is_prepared
