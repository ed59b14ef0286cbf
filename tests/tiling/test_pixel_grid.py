"""A pixel of a level is the same through whatever tile, window or way in it is read."""

import numpy as np
import pytest
import rasterio
import xarray as xr
from exact_levels import box_levels, gdal_levels
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp, Resampling

from geofovea.tiling import Box, TileReader, open_scene, plan_radiometry
from geofovea.tiling.overviews import level_files

KINDS = ["plain", "nodata", "nan", "alpha", "mask", "mask beside", "palette"]
OVERVIEWS = [(), (2,), (3,), (2, 4), (4,)]


def assembled(reader, level):
    """A level, put together from its tiles: RGB ``(h, w, 3)`` and validity ``(h, w)``."""
    width, height = reader.pyramid.level_size(level)
    rgb, valid = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), bool)
    side = reader.pyramid.tile_size
    for tile in reader.pyramid.tiles(level):
        pixels = reader.read(tile)
        cols, rows = pixels.valid_size
        place = np.s_[tile.row * side :, tile.col * side :]
        rgb[place][:rows, :cols] = pixels.rgb[:rows, :cols]
        valid[place][:rows, :cols] = pixels.valid[:rows, :cols]
    return rgb, valid


def box_of(scene, level, part):
    """The box of some rows and columns of a level."""
    step = 1 << level
    x0, y0, x1, y1 = part
    return Box(x0 * step, y0 * step, min(x1 * step, scene.width), min(y1 * step, scene.height))


def write(path, values, known, kind, overviews, layout):
    profile = {"count": len(values), "height": values.shape[1], "width": values.shape[2]}
    profile |= {"dtype": values.dtype, "crs": "EPSG:32633"} | layout
    profile["transform"] = rasterio.Affine(2, 0, 5e5, 0, -2, 5e6)
    if kind == "nodata":
        values, profile["nodata"] = np.where(known, values, 7).astype(values.dtype), 7
    elif kind == "nan":
        values = np.where(known, values, np.nan).astype(values.dtype)
    elif kind == "alpha":
        opaque = 255 if values.dtype == np.uint8 else 65535
        values = np.concatenate([values, (known[None] * opaque).astype(values.dtype)])
        profile["count"] += 1
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=kind == "mask"):
        with rasterio.open(path, "w", driver="GTiff", **profile) as file:
            file.write(values)
            if kind == "alpha":
                names = ["gray"] if len(values) == 2 else ["red", "green", "blue"]
                file.colorinterp = [ColorInterp[name] for name in (*names, "alpha")]
            if kind == "palette":
                rng = np.random.default_rng(1)
                file.write_colormap(
                    1, {i: (*map(int, rng.integers(0, 255, 3)),) for i in range(256)}
                )
            if kind.startswith("mask"):
                file.write_mask(known)
        factors = [f for f in overviews if f < max(profile["width"], profile["height"])]
        if factors:
            with rasterio.open(path, "r+") as file:
                file.build_overviews(factors, Resampling.average)


