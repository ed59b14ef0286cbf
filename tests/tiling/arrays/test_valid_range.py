"""Numbers outside of a range that an array declares are missing, as CF says."""

import dask.array
import numpy as np
import pytest
import xarray as xr
from rasterio.windows import Window

from geofovea.tiling.opening import open_scene
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.pyramid import Tile
from geofovea.tiling.reader import TileReader

STORED = np.add.outer(np.arange(40), np.arange(50))
"""From 0 to 88: numbers of every type."""


def known_of(scene, level=0):
    """Which pixels of a level are known, read tile by tile."""
    pyramid = scene.pyramid(32)
    reader = TileReader(scene, pyramid, plan_radiometry(scene))
    rows, cols = pyramid.grid_shape(level)
    known = np.block(
        [[reader.read(Tile(level, row, col)).valid for col in range(cols)] for row in range(rows)]
    )
    height, width = (-(-side >> level) for side in STORED.shape)
    return known[:height, :width]


def as_netcdf_says(stored, attrs):
    """Which stored numbers netCDF4-python leaves unmasked: its rule, on the numbers as stored."""
    if attrs.get("_Unsigned") == "true":
        stored = stored.view(np.uint8)
        attrs = attrs | {"valid_range": attrs["valid_range"].view(np.uint8)}
    low, high = attrs.get("valid_range", (attrs.get("valid_min"), attrs.get("valid_max")))
    known = np.ones(stored.shape, bool)
    if low is not None:
        known &= stored >= low
    if high is not None:
        known &= stored <= high
    for key in ("_FillValue", "missing_value"):
        if key in attrs:
            known &= stored != attrs[key]
    return known


BYTE, SHORT, FLOAT = np.int8, np.int16, np.float32
CASES = {
    "range": (SHORT, {"valid_range": np.array([5, 60], SHORT)}),
    "minimum": (SHORT, {"valid_min": SHORT(7)}),
    "maximum": (SHORT, {"valid_max": SHORT(70)}),
    "minimum and maximum": (SHORT, {"valid_min": SHORT(3), "valid_max": SHORT(9)}),
    "with fill values": (
        SHORT,
        {"valid_max": SHORT(70), "_FillValue": SHORT(44), "missing_value": SHORT(44)},
    ),
    "floats": (FLOAT, {"valid_range": np.array([5.5, 60], FLOAT)}),
    "packed": (
        SHORT,
        {"valid_range": np.array([5, 60], SHORT), "scale_factor": 0.01, "add_offset": 270.0},
    ),
    "packed as rounded floats": (
        SHORT,
        {
            "valid_range": np.array([7, 61], SHORT),
            "scale_factor": FLOAT(0.1),
            "_FillValue": SHORT(9),
        },
    ),
    "packed upside down": (SHORT, {"valid_max": SHORT(60), "scale_factor": -0.5}),
    "unsigned": (BYTE, {"valid_range": np.array([5, -56], BYTE), "_Unsigned": "true"}),
    "unsigned and packed": (
        BYTE,
        {"valid_range": np.array([5, -56], BYTE), "_Unsigned": "true", "scale_factor": 0.5},
    ),
}


@pytest.mark.parametrize("is_decoded", [True, False], ids=["decoded", "as stored"])
@pytest.mark.parametrize("case", CASES)
def test_what_netcdf_masks_in_a_file_is_missing(tmp_path, case, is_decoded):
    dtype, attrs = CASES[case]
    # bytes beyond 127 are negative as stored
    stored = (2 * STORED).astype(np.uint8).view(BYTE) if dtype is BYTE else STORED.astype(dtype)
    variable = xr.Variable(("y", "x"), stored, attrs)
    xr.Dataset({"sst": variable}).to_netcdf(tmp_path / "a.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "a.nc", engine="scipy", mask_and_scale=is_decoded) as opened:
        scene = open_scene(opened.load())
    expected = as_netcdf_says(stored, attrs)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(known_of(scene), expected)
    assert [note for note in scene.warnings if "are missing, for the array declares valid" in note]


def test_a_range_of_floats_for_packed_numbers_is_about_decoded_ones():
    # as the users' guide of netCDF says: the wider type is that of the unpacked numbers
    attrs = {"valid_range": np.array([0.5, 0.7]), "scale_factor": 0.01}
    array = xr.DataArray(STORED.astype(np.int16), dims=("y", "x"), attrs=attrs)
    expected = (STORED >= 50) & (STORED <= 70)
    np.testing.assert_array_equal(known_of(open_scene(array)), expected)
    decoded = xr.decode_cf(array.to_dataset(name="a"))["a"]
    np.testing.assert_array_equal(known_of(open_scene(decoded)), expected)


def test_a_pixel_is_missing_where_one_band_is_outside_of_its_range_and_coarser_levels_know():
    bands = {
        "a": xr.DataArray(STORED.astype(np.uint8), dims=("y", "x"), attrs={"valid_min": 5}),
        "b": xr.DataArray(STORED.astype(np.uint8), dims=("y", "x"), attrs={"valid_max": 70}),
        "c": xr.DataArray(STORED.astype(np.uint8), dims=("y", "x"), attrs={"_FillValue": 0}),
    }
    scene = open_scene(xr.Dataset(bands))
    expected = (STORED >= 5) & (STORED <= 70)
    np.testing.assert_array_equal(known_of(scene), expected)
    halves = expected.reshape(20, 2, 25, 2).sum(axis=(1, 3)) >= 2
    np.testing.assert_array_equal(known_of(scene, 1), halves)


def test_a_range_costs_the_pixels_that_are_read():
    computed = []

    def block(x):
        computed.append(x.shape)
        return x

    pixels = dask.array.zeros((4096, 4096), chunks=512, dtype=np.uint8).map_blocks(
        block, dtype=np.uint8
    )
    computed.clear()
    scene = open_scene(xr.DataArray(pixels, dims=("y", "x"), attrs={"valid_range": [1, 9]}))
    assert computed == []
    handle = scene.source.handle()
    assert not handle.read_masks([1], window=Window(0, 0, 100, 100)).any()
    assert len(computed) == 1


@pytest.mark.parametrize(
    ("pixels", "attrs", "why"),
    [
        (STORED * 0.5, {"valid_range": [0, 100]}, "may have been computed"),
        (STORED.astype(np.uint8), {"valid_range": [9, 3]}, "no number is at least 9"),
        (STORED.astype(np.uint8), {"valid_range": 3}, "is not two numbers"),
        (STORED.astype(np.uint8), {"valid_min": "low"}, "is not a number"),
        (STORED.astype(np.float32), {"valid_min": float("nan")}, "is not a number"),
        (
            STORED.astype(np.int16),
            {"valid_min": 0.5, "scale_factor": 0},
            "scale_factor and add_offset are not a number each",
        ),
    ],
    ids=str,
)
def test_a_range_that_cannot_be_meant_is_told_and_not_applied(pixels, attrs, why):
    scene = open_scene(xr.DataArray(pixels, dims=("y", "x"), attrs=attrs))
    (note,) = scene.warnings
    assert "which is not applied" in note
    assert why in note
    assert known_of(scene).all()


def test_a_range_in_the_text_of_an_attribute_is_read_as_numbers():
    array = xr.DataArray(STORED.astype(np.uint8), dims=("y", "x"), attrs={"valid_min": "5"})
    np.testing.assert_array_equal(known_of(open_scene(array)), STORED >= 5)
