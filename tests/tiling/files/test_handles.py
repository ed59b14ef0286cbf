"""Handles belong to one process and thread, and GDAL's settings to the reads alone."""

import os
import pickle
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio

from geofovea.errors import SceneReadError
from geofovea.tiling import TileReader, open_scene, plan_radiometry
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import MAX_HANDLES_PER_THREAD, open_handle, read_errors


def test_a_thread_keeps_one_handle_per_image_and_a_bounded_number(make_tiled, texture):
    scene = open_scene(make_tiled(texture(128, 128), overviews=(2,)))
    with gdal_settings():
        first = open_handle(scene.source)
        assert open_handle(scene.source) is first
        assert open_handle(scene.source, 0) is not first
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(open_handle, scene.source).result() is not first
        for number in range(MAX_HANDLES_PER_THREAD):
            other = open_scene(make_tiled(texture(9, 9), f"{number}.tif"))
            open_handle(other.source)
        assert first.closed
        assert not open_handle(scene.source).closed


def test_a_handle_shows_one_image_so_that_gdal_cannot_pick_another(make_tiled, texture):
    scene = open_scene(make_tiled(texture(256, 256), overviews=(2, 4)))
    with gdal_settings():
        assert [open_handle(scene.source, k).width for k in (None, 0, 1)] == [256, 128, 64]
        assert [open_handle(scene.source, k).overviews(1) for k in (None, 0, 1)] == [[]] * 3


def test_a_failure_of_gdal_is_a_read_error_that_names_file_and_reason(make_tiled, texture):
    source = open_scene(make_tiled(texture(9, 9))).source
    with (
        pytest.raises(SceneReadError, match=r"scene\.tif.*no such thing.*gdalinfo"),
        read_errors(source),
    ):
        raise rasterio.errors.RasterioIOError("no such thing")


@pytest.mark.parametrize("tiled", [True, False])
def test_eight_threads_read_the_tiles_that_one_thread_reads(make_tiled, texture, tiled):
    layout = {} if tiled else {"tiled": False, "blockxsize": 900, "blockysize": 8}
    scene = open_scene(make_tiled(texture(700, 900), overviews=(2, 4) if tiled else (), **layout))
    pyramid = scene.pyramid(64)
    radiometry = plan_radiometry(scene)
    reader = TileReader(scene, pyramid, radiometry)
    tiles = [t for level in range(4) for t in pyramid.tiles(level)]
    alone = {tile: reader.read(tile).rgb for tile in tiles}
    shuffled = [tiles[i] for i in np.random.default_rng(0).integers(0, len(tiles), 600)]
    shared = TileReader(scene, pyramid, radiometry)
    with ThreadPoolExecutor(8) as pool:
        for tile, pixels in zip(shuffled, pool.map(shared.read, shuffled), strict=True):
            assert (pixels.rgb == alone[tile]).all()


FORK_SCRIPT = """
    import os, sys, warnings
    from geofovea.tiling import Tile, TileReader, open_scene, plan_radiometry
    from geofovea.tiling.files.gdal_settings import gdal_settings
    from geofovea.tiling.files.handles import open_handle
    scene = open_scene(sys.argv[1])
    pyramid = scene.pyramid(64)
    reader = TileReader(scene, pyramid, plan_radiometry(scene))
    tiles = list(pyramid.tiles(0))
    truth = [reader.read(t).rgb for t in tiles]
    handle = open_handle(scene.source)
    children = []
    with gdal_settings():  # held while forking: the child must neither wait for it nor miss it
        for _ in range(3):
            child = os.fork()
            if child == 0:
                right = all((reader.read(t).rgb == p).all() for t, p in zip(tiles, truth))
                own = open_handle(scene.source) is not handle
                os._exit(0 if right and own else 1)
            children.append(child)
    right = all((reader.read(t).rgb == p).all() for t, p in zip(tiles, truth))
    codes = [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children]
    sys.exit(0 if right and codes == [0, 0, 0] else 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("tiled", [True, False])
def test_children_of_a_fork_read_right_beside_their_parent(make_tiled, texture, tiled):
    layout = {} if tiled else {"tiled": False, "blockxsize": 500, "blockysize": 8}
    path = make_tiled(texture(500, 500), **layout)
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORK_SCRIPT), str(path)]
    result = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def _mean_of_overview(scene):
    pyramid = scene.pyramid(64)
    pixels = TileReader(scene, pyramid, plan_radiometry(scene)).read(pyramid.overview)
    return float(pixels.rgb.mean())


@pytest.mark.slow
def test_a_scene_travels_to_a_spawned_process(make_tiled, texture):
    scene = open_scene(make_tiled(texture(200, 200)))
    script = (
        "import pickle, sys; from geofovea.tiling import *; "
        "scene = pickle.load(sys.stdin.buffer); p = scene.pyramid(64); "
        "r = TileReader(scene, p, plan_radiometry(scene)); "
        "print(float(r.read(p.overview).rgb.mean()))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps(scene), capture_output=True, check=True
    )
    assert float(result.stdout) == _mean_of_overview(scene)


def test_importing_the_room_imports_no_torch():
    code = "import sys, geofovea.tiling; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_process_with_too_many_open_files_is_not_told_that_its_scene_is_damaged(make_tiled):
    resource = pytest.importorskip("resource")
    scene = open_scene(make_tiled(np.ones((1, 64, 64), "uint8")))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(SceneReadError) as unopened:
            open_scene(scene.path)
        with gdal_settings(), pytest.raises(SceneReadError) as unread:
            open_handle(scene.source)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    for refused in (unopened, unread):
        told = str(refused.value)
        assert "Too many open files; this process may open no more files" in told
        assert "damaged" not in told
        assert "permissions" not in told
