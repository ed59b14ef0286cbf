"""HR-Bench 4K and 8K: natural images, a check that zooming works at all.

Source: Wang et al., Divide, Conquer and Combine (AAAI 2025). Every question comes with four orders
of its choices. Published scores let GPT judge what the rule cannot read; here that is wrong, and
the rule ``none`` in the report says how often it happened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from geofovea.datasets.benchmarks.benchmark import Benchmark, PublishedScore
from geofovea.datasets.records.choices import letters_of
from geofovea.datasets.records.row_images import image_names
from geofovea.datasets.records.rows import read_shards
from geofovea.datasets.records.sample import Collection, Sample, checked_collection
from geofovea.datasets.scoring.choice_scorers import choice_scorers
from geofovea.datasets.scoring.metrics import Metric

__all__ = ["BENCHMARK", "prompt", "read"]

_LETTERS = "ABCD"


def prompt(sample: Sample) -> str:
    """The question, its choices, one a line, and the instruction."""
    choices = "\n".join(f"{x}. {c}" for x, c in zip(_LETTERS, sample.choices, strict=True))
    return f"{sample.question}\n{choices}\nAnswer the option letter directly."


def read(path: Path, root: Path) -> Collection:
    """The questions; images inside the rows are written beside them once.

    Raises:
        DataError: If a row is malformed or an id occurs twice.
    """

    def samples() -> Iterator[Sample]:
        for row in read_shards(path):
            yield row.sample(
                id=row.text("index"),
                images=image_names(row, "image", root),
                question=row.text("question"),
                answers=letters_of(row, "answer", len(_LETTERS)),
                category=row.text("category"),
                choices=tuple(row.text(letter) for letter in _LETTERS),
                meta={"cycle": row.text("cycle_category")},
            )

    return checked_collection(samples())


def _lone_letter(sample: Sample, answer: str) -> tuple[str, str]:
    """The only choice letter that stands alone among the words, else the only choice text."""
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", answer).split()
    letters = [letter for letter in sample.letters if letter in words]
    if len(letters) == 1:
        return letters[0], "letter"
    texts = [choice.lower() for choice in sample.choices]
    if len(answer) <= 2 * sum(map(len, texts)):
        matches = [
            x for x, t in zip(sample.letters, texts, strict=True) if t and t in answer.lower()
        ]
        if len(matches) == 1:
            return matches[0], "choice text"
    return "", "none"


def _cycle_of(sample: Sample) -> str:
    return str(sample.meta["cycle"])


_OTHERS = (
    ("RAP + Qwen3-VL-8B", 76.9, 74.9),
    ("Qwen3-VL-8B", 71.5, 64.1),
    ("DC² + InternVL2-76B", 70.4, 63.3),
    ("people", 82.0, 86.8),
)

BENCHMARK = Benchmark(
    name="hr-bench",
    title="HR-Bench (4K or 8K)",
    annotations=("hr_bench_4k.tsv", "hr_bench_8k.tsv", "*.tsv", "*.parquet"),
    read=read,
    prompt=prompt,
    scorers=choice_scorers(_lone_letter),
    metrics=(
        Metric("mean over cycles", (_cycle_of,)),
        Metric("single", (_cycle_of,), lambda s: s.category == "single"),
        Metric("cross", (_cycle_of,), lambda s: s.category == "cross"),
    ),
    instructions=(
        "download DreamMr/HR-Bench from the Hugging Face hub, so that the folder holds "
        "hr_bench_4k.tsv or hr_bench_8k.tsv (choose with --annotations)"
    ),
    license="see the data set's page",
    published=tuple(
        PublishedScore(f"{system} ({size})", "mean over cycles", value, "RAP paper", "GPT judges")
        for system, *values in _OTHERS
        for size, value in zip(("4K", "8K"), values, strict=True)
    ),
)
