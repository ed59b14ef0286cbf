"""Benchmark images are found among training images by their contents."""

import numpy as np
import pytest
import rasterio
from benchmark_rows import json_lines
from PIL import Image

from geofovea.datasets.scoring.contamination import find_leaks, hash_folder, hash_image, read_hashes
from geofovea.errors import DataError


def picture(seed, side=256):
    """Soft blobs, as photographs have them."""
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture
def benchmark(tmp_path):
    folder = tmp_path / "benchmark"
    folder.mkdir()
    for seed in range(4):
        picture(seed).save(folder / f"{seed}.png")
    return folder


def leaks(benchmark, training):
    found = find_leaks(hash_folder(benchmark), hash_folder(training))
    return {(m.image, m.other, m.bits is None) for m in found}


def test_the_same_file_the_same_picture_and_no_other_are_found(benchmark, tmp_path):
    training = tmp_path / "training" / "deep"
    training.mkdir(parents=True)
    (training / "copy.png").write_bytes((benchmark / "0.png").read_bytes())
    picture(1).resize((90, 90)).save(training / "small.jpg", quality=60)
    picture(77).save(training / "other.png")
    assert leaks(benchmark, training.parent) == {
        ("0.png", "deep/copy.png", True),
        ("1.png", "deep/small.jpg", False),
    }


def test_a_scene_is_known_as_a_tiff_too(benchmark, tmp_path):
    training = tmp_path / "training"
    training.mkdir()
    pixels = np.moveaxis(np.asarray(picture(2)), -1, 0)
    shape = {"width": 256, "height": 256, "count": 3, "dtype": "uint8"}
    with rasterio.open(training / "scene.tif", "w", "GTiff", **shape) as dataset:
        dataset.write(pixels)
    assert leaks(benchmark, training) == {("2.png", "scene.tif", False)}


def test_pictures_without_structure_are_compared_as_files_only(tmp_path):
    for name, side in (("sea.png", 64), ("sky.png", 65)):
        Image.new("RGB", (side, side), (40, 60, 90)).save(tmp_path / name)
    assert find_leaks([hash_image(tmp_path / "sea.png")], [hash_image(tmp_path / "sky.png")]) == []


def test_a_list_of_hashes_stands_for_the_images(benchmark, tmp_path):
    rows = [image.to_json() for image in hash_folder(benchmark)]
    rows[1] |= {"sha256": None}
    path = json_lines(tmp_path / "train.jsonl", *rows[:2])
    found = find_leaks(hash_folder(benchmark), read_hashes(path))
    assert [(m.image, m.other, m.bits) for m in found] == [
        ("0.png", "0.png", None),
        ("1.png", "1.png", 0),
    ]


def test_hashes_in_capital_letters_are_the_same_hashes(benchmark, tmp_path):
    rows = [image.to_json() for image in hash_folder(benchmark)]
    capitals = [{"sha256": rows[0]["sha256"].upper()}, {"dhash": rows[1]["dhash"].upper()}]
    path = json_lines(tmp_path / "train.jsonl", *capitals)
    found = find_leaks(hash_folder(benchmark), read_hashes(path))
    assert [(m.image, m.bits) for m in found] == [("0.png", None), ("1.png", 0)]


def test_a_file_that_is_no_image_is_compared_as_a_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    (image,) = hash_folder(tmp_path)
    assert image.near is None
    assert [m.bits for m in find_leaks([image], [image])] == [None]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"name": "x"}, "'sha256'"),
        ({"dhash": "xyz"}, "column 'dhash': expected 16 hexadecimal"),
        ({"dhash": "f" * 17}, "column 'dhash': expected 16 hexadecimal"),
        ({"dhash": "-f0f0f0f0f0f0f0f"}, "column 'dhash': expected 16 hexadecimal"),
        ({"sha256": "f" * 32}, "column 'sha256': expected 64 hexadecimal"),
    ],
)
def test_a_malformed_list_is_named(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        list(read_hashes(json_lines(tmp_path / "train.jsonl", row)))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="neither a folder of images nor a list of hashes"):
        list(hash_folder(tmp_path / "no"))
