"""Tiles agree with plain reads, and what is missing is never shown as picture."""

import numpy as np
import pytest
import rasterio
from exact_levels import box_levels
from PIL import Image
from rasterio.enums import ColorInterp

from geofovea.errors import GeometryError, SceneError
from geofovea.tiling import (
    Box,
    Pyramid,
    Radiometry,
    Tile,
    TileReader,
    lonlat_from_scene,
    open_scene,
    plan_radiometry,
    polygon_scene,
)

FILL = 128


def all_tiles(reader):
    return [t for n in range(reader.pyramid.top_level + 1) for t in reader.pyramid.tiles(n)]


def test_every_tile_is_a_part_of_gdals_overviews_or_of_averages_of_them(
    make_tiled, texture, reader_of
):
    path = make_tiled(texture(700, 900), overviews=(2, 4))
    reader = reader_of(path)
    with rasterio.open(path) as dataset:
        levels = [dataset.read()]
    for index in range(2):
        with rasterio.open(path, OVERVIEW_LEVEL=f"{index}only") as overview:
            levels.append(overview.read())
    levels += [values for values, _ in box_levels(levels[2], reader.pyramid.top_level - 2)]
    for tile in all_tiles(reader):
        width, height = reader.pyramid.valid_size(tile)
        x, y = 64 * tile.col, 64 * tile.row
        part = levels[tile.level][:, y : y + height, x : x + width]
        pixels = reader.read(tile)
        assert np.array_equal(np.moveaxis(pixels.rgb[:height, :width], -1, 0), part), tile
        assert pixels.valid_size == (width, height)
        assert pixels.valid[:height, :width].all()


def test_padding_is_gray_and_never_valid(make_tiled, texture, reader_of):
    reader = reader_of(make_tiled(texture(70, 100)))
    pixels = reader.read(Tile(0, 1, 1))
    assert pixels.valid_size == (36, 6)
    assert pixels.valid.sum() == 36 * 6
    assert (pixels.rgb[~pixels.valid] == FILL).all()
    assert pixels.valid_fraction == pytest.approx(36 * 6 / 64**2)


def hole(height, width):
    """True but for a round hole and a ragged edge."""
    y, x = np.mgrid[:height, :width]
    return ((x - width / 2) ** 2 + (y - height / 2) ** 2 > (height / 4) ** 2) & (x > y / 5)


