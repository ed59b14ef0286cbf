"""MME-RealWorld, its remote sensing part: five choices, of which the last is "not visible".

Source: Zhang et al., MME-RealWorld (ICLR 2025); one JSON list or JSON Lines. Two truths of a known
subset are lists of letters, which the published rule can never match; they stay in.
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

_SUBTASK = "Remote Sensing"


def prompt(sample: Sample) -> str:
    """The published prompt."""
    return (
        f"{sample.question} The choices are listed below:\n{labeled(sample.choices)}\n"
        "Select the best answer to the above multiple-choice question based on the image. Respond "
        "with only the letter (A, B, C, D, or E) of the correct option. \nThe best answer is:"
    )


def read(path: Path, root: Path) -> Collection:
    """The questions of the subtask Remote Sensing.

    Raises:
        DataError: If a row is malformed or an id occurs twice.
    """

    def samples() -> Iterator[Sample]:
        for row in read_shards(path):
            if row.text("Subtask") != _SUBTASK:
                continue
            choices = unlabeled(row, "Answer choices")
            category = row.text("Category").lower()
            if "attribute" in category:
                category = category.split("/", maxsplit=1)[0] + "/attribute"
            yield row.sample(
                id=row.text("Question_id"),
                images=image_names(row, "Image", root),
                question=row.text("Text"),
                answers=letters_of(row, "Ground truth", len(choices)),
                category=category,
                choices=choices,
                meta={"task": row.values.get("Task")},
            )

    return checked_collection(samples())


_OTHERS = (
    ("LLaVA-OV-7B", 53.53, "LRS-VQA paper", "another codebase has other numbers"),
    ("GazeEarth + Qwen3-VL-8B", 52.43, "GazeEarth paper", "its own strict scorer"),
    ("Qwen2-VL-7B (to 3333²)", 49.73, "LRS-VQA paper", ""),
    ("Qwen3-VL-8B, overview and reasoning", 49.01, "GazeEarth paper", "its own strict scorer"),
    ("ZoomEarth-3B", 44.10, "ZoomEarth paper", ""),
    ("SliME-8B", 42.27, "MME-RealWorld paper", ""),
    ("LRS-VQA method", 41.89, "LRS-VQA paper", ""),
    ("GPT-4o", 28.92, "MME-RealWorld paper", "often answers E, not visible"),
    ("Claude 3.5", 25.74, "MME-RealWorld paper", "often answers E, not visible"),
    ("GPT-4o-mini", 6.69, "MME-RealWorld paper", "often answers E, not visible"),
)


def _official_letters(sample: Sample, answer: str) -> tuple[str, str]:
    """MME-RealWorld's own script: the first upper-case A to E, wherever it stands.

    An empty answer is part of the first choice, so it counts as A.
    """
    text = without_prefixes(answer)
    if len(text.split()) > 10 and not re.search("[ABCDE]", text):
        return "", "none"
    if match := re.search("[ABCDE]", text):
        return match[0], "first letter"
    for letter, choice in zip(sample.letters, sample.choices, strict=True):
        if text.lower() in f"({letter}) {choice}".lower():
            return letter, "choice text"
    return "", "none"


BENCHMARK = Benchmark(
    name="mme-realworld-rs",
    title="MME-RealWorld (remote sensing)",
    annotations=("MME_RealWorld.json", "MME_RealWorld.jsonl", "remote_sensing.json"),
    read=read,
    prompt=prompt,
    scorers=choice_scorers(_official_letters),
    metrics=(Metric("accuracy"), Metric("mean over categories", (category_of,))),
    instructions=(
        "download yifanzhang114/MME-RealWorld from the Hugging Face hub and unpack it, so that the "
        "folder holds MME_RealWorld.json and the images where it names them"
    ),
    license="for research only, see its terms",
    published=tuple(
        PublishedScore(system, "accuracy", value, source, caveat)
        for system, value, source, caveat in _OTHERS
    ),
    prediction_fields=("Output", "output"),
)
