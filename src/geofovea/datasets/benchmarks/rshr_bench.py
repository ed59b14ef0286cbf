"""RSHR-Bench (XHRBench): choices over images of 4,000 px and more, one or several right.

Source: RL-MIND/XHRBench. Its repository has no scorer; equal sets of letters count, as UHR-BAT does
it. Its annotation is known by ``images``, ``question``, ``options`` and ``answer``; the names of
id, task and ability are taken where one of the usual ones is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from geofovea._plurals import counted
from geofovea.datasets.benchmarks.benchmark import Benchmark, PublishedScore
from geofovea.datasets.records.choices import labeled, letters_of, unlabeled
from geofovea.datasets.records.row_images import image_names
from geofovea.datasets.records.rows import Row, read_shards
from geofovea.datasets.records.sample import Collection, Sample, checked_collection
from geofovea.datasets.scoring.choice_scorers import choice_scorers, lenient_letters
from geofovea.datasets.scoring.metrics import Metric, category_of

__all__ = ["BENCHMARK", "prompt", "read"]

_IDS = ("id", "question_id", "index")
_TASKS = ("category", "task", "task_type", "type")
_ABILITIES = ("perception", "reasoning")


def prompt(sample: Sample) -> str:
    """The question, its choices, and which form of answer is wanted."""
    answer_form = (
        "the letters of all correct options, separated by blanks"
        if sample.multi_select
        else "only the letter of the correct option"
    )
    return f"{sample.question}\n{labeled(sample.choices)}\nAnswer with {answer_form}."


def read(path: Path, root: Path) -> Collection:
    """The questions with choices; rows without any (captions) are left out and counted.

    Raises:
        DataError: If a row is malformed or an id occurs twice.
    """
    rows = list(enumerate(read_shards(path)))
    with_choices = [(number, row) for number, row in rows if row.values.get("options")]
    notes = []
    if captions := len(rows) - len(with_choices):
        notes.append(
            f"{counted(captions, 'row has', 'rows have')} no options and no score: there is no "
            "published rule for them"
        )

    def samples() -> Iterator[Sample]:
        for number, row in with_choices:
            choices = unlabeled(row, "options")
            answers = letters_of(row, "answer", len(choices))
            task = _first(row, _TASKS) or "all"
            yield row.sample(
                id=_first(row, _IDS) or str(number),
                images=image_names(row, "images", root),
                question=row.text("question"),
                answers=answers,
                category=task,
                source=_ability(row, task),
                choices=choices,
                multi_select=len(answers) > 1 or "multi" in str(row.values.get("type", "")).lower(),
            )

    return checked_collection(samples(), notes)


def _first(row: Row, columns: tuple[str, ...]) -> str | None:
    return next((row.text(c) for c in columns if row.values.get(c) not in (None, "")), None)


def _ability(row: Row, task: str) -> str:
    label = f"{_first(row, ('ability', 'level')) or ''} {task}".lower()
    return "reasoning" if "reason" in label else "perception" if "percep" in label else "unknown"


def _of(ability: str) -> Callable[[Sample], bool]:
    return lambda sample: sample.source == ability


_OTHERS = (
    ("Gemini-2.5-Pro", 34.9, 45.5, ""),
    ("text-only Qwen3-8B", 32.0, 42.2, "sees no image"),
    ("GPT-4o", 30.2, 50.1, ""),
    ("UHR-BAT", 29.2, 45.0, ""),
    ("EarthDial", 28.1, 37.1, ""),
    ("VILA-HD", 28.0, 46.6, ""),
    ("Qwen2.5-VL-7B", 25.2, 21.8, ""),
    ("GPT-5", 24.5, 53.4, ""),
    ("GeoLLaVA-8K", 24.5, 16.0, ""),
)

BENCHMARK = Benchmark(
    name="rshr-bench",
    title="RSHR-Bench (XHRBench)",
    annotations=("dataset.json", "dataset.jsonl"),
    read=read,
    prompt=prompt,
    scorers=choice_scorers(lenient_letters),
    metrics=(
        *(Metric(f"{a} mean", (category_of,), _of(a)) for a in _ABILITIES),
        Metric("OA"),
    ),
    instructions=(
        "download RL-MIND/XHRBench from the Hugging Face hub, so that the folder holds "
        "dataset.json and the images that it names"
    ),
    license="Apache-2.0",
    published=tuple(
        PublishedScore(system, f"{ability} mean", value, "RSHR-Bench and UHR-BAT papers", caveat)
        for system, *values, caveat in _OTHERS
        for ability, value in zip(_ABILITIES, values, strict=True)
    ),
)
