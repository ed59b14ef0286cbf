"""One small valid annotation of every benchmark, in its own format."""

import base64
import io
import json

import numpy as np
from PIL import Image

from geofovea.datasets.benchmarks.registry import BENCHMARK_NAMES


def png(seed=0, side=16):
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


MME = {
    "Question_id": "rs/1",
    "Image": "remote_sensing/a.png",
    "Text": "What color is the roof?",
    "Question Type": "Multiple Choice",
    "Answer choices": ["(A) Red", "(B) Blue", "(C) Green", "(D) White", "(E) Not visible"],
    "Ground truth": "B",
    "Category": "color",
    "Subtask": "Remote Sensing",
    "Task": "Perception",
}
XLRS = {
    "index": 7,
    "image": ["images/a.png"],
    "question": "What is it?",
    "multi-choice options": ["(A) Port", "(B) Road", "(C) Field", "(D) Lake"],
    "answer": "B",
    "category": "Object properties/Object classification",
    "l2-category": "classification",
}
XLRS_SEVERAL = XLRS | {
    "index": 8,
    "answer": "AC",
    "category": "Land use classification/Overall Land use classification",
}
GRO = {
    "question_id": 3,
    "image_name": "a.png",
    "category": "color",
    "question": "What color is the car?",
    "ground_truth": "Gray",
    "bbox": [1, 2, 9, 9],
    "type": "object",
    "split": "test",
}
RSHR = {
    "images": ["a.png"],
    "question": "Which are ships?",
    "options": {"A": "this", "B": "that", "C": "those"},
    "answer": "A, C",
    "task": "color perception",
}
HR = {
    "index": 0,
    "question": "What is on the sign?",
    "A": "stop",
    "B": "go",
    "C": "left",
    "D": "right",
    "answer": "C",
    "category": "single",
    "cycle_category": "cycle_1",
}
VSTAR = {
    "question_id": 5,
    "image": "direct_attributes/a.jpg",
    "text": "What is the color of the bag?\n(A) red\n(B) blue\nAnswer with the option's letter.",
    "label": "B",
    "category": "direct_attributes",
}
LRS = {
    "question_id": "FAIR_1",
    "image": "LRS_VQA/image/a.png",
    "category": "object color",
    "text": "What color is the ship?\n Answer the question using a single word or phrase.",
    "ground_truth": "white",
    "hbox": [10, 20, 30, 40],
    "image_size": [100, 50],
}


def json_lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_rsvqa(root, prefix="LR", answer="12", kind="count"):
    files = {
        "questions": [
            {"id": 4, "img_id": 2, "type": kind, "question": "How many?", "answers_ids": [9]}
            | {"active": True},
            {"id": 5, "active": False},
        ],
        "answers": [{"id": 9, "question_id": 4, "answer": answer, "active": True}],
    }
    for name, rows in files.items():
        path = root / f"{prefix}_split_test_{name}.json"
        path.write_text(json.dumps({name: rows}))


def write_all(root):
    """Every benchmark in a folder of its name."""
    for name in BENCHMARK_NAMES:
        (root / name).mkdir()
    other = MME | {"Question_id": "d/1", "Subtask": "Monitoring"}
    (root / "mme-realworld-rs" / "MME_RealWorld.json").write_text(json.dumps([MME, other]))
    json_lines(root / "xlrs-bench" / "XLRS-Bench-lite.jsonl", XLRS, XLRS_SEVERAL)
    json_lines(root / "lrs-gro" / "LRS-GRO.jsonl", GRO, GRO | {"question_id": 4, "split": "train"})
    (root / "rshr-bench" / "dataset.json").write_text(json.dumps([RSHR, {"images": ["a.png"]}]))
    write_rsvqa(root / "rsvqa-lr")
    write_rsvqa(root / "rsvqa-hr", "USGS", "120m2", "area")
    cells = HR | {"image": base64.b64encode(png()).decode()}
    lines = ["\t".join(cells), "\t".join(str(v) for v in cells.values())]
    (root / "hr-bench" / "hr_bench_4k.tsv").write_text("\n".join(lines) + "\n")
    json_lines(root / "vstar" / "test_questions.jsonl", VSTAR)
    json_lines(root / "lrs-vqa" / "LRS_VQA_merged.jsonl", LRS)
    json_lines(root / "synthetic" / "annotations.jsonl", LRS | {"question_id": "SYNTH_0"})
