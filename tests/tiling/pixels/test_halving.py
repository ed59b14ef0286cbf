"""Halving is the rounded mean of what is known, and is GDAL's where GDAL stretches nothing."""

import numpy as np
import pytest
from exact_levels import box_levels, gdal_levels
from hypothesis import given
from hypothesis import strategies as st

from geofovea.errors import GeometryError
from geofovea.tiling.pixels.halving import Known, halve, halved
from geofovea.tiling.pixels.level_grid import GridAxis, read_on_grid

DTYPES = ["uint8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    dtype=st.sampled_from(DTYPES),
    known_share=st.sampled_from([0.3, 0.7, None]),
    needs_half=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_halving_is_the_rounded_mean_of_the_known_pixels(
    height, width, dtype, known_share, needs_half, seed
):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 100, (2, height, width)).astype(dtype)
    if np.dtype(dtype).kind == "i":
        values -= 50
    valid = None if known_share is None else rng.random((2, height, width)) < known_share
    means, known = halve(values, valid, needs_half=needs_half)
    ((truth, truth_known),) = box_levels(values, 1, valid, needs_half=needs_half)
    assert means.dtype == values.dtype
    assert valid is None or np.array_equal(known, truth_known)
    assert np.array_equal(means[truth_known], truth[truth_known])


@pytest.mark.parametrize("size", [(64, 64), (37, 61), (1, 5), (8, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float64"])
def test_levels_equal_gdals_averages(make_tiled, size, dtype):
    values = np.random.default_rng(4).integers(0, 120, (2, *size)).astype(dtype)
    values = values - values.dtype.type(60) if values.dtype.kind == "i" else values
    truths = gdal_levels(make_tiled, values, (2, 4, 8), photometric="minisblack")
    for times, truth in enumerate(truths, 1):
        assert np.array_equal(halved(Known(values, None), times).values, truth)


@pytest.mark.parametrize("number", [1.7e308, -1.7e308])
def test_a_mean_is_right_where_the_sum_is_beyond_the_largest_float(number):
    values = np.full((1, 4, 5), number)
    valid = np.ones(values.shape, bool)
    valid[0, 0, 0] = False
    for known in (None, valid):
        assert halve(values, known).values == pytest.approx(number, rel=1e-15)
    values[0, :2, :2] = [[number, number], [number, 0]]
    assert halve(values, None).values[0, 0, 0] == pytest.approx(number * 0.75)


def test_a_mean_that_falls_on_nodata_moves_to_the_next_number():
    values = np.array([[[6, 8], [6, 8]], [[255, 255], [254, 255]]], np.uint8)
    valid = np.ones(values.shape, bool)
    means, known = halve(values, valid, (7, 255))
    assert known.all()
    assert means.ravel().tolist() == [8, 254]
    means, known = halve(values, ~valid, (7, None))
    assert not known.any()
    assert means.ravel().tolist() == [7, 0]


@given(
    width_level=st.integers(1, 40),
    extent=st.integers(1, 120),
    pieces=st.integers(1, 4096),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_image_of_another_size_is_averaged_by_the_areas_that_pixels_share(
    width_level, extent, pieces, seed
):
    """The oracle: the image enlarged until both grids are whole pixels of it."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 255, (1, 3, extent)).astype("float64")
    valid = rng.random((1, 3, extent)) < 0.8
    rows = GridAxis(0, 3, (1, 1), 3)
    cols = GridAxis(0, width_level, (extent, width_level), extent)

    def read(window):
        part = (..., *window.toslices())
        return Known(values[part], valid[part])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geofovea.tiling.pixels.level_grid.PIECE_PIXELS", pieces)
        means, known = read_on_grid(rows, cols, read, needs_half=False)
    fine = np.repeat(np.where(valid, values, 0), width_level, axis=2)
    areas = np.repeat(valid, width_level, axis=2).reshape(1, 3, width_level, extent).sum(axis=3)
    truth = fine.reshape(1, 3, width_level, extent).sum(axis=3) / np.maximum(areas, 1)
    assert np.array_equal(known, areas > 0)
    assert np.allclose(means[known], truth[known], rtol=1e-9)


def test_a_part_outside_the_image_is_refused():
    assert GridAxis(2, 1, (4, 1), 9).stop == 9
    with pytest.raises(GeometryError, match="outside its image"):
        GridAxis(2, 2, (4, 1), 9)
