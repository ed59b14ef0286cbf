"""LRS-VQA: free answers about large scenes, with its prompt and its scorers.

Source: VisionXLab/LRS-VQA (ICCV 2025). The leaderboard has the mean over categories for each
source; its "average" also counts MME-RealWorld-RS, ours does not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from geofovea._plurals import counted
from geofovea.datasets.benchmarks.benchmark import Benchmark, PublishedScore
from geofovea.datasets.records.annotations import INSTRUCTION, Record, read_records
from geofovea.datasets.records.sample import Collection, Sample, checked_collection
from geofovea.datasets.scoring.metrics import Metric, category_of, source_of
from geofovea.datasets.scoring.verdict import Scorer, Verdict
from geofovea.datasets.scoring.word_scorers import word_scorers
from geofovea.datasets.scoring.wordnet import Synonyms

__all__ = ["BENCHMARK", "prompt", "read"]


def prompt(sample: Sample) -> str:
    """The published text: the question with its instruction."""
    return str(sample.meta.get("text", sample.question + INSTRUCTION))


def read(path: Path, root: Path) -> Collection:  # noqa: ARG001 images lie beside the annotation
    """All scored questions of an annotation file.

    Raises:
        DataError: If a line is not a valid row, or an id occurs twice.
    """
    records = list(read_records(path))
    scored = [record for record in records if record.answer and record.category]
    notes = []
    if skipped := len(records) - len(scored):
        rows = counted(skipped, "row has", "rows have")
        notes.append(f"{rows} no answer or category and no score, as published")
    clipped = [record for record in scored if record.sticks_out]
    if clipped:
        outside = sum(record.box is None for record in clipped)
        notes.append(
            f"the boxes of {counted(len(clipped), 'question')} reach beyond the image "
            f"({len(clipped) - outside} clipped, {outside} outside it and left out): "
            + ", ".join(record.question_id for record in clipped[:5])
        )
    return checked_collection((_sample(record) for record in scored), notes)


def _sample(record: Record) -> Sample:
    return Sample(
        id=record.question_id,
        images=(record.image,),
        question=record.question,
        answers=(record.answer,),
        category=record.category,
        source=record.source,
        boxes=(record.box,) if record.box else (),
        image_size=record.image_size,
        meta=record.more,
    )


def _of(source: str) -> Callable[[Sample], bool]:
    return lambda sample: sample.source == source


def _official(synonyms: Synonyms) -> Scorer:
    """The published rule, with its faults: lower case, then equal words or a common synset.

    A path similarity above 0.8 is a distance of 0, which is one and the same synset. Nothing is
    stripped: ``"urban."`` is wrong.
    """

    def scorer(sample: Sample, answer: str) -> Verdict:
        truth, text = sample.answers[0].lower(), answer.lower()
        if truth == text:
            return Verdict(True, "equal", text)
        if synonyms.meanings(truth) & synonyms.meanings(text):
            return Verdict(True, "synonym", text)
        return Verdict(False, "different", text)

    return scorer


_SOURCES = {"FAIR": "FAIR", "Bridge": "GLH-Bridge", "STAR": "STAR"}
_OTHERS = (
    ("Qwen2-VL-7B (to 3333²)", 23.80, 38.12, 27.87, 29.93),
    ("IXC-2.5", 25.25, 38.41, 27.30, 30.32),
    ("LRS-VQA method (LLaVA-NeXT)", 21.85, 38.24, 26.67, 28.92),
    ("LRS-VQA method (LLaVA-1.5)", 22.97, 36.89, 27.48, 29.11),
    ("LLaVA-OV-7B", 20.61, 35.11, 26.08, 27.27),
    ("GPT-4o", 22.15, 31.84, 27.40, 27.13),
    ("SEAL", 21.29, 34.75, 21.29, 25.78),
    ("GeoChat", 20.18, 24.54, 13.75, 19.49),
    ("Claude 3.5", 12.95, 26.69, 13.29, 17.64),
)

BENCHMARK = Benchmark(
    name="lrs-vqa",
    title="LRS-VQA",
    annotations=("LRS_VQA_merged.jsonl", "LRS_VQA/LRS_VQA_merged.jsonl"),
    read=read,
    prompt=prompt,
    scorers=word_scorers(_official),
    metrics=(
        Metric("mean AA", (source_of, category_of)),
        *(Metric(f"{name} AA", (category_of,), _of(of)) for name, of in _SOURCES.items()),
        *(Metric(f"{name} OA", (), _of(of)) for name, of in _SOURCES.items()),
        Metric("pooled AA", (category_of,)),
        Metric("OA"),
    ),
    instructions=(
        "download ll-13/LRS-VQA from the Hugging Face hub and unpack it, so that the folder holds "
        "LRS_VQA_merged.jsonl and image/ (or LRS_VQA/image/)"
    ),
    license="CC BY-NC 4.0",
    published=(
        *(
            PublishedScore(system, figure, value, "LRS-VQA paper, table of results")
            for system, *values in _OTHERS
            for figure, value in zip(
                ("FAIR AA", "Bridge AA", "STAR AA", "mean AA"), values, strict=True
            )
        ),
        PublishedScore(
            "ZoomSearch (LLaVA-OV)",
            "pooled AA",
            34.4,
            "ZoomSearch paper, from its relative gain",
            "its own scorer, which is our lenient one",
        ),
    ),
)
