"""Every block is read once: as many values as there are, and no damage is passed over."""

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from geofovea.errors import SceneReadError
from geofovea.tiling import verification
from geofovea.tiling.opening import open_scene
from geofovea.tiling.verification import verify_scene


def written(path, height, width, bands, **profile):
    pixels = np.random.default_rng(1).integers(0, 255, (bands, height, width), np.uint8)
    shape = {"count": bands, "height": height, "width": width, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **profile) as file:
        file.write(pixels)
    return path


@pytest.mark.parametrize(
    "profile",
    [
        {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"},
        {"blockysize": 1},
        {"blockysize": 700},
        {"tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "band"},
    ],
    ids=["tiles", "rows", "one strip", "bands"],
)
def test_as_many_values_are_read_as_there_are(tmp_path, profile):
    scene = open_scene(written(tmp_path / "a.tif", 700, 900, 3, **profile))
    shares = []
    assert verify_scene(scene, shares.append) == 700 * 900 * 3
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    "profile",
    [{"blockysize": 1}, {"blockysize": 16}, {"tiled": True, "blockxsize": 64, "blockysize": 64}],
    ids=["rows", "strips", "tiles"],
)
@pytest.mark.parametrize("size", [(40, 3000), (3000, 40)], ids=["wide", "high"])
def test_no_read_holds_more_pixels_than_allowed(tmp_path, monkeypatch, profile, size):
    monkeypatch.setattr(verification, "_READ_PIXELS", 64 * 1024)
    scene = open_scene(written(tmp_path / "a.tif", *size, 1, **profile))
    with rasterio.open(scene.path) as file:
        windows = list(verification._windows(file))
    assert max(window.width * window.height for window in windows) <= 64 * 1024
    seen = np.zeros(size, int)
    for window in windows:
        seen[window.toslices()] += 1
    assert (seen == 1).all()


def test_overviews_are_read_too(tmp_path):
    path = written(tmp_path / "a.tif", 512, 512, 1, tiled=True, blockxsize=64, blockysize=64)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.average)
    assert verify_scene(open_scene(path)) == 512**2 + 256**2 + 128**2


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_damage_anywhere_is_found(tmp_path, place):
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    path = written(tmp_path / "a.tif", 900, 900, 1, **profile)
    verify_scene(open_scene(path))
    data = bytearray(path.read_bytes())
    start = int(len(data) * place)
    data[start : start + 60] = b"\xff" * 60
    path.write_bytes(bytes(data))
    with pytest.raises(SceneReadError):
        verify_scene(open_scene(path))
