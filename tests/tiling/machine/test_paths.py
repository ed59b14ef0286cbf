"""Whatever stands for a name, asking whether it is a file or a folder has an answer."""

from geofovea.tiling.machine.paths import is_file, is_folder


def test_what_can_be_no_name_names_no_file_and_no_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    assert is_file(tmp_path / "file")
    assert is_folder(tmp_path)
    assert not is_file(tmp_path)
    assert not is_folder(tmp_path / "file")
    for name in ("x" * 300, "file/b", "a\0b"):
        assert not is_file(tmp_path / name)
        assert not is_folder(tmp_path / name)
