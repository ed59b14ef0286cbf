"""XLRS-Bench and XLRS-Bench-lite: multiple choice over 13 subtasks, some with several answers.

Source: Wang et al., XLRS-Bench (CVPR 2025), and the task of that name in lmms-eval, whose rule the
published scores use. It reads nearly every letter of a sentence as an answer, so a system should
answer with the letter alone. Captioning and grounding have no published scorer and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from geofovea.datasets.benchmarks.benchmark import Benchmark, PublishedScore
from geofovea.datasets.records.choices import labeled, letters_of, unlabeled
from geofovea.datasets.records.row_images import image_names
from geofovea.datasets.records.rows import read_shards
from geofovea.datasets.records.sample import Collection, Sample, checked_collection
from geofovea.datasets.scoring.choice_scorers import choice_scorers, without_prefixes
from geofovea.datasets.scoring.metrics import Metric, category_of

__all__ = ["BENCHMARK", "prompt", "read"]

_SUBTASKS = 13
_SEVERAL = "Overall Land use classification"


def prompt(sample: Sample) -> str:
    """The prompt of lmms-eval, which puts nothing between the question and the choices."""
    tail = (
        "Select the best answer(s) for the multiple-choice question based on the image. There may "
        "be more than one correct option. Only respond with the letter(s) corresponding to the "
        "correct answer(s) (A, B, C, D), with multiple choices separated by spaces.The answer(s) "
        "is(are):"
        if sample.multi_select
        else "Select the best answer for the multiple-choice question based on the image. Only "
        "respond with the letter corresponding to the correct answer (A, B, C, D).\nThe answer is:"
    )
    return f"{sample.question}The choices are listed below:\n{labeled(sample.choices)}\n\n{tail}"


def read(path: Path, root: Path) -> Collection:
    """The questions; images inside Parquet rows are written beside them once.

    Raises:
        DataError: If a row is malformed or an id occurs twice.
    """

    def samples() -> Iterator[Sample]:
        for row in read_shards(path):
            choices = unlabeled(row, "multi-choice options")
            category = row.text("category")
            yield row.sample(
                id=row.text("index"),
                images=image_names(row, "image", root),
                question=row.text("question"),
                answers=letters_of(row, "answer", len(choices)),
                category=category,
                choices=choices,
                multi_select=category.endswith(_SEVERAL),
                meta={"l2-category": row.values.get("l2-category")},
            )

    return checked_collection(samples())


def _task_of(sample: Sample) -> str:
    return sample.category.split("/", maxsplit=1)[0]


_OTHERS = (
    ("Text-Before-Vision", 60.40, "its paper", "trained"),
    ("GeoEyes", 54.23, "its paper", "trained; 42.34 where others measured it"),
    ("GazeEarth + Qwen3-VL-8B", 53.51, "its paper", "lite"),
    ("DualComp", 53.1, "its paper", "not reproducible from its code"),
    ("Intern-S1-mini", 51.6, "DualComp paper", "14.51 with the rule of VLMEvalKit"),
    ("GeoLLaVA-8K", 51.5, "its paper", "38.61 in the ZoomEarth paper, on its own set"),
    ("Qwen3-VL-8B", 50.0, "DualComp paper", "42.92 in another paper: prompt and scorer"),
    ("LLaVA-NeXT with the LRS-VQA method", 42.2, "DualComp paper", ""),
    ("ZoomEarth-3B", 40.2, "DualComp paper", ""),
    ("GeoChat", 22.9, "DualComp paper", ""),
)


def _official_letters(sample: Sample, answer: str) -> tuple[str, str]:  # noqa: ARG001
    """XLRS-Bench in lmms-eval: all letters in parentheses, else every a to e of the text.

    Without any upper-case A to E there is no answer at all.
    """
    text = without_prefixes(answer)
    if not re.search("[ABCDE]", text):
        return "", "none"
    in_parentheses = re.findall(r"\(([a-eA-E])\)", text)
    letters = in_parentheses or re.findall("[a-eA-E]", text)
    rule = "letters in parentheses" if in_parentheses else "all letters"
    return "".join(sorted({letter.upper() for letter in letters})), rule


BENCHMARK = Benchmark(
    name="xlrs-bench",
    title="XLRS-Bench (VQA, also -lite)",
    annotations=(
        "data/train-*.parquet",
        "train-*.parquet",
        "XLRS-Bench-lite.jsonl",
        "XLRS-Bench.jsonl",
        "*.jsonl",
    ),
    read=read,
    prompt=prompt,
    scorers=choice_scorers(_official_letters),
    metrics=(
        Metric("macro", (category_of,), groups=_SUBTASKS),
        Metric("micro"),
        Metric("mean over tasks", (_task_of,)),
    ),
    instructions=(
        "download initiacms/XLRS-Bench-lite (or XLRS-Bench) from the Hugging Face hub, so that the "
        "folder holds data/train-*.parquet"
    ),
    license="CC BY-NC-SA 4.0",
    published=tuple(
        PublishedScore(system, "macro", value, source, caveat)
        for system, value, source, caveat in _OTHERS
    ),
    prediction_fields=("pred_answer",),
)
