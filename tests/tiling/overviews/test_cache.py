"""Level files are built once, found again, and never those of another file or half a build."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from filelock import FileLock

from geofovea.errors import DiskSpaceError, LevelBuildError, OutputError, SceneReadError
from geofovea.tiling import (
    LevelLimits,
    Tile,
    TileReader,
    clear_cache,
    list_cache,
    open_scene,
    plan_radiometry,
    prepare,
)
from geofovea.tiling.cache.folder import cache_folder, cache_limit_bytes
from geofovea.tiling.overviews import cache as cache_module
from geofovea.tiling.overviews.cache import are_prepared

pytestmark = pytest.mark.usefixtures("small_counts_as_large")

COARSE = Tile(2, 0, 0)


@pytest.fixture
def builds(monkeypatch):
    """The scenes whose level files were built, in order."""
    paths = []
    real = cache_module.build_level_files

    def build(scene, *args):
        paths.append(scene.path)
        return real(scene, *args)

    monkeypatch.setattr(cache_module, "build_level_files", build)
    return paths


def only_folder(cache):
    folders = [path for path in cache.iterdir() if path.is_dir()]
    assert len(folders) == 1
    return folders[0]


def test_opening_and_native_tiles_of_a_tiled_scene_build_nothing(
    make_tiled, texture, reader_of, builds, cache_folder
):
    reader = reader_of(make_tiled(texture(300, 400)))
    reader.read(Tile(0, 0, 0))
    assert builds == []
    assert not cache_folder.exists()
    reader.read(COARSE)
    assert len(builds) == 1


def test_files_are_built_once_and_found_by_later_readers(make_tiled, texture, reader_of, builds):
    path = make_tiled(texture(300, 400))
    first = reader_of(path).read(COARSE).rgb
    assert are_prepared(open_scene(path))
    assert np.array_equal(reader_of(path).read(COARSE).rgb, first)
    assert len(builds) == 1


def test_a_small_scene_needs_no_files(make_tiled, texture):
    scene = open_scene(make_tiled(texture(90, 90)))
    assert prepare(scene) is None
    assert not are_prepared(scene)


def test_eight_threads_build_once(make_raster, texture, reader_of, builds):
    reader = reader_of(make_raster(texture(300, 400)))
    with ThreadPoolExecutor(8) as pool:
        tiles = [pixels.rgb for pixels in pool.map(reader.read, [COARSE] * 16)]
    assert all(np.array_equal(tile, tiles[0]) for tile in tiles)
    assert len(builds) == 1


CHILD = """
    import sys, time
    from geofovea.tiling import open_scene, prepare
    from geofovea.tiling.overviews import build as level_building
    from geofovea.tiling.overviews import cache as level_cache
    from geofovea.tiling.overviews import level_files
    level_files.DECODE_ONCE_PIXELS = 10_000
    real = level_cache.build_level_files
    def build(scene, files, folder, watch):
        print("building", flush=True)
        def slow(share):
            watch(share)
            if len(sys.argv) > 2 and share > 0.5:
                print("halfway", flush=True)
                time.sleep(float(sys.argv[2]))
        return real(scene, files, folder, slow)
    level_cache.build_level_files = build
    print("ready", prepare(open_scene(sys.argv[1])).is_current, flush=True)
