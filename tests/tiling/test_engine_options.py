"""The xarray engine takes what `open_scene` takes, and names that where it is given more."""

import numpy as np
import pytest
import rasterio
import xarray as xr

from geofovea.errors import GeoFoveaError, SceneError, SceneRefusedError
from geofovea.tiling import TileReader, open_scene, plan_radiometry

WAYS = [xr.open_dataset, xr.open_datatree]


@pytest.fixture
def collar(make_tiled):
    image = np.full((1, 700, 900), 90, "uint8")
    image[:, :128] = 0
    return make_tiled(image)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("option", ["masked", "mask_and_scale", "group_name", "allow_hosts"])
def test_an_option_of_another_engine_is_refused_with_those_of_this_one(way, option, collar):
    with pytest.raises(SceneError, match=f"no option '{option}'; its options are .*allowed_hosts"):
        way(collar, engine="geofovea", **{option: True})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("hosts", [("scenes.invalid",), ["scenes.invalid"], "scenes.invalid"])
def test_following_the_advice_on_a_far_away_scene_asks_its_host(way, hosts):
    url = "https://scenes.invalid/scene.tif"
    with pytest.raises(SceneRefusedError, match=r"allow_remote=True.*allowed_hosts=\('scenes"):
        way(url, engine="geofovea")
    with pytest.raises(GeoFoveaError) as failure:
        way(url, engine="geofovea", allow_remote=True, allowed_hosts=hosts)
    assert not isinstance(failure.value, SceneRefusedError)


@pytest.mark.parametrize("nodata", [0, "auto"])
def test_a_declared_collar_is_missing_on_every_level(collar, nodata):
    tree = xr.open_datatree(collar, engine="geofovea", nodata=nodata)
    declared = open_scene(collar, nodata=nodata)
    scene = open_scene(tree)
    readers = [TileReader(s, s.pyramid(64), plan_radiometry(s)) for s in (declared, scene)]
    for level in range(readers[0].pyramid.top_level + 1):
        for tile in readers[0].pyramid.tiles(level):
            one, other = (reader.read(tile) for reader in readers)
            assert (one.valid == other.valid).all(), tile


def test_a_declared_value_replaces_that_of_the_file(make_tiled):
    image = np.full((1, 300, 300), 90, "uint8")
    image[:, :100], image[:, 100:150] = 7, 0
    path = make_tiled(image, nodata=0)
    mask = xr.open_dataset(path, engine="geofovea", nodata=7).mask.to_numpy()
    assert (mask[:100] == 0).all()
    assert (mask[100:] == 255).all()
    with rasterio.open(path) as file:
        assert file.nodata == 0
    assert xr.open_dataset(path, engine="geofovea", nodata=7).band_data.attrs["_FillValue"] == 7
