"""A TIFF that was cut off while it was written is found out before anybody reads it."""

import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy as copy_raster

from geofovea.errors import SceneReadError
from geofovea.tiling.files.verify import check_whole

COPY = """
import os, resource, sys
from rasterio.shutil import copy
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
copy(sys.argv[1], sys.argv[2], driver="COG", COMPRESS="DEFLATE", BLOCKSIZE=128)
"""


@pytest.fixture
def cog(make_tiled, texture, tmp_path):
    plain = make_tiled(texture(600, 700), "plain.tif")
    path = tmp_path / "scene.tif"
    copy_raster(plain, path, driver="COG", COMPRESS="DEFLATE", BLOCKSIZE=128)
    return plain, path


@pytest.mark.parametrize(
    "options",
    [{}, {"interleave": "band"}, {"tiled": False, "blockxsize": None, "blockysize": 8}],
    ids=["pixel", "band", "striped"],
)
def test_a_whole_tiff_passes(make_tiled, texture, cog, options):
    check_whole(cog[1])
    check_whole(make_tiled(texture(200, 300), overviews=(2, 4), **options))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999])
def test_a_tiff_that_was_cut_off_does_not_pass(cog, share):
    path = cog[1]
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(SceneReadError, match=r"not whole|could not be read"):
        check_whole(path)


def test_a_tiff_that_lacks_a_block_does_not_pass(tmp_path):
    profile = {"width": 256, "height": 256, "count": 1, "dtype": "uint8", "SPARSE_OK": True}
    profile |= {"tiled": True, "blockxsize": 64, "blockysize": 64}
    with rasterio.open(tmp_path / "scene.tif", "w", driver="GTiff", **profile) as dataset:
        window = rasterio.windows.Window(0, 0, 64, 64)
        dataset.write(np.ones((1, 64, 64), "uint8"), window=window)
    with pytest.raises(SceneReadError, match=r"block \(0, 1\) of its native image"):
        check_whole(tmp_path / "scene.tif")


@pytest.mark.skipif(os.name != "posix", reason="limits of file sizes are a Unix thing")
@pytest.mark.parametrize("share", [0.95, 0.999])
def test_what_rasterio_wrote_to_a_full_disk_never_passes_for_whole(cog, tmp_path, share):
    plain, path = cog
    target = tmp_path / "cut.tif"
    limit = str(int(path.stat().st_size * share))
    # whether rasterio notices depends on what was written last; the check must not depend on it
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COPY, str(plain), str(target), limit],
        check=False,
        capture_output=True,
        timeout=120,
    )
    if target.exists():
        with pytest.raises(SceneReadError):
            check_whole(target)
