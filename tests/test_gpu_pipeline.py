"""The benchmark of the whole pipeline, at the size that CI can afford."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import gpu_pipeline
from gpu_report import Clock, write_figures

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu_pipeline.py"
ROWS = ("read", "encode", "focus", "choose", "prefill", "decode", "total")
COURSES = ["first question", "second question", "floor", "any resolution", "published steps"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="peaks of memory are a Unix thing")
def test_the_benchmark_of_the_pipeline_fills_every_row_for_every_way(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", str(SCRIPT), "--device", "cpu", "--shape", "tiny"]
    command += ["--side", "1024", "--answer", "8", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    starts = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert set(ROWS) <= set(starts)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "pipeline.png"]
    assert (figures["skipped"], figures["shape"], figures["side"]) == ([], "tiny", 1024)
    assert min(figures["rates"].values()) > 0
    # a step of the package gives what the stock decoder gives
    assert min(figures["steps"]["seconds"].values()) > 0
    assert figures["steps"]["difference"] < 1e-4
    courses = figures["courses"]
    assert list(courses) == COURSES
    for name, course in courses.items():
        # a second question is asked of tiles that are known, and any resolution has no focus
        free = {"second question": {"read", "encode"}, "any resolution": {"focus"}}.get(name, set())
        # nothing has to be computed for a choice, and other ways choose while they look
        free = free if "question" in name else free | {"choose"}
        assert all(course["seconds"].get(row, 0) > 0 for row in ROWS if row not in free)
    assert courses["second question"]["counts"]["tiles"] == 0
    # a tile of 6 × 6 patches, pooled by two; the overview is shown whole
    assert courses["any resolution"]["counts"]["tokens"] == 36 + 144 * 9
    floor = courses["floor"]["seconds"]
    assert floor["total"] < courses["first question"]["seconds"]["total"]


def test_what_is_measured_so_far_is_written_and_time_is_kept_to(tmp_path: Path) -> None:
    course = {"seconds": {"read": 1.0, "total": 1.0}, "counts": {}, "scored": []}
    figures = {"device": "d", "shape": "s", "side": 1, "courses": {"first question": course}}
    for names in (["first question"], ["first question", "floor"]):
        figures["courses"] = dict.fromkeys(names, course)
        write_figures(tmp_path, figures, ("read", "encode", "focus", "choose", "prefill", "decode"))
        assert list(json.loads((tmp_path / "figures.json").read_text())["courses"]) == names
    assert (tmp_path / "pipeline.png").read_bytes().startswith(b"\x89PNG")
    assert Clock(1).has(30)
    assert not Clock(1).has(61)
    assert not Clock(0).has(1)


def test_a_part_that_fails_is_written_down_and_keeps_no_other_from_being_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = gpu_pipeline.Report({"device": "d", "shape": "s", "side": 1}, Clock(1), tmp_path)
    report.add(first_question=course_of(1.0))
    with report.part("floor"):
        raise RuntimeError("CUDA error: out of memory\nand more")
    with report.part("any resolution"):
        report.add(any_resolution=course_of(2.0))
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert list(figures["courses"]) == ["first question", "any resolution"]
    assert figures["failed"] == {"floor": "RuntimeError: CUDA error: out of memory"}
    assert "CUDA error" in capsys.readouterr().err


def course_of(seconds: float) -> gpu_pipeline.Course:
    course = gpu_pipeline.Course(torch.device("cpu"))
    course.seconds |= {"read": seconds, "total": seconds}
    return course


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"tiles": 0}, "--tiles is a whole number from 1, got 0"),
        ({"side": 16}, "--side 16: a synthetic scene needs at least 768 pixels"),
        ({"device": "cuda:99"}, "--device cuda:99 cannot be used"),
        ({"shape": "7b"}, "--shape 7b holds 15 GB of weights"),
        ({"device": "gpu"}, "--device gpu cannot be used"),
        ({"output": SCRIPT / "below"}, "cannot be written: Not a directory"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_minutes_are_spent(
    changes: dict[str, Any], words: str | None
) -> None:
    usual = {"tiles": 1, "tokens": 1, "answer": 1, "side": 768, "device": "cpu", "output": None}
    usual |= {"shape": "tiny"}
    why = gpu_pipeline.refusal(argparse.Namespace(**usual | changes))
    assert why is None if words is None else words in str(why)


@pytest.mark.slow
def test_questions_are_counted_part_by_part_for_several_families() -> None:
    command = [sys.executable, "-W", "ignore", str(SCRIPT.with_name("question_counts.py"))]
    command += ["--side", "1024", "--tiles", "6", "--answer", "3"]
    command += ["--families", "llava,qwen2_5_vl,internvl"]
    # so that no row is folded
    wide = os.environ | {"COLUMNS": "160"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=280, env=wide
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # of launches first, then of bytes
    rows = [line for line in done.stdout.splitlines() if re.match(r" \w+, (first|second) ", line)]
    numbers = [[float(n) for n in re.findall(r"([\d.]+) /", row)] for row in rows]
    assert len(numbers) == 2 * 2 * 3
    launches, moved = numbers[:6], numbers[6:]
    for first, second in zip(launches[::2], launches[1::2], strict=True):
        assert min(*first, *second[1:]) > 0
        assert second[0] < first[0]
        # a step of 28 layers, and two of them behind the prefill
        assert 2 * 28 * 20 < first[3] < 2 * 28 * 60
    for first, second in zip(moved[::2], moved[1::2], strict=True):
        assert second[0] < first[0]
