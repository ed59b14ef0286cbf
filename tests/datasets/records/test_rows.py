"""Cells of rows are what they should be, or an error with their place; images become files."""

from pathlib import Path

import pytest

from geofovea.datasets.benchmarks.local_files import find_images
from geofovea.datasets.records.choices import unlabeled
from geofovea.datasets.records.row_images import IMAGE_FOLDER, image_names
from geofovea.datasets.records.rows import Row
from geofovea.datasets.records.sample import LETTERS, Sample
from geofovea.errors import DataError, OutputError

PNG = b"\x89PNG\r\n\x1a\n of these bytes nothing is decoded"


def row(cell):
    return Row("rows.jsonl, line 3", {"cell": cell})


def sample(**fields):
    usual = {"images": ("a.png",), "question": "what?", "answers": ("A",), "category": "kind"}
    return Sample("1", **usual | fields)


@pytest.mark.parametrize("cell", ["[" * 100_000, "[1, 2", "[1e999, 0, 1, 1]", "7", {"a": 1}, True])
@pytest.mark.parametrize("read", ["texts", "box"])
def test_a_cell_that_is_no_list_is_named_with_its_place(read, cell):
    with pytest.raises(DataError, match="line 3, column 'cell'"):
        getattr(row(cell), read)("cell")


def test_no_choice_is_left_out_because_no_letter_is_left():
    texts = [f"choice {number}" for number in range(len(LETTERS))]
    assert unlabeled(row(texts), "cell") == tuple(texts)
    with pytest.raises(DataError, match="column 'cell': expected at most 26 choices"):
        unlabeled(row([*texts, "one more"]), "cell")
    assert sample(choices=tuple(texts)).letters == LETTERS
    with pytest.raises(DataError, match="27 choices, more than the 26"):
        sample(choices=(*texts, "one more"))


def test_a_name_that_no_file_can_have_is_a_missing_image(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    names = ("a.png", "a" * 5000 + ".png", "b\0.png")
    assert find_images(tmp_path, [sample(images=names)]).missing == names[1:]


def test_an_image_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match="No space left"):
        image_names(row(PNG), "cell", tmp_path)
    assert list((tmp_path / IMAGE_FOLDER).iterdir()) == []
