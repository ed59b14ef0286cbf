"""Questions of benchmarks about two images are asked with both, or say why not."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from geofovea.datasets.benchmarks import synthetic
from geofovea.pipeline.cli import main
from geofovea.pipeline.evaluation.synthetic_scenes import write_dated_benchmark

ROW = {
    "index": 7,
    "image": ["images/a.png", "images/b.png"],
    "question": "How many ships are new?",
    "multi-choice options": ["(A) 0", "(B) 1", "(C) 2", "(D) 3"],
    "answer": "B",
    "category": "Counting/Counting with changing detection",
    "l2-category": "changing detection",
}


@pytest.fixture
def evaluate(tmp_path, tiny_folder):
    """``evaluate(shapes, *rows)``: items and notes of a run over pictures of these shapes."""

    def call(shapes, *rows):
        root, folder = tmp_path / "xlrs", tmp_path / "run"
        (root / "images").mkdir(parents=True)
        for name, shape in shapes.items():
            noise = np.random.default_rng(len(name)).integers(0, 255, (*shape, 3), np.uint8)
            Image.fromarray(noise).save(root / "images" / f"{name}.png")
        lines = "\n".join(json.dumps(row) for row in rows)
        (root / "XLRS-Bench-lite.jsonl").write_text(lines + "\n")
        words = ["eval", "xlrs-bench", "--root", root, "--output", folder, "--model", tiny_folder]
        words += ["--max-tiles", 8, "--max-tokens", 60, "--json"]
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
        return items, json.loads(result.stdout)["notes"]

    return call


def test_both_images_are_asked_about(evaluate):
    one = ROW | {"index": 8, "image": ["images/a.png"]}
    items, notes = evaluate({"a": (200, 260), "b": (200, 260)}, ROW, one)
    by_id = {item["question_id"]: item for item in items}
    both, single = by_id["7"], by_id["8"]
    assert both["error"] is None
    assert any("aligned pixel by pixel" in warning for warning in both["warnings"])
    assert both["cost"]["tiles_read"] % 2 == 0
    assert not any("aligned" in warning for warning in single["warnings"])
    assert not any("asked about the first" in note for note in notes)


def test_images_of_two_sizes_are_asked_about_the_first_and_counted(evaluate):
    items, notes = evaluate({"a": (200, 260), "b": (210, 260)}, ROW)
    (item,) = items
    assert item["error"] is None
    assert "was asked about the first alone" in item["warnings"][0]
    assert "different sizes" in item["warnings"][0]
    assert any(note.startswith("1 question about several images was asked") for note in notes)


def test_a_dated_benchmark_of_the_synthetic_world_is_read_with_both_images(tmp_path):
    path = write_dated_benchmark(tmp_path, scenes=1, side=768, seed=4, dates=3, per_category=2)
    collection = synthetic.read(path, tmp_path)
    assert {len(sample.images) for sample in collection.samples} == {2}
    for sample in collection.samples:
        assert all((tmp_path / name).is_file() for name in sample.images)
    pairs = {sample.images for sample in collection.samples}
    assert len(pairs) == 2
    first, second = sorted(pairs)
    assert first[1] == second[0]
