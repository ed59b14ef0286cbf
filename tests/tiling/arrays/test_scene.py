"""xarray objects are scenes: the same pixels and places as files, whatever their form."""

import gc
import itertools
import pickle
import re
import threading
import weakref

import dask
import dask.array
import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 registers .rio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.transform import Affine

from geofovea.errors import SceneError, SceneReadError
from geofovea.tiling import Box, Tile, TileReader, open_scene, plan_radiometry
from geofovea.tiling.arrays import levels as array_levels_module

UTM33 = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)


def all_tiles(reader):
    return [t for n in range(reader.pyramid.top_level + 1) for t in reader.pyramid.tiles(n)]


def reader_of(obj, tile_size=64, bands=None):
    scene = open_scene(obj)
    return TileReader(scene, scene.pyramid(tile_size), plan_radiometry(scene, bands))


def placed(image, dims=("band", "y", "x"), transform=UTM33, crs="EPSG:32633", name="rgb"):
    """A DataArray as rioxarray writes one."""
    array = xr.DataArray(image, dims=dims, name=name)
    height, width = array.sizes["y"], array.sizes["x"]
    x = transform.c + transform.a * (np.arange(width) + 0.5)
    y = transform.f + transform.e * (np.arange(height) + 0.5)
    return array.assign_coords(x=x, y=y).rio.write_crs(crs).rio.write_transform(transform)


def assert_same_tiles(one, other, tolerance=0):
    assert one.pyramid == other.pyramid
    for tile in all_tiles(one):
        a, b = one.read(tile), other.read(tile)
        assert (a.valid == b.valid).all(), tile
        assert np.abs(a.rgb.astype(int) - b.rgb).max() <= tolerance, tile


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("backing", ["numpy", "dask"])
def test_an_array_gives_the_tiles_of_the_file_with_gdals_own_overviews(
    make_tiled, texture, dtype, backing
):
    image = texture(512, 768, 3, dtype) * (1 if dtype == "uint8" else 7)
    path = make_tiled(image, overviews=(2, 4, 8, 16))
    data = image if backing == "numpy" else dask.array.from_array(image, chunks=(2, 100, 130))
    # float averages may differ in the last bit, and a stretch can then round to the next gray
    tolerance = 1 if dtype.startswith("float") else 0
    bands = (1, 2, 3)
    scene = open_scene(path)
    file = TileReader(scene, scene.pyramid(64), plan_radiometry(scene, bands))
    assert_same_tiles(file, reader_of(placed(data), bands=bands), tolerance)


def test_levels_hold_what_gdal_averages_to_the_last_bit(make_tiled, texture):
    image = texture(256, 512, 2, "uint16") * 251
    path = make_tiled(image, overviews=(2, 4, 8), photometric="minisblack")
    handle = open_scene(xr.DataArray(image, dims=("band", "y", "x"))).source.handle
    for index in range(3):
        with rasterio.open(path, overview_level=index) as overview:
            assert (handle(index).read([1, 2]) == overview.read()).all()


def test_nodata_is_left_out_of_averages_as_gdal_does(make_tiled, texture):
    image = texture(256, 256, 2, "int16")
    image[0, 30:99, 50:180] = -7
    image[1, 60:120, :] = -7
    path = make_tiled(image, nodata=-7, overviews=(2, 4), photometric="minisblack")
    array = xr.DataArray(image, dims=("band", "y", "x"), attrs={"_FillValue": -7})
    source = open_scene(array).source
    for index in range(2):
        with rasterio.open(path, overview_level=index) as overview:
            known = overview.read_masks() > 0
            assert ((source.handle(index).read_masks([1, 2]) > 0) == known).all()
            assert (source.handle(index).read([1, 2]) == overview.read())[known].all()


DIMS = [("band", "y", "x"), ("y", "x", "band"), ("x", "band", "y"), ("latitude", "longitude", "c")]


