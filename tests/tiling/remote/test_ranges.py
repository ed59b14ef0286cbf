"""Scenes that are far away: the same pixels, in few requests and few bytes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from range_server import LOOPBACK, descend, open_far, serving
from rasterio.shutil import copy as copy_raster

from geofovea.errors import SceneReadError, SceneRefusedError
from geofovea.tiling import open_scene


def test_a_far_scene_reads_as_the_same_file_on_disk(served):
    near, far = open_scene(served.local), open_far(served)
    assert (far.width, far.height, far.overviews) == (near.width, near.height, near.overviews)
    assert far.size_bytes == near.size_bytes
    for ours, theirs in zip(descend(far), descend(near), strict=True):
        assert (ours == theirs).all()


def test_threads_read_a_far_scene_alike_and_share_what_was_fetched(served):
    scene = open_far(served)
    alone = descend(scene)
    requests = len(served.requests)
    with ThreadPoolExecutor(4) as pool:
        for pixels in pool.map(lambda _: descend(scene), range(8)):
            assert all((a == b).all() for a, b in zip(pixels, alone, strict=True))
    assert len(served.requests) == requests


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_question_costs_few_requests_and_under_three_percent_of_a_large_file(tmp_path):
    rng = np.random.default_rng(0)
    block = rng.integers(0, 255, (3, 512, 512), dtype="uint8")
    plain, path = tmp_path / "plain.tif", tmp_path / "scene.tif"
    profile = {"width": 8192, "height": 8192, "count": 3, "dtype": "uint8"}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "photometric": "rgb"}
    with rasterio.open(plain, "w", driver="GTiff", **profile) as dataset:
        for y in range(0, 8192, 512):
            for x in range(0, 8192, 512):
                window = rasterio.windows.Window(x, y, 512, 512)
                dataset.write(np.roll(block, (x + y) // 7, axis=2), window=window)
    copy_raster(plain, path, driver="COG", BLOCKSIZE=256, COMPRESS="DEFLATE", RESAMPLING="AVERAGE")
    plain.unlink()
    with serving(path.read_bytes()) as server:
        scene = open_far(server)
        opened = len(server.requests), server.bytes_sent
        # base level of 3 x 3 tiles of 112 px, then four children a level down to native
        descend(scene, 112)
        share = server.bytes_sent / scene.size_bytes
        print(f"open {opened}, in all {len(server.requests)} requests, {share:.2%} of the file")
    assert opened[0] <= 2
    assert share < 0.03
    assert len(server.requests) <= 40


@pytest.mark.parametrize("kind", ["VRT", "PNG", "JPEG"])
def test_far_files_are_sniffed_like_near_ones(make_raster, texture, tmp_path, kind):
    driver = "GTiff" if kind == "VRT" else kind
    path = make_raster(texture(40, 50), f"scene.{kind.lower()}", driver=driver)
    if kind == "VRT":
        copy_raster(path, tmp_path / "scene.tif", driver="VRT")
        path = tmp_path / "scene.tif"
    with serving(path.read_bytes()) as server:
        if kind == "VRT":
            with pytest.raises(SceneRefusedError, match="virtual raster"):
                open_scene(server.url, allow_vrt=True, allow_remote=True, allowed_hosts=LOOPBACK)
            return
        assert open_far(server).width == 50
        server.content = server.content[:-20]
        with pytest.raises(SceneReadError, match="ends before its end mark"):
            open_far(server)
