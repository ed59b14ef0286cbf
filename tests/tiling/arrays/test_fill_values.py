"""All numbers that CF lets a variable declare to be no pixels count, decoded or not."""

import numpy as np
import pytest
import xarray as xr

from geofovea.tiling import TileReader, open_scene, plan_radiometry

IMAGE = np.add.outer(np.arange(40), np.arange(30)).astype("int16")
IMAGE[:8], IMAGE[8:20] = -999, -32768
NUMBER, OTHER = np.int16(-32768), np.int16(-999)


def valid(obj):
    scene = open_scene(obj)
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    return reader.read_box(scene.box, IMAGE.shape)[1]


@pytest.mark.parametrize(
    ("attrs", "missing"),
    [
        ({"_FillValue": NUMBER}, [-32768]),
        ({"missing_value": OTHER}, [-999]),
        ({"_FillValue": NUMBER, "missing_value": OTHER}, [-32768, -999]),
        ({"missing_value": np.array([OTHER, NUMBER])}, [-32768, -999]),
        ({"_FillValue": NUMBER, "missing_value": np.array([OTHER, NUMBER])}, [-32768, -999]),
        ({"_FillValue": 1e20, "missing_value": OTHER}, [-999]),
    ],
)
@pytest.mark.filterwarnings("ignore:variable 'pixels' has:xarray.SerializationWarning")
def test_every_number_that_a_variable_declares_is_missing(attrs, missing):
    stored = xr.Dataset({"pixels": (("y", "x"), IMAGE, attrs)})
    known = ~np.isin(IMAGE, missing)
    assert (valid(stored) == known).all()
    # the oracle: what xarray itself takes for missing
    decoded = xr.decode_cf(stored)
    assert (decoded["pixels"].notnull() == known).all()
    assert (valid(decoded) == known).all()


def test_a_number_written_as_text_that_decoding_leaves_in_place_is_missing():
    stored = xr.Dataset({"pixels": (("y", "x"), IMAGE, {"missing_value": "-999"})})
    decoded = xr.decode_cf(stored)
    assert (valid(decoded) == (IMAGE != -999)).all()


def test_levels_with_numbers_of_their_own_miss_all_of_these():
    attrs = {"_FillValue": NUMBER, "missing_value": OTHER}
    fine = np.full((64, 64), 50, "int16")
    coarse = np.full((32, 32), 60, "int16")
    coarse[:5], coarse[5:9] = -7, -8
    tree = xr.DataTree.from_dict(
        {
            "0": xr.Dataset({"a": (("y", "x"), fine, attrs)}),
            "1": xr.Dataset({"a": (("y", "x"), coarse, {"missing_value": np.int16([-7, -8])})}),
        }
    )
    handle = open_scene(tree).source.handle(0)
    assert ((handle.read_masks([1])[0] > 0) == (coarse == 60)).all()