@pytest.mark.parametrize("kind", ["nodata", "alpha", "internal", "nan", "undeclared nan"])
@pytest.mark.parametrize("overviews", [(), (2, 4)])
@pytest.mark.parametrize("tiled", [True, False])
def test_missing_pixels_are_never_valid_and_never_black(
    make_tiled, texture, reader_of, kind, overviews, tiled
):
    known = hole(300, 400)
    options = {"overviews": overviews}
    options |= {} if tiled else {"tiled": False, "blockysize": 8, "blockxsize": 400}
    if "nan" in kind:
        image = np.where(known, texture(300, 400, 1, "float32"), np.nan)
        options |= {"nodata": np.nan} if kind == "nan" else {}
    else:
        image = np.where(known, np.maximum(texture(300, 400), 60), 0).astype("uint8")
        if kind == "nodata":
            options["nodata"] = 0
        elif kind == "internal":
            options["mask"] = known
        else:
            image = np.concatenate([image, known[None].astype("uint8") * 255])
            rgb = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            options["colorinterp"] = (*rgb, ColorInterp.alpha)
    reader = reader_of(make_tiled(image, **options))
    expected_kind = {"nan": "nodata", "undeclared nan": "none"}.get(kind, kind)
    assert reader.scene.mask_kind == expected_kind
    for tile in reader.pyramid.tiles(0):
        pixels, box = reader.read(tile), reader.pyramid.box_scene(tile)
        width, height = pixels.valid_size
        truth = known[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
        assert (pixels.valid[:height, :width] == truth).all()
    for tile in all_tiles(reader):
        pixels = reader.read(tile)
        assert (pixels.rgb[~pixels.valid] == FILL).all()
        if "nan" not in kind:
            assert pixels.rgb.min() >= 55
        elif tile.level == reader.pyramid.top_level:
            assert 0.3 < pixels.valid_fraction < known.mean()


def test_a_file_decoded_once_gives_the_tiles_of_the_planned_reads(
    make_raster, texture, reader_of, monkeypatch
):
    for name, driver, dtype in [
        ("a.png", "PNG", "uint8"),
        ("b.png", "PNG", "uint16"),
        ("c.tif", "GTiff", "float32"),
    ]:
        path = make_raster(texture(300, 420, 3, dtype), name, driver=driver)
        once = reader_of(path)
        planned = reader_of(path)
        assert once._decodes_once
        truth = {tile: once.read(tile) for tile in all_tiles(once)}
        monkeypatch.setattr(TileReader, "_decodes_once", False)
        for tile in all_tiles(once):
            a, b = truth[tile], planned.read(tile)
            assert (a.valid == b.valid).all()
            assert np.array_equal(a.rgb, b.rgb), (name, tile)
        monkeypatch.undo()


def test_palette_colors_are_averaged_and_indexes_are_not(make_tiled, reader_of):
    indexes = np.indices((256, 256)).sum(axis=0) % 2 * 200  # a checkerboard of entries 0 and 200
    colormap = {0: (250, 0, 0, 255), 100: (0, 255, 0, 255), 200: (0, 0, 250, 255)}
    reader = reader_of(make_tiled(indexes[None].astype("uint8"), colormap=colormap))
    assert set(map(tuple, reader.read(Tile(0, 0, 0)).rgb.reshape(-1, 3))) == {
        (250, 0, 0),
        (0, 0, 250),
    }
    coarse = reader.read(Tile(2, 0, 0)).rgb
    assert (coarse[..., 1] == 0).all()  # an averaged index of 100 would be green
    assert (coarse == (125, 0, 125)).all()


def test_transparent_palette_entries_are_missing(tmp_path, reader_of):
    indexes = np.repeat([0, 1], 32)[None, :].repeat(64, axis=0)
    image = Image.fromarray(indexes.astype("uint8"), mode="P")
    image.putpalette([0, 0, 0, 9, 8, 7])
    image.save(tmp_path / "scene.png", transparency=0)
    pixels = reader_of(tmp_path / "scene.png").read(Tile(0, 0, 0))
    assert (pixels.valid == (indexes == 1)).all()
    assert (pixels.rgb[pixels.valid] == (9, 8, 7)).all()


@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_radar_is_shown_by_its_magnitude_in_decibels(make_tiled, reader_of, tmp_path, dtype):
    power_db = np.linspace(0, 60, 512)[None, :].repeat(512, axis=0)
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, power_db.shape)
    slc = (10 ** (power_db / 20) * np.exp(1j * phase)).astype("complex64")[None]
    path = tmp_path / "slc.tif"
    with rasterio.open(path, "w", "GTiff", 512, 512, 1, dtype=dtype) as dataset:
        dataset.write(slc)
    reader = reader_of(path)
    assert reader.radiometry.is_complex
    assert reader.radiometry.stretch[0] == pytest.approx((1.2, 58.8), abs=1.5)
    low, high = reader.radiometry.stretch[0]
    shown = reader.read(reader.pyramid.overview).rgb[..., 0].mean(axis=0)
    # eight columns each, a dB apart; random phases would cancel in a plain average
    truth = np.clip((power_db[0].reshape(64, 8).mean(axis=1) - low) / (high - low), 0, 1) * 255
    assert np.abs(shown - truth).max() < (12 if dtype == "complex64" else 40)


@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_a_band_of_waves_is_no_alpha(reader_of, tmp_path, dtype):
    waves = np.full((2, 96, 96), 3 + 4j, "complex64")
    path = tmp_path / "slc.tif"
    with rasterio.open(path, "w", "GTiff", 96, 96, 2, dtype=dtype, alpha="yes") as dataset:
        dataset.write(waves)
    reader = reader_of(path)
    assert (reader.scene.alpha, reader.scene.mask_kind) == (0, "none")
    assert reader.read_box(reader.scene.box, (96, 96))[1].all()


def test_sixteen_bits_are_stretched_once_for_the_whole_scene(make_tiled, texture):
    image = texture(600, 600, 3, "uint16") * 100
    image[:, 0, 0] = 65535
    scene = open_scene(make_tiled(image, nodata=0))
    radiometry = plan_radiometry(scene)
    assert radiometry == plan_radiometry(scene)
    for (low, high), band in zip(radiometry.stretch, image, strict=True):
        assert (low, high) == pytest.approx(np.percentile(band, (2, 98)), rel=0.02)
    assert "percentile 2 to 98" in radiometry.reason


def test_a_large_scene_is_sampled_and_the_sample_is_fair(make_tiled):
    ramp = np.linspace(0, 10_000, 2600).astype("uint16")[None, None, :].repeat(2600, axis=1)
    path = make_tiled(ramp, blockxsize=512, blockysize=512)
    low, high = plan_radiometry(open_scene(path)).stretch[0]
    assert low == pytest.approx(200, abs=300)
    assert high == pytest.approx(9800, abs=300)


def test_nodata_does_not_pull_the_stretch(make_tiled, texture):
    image = texture(200, 200, 1, "int16") + 1000
    image[:, :100] = -32768
    low, _ = plan_radiometry(open_scene(make_tiled(image, nodata=-32768))).stretch[0]
    assert low > 1000


def test_a_constant_scene_is_mid_gray(make_tiled, reader_of):
    pixels = reader_of(make_tiled(np.full((1, 64, 64), 7, "float32"))).read(Tile(0, 0, 0))
    assert pixels.valid.all()
    assert np.abs(pixels.rgb.astype(int) - FILL).max() <= 1


