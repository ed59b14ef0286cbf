"""What an array names and does not prove is told."""

import numpy as np
import pytest
import xarray as xr

from geofovea.tiling.opening import open_scene

LAT, LON = 48 - np.arange(40) * 1e-3, 11 + np.arange(50) * 1e-3


def array(dims=("y", "x"), units=(None, None), attrs=None):
    coords = {
        dim: (dim, labels, {"units": unit} if unit else {})
        for dim, labels, unit in zip(dims, (LAT, LON), units, strict=True)
    }
    pixels = np.arange(2000, dtype=np.uint8).reshape(40, 50)
    return xr.DataArray(pixels, dims=dims, coords=coords, attrs=attrs or {})


@pytest.mark.parametrize("dims", [("lat", "lon"), ("latitude", "longitude"), ("Lat", "Lon")])
def test_axes_that_are_degrees_by_name_alone_say_what_to_set(dims):
    scene = open_scene(array(dims))
    assert scene.georeference.crs is None
    (note,) = scene.warnings
    assert note.startswith(f"the axes {dims[0]!r} and {dims[1]!r} name no units and no CRS")
    placed = open_scene(array(dims, ("degrees_north", "degrees_east")))
    assert placed.georeference.crs.to_epsg() == 4326
    assert placed.warnings == ()


def test_other_axes_have_no_such_note():
    assert open_scene(array()).warnings == ()
    assert open_scene(array(("lat", "lon"), ("m", "m"))).warnings == ()
