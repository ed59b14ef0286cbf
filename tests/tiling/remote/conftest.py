"""Far-away scenes on a server of this machine."""

import pytest
from range_server import serving
from rasterio.shutil import copy as copy_raster

from geofovea.tiling.remote import client


@pytest.fixture
def served(make_tiled, texture, tmp_path):
    """A server of a COG, and the same file on disk."""
    plain = make_tiled(texture(1000, 1200), "plain.tif")
    path = tmp_path / "scene.tif"
    copy_raster(plain, path, driver="COG", BLOCKSIZE=128, COMPRESS="DEFLATE")
    with serving(path.read_bytes()) as server:
        server.local = path
        yield server


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(client, "_PAUSE_SECONDS", 0.0)
