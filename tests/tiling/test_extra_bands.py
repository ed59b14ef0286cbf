"""A band beside red, green and blue: read where it was asked for, shown nowhere."""

import numpy as np
import pytest
import rasterio

from geofovea.tiling import Box, Tile, TileReader, open_scene, plan_radiometry


@pytest.fixture
def four_bands(make_tiled, texture):
    """``four_bands(**options)``: a scene whose bands say what they are."""

    def make(dtype="uint8", **options):
        path = make_tiled(texture(200, 300, bands=4, dtype=dtype), **options)
        with rasterio.open(path, "r+") as dataset:
            for number, name in enumerate(("red", "green", "blue", "nir"), 1):
                dataset.set_band_description(number, name)
        return open_scene(path)

    return make


def reader(scene, composite=None):
    return TileReader(scene, scene.pyramid(64), plan_radiometry(scene, composite=composite))


@pytest.mark.parametrize("overviews", [(), (2, 4)], ids=["built levels", "overviews"])
def test_colors_are_those_of_true_color_and_the_band_is_that_of_the_file(four_bands, overviews):
    scene = four_bands(overviews=overviews)
    both, colors = reader(scene, "rgb-nir"), reader(scene, "true-color")
    nir = TileReader(scene, scene.pyramid(64), plan_radiometry(scene, (4,)))
    for tile in (Tile(0, 1, 1), Tile(0, 3, 4), Tile(1, 0, 0), Tile(2, 0, 0)):
        pixels, shown = both.read(tile), colors.read(tile)
        assert np.array_equal(pixels.rgb, shown.rgb)
        assert np.array_equal(pixels.extra[..., 0], nir.read(tile).rgb[..., 0])
        assert np.array_equal(pixels.valid, shown.valid)
        assert pixels.all_bands.shape == (64, 64, 4)
        assert shown.extra is None
        assert shown.all_bands is shown.rgb


def test_each_band_of_sixteen_bits_has_a_stretch_of_its_own(four_bands):
    scene = four_bands(dtype="uint16")
    nir = TileReader(scene, scene.pyramid(64), plan_radiometry(scene, (4,)))
    pixels = reader(scene, "rgb-nir").read(Tile(0, 0, 0))
    assert np.array_equal(pixels.extra[..., 0], nir.read(Tile(0, 0, 0)).rgb[..., 0])


def test_a_picture_shows_colors_alone(four_bands):
    scene = four_bands()
    box = Box(10, 10, 90, 80)
    shown, _ = reader(scene, "rgb-nir").read_box(box, (70, 80))
    plain, _ = reader(scene, "true-color").read_box(box, (70, 80))
    assert shown.shape == (70, 80, 3)
    assert np.array_equal(shown, plain)


def test_a_band_that_nobody_asked_for_is_not_read(four_bands):
    scene = four_bands(overviews=(2,))
    plain, both = reader(scene), reader(scene, "rgb-nir")
    assert plain.scene.shown_bands == plain.radiometry.bands == (1, 2, 3)
    assert both.scene.shown_bands == both.radiometry.bands == (1, 2, 3, 4)