def test_a_scene_without_a_valid_pixel_is_gray_and_says_so(make_tiled, reader_of):
    reader = reader_of(make_tiled(np.zeros((1, 64, 64), "uint16"), nodata=0))
    assert "no valid pixel" in reader.radiometry.warnings[0]
    pixels = reader.read(Tile(0, 0, 0))
    assert not pixels.valid.any()
    assert (pixels.rgb == FILL).all()


def test_bands_follow_their_interpretation_or_the_caller(make_tiled, texture):
    bgr = (ColorInterp.blue, ColorInterp.green, ColorInterp.red)
    scene = open_scene(make_tiled(texture(64, 64), colorinterp=bgr, photometric="minisblack"))
    assert plan_radiometry(scene).bands == (3, 2, 1)
    assert plan_radiometry(scene, (2,)).bands == (2,)
    with pytest.raises(SceneError, match="from 1 to 3"):
        plan_radiometry(scene, (1, 2, 4))
    plain = open_scene(make_tiled(texture(64, 64, 4), photometric="minisblack"))
    guess = plan_radiometry(plain)
    assert guess.bands == (1, 2, 3)
    assert "guess" in guess.warnings[0]


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (1, 5, 3), (3, 63, 2), (2, 30, 30)])
def test_tiny_scenes_are_read(make_tiled, texture, reader_of, shape):
    bands, height, width = shape
    path = make_tiled(texture(height, width, bands), tiled=False, blockxsize=None, blockysize=None)
    reader = reader_of(path)
    pixels = reader.read(Tile(0, 0, 0))
    assert reader.pyramid.overview == Tile(0, 0, 0)
    assert pixels.valid.sum() == width * height
    assert lonlat_from_scene(reader.scene, reader.scene.box) is not None


def test_jpeg_2000_is_read(make_raster, texture, reader_of):
    image = texture(256, 256)
    path = make_raster(image, "scene.jp2", driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    reader = reader_of(path)
    assert reader.scene.driver == "JP2OpenJPEG"
    shown = reader.read(Tile(0, 1, 2)).rgb
    assert (shown == np.moveaxis(image[:, 64:128, 128:192], 0, -1)).all()


def test_a_picture_of_any_box_is_read_and_what_lies_outside_is_gray(make_tiled, texture, reader_of):
    image = texture(200, 200)
    reader = reader_of(make_tiled(image, overviews=(2,)))
    rgb, valid = reader.read_box(Box(10, 20, 60, 50), (30, 50))
    assert valid.all()
    assert (rgb == np.moveaxis(image[:, 20:50, 10:60], 0, -1)).all()
    rgb, valid = reader.read_box(Box(-50, -50, 50, 50), (100, 100))
    assert valid[50:, 50:].all()
    assert valid.sum() == 50 * 50
    assert (rgb[50:, 50:] == np.moveaxis(image[:, :50, :50], 0, -1)).all()
    assert (rgb[~valid] == FILL).all()
    enlarged, _ = reader.read_box(Box(100.5, 100.5, 102.25, 101), (64, 64))
    assert enlarged.shape == (64, 64, 3)
    with pytest.raises(GeometryError, match="is empty"):
        reader.read_box(Box(300, 300, 400, 400), (10, 10))


def test_a_reader_refuses_a_pyramid_or_bands_of_another_scene(make_tiled, texture):
    scene = open_scene(make_tiled(texture(64, 64)))
    with pytest.raises(GeometryError, match=r"scene\.pyramid"):
        TileReader(scene, Pyramid(65, 64, 64), Radiometry((1, 2, 3)))
    with pytest.raises(GeometryError, match="not in the scene"):
        TileReader(scene, scene.pyramid(64), Radiometry((4,)))


def test_every_reference_raster_gives_tiles_and_geometry(shared_raster, reader_of):
    if shared_raster.name.startswith("corrupt"):
        pytest.skip("damaged on purpose; its errors are tested with the sources")
    reader = reader_of(shared_raster, 224, allow_vrt=True)
    scene, pyramid = reader.scene, reader.pyramid
    x, y = scene.box.center
    native = pyramid.tiles_over(0, Box(x - 0.25, y - 0.25, x + 0.25, y + 0.25))[0]
    shown = [reader.read(pyramid.overview), reader.read(native)]
    for pixels in shown:
        assert pixels.rgb.shape == (224, 224, 3)
        assert (pixels.rgb[~pixels.valid] == FILL).all()
    assert shown[0].valid.any()
    assert polygon_scene(pyramid.box_scene(native)).is_valid
    geojson = lonlat_from_scene(scene, pyramid.box_scene(native))
    assert (geojson is not None) == (scene.georef != "none" and scene.crs is not None)
    assert scene.gsd_m is None or 0.001 < scene.gsd_m < 5000
