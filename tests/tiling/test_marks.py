"""What marks missing pixels: nodata in any type, alpha of any depth, several marks at once."""

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from geofovea.pipeline.cli.options.scene import _nodata
from geofovea.tiling import TileReader, inspect_scene, open_scene, plan_radiometry
from geofovea.tiling.marks import (
    as_stored,
    equals_nodata,
    join_bands,
    opaque_number,
    out_of_type,
)

SIDE = 64


@pytest.mark.parametrize(
    ("number", "dtype", "stored"),
    [
        (-9999.9, "float32", np.float32(-9999.9)),
        (1e20, "float32", np.float32(1e20)),
        (-3.4028235e38, "float32", np.finfo("float32").min),
        (1e39, "float32", None),
        (np.inf, "float32", np.float32(np.inf)),
        (300, "uint8", None),
        (255.0, "uint8", 255),
        (-1, "uint16", None),
        (0.5, "int16", None),
        (np.nan, "int16", None),
        (2**64 - 1, "uint64", 2**64 - 1),
        (-(2**63), "int64", -(2**63)),
        (2**63 - 1, "int64", 2**63 - 1),
        (2**63, "int64", None),
    ],
)
def test_nodata_is_what_a_pixel_holds_of_it(number, dtype, stored):
    assert as_stored(number, np.dtype(dtype)) == stored
    assert bool(out_of_type(number, np.dtype(dtype))) == (stored is None)
    held = np.array([1, 0 if stored is None else stored], dtype)
    assert equals_nodata(held, number).tolist() == [False, stored is not None]


@given(st.floats(width=64, allow_nan=False, allow_infinity=False))
def test_any_double_marks_the_float_that_it_is_stored_as(number):
    with np.errstate(over="ignore"):
        held = np.array([number]).astype(np.float32)
    if np.isfinite(held[0]):
        assert equals_nodata(held, number).all()


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_of_64_bits_are_told_apart_to_the_last(one, other):
    assert equals_nodata(np.array([one]), other).tolist() == [one == other]


@pytest.mark.parametrize(
    ("dtype", "largest", "bits", "opaque"),
    [
        ("uint8", 255, 0, 255),
        ("uint8", 1, 0, 1),
        ("uint8", 0, 0, 255),
        ("uint8", 3, 2, 3),
        ("uint16", 255, 0, 255),
        ("uint8", 100, 0, 100),
        ("uint16", 256, 0, 10000),
        ("uint16", 10001, 0, 65535),
        ("uint16", 1023, 0, 1023),
        ("uint16", 4095, 0, 4095),
        ("uint16", 4094, 0, 10000),
        ("float32", 16383, 0, 16383),
        ("int16", 255, 0, 255),
        ("int16", 10000, 0, 10000),
        ("int16", 10001, 0, 32767),
        ("uint32", 65535, 0, 65535),
        ("float32", 1.0, 0, 1),
        ("float32", 0.4, 0, 1),
        ("float64", 254.5, 0, 255),
        ("float32", 100, 0, 100),
        ("float32", 65535, 0, 65535),
        ("float32", 1e6, 0, 1e6),
    ],
)
def test_opaque_is_the_smallest_usual_number_that_none_exceeds(dtype, largest, bits, opaque):
    assert opaque_number(np.dtype(dtype), largest, bits) == opaque


def test_a_nodata_value_that_is_a_color_needs_all_bands_and_others_one():
    masks = np.array([[[True, False, False]], [[True, True, False]], [[True, True, False]]])
    assert join_bands(masks, (0, 0, 0), "uint8").tolist() == [[True, True, False]]
    assert join_bands(masks, (7, 7, 7), "uint8").tolist() == [[True, False, False]]
    # a value of one band that is not a color counts by itself
    assert join_bands(masks, (7, 0, 0), "uint8").tolist() == [[True, False, False]]


@pytest.mark.parametrize(
    ("text", "number"), [("18446744073709551615", 2**64 - 1), ("-9999", -9999)]
)
def test_the_shell_keeps_all_digits_of_a_nodata_value(text, number):
    assert _nodata(text) == number


def shares(source, **options):
    scene = open_scene(source, **options)
    reader = TileReader(scene, scene.pyramid(SIDE), plan_radiometry(scene))
    return reader.radiometry, reader.read_box(scene.box, (scene.height, scene.width))[1].mean()