@pytest.mark.parametrize("dims", DIMS)
def test_dimensions_may_be_in_any_order(texture, dims):
    image = texture(70, 90)
    order = {"band": 0, "c": 0, "y": 1, "latitude": 1, "x": 2, "longitude": 2}
    turned = xr.DataArray(np.transpose(image, [order[d] for d in dims]), dims=dims)
    plain = xr.DataArray(image, dims=("band", "y", "x"))
    assert_same_tiles(reader_of(plain), reader_of(turned))


def test_a_dataset_has_a_band_in_each_variable_and_names_tell_colors(texture):
    image = texture(64, 80, 4)
    names = ("nir", "blue", "green", "red")
    dataset = xr.Dataset({n: (("y", "x"), b) for n, b in zip(names, image, strict=True)})
    dataset["spatial_ref"] = 0
    reader = reader_of(dataset)
    assert reader.scene.colorinterp == names
    assert reader.radiometry.bands == (4, 3, 2)
    assert reader.radiometry.warnings == ()
    shown = reader.read(Tile(0, 0, 0)).rgb
    assert (shown == np.moveaxis(image[[3, 2, 1], :64, :64], 0, -1)).all()


@pytest.mark.parametrize("where", ["band", "colorinterp", "long_name"])
def test_bands_of_an_array_have_colors_too(texture, where):
    array = xr.DataArray(texture(10, 10), dims=("band", "y", "x"))
    names = ["blue", "green", "red"]
    if where == "long_name":
        array.attrs["long_name"] = tuple(names)
    else:
        array = array.assign_coords({where: ("band", names)})
    assert plan_radiometry(open_scene(array)).bands == (3, 2, 1)


def test_a_single_time_step_or_band_is_flattened(texture):
    image = texture(64, 64, 1)[None]
    array = xr.DataArray(image, dims=("time", "band", "y", "x"))
    assert open_scene(array).count == 1
    assert reader_of(array).read(Tile(0, 0, 0)).valid.all()


def test_opening_computes_nothing_and_a_tile_only_the_chunks_below_it():
    touched = []

    def make(block_info=None):
        touched.append(tuple(start for start, _ in block_info[None]["array-location"]))
        return np.ones(block_info[None]["chunk-shape"], "uint8")

    chunks = ((3,), (256,) * 8, (256,) * 8)
    data = dask.array.map_blocks(make, chunks=chunks, dtype="uint8", meta=np.empty((0, 0, 0), "u1"))
    reader = reader_of(xr.DataArray(data, dims=("band", "y", "x")), 128)
    assert touched == []
    reader.read(Tile(0, 3, 5))
    assert touched == [(0, 256, 512)]
    touched.clear()
    reader.read(Tile(2, 0, 1))
    assert sorted(touched) == [(0, y, x) for y in (0, 256) for x in (512, 768)]


def test_a_pass_over_the_scene_computes_each_chunk_once_in_bounded_pieces(monkeypatch):
    monkeypatch.setattr(array_levels_module, "READ_AT_ONCE", 2**16)
    monkeypatch.setattr(array_levels_module, "KEPT_BYTES", 2**16)
    monkeypatch.setattr(array_levels_module, "PIECE_BYTES", 2**18)
    touched = []

    def make(block_info=None):
        touched.append(block_info[None]["chunk-location"])
        return np.full(block_info[None]["chunk-shape"], 77, "uint8")

    chunks = ((128,) * 16, (128,) * 16)
    data = dask.array.map_blocks(make, chunks=chunks, dtype="uint8", meta=np.empty((0, 0), "u1"))
    reader = reader_of(xr.DataArray(data, dims=("y", "x")), 128)
    with dask.config.set(scheduler="synchronous"):
        overview = reader.read(reader.pyramid.overview)
        assert len(touched) == len(set(touched)) == 16 * 16
        base = [reader.read(tile) for tile in reader.pyramid.tiles(reader.pyramid.base_level)]
    # the kept copy served what is coarser than it
    assert len(touched) <= 2 * 16 * 16
    for pixels in (overview, *base):
        assert (pixels.rgb[pixels.valid] == 77).all()


