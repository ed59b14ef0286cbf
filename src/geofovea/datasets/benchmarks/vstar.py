"""V*: small details in natural images, a check that zooming works at all.

Source: Wu and Xie, V* (CVPR 2024); 191 questions as JSON Lines with the choices inside the text. In
the older files of one image each the first choice is always right; such rows are shuffled with a
seed of their own id.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

from geofovea.datasets.benchmarks.benchmark import Benchmark, PublishedScore
from geofovea.datasets.records.choices import labeled, letters_of, listed_choices
from geofovea.datasets.records.row_images import image_names
from geofovea.datasets.records.rows import Row, read_shards
from geofovea.datasets.records.sample import LETTERS, Collection, Sample, checked_collection
from geofovea.datasets.scoring.choice_scorers import choice_scorers
from geofovea.datasets.scoring.metrics import Metric, category_of

__all__ = ["BENCHMARK", "prompt", "read"]

_INSTRUCTION = "Answer with the option's letter from the given choices directly."


def prompt(sample: Sample) -> str:
    """The published text; of older files the question, its choices and the same instruction."""
    text = sample.meta.get("text")
    listed = str(text) if text else f"{sample.question}\n{labeled(sample.choices)}"
    return listed if _INSTRUCTION in listed else f"{listed}\n{_INSTRUCTION}"


def read(path: Path, root: Path) -> Collection:
    """The questions.

    Raises:
        DataError: If a row is malformed or an id occurs twice.
    """
    return checked_collection(
        _shuffled(row, root) if "options" in row.values else _lettered(row, root)
        for row in read_shards(path)
    )


def _lettered(row: Row, root: Path) -> Sample:
    """A row whose text ends in ``(A) ... (B) ...`` and whose label is a letter."""
    question, *parts = re.split(r"\s*\(([A-H])\)\s*", row.text("text"))
    choices = tuple(part.split("\n")[0].strip() for part in parts[1::2])
    if len(choices) < 2 or "".join(parts[::2]) != LETTERS[: len(choices)]:
        raise row.wrong("text", "a question with its choices (A), (B) ... behind it")
    return row.sample(
        id=row.text("question_id"),
        images=image_names(row, "image", root),
        question=question,
        answers=letters_of(row, "label", len(choices)),
        category=row.text("category"),
        choices=choices,
        meta={"text": row.text("text")},
    )


def _shuffled(row: Row, root: Path) -> Sample:
    """A row whose first option is right."""
    options = listed_choices(row, "options")
    key = row.text("question_id")
    order = random.Random(f"geofovea-vstar-{key}").sample(range(len(options)), len(options))
    box = row.box("bbox")
    return row.sample(
        id=key,
        images=image_names(row, "image", root),
        question=row.text("question"),
        answers=(LETTERS[order.index(0)],),
        category=row.text("category"),
        choices=tuple(options[i] for i in order),
        boxes=(box,) if box else (),
    )


def _samples_of(category: str) -> Iterator[Metric]:
    yield Metric(category, (), lambda sample: sample.category == category)


def _official_letters(sample: Sample, answer: str) -> tuple[str, str]:  # noqa: ARG001
    """V* in lmms-eval: the answer in upper case, so that any word may begin with a letter."""
    text = answer.strip().upper()
    patterns = {
        "first letter": r"^([A-D])",
        "answer is": r"(?:ANSWER|CHOICE|OPTION)(?:\s+IS)?[\s:]+([A-D])",
        "letters in parentheses": r"\(([A-D])\)",
        "letter with a mark": r"([A-D])\s*[.)\]]",
        "letter alone": r"(?:^|\s)([A-D])(?:\s|$)",
    }
    for rule, pattern in patterns.items():
        if match := re.search(pattern, text):
            return match[1], rule
    letters = re.findall("[A-D]", text)
    return (letters[0], "only letter") if len(letters) == 1 else ("", "none")


BENCHMARK = Benchmark(
    name="vstar",
    title="V* bench",
    annotations=("test_questions.jsonl", "*.jsonl", "*.parquet"),
    read=read,
    prompt=prompt,
    scorers=choice_scorers(_official_letters),
    metrics=(
        Metric("accuracy"),
        *_samples_of("direct_attributes"),
        *_samples_of("relative_position"),
        Metric("mean over categories", (category_of,)),
    ),
    instructions=(
        "download craigwu/vstar_bench from the Hugging Face hub, so that the folder holds "
        "test_questions.jsonl and the images that it names"
    ),
    license="see the data set's page",
    published=(
        PublishedScore("RAP + Qwen3-VL-8B", "accuracy", 92.0, "RAP paper"),
        PublishedScore("Qwen3-VL-8B", "accuracy", 81.3, "RAP paper"),
    ),
)
