"""A build of level files ends when the time for the answer is over, and says what to do."""

import time

import numpy as np
import pytest
from filelock import FileLock

from geofovea.errors import LevelBuildError
from geofovea.tiling import open_scene, prepare
from geofovea.tiling.overviews.cache import are_prepared
from geofovea.tiling.overviews.deadline import builds_within, current_deadline

pytestmark = pytest.mark.usefixtures("small_counts_as_large")


@pytest.mark.parametrize("name", ["tiled.tif", "striped.tif", "scene.png"])
def test_a_build_ends_in_words_when_the_time_is_over(make_raster, texture, cache_folder, name):
    layouts = {
        "tiled.tif": {"tiled": True, "blockxsize": 64, "blockysize": 64},
        "scene.png": {"driver": "PNG"},
    }
    scene = open_scene(make_raster(texture(500, 600), name, **layouts.get(name, {})))
    with builds_within(1e-9), pytest.raises(LevelBuildError) as ended:
        prepare(scene)
    assert all(word in str(ended.value) for word in ("1e-09 s", "no limit", "gdaladdo", name))
    assert [path for path in cache_folder.iterdir() if path.is_dir()] == []
    with builds_within(600):
        assert prepare(scene).is_current
    # what is built takes no time
    with builds_within(1e-9):
        assert prepare(scene).is_current


def test_waiting_for_another_build_ends_too(make_tiled, texture):
    scene = open_scene(make_tiled(texture(300, 400)))
    folder = prepare(scene).folder
    (folder / "record.json").unlink()
    begun = time.monotonic()
    with (
        FileLock(folder.with_suffix(".lock")),
        builds_within(0.2),
        pytest.raises(LevelBuildError, match="another process"),
    ):
        prepare(scene)
    assert time.monotonic() - begun < 30


def test_a_deadline_holds_inside_its_block_alone(make_raster):
    assert current_deadline() is None
    with builds_within(5):
        with builds_within(None):
            assert current_deadline() is None
        assert 0 < current_deadline().seconds_left <= 5
    assert current_deadline() is None
    scene = open_scene(make_raster(np.zeros((3, 300, 400), "uint8")))
    assert prepare(scene) is not None
    assert are_prepared(scene)
