"""An archive is read once, within its budget, and again only where something changed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from dual_encoders import write_encoder

import geofovea as gf
from geofovea.errors import BudgetError, DataError, ModelError
from geofovea.pipeline.archive.allowance import Allowance, IndexBudget
from geofovea.pipeline.archive.build import build_index
from geofovea.pipeline.focus.dual_encoder import load_dual_encoder
from geofovea.pipeline.index.indexed_scene import key_of
from geofovea.pipeline.index.store import IndexStore
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.reader import TileReader

# 7 rows of 10 native tiles, 4 of 5 of level 1, 2 of 3 of level 2, which is the base level
TILES = {0: 70, 1: 20, 2: 6}
COARSE = (1, 2)


@pytest.fixture
def build(tmp_path, archive, encoder_folder):
    """``build(**options)``: index the archive into one folder."""

    def call(**options):
        options.setdefault("encoder", str(encoder_folder))
        return build_index(tmp_path / "index", [str(archive)], **options)

    return call


def vectors_in(folder):
    """Every vector of an index, by scene and level."""
    store = IndexStore.open(folder)
    return {
        (Path(scene.name).name, name.level, name.start): store.read(scene, name)
        for scene in store.scenes()
        for name in store.part_names(scene)
    }


def test_vectors_are_those_of_the_tiles(build, tmp_path, archive, encoder_folder):
    report = build(number_format="float16")
    assert report.is_whole
    assert not report.failures
    assert report.tiles_read == 3 * sum(TILES.values())
    assert [scene.share_done for scene in report.scenes] == [1, 1, 1]
    assert report.indexed_gigapixels == pytest.approx(3 * 320 * 200 / 1e9)
    parts, encoder = vectors_in(tmp_path / "index"), load_dual_encoder(str(encoder_folder))
    assert {(name, level): part.name.count for (name, level, _), part in parts.items()} == {
        (name, level): count
        for name in ("a.tif", "b.tif", "c.tif")
        for level, count in TILES.items()
    }
    for name in ("a.tif", "c.tif"):
        scene = gf.open_scene(archive / name)
        reader = TileReader(scene, scene.pyramid(32), plan_radiometry(scene))
        for level in TILES:
            part = parts[name, level, 0]
            tiles = [reader.read(tile) for tile in reader.pyramid.tiles(level)]
            shown = np.array([tile.valid.any() for tile in tiles])
            assert np.array_equal(part.shown > 0, shown)
            expected = encoder.embed_pictures([tile.rgb for tile in tiles]).numpy()
            expected[~shown] = 0
            np.testing.assert_allclose(part.vectors.restored(), expected, atol=2e-3)
    # two columns of native tiles of the last scene are missing
    assert (parts["c.tif", 0, 0].shown.reshape(7, 10)[:, :2] == 0).all()


def test_tiles_know_where_they_are_on_the_ground(build, tmp_path, archive):
    from rasterio.warp import transform

    build(levels=[0])
    with rasterio.open(archive / "a.tif") as file:
        x, y = file.xy(2 * 32 + 16, 3 * 32 + 16, offset="ul")
        (lon,), (lat,) = transform(file.crs, "EPSG:4326", [x], [y])
    part = vectors_in(tmp_path / "index")["a.tif", 0, 0]
    assert part.lonlat[2 * 10 + 3] == pytest.approx((lon, lat), abs=1e-7)


def test_a_second_run_reads_nothing_again(build, tmp_path):
    build(levels=COARSE)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("L*")}
    report = build(encoder=None, levels=COARSE)
    assert report.tiles_read == 0
    assert report.is_whole
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("L*")}


def test_runs_of_few_tiles_give_the_index_of_one_run(build, tmp_path, archive, encoder_folder):
    runs, total = 0, 3 * (TILES[1] + TILES[2])
    while True:
        report = build(budget=IndexBudget(tiles=21), levels=COARSE)
        assert report.tiles_read <= 21
        runs += 1
        if report.is_whole:
            break
        assert report.stopped == "tiles"
    assert runs == -(-total // 21)
    build_index(tmp_path / "whole", archive, encoder=str(encoder_folder), levels=COARSE)
    np.testing.assert_allclose(joined(tmp_path / "index"), joined(tmp_path / "whole"), atol=1e-2)


def joined(folder):
    """All vectors of an index in one array."""
    parts = sorted(vectors_in(folder).items())
    return np.concatenate([part.vectors.restored() for _, part in parts])


def test_coarse_levels_come_first(tmp_path, archive, encoder_folder):
    folder = str(encoder_folder)
    build_index(tmp_path / "index", archive, encoder=folder, budget=IndexBudget(tiles=7))
    assert list(vectors_in(tmp_path / "index")) == [("a.tif", 1, 0), ("a.tif", 2, 0)]


_KILLED = """
import os, signal, sys
from geofovea.pipeline.archive.build import build_index
def die(name, share):
    if share > 0.5:
        os.kill(os.getpid(), signal.SIGKILL)
