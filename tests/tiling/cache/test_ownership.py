"""A cache removes and believes only what this user's GeoFovea wrote, whatever else is there."""

import json
import os
import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from geofovea.tiling import Tile, clear_cache, list_cache, open_scene, plan_radiometry, prepare
from geofovea.tiling.cache import findings
from geofovea.tiling.cache.findings import clear_findings, count_findings, findings_folder
from geofovea.tiling.cache.folder import kept_folder, record_checksum
from geofovea.tiling.cache.ownership import MARK, Maker, is_ours, mark_folder
from geofovea.tiling.cache.upkeep import LEVELS, leftover_bytes, make_room, remove_leftovers

pytestmark = pytest.mark.usefixtures("small_counts_as_large")

COARSE = Tile(2, 0, 0)
HASH = "d41d8cd98f00b204e9800998ecf8427e"
ONLY_ROOT = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"
)
STRANGERS = [
    "levels/survey/level_1.tif",
    "levels/survey.lock",
    f"levels/{HASH}/photo.tif",
    f"levels/{HASH}/record.json",
    f"levels/{HASH}.lock",
    "levels/building-plans/level_0.tif",
    f"levels/building-{HASH}-abcdefgh/plan.txt",
    "levels/level_1.tif",
    "findings/field_2024/notes.md",
    "findings/notes.json",
    f"findings/{HASH}.json",
    "findings/building-plans",
    f"findings/building-{HASH}-abc",
    f"findings/{HASH}/{HASH}.json",
]


def content_of(name):
    if name.endswith("record.json"):
        return '{"scene": "mine", "files": {"photo.tif": {"bytes": 4, "mtime_ns": 1}}}'
    return '{"content": "mine"}'


@pytest.fixture
def kept(make_tiled, make_raster, texture, monkeypatch):
    """A scene with level files and a finding."""
    monkeypatch.setattr(findings, "_CHEAP_PIXELS", 1000)
    scene = open_scene(make_tiled(texture(300, 400).astype("uint16") * 200))
    plan_radiometry(scene)
    prepare(scene)
    return scene


@pytest.mark.parametrize("remove", ["clear", "evict"])
def test_what_others_put_beside_ours_stays(kept, cache_folder, monkeypatch, remove):
    place = cache_folder.parent
    for name in STRANGERS:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content_of(name))
        os.utime(path, (1, 1))
    if remove == "clear":
        assert clear_cache()[0] == 1
        assert clear_findings()[0] == 1
    else:
        monkeypatch.setattr(findings, "_MOST_FILES", 1)
        findings.measured_once(kept.source, 10_000, "another", lambda: 1)
        assert len(make_room(1, keep=place)) == 1
    for name in STRANGERS:
        assert (place / name).read_text() == content_of(name), name
    assert list_cache() == []


def test_links_are_neither_followed_nor_removed(kept, cache_folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (folder,) = [path for path in cache_folder.iterdir() if path.is_dir()]
    shutil.move(folder, elsewhere)
    folder.symlink_to(elsewhere)
    (finding,) = findings_folder().iterdir()
    shutil.move(finding, tmp_path / "finding.json")
    finding.symlink_to(tmp_path / "finding.json")
    assert clear_cache() == clear_findings() == (0, 0)
    assert make_room(1, keep=tmp_path) == []
    assert (elsewhere / "record.json").exists()
    assert (tmp_path / "finding.json").exists()
    assert folder.is_symlink()
    # and one inside a folder of ours stays, and what it points to
    folder.unlink()
    shutil.move(elsewhere, folder)
    (folder / "level_9.tif").symlink_to(tmp_path / "finding.json")
    (folder / "mine.txt").write_text("mine")
    assert clear_cache()[0] == 1
    assert sorted(p.name for p in folder.iterdir() if p.name != MARK) == ["level_9.tif", "mine.txt"]
    assert (tmp_path / "finding.json").exists()


def test_a_folder_of_others_under_the_name_of_a_scene_is_not_touched(kept, cache_folder):
    (folder,) = [path for path in cache_folder.iterdir() if path.is_dir()]
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "level_1.tif").write_text("mine")
    prepared = prepare(kept)
    assert prepared.folder != folder
    assert prepared.is_current
    assert prepare(kept) == prepared
    assert (folder / "level_1.tif").read_text() == "mine"


