"""Tiles of a shifted grid show the pixels of the scene, and what is missing there."""

import numpy as np
import pytest
import rasterio

from geofovea.errors import GeometryError
from geofovea.tiling import Box, Tile, TileReader, open_scene, plan_radiometry
from geofovea.tiling.shifted_reader import ShiftedReader

TILE = 32
WIDTH, HEIGHT = 150, 100


@pytest.fixture
def pixels():
    shown = np.random.default_rng(3).integers(1, 255, (3, HEIGHT, WIDTH), np.uint8)
    shown[:, 40:60, 70:90] = 0
    return shown


@pytest.fixture
def reader(tmp_path, pixels):
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "nodata": 0}
    with rasterio.open(path, "w", width=WIDTH, height=HEIGHT, photometric="RGB", **profile) as out:
        out.write(pixels)
    scene = open_scene(path)
    return TileReader(scene, scene.pyramid(TILE), plan_radiometry(scene))


@pytest.mark.parametrize("shift", [(16, 0), (0, 16), (16, 16), (5, 31), (0, 0)])
def test_every_tile_shows_its_part_of_the_scene(reader, pixels, shift):
    shifted = ShiftedReader(reader, shift)
    dx, dy = shift
    assert (shifted.pyramid.width, shifted.pyramid.height) == (WIDTH - dx, HEIGHT - dy)
    for tile in shifted.pyramid.tiles(0):
        y, x = tile.row * TILE + dy, tile.col * TILE + dx
        part = pixels[:, y : y + TILE, x : x + TILE]
        cols, rows = part.shape[2], part.shape[1]
        picture = shifted.read(tile)
        assert picture.tile == tile
        assert picture.valid_size == (cols, rows)
        known = (part != 0).all(axis=0)
        assert np.array_equal(picture.valid[:rows, :cols], known)
        assert not picture.valid[rows:].any()
        assert not picture.valid[:, cols:].any()
        shown = np.moveaxis(part, 0, -1)
        assert np.array_equal(picture.rgb[:rows, :cols][known], shown[known])


def test_a_box_is_read_in_pixels_of_the_shifted_grid(reader):
    shifted = ShiftedReader(reader, (16, 8))
    rgb, valid = shifted.read_box(Box(3.0, 4.0, 23.0, 14.0), (10, 20))
    expected, known = reader.read_box(Box(19.0, 12.0, 39.0, 22.0), (10, 20))
    assert np.array_equal(rgb, expected)
    assert np.array_equal(valid, known)


@pytest.mark.parametrize("shift", [(TILE, 0), (0, -1), (0, TILE)])
def test_a_shift_of_a_whole_tile_is_refused(reader, shift):
    with pytest.raises(GeometryError, match="shifted by less than"):
        ShiftedReader(reader, shift)


@pytest.mark.parametrize("tile", [Tile(1, 0, 0), Tile(0, 9, 0)])
def test_tiles_that_are_not_native_or_not_there_are_refused(reader, tile):
    with pytest.raises(GeometryError):
        ShiftedReader(reader, (16, 16)).read(tile)
