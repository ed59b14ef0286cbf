"""The synthetic world as a benchmark: what ``geofovea synth`` writes, with scorers.

Its answers are single words in lower case, so ``official`` is an exact match.
"""

from __future__ import annotations

from geofovea.datasets.benchmarks.benchmark import Benchmark
from geofovea.datasets.benchmarks.lrs_vqa import read
from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.metrics import Metric, category_of
from geofovea.datasets.scoring.verdict import Verdict
from geofovea.datasets.scoring.word_scorers import word_scorers

__all__ = ["BENCHMARK", "prompt"]


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
    licence="made here",
)