"""


def start_child(path, *arguments):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(CHILD), str(path), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_at_once_build_once(make_tiled, texture):
    path = make_tiled(texture(300, 400))
    children = [start_child(path, "0.2") for _ in range(2)]
    said = [child.communicate(timeout=120)[0] for child in children]
    assert sum("building" in words for words in said) == 1
    assert all("ready True" in words for words in said)


def test_a_build_that_was_killed_leaves_nothing_that_is_used(
    make_tiled, texture, builds, cache_folder
):
    path = make_tiled(texture(300, 400))
    child = start_child(path, "600")
    for line in child.stdout:
        if "halfway" in line:
            break
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=60)
    assert len(list(cache_folder.glob("building-*"))) == 1
    scene = open_scene(path)
    assert not are_prepared(scene)
    assert list_cache() == []
    assert prepare(scene).is_current
    assert len(builds) == 1
    assert list(cache_folder.glob("building-*")) == []


def test_an_interrupted_build_cleans_up(make_tiled, texture, monkeypatch, cache_folder):
    def interrupted(*args):
        raise KeyboardInterrupt

    scene = open_scene(make_tiled(texture(300, 400)))
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "build_level_files", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(scene)
    assert [path.suffix for path in cache_folder.iterdir()] == [".lock"]
    assert prepare(scene) is not None


@pytest.mark.parametrize("damage", ["folder", "file", "shorter", "same size", "record"])
@pytest.mark.parametrize("same_reader", [True, False])
def test_a_cache_that_is_deleted_or_damaged_is_built_again(
    make_tiled, texture, reader_of, builds, cache_folder, damage, same_reader
):
    path = make_tiled(texture(300, 400))
    reader = reader_of(path)
    truth = reader.read(COARSE).rgb
    folder = only_folder(cache_folder)
    level = sorted(folder.glob("level_*.tif"))[-1]
    content = level.read_bytes()
    if damage == "folder":
        shutil.rmtree(folder)
    elif damage == "file":
        level.unlink()
    elif damage == "shorter":
        level.write_bytes(content[: len(content) // 2])
    elif damage == "same size":
        level.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    else:
        (folder / "record.json").write_text("{")
    again = reader if same_reader else reader_of(path)
    assert np.array_equal(again.read(COARSE).rgb, truth)
    # the record is for those who come, a reader that has the files does not need it
    assert len(builds) == (1 if damage == "record" and same_reader else 2)


def test_threads_that_meet_one_damage_build_again_once(
    make_tiled, texture, reader_of, builds, cache_folder
):
    reader = reader_of(make_tiled(texture(300, 400)))
    truth = reader.read(COARSE).rgb
    for level in only_folder(cache_folder).glob("level_*.tif"):
        level.write_bytes(b"II*\0")
    with ThreadPoolExecutor(8) as pool:
        tiles = [pixels.rgb for pixels in pool.map(reader.read, [COARSE] * 16)]
    assert all(np.array_equal(tile, truth) for tile in tiles)
    assert len(builds) == 2


def test_level_files_of_a_scene_that_changed_show_no_old_pixels(make_tiled, texture, reader_of):
    path = make_tiled(texture(300, 400))
    reader = reader_of(path)
    reader.read(COARSE)
    path.write_bytes(path.read_bytes())
    with pytest.raises(SceneReadError, match="open the scene again"):
        reader.read(COARSE)


def test_another_content_of_a_file_is_another_scene(make_tiled, texture, reader_of, builds):
    path = make_tiled(texture(300, 400))
    old = reader_of(path)
    before, stamp = old.read(COARSE).rgb, path.stat()
    path.unlink()
    make_tiled(255 - texture(300, 400))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    after = reader_of(path).read(COARSE).rgb
    assert np.abs(after.astype(int) - before).mean() > 10
    assert len(builds) == 2
    assert sorted(entry.state for entry in list_cache()) == ["current", "stale"]


def test_a_file_that_changes_during_a_build_is_an_error(make_tiled, texture, monkeypatch):
    path = make_tiled(texture(300, 400))
    scene = open_scene(path)
    real = cache_module.build_level_files

    def build(scene, files, folder, watch):
        os.utime(path, (1, 1))
        return real(scene, files, folder, watch)

    monkeypatch.setattr(cache_module, "build_level_files", build)
    with pytest.raises(SceneReadError, match="changed"):
        prepare(scene)
    assert list_cache() == []


def test_an_empty_cache_lists_and_clears_nothing():
    assert list_cache() == []
    assert clear_cache() == (0, 0)


@pytest.fixture
def two_prepared(make_tiled, make_raster, texture):
    """A small scene and a large one, with their level files."""
    large = open_scene(make_raster(texture(500, 600), "striped.tif"))
    small = open_scene(make_tiled(texture(300, 400), "tiled.tif"))
    for scene in (small, large):
        prepare(scene)
    return small, large


def test_level_files_are_listed_with_the_largest_scene_first(two_prepared):
    small, large = two_prepared
    rows = [(e.scene, e.builder, e.levels, e.state) for e in list_cache()]
    assert rows == [
        (large.source.path, "pyvips", (0, 1, 2), "current"),
        (small.source.path, "streamed", (1,), "current"),
    ]


def test_clearing_removes_damaged_level_files_too(two_prepared, cache_folder):
    (cache_folder / list_cache()[0].folder / "level_0.tif").write_bytes(b"")
    assert sorted(entry.state for entry in list_cache()) == ["current", "damaged"]
    scenes, size = clear_cache()
    assert (scenes, size > 0, list_cache()) == (2, True, [])
    assert not any(map(are_prepared, two_prepared))


def test_what_was_not_wanted_for_longest_goes_first_when_the_cache_is_full(
    make_tiled, texture, monkeypatch
):
    scenes = [open_scene(make_tiled(texture(300, 400), f"{name}.tif")) for name in "abc"]
    for age, scene in zip((30, 20, 10), scenes, strict=True):
        record = prepare(scene).folder / "record.json"
        os.utime(record, (time.time() - age, time.time() - age))
    one = list_cache()[0].bytes
    prepare(scenes[0])  # wanted again, so the second is the oldest
    monkeypatch.setenv("GEOFOVEA_CACHE_GB", str(3.5 * one / 1e9))
    newest = open_scene(make_tiled(texture(300, 400), "d.tif"))
    prepare(newest)
    assert [are_prepared(scene) for scene in (*scenes, newest)] == [True, False, True, True]
    monkeypatch.setenv("GEOFOVEA_CACHE_GB", "1e-9")
    last = open_scene(make_tiled(texture(300, 400), "e.tif"))
    assert prepare(last).is_current  # kept, though it alone is too large
    assert [entry.scene for entry in list_cache()] == [last.source.path]


def test_a_build_that_is_under_way_is_not_removed_for_room(make_tiled, texture, monkeypatch):
    path = make_tiled(texture(300, 400))
    prepare(open_scene(path))
    lock = FileLock(only_folder(prepare(open_scene(path)).folder.parent).with_suffix(".lock"))
    monkeypatch.setenv("GEOFOVEA_CACHE_GB", "1e-9")
    with lock:
        prepare(open_scene(make_tiled(texture(300, 400), "other.tif")))
        assert are_prepared(open_scene(path))


def test_a_size_limit_that_no_disk_has_is_none(monkeypatch):
    monkeypatch.setenv("GEOFOVEA_CACHE_GB", "1e308")
    assert cache_limit_bytes() == sys.maxsize


@pytest.mark.parametrize("value", ["many", "0", "-1", "inf", "nan"])
def test_a_size_limit_that_is_no_size_is_an_error(make_tiled, texture, monkeypatch, value, builds):
    monkeypatch.setenv("GEOFOVEA_CACHE_GB", value)
    with pytest.raises(OutputError, match=r"GEOFOVEA_CACHE_GB.*gigabytes"):
        prepare(open_scene(make_tiled(texture(300, 400))))
    assert builds == []


def test_clearing_leaves_a_build_that_is_under_way_alone(make_tiled, texture):
    child = start_child(make_tiled(texture(300, 400)), "1")
    for line in child.stdout:
        if "halfway" in line:
            break
    assert clear_cache() == (0, 0)
    assert "ready True" in child.communicate(timeout=60)[0]


def test_a_full_disk_is_told_before_a_build(make_tiled, texture, monkeypatch, builds):
    scene = open_scene(make_tiled(texture(300, 400)))
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 10**8, 10**8)
    )
    with pytest.raises(DiskSpaceError, match=r"0\.3 GB.*0\.1 GB free.*GEOFOVEA_CACHE_DIR"):
        prepare(scene)
    assert builds == []
    assert prepare(scene, limits=LevelLimits(spare_bytes=0)).is_current


LIMITED = """
    import resource, sys
    from geofovea.errors import OutputError
    from geofovea.tiling import open_scene, prepare
    from geofovea.tiling.overviews import level_files
    level_files.DECODE_ONCE_PIXELS = 10_000
    scene = open_scene(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    try:
        prepare(scene)
        print("built", level_files.level_files_of(scene).builder)
    except OutputError as error:
        print("OutputError", error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of file sizes are a Unix thing")
@pytest.mark.parametrize(
    ("name", "dtype", "profile", "too_few"),
    [
        ("striped.tif", "uint8", {}, 960_000),
        ("striped.tif", "uint16", {}, 1_550_000),
        ("scene.png", "uint8", {"driver": "PNG"}, 960_000),
        ("tiled.tif", "uint8", {"tiled": True, "blockxsize": 64, "blockysize": 64}, 100_000),
    ],
)
def test_a_disk_that_fills_up_during_a_build_is_told_and_leaves_nothing(
    make_raster, cache_folder, name, dtype, profile, too_few
):
    noise = np.random.default_rng(0).integers(0, 255, (3, 500, 512))
    path = make_raster(noise.astype(dtype), name, **profile)
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(LIMITED), str(path)]
    for share in (0.3, 1):
        limited = [*command, str(int(share * too_few))]
        said = subprocess.run(limited, capture_output=True, text=True, check=True).stdout
        assert said.startswith("OutputError"), said
        assert "free some disk space" in said
        assert [p for p in cache_folder.iterdir() if p.suffix != ".lock"] == []


def test_limits_on_pixels_and_time_end_a_build(make_tiled, make_raster, texture, cache_folder):
    scene = open_scene(make_tiled(texture(300, 400)))
    with pytest.raises(LevelBuildError, match="gdaladdo"):
        prepare(scene, limits=LevelLimits(pixels=100_000))
    for each in (scene, open_scene(make_raster(texture(300, 400), "striped.tif"))):
        with pytest.raises(LevelBuildError, match="took more than 1e-09 s"):
            prepare(each, limits=LevelLimits(seconds=1e-9))
    assert [path for path in cache_folder.iterdir() if path.is_dir()] == []


def test_a_reader_passes_its_limits_on(make_tiled, texture):
    scene = open_scene(make_tiled(texture(300, 400)))
    limits = LevelLimits(pixels=1)
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene), limits=limits)
    with pytest.raises(LevelBuildError):
        reader.read(COARSE)
    assert reader.read(Tile(0, 0, 0)).valid.all()