def test_level_files_of_the_first_version_are_listed_and_removed(kept, cache_folder):
    (folder,) = [path for path in cache_folder.iterdir() if path.is_dir()]
    (folder / MARK).unlink()
    record = json.loads((folder / "record.json").read_text())
    for key in ("checksum", "checks"):
        record.pop(key)
    (folder / "record.json").write_text(json.dumps(record))
    old = folder.rename(folder.with_name(HASH))
    left = cache_folder / f"building-{HASH}-abcdefgh"
    left.mkdir()
    (left / "level_1.tif").write_bytes(bytes(1000))
    (cache_folder / f"{HASH}.lock").touch()
    assert [entry.folder for entry in list_cache()] == [str(old)]
    assert leftover_bytes() == 1000
    assert clear_cache()[0] == 1
    assert not old.exists()
    assert not left.exists()


@pytest.mark.parametrize(
    ("change", "age", "gone"),
    [
        ({}, 10, False),
        ({"pid": 2**22 + 1}, 10, True),
        ({"pid": 0}, 10, True),
        ({"pid": 2**70}, 10, True),
        ({"started": "1"}, 10, True),  # the number was given to another process since
        ({"space": "pid:[1]"}, 10, True),  # another container of this machine; its lock is free
        ({"boot": "before"}, 10, False),  # changed since the start: a clock, or a twin
        ({"boot": "before"}, 10**9, True),
        ({"boot": "there", "machine": "other"}, 3600, False),
        ({"boot": "there", "machine": "other"}, 3 * 86400, True),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of processes")
def test_whoever_made_a_folder_is_known_to_be_gone(change, age, gone):
    assert replace(Maker.this(), **change).is_gone(time.time() - age) is gone


def left_behind(cache_folder, key=HASH, size=5000, **maker):
    folder = cache_folder / f"building-{key}-abcdefgh"
    folder.mkdir(parents=True)
    mark_folder(folder, LEVELS)
    if maker:
        mark = json.loads((folder / MARK).read_text())
        (folder / MARK).write_text(json.dumps(mark | maker))
    (folder / "level_0.tif").write_bytes(bytes(size))
    return folder


def test_what_builds_left_is_counted_and_goes_when_its_maker_is_gone(cache_folder, kept):
    gone = left_behind(cache_folder, pid=2**22 + 1)
    at_work = left_behind(cache_folder, "0" * 32)
    elsewhere = left_behind(cache_folder, "1" * 32, machine="other", boot="there")
    assert leftover_bytes() > 15_000
    assert remove_leftovers() == 5000
    assert [path.exists() for path in (gone, at_work, elsewhere)] == [False, True, True]


def test_a_build_of_any_scene_removes_what_others_left(cache_folder, make_tiled, texture):
    gone = left_behind(cache_folder, pid=2**22 + 1)
    prepare(open_scene(make_tiled(texture(300, 400))))
    assert not gone.exists()


def test_only_what_was_meant_is_cleared(make_tiled, texture, monkeypatch):
    monkeypatch.setattr(findings, "_CHEAP_PIXELS", 1000)
    scenes = [
        open_scene(make_tiled(texture(300, 400).astype("uint16") * 200, f"{name}.tif"))
        for name in "abc"
    ]
    aged = set()
    for days, scene in enumerate(scenes):
        plan_radiometry(scene)
        files = {prepare(scene).folder / "record.json", *findings_folder().iterdir()} - aged
        for path in files:
            os.utime(path, (time.time() - days * 86400,) * 2)
        aged |= files
    week, day = time.time() - 7 * 86400, time.time() - 86400 * 1.5
    assert clear_cache(before=week) == clear_findings(before=week) == (0, 0)
    assert (clear_cache(before=day)[0], clear_findings(before=day)[0]) == (1, 1)
    name = scenes[0].source.path
    assert (clear_cache(name)[0], clear_findings(name)[0]) == (1, 1)
    assert [entry.scene for entry in list_cache()] == [scenes[1].source.path]
    assert count_findings()[0] == 1


def planted(folder, uid):
    """Level files with other pixels and sound sums, as another user could write them."""
    import rasterio

    for path in folder.glob("level_*.tif"):
        with rasterio.open(path, "r+") as dataset:
            dataset.write(255 - dataset.read())
    record = json.loads((folder / "record.json").read_text())
    for name in record["files"]:
        status = (folder / name).stat()
        record["files"][name] = {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
    record["checksum"] = record_checksum(record)
    (folder / "record.json").write_text(json.dumps(record))
    for path in (folder, *folder.iterdir()):
        os.chown(path, uid, uid)


@ONLY_ROOT
@pytest.mark.parametrize("is_folder_theirs", [True, False])
def test_what_another_user_planted_is_not_believed_and_not_removed(
    make_tiled, texture, reader_of, cache_folder, monkeypatch, is_folder_theirs
):
    monkeypatch.setattr(findings, "_CHEAP_PIXELS", 1000)
    path = make_tiled(texture(300, 400).astype("uint16") * 200)
    truth = reader_of(path).read(COARSE).rgb
    (folder,) = [each for each in cache_folder.iterdir() if each.is_dir()]
    planted(folder, 12345)
    if not is_folder_theirs:
        for each in (folder, folder / MARK):
            os.chown(each, 0, 0)
    (finding,) = findings_folder().iterdir()
    os.chown(finding, 12345, 12345)
    assert np.array_equal(reader_of(path).read(COARSE).rgb, truth)
    assert finding.stat().st_uid == 0
    assert clear_cache()[0] == 1 + (not is_folder_theirs)
    assert list(folder.glob("level_*.tif"))


@contextmanager
def another_user(home, monkeypatch):
    """This process acts as nobody."""
    home.mkdir(exist_ok=True)
    os.chown(home, 65534, 65534)
    with monkeypatch.context() as patch:
        for variable in ("HOME", "XDG_CACHE_HOME"):
            patch.setenv(variable, str(home))
        os.setegid(65534)
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)


@ONLY_ROOT
@pytest.mark.parametrize("mode", [0o755, 0o777, 0o700])
def test_a_second_user_has_a_cache_of_its_own_and_clears_no_other(
    make_tiled, texture, cache_folder, tmp_path, mode, monkeypatch
):
    for parent in (tmp_path, *list(tmp_path.parents)[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)
    scene = open_scene(make_tiled(texture(300, 400)))
    first = prepare(scene)
    cache_folder.parent.chmod(mode)
    first.folder.chmod(mode)
    other = open_scene(make_tiled(texture(300, 500), "other.tif"))
    with another_user(tmp_path / "home", monkeypatch):
        # what root keeps is read where it can be; nothing of it can be removed
        seen = prepare(scene)
        assert (seen.folder == first.folder) == (mode != 0o700)
        second = prepare(other)
        assert second.folder.parent == kept_folder(LEVELS) != cache_folder
        assert clear_cache()[0] == 1 + (mode == 0o700)
        assert not second.folder.exists()
    assert first.is_current
    assert is_ours(first.folder, LEVELS)


@ONLY_ROOT
@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_root_takes_nothing_from_the_cache_of_a_user(
    make_tiled, texture, cache_folder, tmp_path, mode, monkeypatch
):
    for parent in (tmp_path, *list(tmp_path.parents)[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)
    scene = open_scene(make_tiled(texture(300, 400)))
    cache_folder.parent.mkdir(mode=0o777)
    cache_folder.parent.chmod(0o777)
    with another_user(tmp_path / "home", monkeypatch):
        theirs = prepare(scene)
        assert theirs.folder.parent == cache_folder
        cache_folder.chmod(mode)
    assert prepare(scene).folder.parent == cache_folder.with_name("levels-0")
    assert clear_cache()[0] == 1
    assert theirs.is_current


@ONLY_ROOT
def test_a_user_keeps_nothing_in_the_folder_of_another(cache_folder):
    cache_folder.mkdir(parents=True)
    os.chown(cache_folder, 12345, 12345)
    assert kept_folder("levels") == cache_folder.with_name("levels-0")
    cache_folder.with_name("levels-0").mkdir()
    os.chown(cache_folder.with_name("levels-0"), 12345, 12345)
    assert cache_folder.parent not in kept_folder("levels").parents
