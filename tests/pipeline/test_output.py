"""Files are complete or not there at all; what was there stays until the new one is whole."""

import os
from pathlib import Path

import pytest

from geofovea.errors import OutputError
from geofovea.pipeline.output import check_writable, make_folder, write_file, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_text_is_written_with_one_final_newline(tmp_path):
    for text in ("naïve", "naïve\n", "naïve\n\n"):
        write_text(tmp_path / "a.txt", text)
        assert (tmp_path / "a.txt").read_bytes() == "naïve\n".encode()
    assert names(tmp_path) == ["a.txt"]


def test_a_written_file_can_be_read_by_others(tmp_path):
    write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("older", [None, "older\n"])
@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), RuntimeError("bug"), KeyboardInterrupt()]
)
def test_a_write_that_fails_half_way_leaves_everything_as_it_was(tmp_path, older, failure):
    path = tmp_path / "a.txt"
    if older is not None:
        path.write_text(older)

    def fail(aside):
        aside.write_text("half")
        raise failure

    expected = OutputError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected):
        write_file(path, fail)
    assert (path.read_text() if path.exists() else None) == older
    assert names(tmp_path) == ([] if older is None else ["a.txt"])


def test_a_move_that_fails_leaves_everything_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("older\n")

    def fail(self, target):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match="Input/output error"):
        write_text(path, "newer")
    assert path.read_text() == "older\n"
    assert names(tmp_path) == ["a.txt"]


def test_the_file_is_not_there_before_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"

    def look(aside):
        assert not path.exists()
        assert aside.parent == path.parent
        assert aside.suffix == path.suffix
        aside.write_text("whole")

    write_file(path, look)
    assert path.read_text() == "whole"


def test_a_path_that_cannot_be_a_file_is_refused_in_words(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(OutputError, match="there is no folder"):
        check_writable(tmp_path / "nowhere" / "a.txt")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="there is no folder"):
        check_writable(tmp_path / "file" / "a.txt")
    check_writable(tmp_path / "a.txt")
    assert not (tmp_path / "a.txt").exists()


def test_a_read_only_folder_is_refused(tmp_path, monkeypatch):
    # whoever runs the tests may be allowed everything
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="is read-only"):
        check_writable(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["x" * 300 + ".txt", "a\0b.txt"])
def test_a_name_that_no_file_can_have_is_an_output_error(tmp_path, name):
    with pytest.raises(OutputError, match="written"):
        write_text(tmp_path / name, "x")
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc on this system")
def test_a_folder_that_takes_no_files_is_an_output_error():
    with pytest.raises(OutputError, match="written"):
        write_text("/proc/a.txt", "x")


def test_folders_are_made_with_their_parents(tmp_path):
    assert make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be made"):
        make_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be made"):
        make_folder(tmp_path / "file" / "b")