build_index(sys.argv[1], [sys.argv[2]], encoder=sys.argv[3], on_progress=die)
"""


@pytest.mark.slow
def test_a_run_that_was_killed_is_gone_on_with(build, tmp_path, archive, encoder_folder):
    arguments = [tmp_path / "index", archive, encoder_folder]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *map(str, arguments)], check=False)
    assert killed.returncode == -9
    before = vectors_in(tmp_path / "index")
    assert before
    report = build()
    assert report.is_whole
    done = sum(part.name.count for part in before.values())
    assert report.tiles_read == 3 * sum(TILES.values()) - done > 0


def test_a_scene_that_changed_is_read_again_and_no_other(build, archive):
    build(levels=COARSE)
    shutil.copy(archive / "a.tif", archive / "b.tif")
    os.utime(archive / "b.tif", ns=(1, 1))
    report = build(levels=COARSE)
    assert report.tiles_read == TILES[1] + TILES[2]
    assert [scene.was_replaced for scene in report.scenes] == [False, True, False]


def test_damaged_vectors_are_read_again(build, tmp_path):
    build(levels=COARSE)
    path = max((tmp_path / "index").rglob("L01-*"))
    path.write_bytes(path.read_bytes()[:-3])
    report = build(levels=COARSE)
    assert report.tiles_read == TILES[1]
    assert sum(scene.tiles_damaged for scene in report.scenes) == TILES[1]


def test_a_bad_scene_is_a_failure_and_ends_nothing(build, archive):
    content = (archive / "a.tif").read_bytes()
    (archive / "a.tif").write_bytes(content[: len(content) // 2])
    (archive / "b.tif").write_bytes(b"no picture")
    report = build()
    assert [bool(scene.error) for scene in report.scenes] == [True, True, False]
    assert report.scenes[2].share_done == 1
    assert not report.is_whole


def test_levels_that_a_scene_does_not_have_are_left_out_for_it(build, tmp_path):
    report = build(levels=[2, 3, 9])
    assert report.is_whole
    assert {level for _, level, _ in vectors_in(tmp_path / "index")} == {2, 3}
    report = build(levels=[9])
    assert all("has the levels 0 to 4 only" in scene.error for scene in report.scenes)


def levels_in(folder):
    """The levels of each scene of an index that have vectors."""
    found = {}
    for name, level, _ in vectors_in(folder):
        found.setdefault(name, set()).add(level)
    return found


def test_a_run_that_names_no_levels_keeps_those_of_the_index(build, tmp_path, archive):
    build(levels=COARSE)
    path = max((tmp_path / "index").rglob("L01-*"))
    path.write_bytes(path.read_bytes()[:-3])
    assert build(encoder=None).tiles_read == TILES[1]
    # a scene that changed, and one that is new
    os.utime(archive / "b.tif", ns=(1, 1))
    shutil.copy(archive / "a.tif", archive / "d.tif")
    report = build(encoder=None)
    assert report.is_whole
    assert report.tiles_read == 2 * (TILES[1] + TILES[2])
    assert {scene.levels for scene in report.scenes} == {COARSE}
    names = ("a.tif", "b.tif", "c.tif", "d.tif")
    assert levels_in(tmp_path / "index") == {name: set(COARSE) for name in names}


def test_levels_that_one_scene_has_besides_stay_with_it(build, tmp_path, archive):
    build(levels=[2])
    build_index(tmp_path / "index", [str(archive / "b.tif")], levels=[0])
    assert build(encoder=None).tiles_read == 0
    expected = {"a.tif": {2}, "b.tif": {0, 2}, "c.tif": {2}}
    assert levels_in(tmp_path / "index") == expected
    (archive / "a.tif").rename(archive / "e.tif")
    build(encoder=None)
    assert levels_in(tmp_path / "index") == expected | {"e.tif": {0, 2}}


def test_a_whole_index_gives_a_larger_scene_all_its_own_levels(build, tmp_path, add_scene):
    build()
    add_scene("large.tif", 400, 640)
    assert build(encoder=None).is_whole
    assert levels_in(tmp_path / "index")["large.tif"] == {0, 1, 2, 3}


def test_a_scene_without_the_levels_of_the_index_says_so(build, add_scene):
    build(levels=[4])
    add_scene("small.tif", 64, 64)
    (failure,) = build(encoder=None).failures
    assert "none of levels=4, which are those of the index" in failure.error


def test_a_damaged_record_does_not_bring_levels_back(build, tmp_path):
    build(levels=COARSE)
    record = min((tmp_path / "index").rglob("scene.json"))
    record.write_text("{")
    assert build(encoder=None).is_whole
    assert set().union(*levels_in(tmp_path / "index").values()) == set(COARSE)


def test_a_damaged_record_of_a_scene_that_is_gone_is_removed_and_said(build, tmp_path, archive):
    build(levels=COARSE)
    store = IndexStore.open(tmp_path / "index")
    gone = str(archive / "b.tif")
    (store.folder / "scenes" / key_of(gone) / "scene.json").write_text("{")
    (archive / "b.tif").unlink()
    report = build(encoder=None)
    assert report.is_whole
    assert report.records_removed == 1
    assert {Path(scene.name).name for scene in store.scenes()} == {"a.tif", "c.tif"}
    assert build(encoder=None).records_removed == 0


def test_a_new_index_needs_an_encoder_and_an_old_one_its_own(build, tmp_path):
    with pytest.raises(ModelError, match="needs a dual encoder; name one"):
        build(encoder=None)
    build(levels=[2])
    other = write_encoder(tmp_path / "siglip", "siglip")
    with pytest.raises(ModelError, match="has other weights"):
        build(encoder=str(other))
    with pytest.raises(DataError, match="leave out tile_size= to continue"):
        build(tile_size=64)


@pytest.mark.parametrize("nodata", [-1.5, "auto"])
def test_the_declared_nodata_holds_for_every_run(build, tmp_path, nodata):
    build(levels=[2], nodata=nodata)
    assert IndexStore.open(tmp_path / "index").settings.nodata == str(nodata)
    assert build(levels=[2]).tiles_read == 0


@pytest.mark.parametrize("limit", [{"tiles": 0}, {"seconds": -1.0}, {"megabytes": float("nan")}])
def test_a_budget_of_nothing_is_refused(limit):
    with pytest.raises(BudgetError, match="is not a budget"):
        IndexBudget(**limit)


def test_an_allowance_says_what_ended_it():
    times = iter([0.0, 1.0, 5.0])
    allowance = Allowance(IndexBudget(seconds=4), now=lambda: next(times))
    assert allowance.tiles_of(10) == 10
    assert allowance.tiles_of(10) == 0
    assert allowance.stopped == "seconds"
    allowance = Allowance(IndexBudget(megabytes=1))
    allowance.bytes_written = 10**6
    assert allowance.tiles_of(10) == 0
    assert allowance.stopped == "megabytes"
    allowance = Allowance(IndexBudget(tiles=12), tiles=4)
    assert allowance.tiles_of(10) == 8
    assert allowance.stopped == "tiles"


def test_an_item_whose_scene_is_not_plain_says_so_until_its_asset_is_named(
    tmp_path, archive, encoder_folder
):
    assets = {name: {"href": str(archive / f"{name}.tif")} for name in ("a", "b")}
    path = tmp_path / "item.json"
    path.write_text(json.dumps({"type": "Feature", "id": "one", "assets": assets}))
    how = {"encoder": str(encoder_folder), "levels": [2]}
    (failed,) = build_index(tmp_path / "index", path, **how).failures
    assert "not one raster but 2 among 'a', 'b'; choose with asset=" in failed.error
    report = build_index(tmp_path / "index", path, asset="b", **how)
    assert not report.failures
    assert [Path(scene.name).name for scene in report.scenes] == ["b.tif"]
