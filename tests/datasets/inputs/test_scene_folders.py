"""A folder stands for all rasters below it, those behind links too, each once."""

import os

import pytest

from geofovea.datasets.inputs import scene_folders
from geofovea.datasets.inputs.scene_lists import list_scenes
from geofovea.errors import DataError


@pytest.fixture
def scenes(tmp_path):
    """``scenes(name, ...)``: those files, under the folder that is returned."""

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path / "scenes"

    return make


def names(folder):
    return [os.path.relpath(row.scene, folder) for row in list_scenes([str(folder)])]


def test_links_to_folders_are_followed(scenes, tmp_path):
    folder = scenes("scenes/a/one.tif", "disk2/2023/two.tif", "disk2/2023/deep/three.tif")
    (folder / "2023").symlink_to(tmp_path / "disk2" / "2023")
    assert names(folder) == ["2023/deep/three.tif", "2023/two.tif", "a/one.tif"]


def test_links_in_a_circle_end_and_each_real_folder_counts_once(scenes, tmp_path):
    folder = scenes("scenes/b/one.tif", "scenes/b/c/two.tif")
    (folder / "loop").symlink_to(folder)
    (folder / "b" / "c" / "up").symlink_to(folder / "b")
    (folder / "a").symlink_to(folder / "b")
    (folder / "b" / "self").symlink_to("self")
    assert names(folder) == ["b/c/two.tif", "b/one.tif"]


def test_a_link_out_and_back_does_not_bring_a_folder_twice(scenes, tmp_path):
    folder = scenes("scenes/a/one.tif", "other/two.tif")
    (folder / "out").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(folder)
    assert names(folder) == ["a/one.tif", "out/two.tif"]


def test_what_is_hidden_is_left_out(scenes):
    folder = scenes(
        "scenes/one.tif", "scenes/.ipynb_checkpoints/one-checkpoint.tif", "scenes/.x.tif",
        "scenes/a/.snapshot/b/two.tif",
    )  # fmt: skip
    assert names(folder) == ["one.tif"]


def test_the_folder_that_was_named_may_be_hidden_or_a_link(scenes, tmp_path):
    scenes(".data/one.tif")
    assert names(tmp_path / ".data") == ["one.tif"]
    (tmp_path / "link").symlink_to(".data")
    assert names(tmp_path / "link") == ["one.tif"]


def test_a_folder_that_cannot_be_read_is_a_row_that_fails(scenes, monkeypatch):
    folder = scenes("scenes/a/one.tif", "scenes/b/two.tif")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    # whoever runs the tests may be allowed everything
    monkeypatch.setattr(scene_folders.os, "scandir", refuse)
    one, two = list_scenes([str(folder)])
    assert one.problem == ""
    assert two.problem == f"the folder {folder}/b cannot be read; check its permissions"


def test_a_folder_without_end_is_refused(scenes, monkeypatch):
    monkeypatch.setattr(scene_folders, "MOST_ENTRIES", 3)
    folder = scenes("scenes/a/one.tif", "scenes/a/two.tif")
    assert len(names(folder)) == 2
    with pytest.raises(DataError, match="holds more than 3 files"):
        names(scenes("scenes/a/three.tif"))
