"""An index on disk: what was written comes back, and anything else is noticed."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from geofovea.errors import DataError, GeometryError, ModelError, OutputError
from geofovea.pipeline.index.indexed_scene import IndexedScene, lasting_name
from geofovea.pipeline.index.part import Part, PartName
from geofovea.pipeline.index.settings import IndexSettings
from geofovea.pipeline.index.store import IndexStore
from geofovea.pipeline.index.vectors import stored_vectors

DIMENSION = 8
SETTINGS = IndexSettings("clip", "f00d", DIMENSION, 32, bands=(3, 2, 1), band_map=(("red", 3),))
SCENE = IndexedScene("/data/a.tif", "as it was", 320, 160, 32, (0, 1))


def part(name, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(name.count, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shown = rng.integers(1, 255, name.count).astype(np.uint8)
    return Part(name, stored_vectors(vectors, "int8"), shown, rng.normal(size=(name.count, 2)))


@pytest.fixture
def store(tmp_path):
    return IndexStore.create(tmp_path / "index", SETTINGS)


@pytest.fixture
def scene(store):
    scene, was_removed = store.begin(SCENE)
    assert not was_removed
    for start in (0, 20):
        store.write(scene, part(PartName(0, start, 20), start))
    return scene


def test_what_was_written_comes_back_to_the_bit(store, scene):
    again = IndexStore.open(store.folder)
    assert again.settings == SETTINGS
    assert again.scenes() == [SCENE]
    assert [n.start for n in again.part_names(scene)] == [0, 20]
    original, copy = part(PartName(0, 20, 20), 20), again.read(scene, PartName(0, 20, 20))
    assert np.array_equal(copy.vectors.numbers, original.vectors.numbers)
    assert np.array_equal(copy.vectors.scales, original.vectors.scales)
    assert np.array_equal(copy.shown, original.shown)
    assert np.array_equal(copy.lonlat, original.lonlat)
    # 50 native tiles and 15 of level 1
    assert again.tiles_done(scene, 0) == 40
    assert again.share_done(scene) == pytest.approx(40 / 65)


def damaged_byte(path):
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def emptied(path):
    path.write_bytes(b"")


def a_pipe(path):
    import os

    path.unlink()
    os.mkfifo(path)


def another_part(path):
    path.write_bytes((path.parent / "L00-000000000-20.safetensors").read_bytes())


@pytest.mark.parametrize("damage", [damaged_byte, cut, emptied, a_pipe, another_part])
def test_a_damaged_part_is_an_error_that_names_it_and_is_read_again(store, scene, damage):
    path = store.folder / "scenes" / scene.key / PartName(0, 20, 20).file
    damage(path)
    with pytest.raises(
        DataError, match=r"L00-000000020-20.safetensors is damaged .*geofovea index"
    ):
        store.read(scene, PartName(0, 20, 20))
    assert store.remove_damaged(scene) == 20
    assert store.tiles_done(scene, 0) == 20
    assert store.remove_damaged(scene) == 0


def test_what_a_killed_run_left_half_written_is_removed(store, scene):
    aside = store.folder / "scenes" / scene.key / ".geofovea-0a.safetensors"
    aside.write_bytes(b"half")
    assert store.remove_damaged(scene) == 0
    assert not aside.exists()


def test_tiles_behind_a_gap_do_not_count(store, scene):
    (store.folder / "scenes" / scene.key / PartName(0, 0, 20).file).unlink()
    assert store.tiles_done(scene, 0) == 0
    assert store.remove_damaged(scene) == 20


def test_vectors_of_other_content_are_removed(store, scene):
    changed, was_removed = store.begin(replace(SCENE, identity="as it is now"))
    assert was_removed
    assert store.part_names(changed) == []
    assert store.scenes() == [changed]


def test_a_level_that_is_asked_for_later_is_added(store, scene):
    more, was_removed = store.begin(replace(SCENE, levels=(2,)))
    assert not was_removed
    assert more.levels == (0, 1, 2)
    assert store.tiles_done(more, 0) == 40


@pytest.mark.parametrize("file", ["index.json", "scene.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', '"\\ud800"', "[" * 9999])
def test_a_damaged_record_is_an_error_that_names_it(store, scene, file, text):
    (path,) = store.folder.rglob(file)
    path.write_text(text)
    with pytest.raises(DataError, match=f"{file} is damaged") as told:
        IndexStore.open(store.folder).scenes()
    assert "indices" not in str(told.value)


def test_an_index_of_another_version_is_not_called_damaged(store):
    path = store.folder / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(DataError, match=r"is of another version \(it has the format 99"):
        IndexStore.open(store.folder)


@pytest.mark.parametrize("text", ["", "[]", "7", '{"identity": 3}', "[" * 9999])
def test_a_damaged_note_of_a_problem_says_nothing(store, scene, text):
    store.note_problem(scene.name, "a block is damaged")
    (path,) = store.folder.rglob("problem.json")
    path.write_text(text)
    assert store.problem_of(scene) == ""


def test_a_size_with_a_wrong_digit_is_damage_and_an_older_record_without_a_sum_is_read(
    store, scene
):
    (path,) = store.folder.rglob("scene.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"width": 3200}))
    with pytest.raises(DataError, match=r"its checksum is wrong\); run geofovea index"):
        store.scenes()
    del record["check"]
    path.write_text(json.dumps(record))
    assert store.scenes() == [SCENE]


def test_settings_that_are_damaged_cannot_be_mended_by_the_same_command(store):
    (store.folder / "index.json").write_text("{")
    with pytest.raises(DataError, match="build the index again in another folder"):
        IndexStore.create(store.folder, SETTINGS)


def read_part(folder, scene):
    store = IndexStore.open(folder)
    store.read(store.scenes()[0], PartName(0, 0, 20))


def write_part(folder, scene):
    store = IndexStore.create(folder, SETTINGS)
    store.remove_unreadable()
    store.read(store.begin(scene)[0], PartName(0, 0, 20))


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"
)
@pytest.mark.parametrize("closed", ["", "index.json", "scenes", "scene.json", "part"])
def test_what_another_user_may_not_read_is_not_called_damaged(store, scene, closed):
    files = {"": ".", "index.json": "index.json", "scenes": "scenes"}
    folder = f"scenes/{scene.key}"
    files |= {"scene.json": f"{folder}/scene.json", "part": f"{folder}/{PartName(0, 0, 20).file}"}
    # another user reaches no folder of the tests
    with TemporaryDirectory() as public:
        Path(public).chmod(0o755)
        index = Path(shutil.copytree(store.folder, Path(public) / "index"))
        (index / files[closed]).chmod(0)
        os.seteuid(65534)
        try:
            for use in (read_part, write_part):
                with pytest.raises(DataError, match=r"cannot be read: .*; check its permissions"):
                    use(index, scene)
        finally:
            os.seteuid(0)


@pytest.mark.parametrize("reader", ["read_text", "read_bytes"])
def test_what_a_failing_disk_does_not_give_is_not_removed(store, scene, reader, monkeypatch):
    # a disk cannot be made to fail here, so reading itself does
    def fail(*_args, **_options):
        raise OSError(errno.EIO, "Input/output error")

    before = sorted(store.folder.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(Path, reader, fail)
        remove = store.remove_unreadable if reader == "read_text" else store.remove_damaged
        with pytest.raises(DataError, match=r"cannot be read: Input/output error$"):
            remove(*([scene] if reader == "read_bytes" else []))
    assert sorted(store.folder.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_said(store, scene):
    (store.folder / "index.lock").mkdir()
    with pytest.raises(OutputError, match="cannot be written"), store.locked():
        pytest.fail("the lock is a folder")


def test_a_part_that_cannot_be_removed_is_said(store, scene):
    path = store.folder / "scenes" / scene.key / PartName(0, 20, 20).file
    path.unlink()
    path.mkdir()
    with pytest.raises(OutputError, match=f"{path.name} is damaged and cannot be removed"):
        store.remove_damaged(scene)


def test_an_index_of_a_later_version_is_refused(store):
    path = store.folder / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(DataError, match="has the format 2, and this version reads 1"):
        IndexStore.open(store.folder)


def test_another_encoder_or_view_is_refused(store):
    with pytest.raises(ModelError, match="'clip', and 'other' has other weights"):
        IndexStore.create(store.folder, replace(SETTINGS, encoder="other", fingerprint="beef"))
    with pytest.raises(DataError, match="leave out tile_size=, bands= to continue"):
        IndexStore.create(store.folder, replace(SETTINGS, tile_size=64, bands=()))
    # an encoder that was moved is the same one
    assert IndexStore.create(store.folder, replace(SETTINGS, encoder="moved")).settings == SETTINGS


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match=r"holds other files, such as 'letter\.txt'"):
        IndexStore.create(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    for name in ("none", "x" * 300):
        with pytest.raises(DataError, match="holds no index; make one with geofovea index"):
            IndexStore.open(tmp_path / name)
    with pytest.raises(DataError, match="holds no index; make one with geofovea index"):
        IndexStore.open(tmp_path)


def test_two_runs_do_not_write_one_index(store):
    with (
        store.locked(),
        pytest.raises(OutputError, match="another process writes"),
        IndexStore.open(store.folder).locked(),
    ):
        pass
    with store.locked():
        pass


@pytest.mark.parametrize("levels", [(), (-1,), (0, 9)])
def test_levels_that_a_scene_does_not_have_are_refused(levels):
    with pytest.raises(GeometryError, match="has the levels 0 to 4"):
        replace(SCENE, levels=levels)


def test_the_state_of_a_scene_is_that_of_its_file(tmp_path):
    from geofovea.pipeline.index.indexed_scene import identity_of

    path = tmp_path / "a.tif"
    path.write_bytes(b"one")
    scene = replace(SCENE, name=str(path), identity=identity_of(str(path)))
    assert scene.state == "current"
    path.write_bytes(b"two more")
    assert scene.state == "changed"
    path.unlink()
    assert scene.state == "missing"
    remote = replace(SCENE, name="https://example.org/a.tif")
    assert remote.state == "current"


def test_names_hold_no_secrets_and_mean_the_same_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lasting_name("a.tif") == str(tmp_path / "a.tif")
    assert lasting_name("GTIFF_DIR:2:a.tif") == f"GTIFF_DIR:2:{tmp_path / 'a.tif'}"
    assert "secret" not in lasting_name("https://me:secret@example.org/a.tif?token=secret")


@pytest.mark.parametrize("name", ["\ud800", "a\0b", "\x1b[2J", "x" * 5000, ""])
def test_a_name_that_cannot_be_a_file_is_a_scene_that_is_missing(store, name):
    scene = replace(SCENE, name=name or "/", identity="?")
    assert scene.key.isalnum()
    assert store.begin(scene)[0] in store.scenes()
    assert scene.state in ("missing", "changed")
