"""A file that does not hold what was written to it is not believed."""

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from geofovea.errors import SceneReadError
from geofovea.tiling.overviews.write_check import WriteCheck


@pytest.fixture
def written(tmp_path):
    """A file with values, a hole in its mask and a band that is not a number in places."""
    values = np.random.default_rng(3).random((2, 64, 96), np.float32)
    values[:, :5] = np.nan
    valid = np.ones((64, 96), bool)
    valid[10:20, 30:40] = False
    path, proof = tmp_path / "level.tif", WriteCheck()
    profile = {"driver": "GTiff", "width": 96, "height": 64, "count": 2, "dtype": "float32"}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", tiled=True, blockxsize=16, blockysize=16, **profile) as target,
    ):
        for row in (0, 32):
            window = Window(0, row, 96, 32)
            target.write(values[:, row : row + 32], window=window)
            target.write_mask(valid[row : row + 32], window=window)
            proof.add(window, values[:, row : row + 32], valid[row : row + 32])
    return path, proof


def test_a_file_with_all_that_was_written_passes(written):
    path, proof = written
    proof.check(path)


@pytest.mark.parametrize("what", ["values", "mask"])
def test_a_block_of_zeros_is_found(written, what):
    path, proof = written
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as target:
        window = Window(16, 48, 16, 16)
        if what == "values":
            target.write(np.zeros((2, 16, 16), np.float32), window=window)
        else:
            target.write_mask(np.zeros((16, 16), bool), window=window)
    with pytest.raises(SceneReadError, match=r"rows 32 to 64.*may be full"):
        proof.check(path)
