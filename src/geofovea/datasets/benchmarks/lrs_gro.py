"""LRS-GRO: free answers about whole scenes, regions and objects, before and after one zoom.

Source: ZoomEarth and its data set HappyBug/LRS-GRO. Files of results keep ``answer1`` (before the
zoom) and ``answer2`` (after; null means ``answer1``); ``--answer-field answer1`` scores the first.
The numbers of its README and of its code disagree on the size of the test part, so the number of
questions is part of every report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from geofovea.datasets.benchmarks.benchmark import Benchmark, PublishedScore
from geofovea.datasets.records.rows import read_shards
from geofovea.datasets.records.sample import Collection, Sample, checked_collection
from geofovea.datasets.scoring.metrics import Metric
from geofovea.datasets.scoring.verdict import Scorer, Verdict
from geofovea.datasets.scoring.word_scorers import word_scorers
from geofovea.datasets.scoring.wordnet import Synonyms

__all__ = ["BENCHMARK", "prompt", "read"]

_TYPES = ("global", "region", "object")
_TEST = "test"


def prompt(sample: Sample) -> str:
    """The question with an instruction on the form of the answer."""
    return sample.question + "\nAnswer the question using a single word or phrase."


def read(path: Path, root: Path) -> Collection:  # noqa: ARG001 images lie beside the annotation
    """The questions of the test part; all of them where the file names no part.

    Raises:
        DataError: If a row is malformed or an id occurs twice.
    """
    rows = list(read_shards(path))
    parts = {str(row.values.get("split")) for row in rows}
    notes = []
    if _TEST in parts:
        rows = [row for row in rows if row.values.get("split") == _TEST]
        notes.append(f"the {len(rows)} rows of the part {_TEST!r}; the file also has others")

    def samples() -> Iterator[Sample]:
        for row in rows:
            kind = row.text("type")
            if kind not in _TYPES:
                raise row.wrong("type", " or ".join(_TYPES))
            box = row.box("bbox")
            yield row.sample(
                id=row.text("question_id"),
                images=(row.text("image_name"),),
                question=row.text("question"),
                answers=(row.text("ground_truth"),),
                category=row.text("category"),
                source=kind,
                boxes=(box,) if box else (),
            )

    return checked_collection(samples(), notes)


def _official(synonyms: Synonyms) -> Scorer:
    """Equal, or a common synset after both became nouns in the singular."""

    def scorer(sample: Sample, answer: str) -> Verdict:
        truth, text = sample.answers[0].lower(), answer.lower().strip()
        if truth == text:
            return Verdict(True, "equal", text)
        one, two = synonyms.singular(truth), synonyms.singular(text)
        if synonyms.meanings(one) & synonyms.meanings(two):
            return Verdict(True, "synonym", two)
        return Verdict(False, "different", text)

    return scorer


def _of(kind: str) -> Callable[[Sample], bool]:
    return lambda sample: sample.source == kind


_CAVEAT = "of its 3,313 test questions"
_OTHERS = (
    ("GazeEarth + Qwen3-VL-8B", 61.00),
    ("Qwen3-VL-8B", 56.90),
    ("ZoomEarth-3B", 53.76),
    ("InternVL3", 53.67),
    ("Qwen2.5-VL-7B (to 3333²)", 51.43),
    ("VLM-R3", 50.17),
    ("IXC-2.5", 50.00),
    ("GeoChat", 45.88),
    ("GPT-4o", 21.83),
)

BENCHMARK = Benchmark(
    name="lrs-gro",
    title="LRS-GRO",
    annotations=("LRS-GRO.jsonl", "test.jsonl"),
    read=read,
    prompt=prompt,
    scorers=word_scorers(_official),
    metrics=(Metric("OA"), *(Metric(f"{kind} OA", (), _of(kind)) for kind in _TYPES)),
    instructions=(
        "download HappyBug/LRS-GRO from the Hugging Face hub, so that the folder holds "
        "LRS-GRO.jsonl and the images that it names"
    ),
    license="see the data set's page",
    published=tuple(
        PublishedScore(system, "OA", value, "GazeEarth and ZoomEarth papers", _CAVEAT)
        for system, value in _OTHERS
    ),
    prediction_fields=("answer2", "answer1"),
)