@pytest.mark.slow
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_tile_or_window_is_a_part_of_the_whole_level(tmp_path, data):
    draw = data.draw
    height, width = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    kind = draw(st.sampled_from(KINDS))
    dtypes = {"nan": ["float32", "float64"], "alpha": ["uint8", "uint16"], "palette": ["uint8"]}
    dtype = draw(st.sampled_from(dtypes.get(kind, ["uint8", "uint16", "int16", "float32"])))
    bands = 1 if kind == "palette" else draw(st.sampled_from([1, 3]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    values = rng.integers(0, 250, (bands, height, width)).astype(dtype)
    known = rng.random((height // 9 + 1, width // 9 + 1)) < 0.7
    known = known.repeat(9, axis=0).repeat(9, axis=1)[:height, :width]
    layout = draw(st.sampled_from([{}, {"tiled": True, "blockxsize": 64, "blockysize": 64}]))
    path = tmp_path / f"{rng.integers(2**60)}.tif"
    write(path, values, known, kind, draw(st.sampled_from(OVERVIEWS)), layout)
    sides = draw(st.lists(st.integers(64, 512), min_size=2, max_size=2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(level_files, "DECODE_ONCE_PIXELS", draw(st.sampled_from([2000, 2**24])))
        pieces = draw(st.sampled_from([300, 5000, 2**22]))
        patch.setattr("geofovea.tiling.pixels.level_grid.PIECE_PIXELS", pieces)
        scene = open_scene(path)
        radiometry = plan_radiometry(scene)
        readers = [TileReader(scene, scene.pyramid(side), radiometry) for side in sides]
        for level in range(min(reader.pyramid.top_level for reader in readers) + 1):
            cols, rows = scene.pyramid(64).level_size(level)
            rgb, valid = readers[0].read_box(scene.box, (rows, cols))
            for reader in readers:
                by_tiles = assembled(reader, level)
                assert np.array_equal(by_tiles[1], valid), (level, reader.pyramid.tile_size)
                assert np.array_equal(by_tiles[0], rgb), (level, reader.pyramid.tile_size)
            x0, y0 = draw(st.integers(0, cols - 1)), draw(st.integers(0, rows - 1))
            x1, y1 = draw(st.integers(x0 + 1, cols)), draw(st.integers(y0 + 1, rows))
            box = box_of(scene, level, (x0, y0, x1, y1))
            part, part_valid = readers[0].read_box(box, (y1 - y0, x1 - x0))
            assert np.array_equal(part_valid, valid[y0:y1, x0:x1]), level
            assert np.array_equal(part, rgb[y0:y1, x0:x1]), level


SIZES = [(791, 718), (513, 511), (301, 64), (640, 512)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["plain", "nodata", "mask"])
@pytest.mark.parametrize("is_large", [False, True])
def test_file_array_and_engine_show_exact_averages(tmp_path, monkeypatch, size, kind, is_large):
    if is_large:
        monkeypatch.setattr(level_files, "DECODE_ONCE_PIXELS", 10_000)
    rng = np.random.default_rng(2)
    values = rng.integers(8, 250, (3, *size)).astype("uint8")
    known = rng.random(size) < 0.6
    known = known if kind != "plain" else np.ones(size, bool)
    path = tmp_path / "scene.tif"
    write(path, values, known, kind, (), {})
    array = xr.DataArray(np.where(known, values, 7).astype("u1"), dims=("band", "y", "x"))
    if kind == "nodata":
        array.attrs["_FillValue"] = 7
    elif kind == "mask":
        array = array.assign_coords(mask=(("y", "x"), known))
    truths = box_levels(values, 4, known, needs_half=kind == "mask")
    tree = xr.open_datatree(path, engine="geofovea")
    for source in (path, array, tree, tree["0"].to_dataset()):
        scene = open_scene(source)
        reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
        for level, (truth, truth_known) in enumerate(truths[: reader.pyramid.top_level], 1):
            rgb, valid = assembled(reader, level)
            assert np.array_equal(valid, truth_known.all(axis=0)), level
            assert np.array_equal(rgb[valid], np.moveaxis(truth, 0, -1)[valid]), level


@pytest.mark.parametrize("size", SIZES)
def test_levels_that_a_file_lacks_equal_the_overviews_that_gdal_averages(make_tiled, size):
    values = np.random.default_rng(3).integers(0, 255, (3, *size)).astype("uint8")
    truths = gdal_levels(make_tiled, values, (2, 4, 8))
    scene = open_scene(make_tiled(values))
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    for level, truth in enumerate(truths[: reader.pyramid.top_level], 1):
        assert np.array_equal(assembled(reader, level)[0], np.moveaxis(truth, 0, -1)), level


def test_every_reference_raster_has_one_grid_for_all_tile_sizes(shared_raster):
    if shared_raster.name.startswith("corrupt"):
        pytest.skip("damaged on purpose; its errors are tested with the sources")
    scene = open_scene(shared_raster, allow_vrt=True)
    if scene.width * scene.height > 2_000_000:
        pytest.skip("too large for a quick test; the property test has its layout")
    radiometry = plan_radiometry(scene)
    readers = [TileReader(scene, scene.pyramid(side), radiometry) for side in (192, 512)]
    for level in range(readers[1].pyramid.top_level + 1):
        one, other = (assembled(reader, level) for reader in readers)
        assert np.array_equal(one[1], other[1]), level
        assert np.array_equal(one[0], other[0]), level