def test_copies_for_many_choices_of_bands_stay_within_their_bytes(monkeypatch, texture):
    monkeypatch.setattr(array_levels_module, "READ_AT_ONCE", 0)
    monkeypatch.setattr(array_levels_module, "KEPT_BYTES", 2**12)
    monkeypatch.setattr(array_levels_module, "_MOST_KEPT_BYTES", 2**14)
    levels = open_scene(placed(texture(200, 200, 6))).source.levels
    whole = [slice(0, side) for side in reversed(levels.size(4))]
    first = levels.read((1, 2), 4, *whole).values
    for bands in itertools.permutations(range(1, 7), 2):
        levels.read(bands, 4, *whole)
        assert 0 < levels._patches.nbytes <= 2**14
    assert np.array_equal(levels.read((1, 2), 4, *whole).values, first)


def test_the_stretch_of_an_array_is_that_of_the_file(make_tiled, texture):
    image = texture(300, 400, 1, "uint16") * 31
    image[0, :150] = 0
    path = make_tiled(image, nodata=0)
    array = placed(image)
    array.attrs["nodata"] = 0
    assert plan_radiometry(open_scene(array)).stretch == plan_radiometry(open_scene(path)).stretch


@pytest.mark.parametrize("kind", ["nodata", "encoded", "nan", "alpha", "mask"])
@pytest.mark.parametrize("backing", ["numpy", "dask"])
def test_missing_pixels_of_arrays_are_never_valid_and_never_black(texture, kind, backing):
    y, x = np.mgrid[:300, :400]
    known = ((x - 200) ** 2 + (y - 150) ** 2 > 75**2) & (x > y / 5)
    image = np.where(known, np.maximum(texture(300, 400), 60), 0).astype("uint8")
    if kind == "nan":
        image = np.where(known, texture(300, 400, 3, "float32"), np.nan)
    if kind == "alpha":
        image = np.concatenate([image, known[None].astype("uint8") * 255])
    data = image if backing == "numpy" else dask.array.from_array(image, chunks=(1, 99, 101))
    array = xr.DataArray(data, dims=("band", "y", "x"))
    if kind == "nodata":
        array.attrs["_FillValue"] = np.uint8(0)
    elif kind == "encoded":
        array.encoding["_FillValue"] = 0
    elif kind == "alpha":
        array = array.assign_coords(band=["red", "green", "blue", "alpha"])
    elif kind == "mask":
        array = array.assign_coords(mask=(("y", "x"), known))
    reader = reader_of(array)
    kinds = {"encoded": "nodata", "nan": "nodata", "mask": "internal"}
    assert reader.scene.mask_kind == kinds.get(kind, kind)
    for tile in all_tiles(reader):
        pixels, box = reader.read(tile), reader.pyramid.box_scene(tile)
        width, height = pixels.valid_size
        truth = known[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
        if tile.level == 0:
            assert (pixels.valid[:height, :width] == truth).all()
        assert (pixels.rgb[~pixels.valid] == 128).all()
        if kind != "nan":
            assert pixels.rgb.min() >= 55
    rgb, valid = reader.read_box(Box(3.5, 10, 390, 290.25), (93, 77))
    assert (rgb[~valid] == 128).all()
    assert 0.5 < valid.mean() < 1


def test_boxes_are_resampled_as_those_of_a_file(make_tiled, texture):
    image = texture(256, 320)
    path = make_tiled(image, overviews=(2, 4, 8))
    scene = open_scene(path)
    file = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    array = reader_of(placed(image))
    for box, shape in [
        (Box(10, 20, 60, 50), (30, 50)),
        (Box(-50, -50, 50, 50), (100, 100)),
        (Box(100.5, 100.5, 102.25, 101), (64, 64)),
        (Box(0, 0, 320, 256), (57, 71)),
        (Box(7.25, 9.5, 250.5, 199), (40, 33)),
    ]:
        (rgb, valid), (rgb_file, valid_file) = (r.read_box(box, shape) for r in (array, file))
        assert (valid == valid_file).all()
        assert np.abs(rgb.astype(int) - rgb_file).max() <= 1, box


def test_a_band_of_waves_is_no_alpha_by_its_name():
    waves = np.full((2, 40, 50), 3 + 4j, "complex64")
    named = xr.DataArray(waves, dims=("band", "y", "x"), coords={"band": ["gray", "alpha"]})
    reader = reader_of(named)
    assert reader.scene.alpha == 0
    assert reader.read_box(Box(0, 0, 50, 40), (40, 50))[1].all()


def test_radar_is_shown_by_its_magnitude(make_raster):
    rng = np.random.default_rng(0)
    decibels = np.linspace(0, 60, 512)[None, :].repeat(512, axis=0)
    phase = rng.uniform(0, 2 * np.pi, decibels.shape)
    slc = (10 ** (decibels / 20) * np.exp(1j * phase)).astype("complex64")
    array = reader_of(xr.DataArray(slc, dims=("y", "x")))
    file = reader_of(make_raster(slc[None], tiled=True, transform=UTM33))
    assert array.scene.overviews == ()
    assert array.radiometry.stretch == file.radiometry.stretch
    overview = array.pyramid.overview
    assert np.array_equal(array.read(overview).rgb, file.read(overview).rgb)


@pytest.mark.parametrize("order", ["coordinates", "transform only"])
@pytest.mark.parametrize("signs", [(1, -1), (1, 1), (-1, -1), (-1, 1)])
def test_the_place_is_rioxarrays_for_rising_and_falling_axes(texture, order, signs):
    transform = Affine(2.5 * signs[0], 0, 4e5, 0, 1.25 * signs[1], 6e6)
    array = placed(texture(40, 60), transform=transform)
    if order == "transform only":
        array = array.drop_vars(["x", "y"])
    scene = open_scene(array)
    assert scene.transform == tuple(transform)[:6]
    assert scene.crs.to_epsg() == 32633
    assert scene.gsd_m == pytest.approx((2.5 * 1.25) ** 0.5)


def test_a_selection_lies_where_its_coordinates_say(texture):
    whole = placed(texture(100, 120))
    part = whole[:, 10:90:1, 20:70]
    assert open_scene(part).transform == (0.5, 0, 500_010, 0, -0.5, 5_399_995)
    flipped = whole[:, ::-1]
    assert open_scene(flipped).transform == (0.5, 0, 500_000, 0, 0.5, 5_400_000 - 50)
    every_second = whole[:, ::2, ::2]
    a, *_, e, _ = open_scene(every_second).transform
    assert (a, e) == (1.0, -1.0)
    assert tuple(part.rio.transform(recalc=True))[:6] == open_scene(part).transform
    row = whole[:, 10:11]
    assert open_scene(row).transform == (0.5, 0, 500_000, 0, -0.5, 5_399_995)


def test_degrees_without_a_datum_are_wgs_84_as_climate_files_mean_them():
    lon = ("lon", np.arange(10.05, 11, 0.1, "float32"), {"units": "degrees_east"})
    lat = ("lat", np.arange(50.95, 50, -0.1, "float32"), {"units": "degrees_north"})
    array = xr.DataArray(
        np.ones((10, 10), "f4"), dims=("lat", "lon"), coords={"lat": lat, "lon": lon}
    )
    scene = open_scene(array)
    assert scene.crs.to_epsg() == 4326
    assert scene.transform == pytest.approx((0.1, 0, 10, 0, -0.1, 51), abs=1e-5)


@pytest.mark.parametrize("form", ["numpy", "dask", "one variable per band"])
def test_signed_bytes_that_are_meant_unsigned_are_those_of_the_unsigned_array(texture, form):
    image = texture(200, 300, 3, "uint8")
    image[:, :90] = 255
    attrs = {"_Unsigned": "true", "_FillValue": np.int8(-1)}
    stored = image.astype("int8")
    if form == "one variable per band":
        names = ("red", "green", "blue")
        obj = xr.Dataset({n: (("y", "x"), p, attrs) for n, p in zip(names, stored, strict=True)})
        fill = {"_FillValue": 255}
        plain = xr.Dataset({n: (("y", "x"), p, fill) for n, p in zip(names, image, strict=True)})
    else:
        data = stored if form == "numpy" else dask.array.from_array(stored, chunks=(1, 64, 64))
        obj = xr.DataArray(data, dims=("band", "y", "x"), attrs=attrs)
        plain = xr.DataArray(image, dims=("band", "y", "x"), attrs={"_FillValue": 255})
    assert open_scene(obj).dtype == "uint8"
    assert_same_tiles(reader_of(obj, bands=(1, 2, 3)), reader_of(plain, bands=(1, 2, 3)))


def test_a_missing_value_that_is_kept_as_text_counts(texture):
    image = texture(60, 80, 1, "int16")[0]
    image[:20] = -9999
    array = xr.DataArray(image, dims=("y", "x"), attrs={"missing_value": "-9999"})
    _, valid = reader_of(array, tile_size=96).read_box(Box(0, 0, 80, 60), (60, 80))
    assert (valid == (image != -9999)).all()
    no_number = array.assign_attrs(missing_value="none")
    assert open_scene(no_number).mask_kind == "none"


def test_pixels_counted_without_a_crs_are_no_place(texture):
    plain = xr.DataArray(texture(30, 40), dims=("band", "y", "x"))
    counted = plain.assign_coords(x=np.arange(40), y=np.arange(30))
    for array in (plain, counted, counted.assign_coords(x=np.arange(40) + 0.5)):
        assert open_scene(array).crs is None
    assert open_scene(plain).georef == open_scene(counted).georef == "none"


IMAGE = np.ones((3, 8, 9), "uint8")
SELECTED = dask.array.from_array(IMAGE[0], chunks=16)
TIMES = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[ns]")
REFUSED = {
    "one dimension": (xr.DataArray(np.ones(5), dims="x"), "rows called y"),
    "no dimensions": (xr.DataArray(1.0), "rows called y"),
    "names that say nothing": (xr.DataArray(IMAGE), "rename"),
    "four dimensions": (
        xr.DataArray(IMAGE[None].repeat(2, 0), dims=("time", "band", "y", "x")), "isel"
    ),
    "a series": (
        xr.DataArray(IMAGE, dims=("time", "y", "x"), coords={"time": TIMES}), r"isel\(time=0\)"
    ),
    "a series that was not decoded": (
        xr.DataArray(IMAGE, dims=("time", "y", "x"), coords={"time": [1, 2, 3]}), "isel"
    ),
    "a series without labels": (xr.DataArray(IMAGE, dims=("date", "y", "x")), r"isel\(date=0\)"),
    "a series by its units": (
        xr.DataArray(IMAGE, dims=("k", "y", "x")).assign_coords(
            k=("k", [0, 6, 12], {"units": "hours since 2020-01-01"})
        ),
        r"isel\(k=0\)",
    ),
    "no rows": (xr.DataArray(IMAGE[:, :0], dims=("band", "y", "x")), "is empty"),
    "no bands": (xr.DataArray(IMAGE[:0], dims=("band", "y", "x")), "is empty"),
    "rows by their values": (
        xr.DataArray(SELECTED[SELECTED[:, 0] > 9], dims=("y", "x")),
        r"compute_chunk_sizes\(\)",
    ),
    "words": (xr.DataArray(np.full((4, 4), "a"), dims=("y", "x")), "must be integers"),
    "objects": (xr.DataArray(np.full((4, 4), None), dims=("y", "x")), "must be integers"),
    "days": (xr.DataArray(np.zeros((4, 4), "M8[ns]"), dims=("y", "x")), "must be integers"),
    "truth": (xr.DataArray(np.zeros((4, 4), bool), dims=("y", "x")), "bool"),
    "uneven steps": (
        xr.DataArray(IMAGE[0], {"x": np.arange(9.0) ** 2, "y": np.arange(8)}, ("y", "x")),
        "irregular",
    ),
    "longitudes on both sides of the antimeridian": (
        xr.DataArray(
            IMAGE[0],
            {"x": [176.0, 177, 178, 179, 180, -179, -178, -177, -176], "y": np.arange(8)},
            ("y", "x"),
        ),
        r"jump by 360.*numpy\.unwrap\(longitudes, period=360\)",
    ),
    "equal places": (
        xr.DataArray(IMAGE[0], dims=("y", "x"), coords={"x": np.ones(9), "y": np.arange(8)}),
        "irregular",
    ),
    **{
        f"the place {bad:g}": (
            xr.DataArray(IMAGE[0], {"x": [bad, *range(8)], "y": np.arange(8)}, ("y", "x")),
            re.escape(f"the coordinate {bad:g} at pixel 0"),
        )
        for bad in (np.inf, -np.inf, np.nan, 1e300)
    },
    "an infinite transform": (
        xr.DataArray(
            IMAGE[0], {"spatial_ref": ((), 0, {"GeoTransform": "0 inf 0 0 0 -1"})}, ("y", "x")
        ),
        "six finite numbers",
    ),
    "control points in too many brackets": (
        xr.DataArray(IMAGE[0], {"spatial_ref": ((), 0, {"gcps": "[" * 100_000})}, ("y", "x")),
        "control points that cannot be read",
    ),
    "RPCs in too many brackets": (
        xr.DataArray(IMAGE[0], {"spatial_ref": ((), 0, {"rpcs": "[" * 100_000})}, ("y", "x")),
        "RPCs that cannot be read",
    ),
    "an unknown CRS": (
        xr.DataArray(IMAGE[0], dims=("y", "x"), attrs={"crs": "EPSG:nowhere"}), "PROJ does not know"
    ),
    "an empty Dataset": (xr.Dataset(), "has no variables, so it shows nothing; a scene is"),
    "two grids": (
        xr.Dataset({"a": (("y", "x"), IMAGE[0]), "b": (("lat", "lon"), IMAGE[0])}), "a scene is"
    ),
    "two images": (
        xr.Dataset({"a": (("c", "y", "x"), IMAGE), "b": (("c", "y", "x"), IMAGE)}), "a scene is"
    ),
    "an empty tree": (xr.DataTree(), "no image"),
    "a list": ([1, 2], "an object of type list is not a scene; give a path"),
    "a number": (7, "an object of type int is not a scene; give a path"),
    "a numpy array of few pixels": (IMAGE, "both its first and its last axis"),
}  # fmt: skip


def test_a_transform_without_an_inverse_does_not_replace_coordinates():
    coords = {"x": np.arange(9) * 10 + 5, "y": np.arange(8) * -10 + 500}
    mapping = (
        (),
        0,
        {"GeoTransform": "0 0 0 0 0 0", "crs_wkt": rasterio.crs.CRS.from_epsg(32633).to_wkt()},
    )
    array = xr.DataArray(IMAGE[0], coords | {"spatial_ref": mapping}, ("y", "x"))
    assert open_scene(array).transform == (10, 0, 0, 0, -10, 505)


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_image_is_refused_with_what_is_allowed(what):
    obj, message = REFUSED[what]
    with pytest.raises(SceneError, match=message):
        open_scene(obj)


@pytest.mark.parametrize("size", [(40, 50), (1, 50), (40, 1)])
def test_variables_with_one_band_each_are_the_bands_of_one_picture(texture, size):
    # so rioxarray opens a netCDF file of several variables
    image = texture(*size)
    single = {n: (("band", "y", "x"), image[i : i + 1]) for i, n in enumerate("rgb")}
    plain = {n: (("y", "x"), image[i]) for i, n in enumerate("rgb")}
    one = reader_of(xr.Dataset(single, coords={"band": [1]}))
    assert_same_tiles(one, reader_of(xr.Dataset(plain)))


def test_tables_beside_a_picture_are_left_out_and_told(texture):
    picture = (("lat", "lon"), texture(40, 50, 1)[0])
    # a variable may have the name of an attribute of the Dataset
    names = (("station", "letter"), np.frombuffer(b"abcdef", "S1").reshape(2, 3))
    dataset = xr.Dataset({"picture": picture, "name": names})
    scene = open_scene(dataset)
    assert scene.count == 1
    assert any("'name' ('station', 'letter')" in told for told in scene.warnings)
    assert_same_tiles(reader_of(dataset), reader_of(dataset[["picture"]]))


@pytest.mark.parametrize(
    ("attrs", "beside", "told"),
    [
        ({"ancillary_variables": "beside"}, {}, "describe others were left out: 'beside'"),
        ({"cell_measures": "area: beside"}, {}, "describe others were left out: 'beside'"),
        ({"coordinates": "beside"}, {}, ""),
        ({}, {"units": "degrees_north"}, ""),
        ({}, {"standard_name": "longitude"}, ""),
    ],
)
def test_what_describes_a_picture_is_no_band_of_it(texture, attrs, beside, told):
    image = texture(40, 50, 2)
    picture, other = (("y", "x"), image[0], attrs), (("y", "x"), image[1], beside)
    dataset = xr.Dataset({"picture": picture, "beside": other})
    scene = open_scene(dataset)
    assert scene.count == 1
    assert told in "".join(scene.warnings)
    assert_same_tiles(reader_of(xr.Dataset({"picture": picture})), reader_of(dataset))
    # who names it alone wants it
    assert open_scene(xr.Dataset({"beside": other})).count == 1


@pytest.mark.parametrize(
    "packed",
    [
        [{"scale_factor": 1e-4, "add_offset": -0.1}, {"scale_factor": 2e-4}],
        [{"scale_factor": np.float32([0.5])}, {"add_offset": np.int16(7)}],
        [{"scales": (0.5, 2.0), "offsets": (3.0, 0.0)}] * 2,
    ],
)
def test_an_index_of_stored_numbers_is_that_of_the_decoded_ones(packed):
    stored = np.random.default_rng(4).integers(1000, 9000, (2, 40, 50)).astype("int16")
    names = ("red", "nir")
    raw = {n: (("y", "x"), stored[i], packed[i]) for i, n in enumerate(names)}
    decoded = {}
    for i, name in enumerate(names):
        scale, offset = packed[i].get("scale_factor", 1), packed[i].get("add_offset", 0)
        if "scales" in packed[i]:
            scale, offset = packed[i]["scales"][i], packed[i]["offsets"][i]
        decoded[name] = (("y", "x"), stored[i] * np.float64(scale) + offset)

    def tiles_of(variables):
        scene = open_scene(xr.Dataset(variables))
        return TileReader(scene, scene.pyramid(64), plan_radiometry(scene, composite="ndvi"))

    assert_same_tiles(tiles_of(raw), tiles_of(decoded), tolerance=1)


@pytest.mark.parametrize("names", [("lat", "lon"), ("nav_lat", "nav_lon"), ("XLAT", "XLONG")])
def test_places_of_single_pixels_are_told_and_not_used(texture, names):
    lat, lon = np.mgrid[50:40:40j, 5:15:50j]
    array = xr.DataArray(texture(40, 50, 1)[0], dims=("y", "x"))
    assert open_scene(array).warnings == ()
    swath = array.assign_coords(
        {names[0]: (("y", "x"), lat + lon / 9), names[1]: (("y", "x"), lon - lat / 9)}
    )
    scene = open_scene(swath)
    assert scene.georef == "none"
    assert any("resample to a regular grid" in told for told in scene.warnings)


def test_a_failing_chunk_is_a_read_error_that_names_the_place():
    def fail(block):
        raise ZeroDivisionError("bad chunk")

    data = dask.array.zeros((64, 64), chunks=32, dtype="uint8").map_blocks(fail, dtype="uint8")
    reader = reader_of(xr.DataArray(data, dims=("y", "x"), name="broken"), 32)
    with pytest.raises(SceneReadError, match=r"'broken'.*rows 0 to 32.*bad chunk"):
        reader.read(Tile(0, 0, 0))


def test_a_tree_uses_its_coarser_groups(texture):
    image = texture(256, 300)
    groups = {
        "0": image,
        "1": np.full((3, 128, 150), 9, "u1"),
        "odd": np.full((3, 99, 98), 5, "u1"),
    }
    groups["2"] = np.full((3, 64, 75), 200, "u1")
    tree = xr.DataTree.from_dict(
        {name: xr.Dataset({"a": (("band", "y", "x"), data)}) for name, data in groups.items()}
    )
    reader = reader_of(tree)
    assert (reader.scene.width, reader.scene.height) == (300, 256)
    assert (reader.read(Tile(0, 0, 0)).rgb == np.moveaxis(image[:, :64, :64], 0, -1)).all()
    # each is what its group says, and what is coarser than all groups is made from the last
    for level, value in ((1, 9), (2, 200), (3, 200)):
        pixels = reader.read(Tile(level, 0, 0))
        assert (pixels.rgb[pixels.valid] == value).all()


def test_a_scene_of_arrays_can_be_pickled_and_has_an_identity_of_its_own(texture):
    array = xr.DataArray(texture(100, 100), dims=("band", "y", "x"))
    scene = open_scene(array)
    copy = pickle.loads(pickle.dumps(scene))
    assert copy.identity == scene.identity != open_scene(array).identity
    readers = [TileReader(s, s.pyramid(64), plan_radiometry(s)) for s in (scene, copy)]
    assert_same_tiles(*readers)


def test_threads_read_the_same_pixels(texture):
    data = dask.array.from_array(texture(512, 512), chunks=(3, 64, 64))
    reader = reader_of(xr.DataArray(data, dims=("band", "y", "x")))
    truth = {tile: reader.read(tile).rgb for tile in all_tiles(reader)}
    wrong = []

    def work():
        wrong.extend(t for t in all_tiles(reader) if (reader.read(t).rgb != truth[t]).any())

    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert wrong == []


def test_arrays_are_let_go_when_the_scene_is(texture):
    class Pixels(np.ndarray):
        """An array that can be watched."""

    image = texture(100, 100).view(Pixels)
    watched = weakref.ref(image)
    reader = reader_of(xr.DataArray(image, dims=("band", "y", "x")))
    reader.read(reader.pyramid.overview)
    del image, reader
    gc.collect()
    assert watched() is None


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_window_of_any_level_is_the_same_in_pieces(data):
    height, width = (data.draw(st.integers(1, 70)) for _ in range(2))
    level = data.draw(st.integers(0, 4))
    image = np.random.default_rng(0).integers(0, 255, (1, height, width)).astype("uint8")
    scene = open_scene(xr.DataArray(image, dims=("band", "y", "x")))
    levels = scene.source.levels
    columns, rows = levels.size(level)
    whole = levels.read((1,), level, slice(0, rows), slice(0, columns)).values
    y0, x0 = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    y1 = data.draw(st.integers(y0 + 1, rows))
    x1 = data.draw(st.integers(x0 + 1, columns))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array_levels_module, "PIECE_BYTES", data.draw(st.integers(2, 2000)))
        patch.setattr(array_levels_module, "READ_AT_ONCE", data.draw(st.integers(0, 500)))
        patch.setattr(array_levels_module, "KEPT_BYTES", data.draw(st.integers(2, 4000)))
        part = levels.read((1,), level, slice(y0, y1), slice(x0, x1)).values
    assert (part == whole[:, y0:y1, x0:x1]).all()


def test_resampling_keeps_the_words_of_rasterio(texture):
    handle = open_scene(xr.DataArray(texture(40, 40), dims=("band", "y", "x"))).source.handle()
    shape = (1, 10, 10)
    assert handle.read([1], out_shape=shape, resampling=Resampling.average).shape == shape
    assert handle.read([1], out_shape=shape).shape == shape
