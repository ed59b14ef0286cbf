"""Far-away scenes on a server of this machine."""

import pytest
from range_server import serving
from rasterio.shutil import copy as copy_raster

from geofovea.tiling.remote import client

# the same file for all tests, made once
_SERVED: list[bytes] = []


@pytest.fixture
def served(make_tiled, texture, tmp_path):
    """A server of a COG, and the same file on disk."""
    path = tmp_path / "scene.tif"
    if not _SERVED:
        plain = make_tiled(texture(1000, 1200), "plain.tif")
        copy_raster(plain, path, driver="COG", BLOCKSIZE=128, COMPRESS="DEFLATE")
        _SERVED.append(path.read_bytes())
    path.write_bytes(_SERVED[0])
    with serving(_SERVED[0]) as server:
        server.local = path
        yield server


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(client, "_PAUSE_SECONDS", 0.0)