@pytest.mark.parametrize(
    ("dtype", "number"),
    [
        ("float32", -9999.9),
        ("float32", 1e20),
        ("float32", -3.4028235e38),
        ("float64", 0.1),
        ("int32", -99999),
        ("uint64", 2**64 - 1),
        ("int64", -(2**63)),
    ],
)
def test_a_declared_value_marks_its_pixels_in_any_type(make_tiled, dtype, number):
    values = np.random.default_rng(0).integers(5, 90, (1, SIDE, SIDE)).astype(dtype)
    values[:, : SIDE // 2] = number
    radiometry, share = shares(make_tiled(values), nodata=number)
    assert share == 0.5
    assert 4 < radiometry.stretch[0][0] < radiometry.stretch[0][1] < 91


@pytest.mark.parametrize(("dtype", "number"), [("uint8", 300), ("int16", np.nan), ("int16", 0.5)])
def test_a_declared_value_that_no_pixel_can_have_is_said(make_tiled, dtype, number):
    values = np.full((1, SIDE, SIDE), 7, dtype)
    radiometry, share = shares(make_tiled(values), nodata=number)
    assert share == 1
    assert "marks nothing" in " ".join(radiometry.warnings)


def test_a_value_of_an_array_that_no_pixel_can_have_is_said():
    array = xr.DataArray(
        np.full((SIDE, SIDE), 7, np.uint8), dims=("y", "x"), attrs={"_FillValue": -9999}
    )
    radiometry, share = shares(array)
    assert share == 1
    assert "marks nothing" in " ".join(radiometry.warnings)


FILLS = {"int16": (-1, -1, -9999), "uint16": (65535, 7, 0), "float32": (-1.0, np.nan, -9999.9)}


@pytest.mark.parametrize("dtype", FILLS)
@pytest.mark.parametrize("place", ["attrs", "encoding"])
def test_each_variable_of_a_dataset_has_a_fill_value_of_its_own(dtype, place):
    if place == "encoding" and dtype == "float32":
        pytest.skip("what is decoded to floats has no fill value left")
    planes = {}
    for name, fill, rows in zip(("red", "green", "blue"), FILLS[dtype], (10, 10, 30), strict=True):
        plane = np.random.default_rng(1).integers(50, 90, (100, 100)).astype(dtype)
        plane[:rows] = fill
        planes[name] = xr.DataArray(plane, dims=("y", "x"))
        getattr(planes[name], place)["_FillValue"] = fill
    radiometry, _ = shares(xr.Dataset(planes))
    assert all(49 <= low < high <= 90 for low, high in radiometry.stretch)


def test_an_alpha_band_beside_nodata_is_noted(make_raster):
    values = np.full((4, SIDE, SIDE), 200, np.uint8)
    path = make_raster(values, photometric="rgb", alpha="yes", nodata=0)
    scene = open_scene(path)
    notes = " ".join(inspect_scene(scene, scene.pyramid(SIDE)).notes)
    assert "an alpha band and a nodata value both mark missing pixels" in notes


def test_a_nodata_value_that_a_mask_hides_is_noted_and_counts_if_it_is_declared(make_raster):
    values = np.full((1, SIDE, SIDE), 200, np.uint8)
    values[:, :16] = 7
    known = np.ones((SIDE, SIDE), bool)
    known[:, :16] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = make_raster(values, nodata=7)
        with rasterio.open(path, "r+") as file:
            file.write_mask(known)
    scene = open_scene(path)
    notes = " ".join(inspect_scene(scene, scene.pyramid(SIDE)).notes)
    assert "the file has a mask and says nodata=7; its mask alone marks missing pixels" in notes
    for declared, right in ((None, known), (7, known & (values[0] != 7))):
        scene = open_scene(path, nodata=declared)
        reader = TileReader(scene, scene.pyramid(SIDE), plan_radiometry(scene))
        assert (reader.read_box(scene.box, (SIDE, SIDE))[1] == right).all()


@pytest.mark.parametrize(
    ("dtype", "value", "masked", "told"),
    [
        ("uint8", 7, 16, ""),
        ("uint8", 7, 8, "14.3% of the pixels that the mask of the file leaves in hold its nodata"),
        ("int16", -9, 0, "25.0% of the pixels that the mask of the file leaves in hold its nodata"),
        ("float32", -9, 8, "declare it with nodata=-9 to leave out both"),
    ],
)
def test_how_pixels_are_shown_warns_of_nodata_that_a_mask_leaves_in(
    make_raster, dtype, value, masked, told
):
    values = np.full((1, SIDE, SIDE), 200, dtype)
    values[:, :16] = value
    known = np.ones((SIDE, SIDE), bool)
    known[:masked] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = make_raster(values, nodata=value)
        with rasterio.open(path, "r+") as file:
            file.write_mask(known)
    warnings = " ".join(plan_radiometry(open_scene(path)).warnings)
    assert told in warnings if told else "mask" not in warnings
    assert "mask" not in " ".join(plan_radiometry(open_scene(path, nodata=value)).warnings)


def test_blocks_that_were_never_written_are_said(tmp_path):
    path = tmp_path / "sparse.tif"
    profile = {"driver": "GTiff", "width": 256, "height": 256, "count": 1, "dtype": "uint8"}
    profile |= {"tiled": True, "blockxsize": 64, "blockysize": 64, "sparse_ok": True}
    profile |= {"transform": rasterio.Affine(2, 0, 0, 0, -2, 0)}
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.full((1, 128, 256), 9, np.uint8), window=((0, 128), (0, 256)))
    assert "50.0% of the blocks of the file were never written" in open_scene(path).warnings[0]
    with rasterio.open(path, "w", nodata=0, **profile) as file:
        file.write(np.full((1, 128, 256), 9, np.uint8), window=((0, 128), (0, 256)))
    assert open_scene(path).warnings == ()
