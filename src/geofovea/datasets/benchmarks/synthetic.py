"""The synthetic world as a benchmark: what ``geofovea synth`` writes, with scorers.

Its answers are single words in lower case, so ``official`` is an exact match.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from geofovea.datasets.benchmarks import lrs_vqa
from geofovea.datasets.benchmarks.benchmark import Benchmark
from geofovea.datasets.records.sample import Collection, Sample
from geofovea.datasets.scoring.metrics import Metric, category_of
from geofovea.datasets.scoring.verdict import Verdict
from geofovea.datasets.scoring.word_scorers import word_scorers
from geofovea.errors import DataError

__all__ = ["BENCHMARK", "prompt", "read"]


def read(path: Path, root: Path) -> Collection:
    """The questions; those about dates have all their images, the earliest first.

    Raises:
        DataError: As of LRS-VQA, and if ``images`` is not a list of paths.
    """
    collection = lrs_vqa.read(path, root)
    samples = tuple(_with_dates(sample) for sample in collection.samples)
    return replace(collection, samples=samples)


def _with_dates(sample: Sample) -> Sample:
    images = sample.meta.get("images", list(sample.images))
    if not isinstance(images, list) or not all(isinstance(name, str) for name in images):
        raise DataError(f"sample {sample.id}: images must be a list of paths, got {images!r:.80}")
    return replace(sample, images=tuple(images))


def prompt(sample: Sample) -> str:
    """The question alone; the embedded model knows no instructions."""
    return sample.question


def _exact(sample: Sample, answer: str) -> Verdict:
    equal = answer == sample.answers[0]
    return Verdict(equal, "equal" if equal else "different", answer)


BENCHMARK = Benchmark(
    name="synthetic",
    title="the synthetic world",
    annotations=("annotations.jsonl",),
    read=read,
    prompt=prompt,
    scorers=word_scorers(lambda _synonyms: _exact),
    metrics=(Metric("OA"), Metric("AA", (category_of,))),
    instructions="make it with: geofovea synthesize --output FOLDER --scenes 4",
    license="made here",
)