def test_a_cache_that_cannot_be_written_is_an_error_with_a_way_out(
    make_tiled, texture, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="GEOFOVEA_CACHE_DIR"):
        prepare(open_scene(make_tiled(texture(300, 400))))


def test_progress_grows_from_nothing_to_all(make_raster, texture):
    from contextlib import contextmanager

    shares, titles = [], []

    @contextmanager
    def progress(title):
        titles.append(title)
        yield shares.append

    scene = open_scene(make_raster(texture(600, 900), "scene.png", driver="PNG"))
    prepare(scene, progress=progress)
    prepare(scene, progress=progress)
    assert titles == ["level files of scene.png"]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_the_cache_is_where_the_user_or_the_system_says(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("GEOFOVEA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert cache_folder() == tmp_path / "xdg" / "geofovea"


def test_a_waiting_process_gives_up_at_its_limit(make_tiled, texture):
    scene = open_scene(make_tiled(texture(300, 400)))
    entered, leave = threading.Event(), threading.Event()
    from contextlib import contextmanager

    @contextmanager
    def hold(title):
        entered.set()
        leave.wait(60)
        yield lambda share: None

    builder = threading.Thread(target=prepare, args=(scene,), kwargs={"progress": hold})
    builder.start()
    entered.wait(60)
    with pytest.raises(LevelBuildError, match="another process"):
        prepare(scene, limits=LevelLimits(seconds=0.01))
    leave.set()
    builder.join()
    assert are_prepared(scene)
