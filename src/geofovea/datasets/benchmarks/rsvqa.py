"""RSVQA, low and high resolution: three JSON files that are joined by whole numbers.

Source: Lobry et al., RSVQA (TGRS 2020). Counts of the low resolution set and areas of the high
resolution set are classes; both sides are put into them, as the published code does. Systems of
remote sensing often leave counts and areas out: ``presence and comparison`` is the number to
compare those with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from geofovea.datasets.benchmarks.benchmark import Benchmark
from geofovea.datasets.records.rows import cell_text
from geofovea.datasets.records.sample import Collection, Sample, checked_collection
from geofovea.datasets.scoring.metrics import Metric, category_of
from geofovea.datasets.scoring.verdict import Scorer, Verdict, scorers_by_mode
from geofovea.datasets.scoring.word_scorers import bare, lenient_scorer, strict_scorer
from geofovea.datasets.scoring.wordnet import Synonyms
from geofovea.datasets.tables.list_files import check_regular
from geofovea.datasets.tables.text_files import json_of
from geofovea.errors import DataError
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["HIGH", "LOW", "class_of", "prompt", "read"]

_QUESTIONS = "questions.json"
_USUAL = ("presence", "comp", "rural_urban")


def prompt(sample: Sample) -> str:
    """The question with the instruction that remote sensing models are given."""
    return sample.question + " Answer the question using a single word or phrase."


def read(path: Path, root: Path) -> Collection:  # noqa: ARG001 images lie beside the annotation
    """The active questions of a file ``..._questions.json`` with the answers beside it.

    Raises:
        DataError: If one of the files is missing or malformed, or an id leads nowhere.
    """
    if not path.name.endswith(_QUESTIONS):
        raise DataError(f"{path} should be a file ..._{_QUESTIONS} of RSVQA")
    answers_file = path.with_name(path.name.removesuffix(_QUESTIONS) + "answers.json")
    answers = {str(row.get("id")): row for row in _active(answers_file, "answers")}

    def samples() -> Iterator[Sample]:
        for row in _active(path, "questions"):
            place = f"{path}, question {row.get('id')!r}"
            try:
                key = str(row["answers_ids"][0])
                yield Sample(
                    id=_text(row["id"]),
                    images=(f"images/{int(row['img_id'])}.tif",),
                    question=str(row["question"]),
                    answers=(_text(answers[key]["answer"]),),
                    category=str(row["type"]),
                )
            except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
                raise DataError(
                    f"{place}: the column or the answer {error} is missing or malformed"
                ) from error

    return checked_collection(samples())


def _text(value: Any) -> str:
    text = cell_text(value)
    if text is None:
        raise ValueError(f"{value!r:.60} is not text")
    return text


def _active(path: Path, name: str) -> list[dict[str, Any]]:
    check_regular(path)
    try:
        rows = json_of(path)[name]
        return [row for row in rows if row.get("active", True)]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} should hold an object with a list {name!r} ({error})") from error


def class_of(answer: str, category: str) -> str:
    """The class of a count or an area; other answers as they are.

    Counts above 0 fall into 1-10, 11-100, 101-1000 and more; areas in square meters likewise.
    """
    number = re.fullmatch(r"(\d{1,15})\s*(m2)?", answer)
    if number is None or (category != "area" and number[2]) or category not in ("count", "area"):
        return answer
    value, unit = int(number[1]), number[2] or ""
    low = next((low for low in (0, 10, 100) if low < value <= max(10, 10 * low)), None)
    if value == 0:
        return f"0{unit}"
    if low is None:
        return f"more than 1000{unit}"
    return f"between {low}{unit} and {max(10, 10 * low)}{unit}"


def _official(classes_of: str) -> Scorer:
    """Equal words, or the same class for counts (low resolution) or areas (high resolution)."""

    def scorer(sample: Sample, answer: str) -> Verdict:
        truth, reply = sample.answers[0].lower().strip(), answer.lower().strip()
        if truth == reply:
            return Verdict(True, "equal", reply)
        if sample.category == classes_of:
            one, two = class_of(truth, classes_of), class_of(reply, classes_of)
            return Verdict(one == two, "class" if one == two else "different", two)
        return Verdict(False, "different", reply)

    return scorer


def _scorers(classes_of: str) -> Callable[[Synonyms], Mapping[str, Scorer]]:
    official = _official(classes_of)

    def scorers(synonyms: Synonyms) -> Mapping[str, Scorer]:
        lenient = lenient_scorer(synonyms)

        def either(sample: Sample, answer: str) -> Verdict:
            verdict = official(sample, bare(answer))
            return verdict if verdict.correct else lenient(sample, answer)

        return scorers_by_mode(official, strict_scorer, either)

    return scorers


def _benchmark(name: str, title: str, classes_of: str, files: str, record: str) -> Benchmark:
    return Benchmark(
        name=name,
        title=title,
        annotations=(f"{files}_split_test_{_QUESTIONS}", f"*test*{_QUESTIONS}"),
        read=read,
        prompt=prompt,
        scorers=_scorers(classes_of),
        metrics=(
            Metric("AA", (category_of,)),
            Metric("OA"),
            Metric("presence and comparison", (category_of,), lambda s: s.category in _USUAL),
        ),
        instructions=(
            f"download {record} from Zenodo, so that the folder holds the files of questions and "
            "answers of one part, and images/ with <id>.tif"
        ),
        license="CC BY 4.0",
    )


LOW = _benchmark("rsvqa-lr", "RSVQA-LR", "count", "LR", "record 6344334")
HIGH = _benchmark("rsvqa-hr", "RSVQA-HR", "area", "USGS", "record 6344367")
