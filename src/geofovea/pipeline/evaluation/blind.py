"""``geofovea eval BENCHMARK --blind``: the score of someone who never saw an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import fmean, stdev
from typing import Any

import numpy as np

from geofovea.datasets.benchmarks.benchmark import Benchmark
from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.blind import (
    constant_answers,
    constants_for,
    halves,
    neighbor_answers,
)
from geofovea.datasets.scoring.metrics import Bootstrap, Estimate, Metric
from geofovea.datasets.scoring.verdict import Scorer
from geofovea.datasets.scoring.wordnet import Synonyms
from geofovea.errors import DataError
from geofovea.pipeline.system.progress import progress_bar

__all__ = ["BlindScores", "measure_blind"]

_NEIGHBOR_RUNS = 6


@dataclass(frozen=True, slots=True)
class BlindScores:
    """Figures of three ways to answer without looking, judged officially, in [0, 1].

    Attributes:
        benchmark: Title of the benchmark.
        constants: The best constant of each source and category.
        fitted: Its figures on the questions that it was fitted on.
        crossed: Mean and standard deviation of the figures of constants on images that they were
            not fitted on, over halves; NaN where no half has questions of a figure.
        neighbors: The same for the neighbors of the question's text.
        runs: Divisions into halves for the constants, and for the neighbors.
    """

    benchmark: str
    constants: Mapping[str, str]
    fitted: Mapping[str, Estimate]
    crossed: Mapping[str, tuple[float, float]]
    neighbors: Mapping[str, tuple[float, float]]
    runs: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "benchmark": self.benchmark,
            "constants": dict(self.constants),
            "fitted": {name: m.to_json() for name, m in self.fitted.items()},
            "crossed": {name: _plain(pair) for name, pair in self.crossed.items()},
            "neighbours": {name: _plain(pair) for name, pair in self.neighbors.items()},
            "runs": list(self.runs),
        }


def _plain(pair: tuple[float, float]) -> dict[str, float | None]:
    mean, deviation = (None if isnan(number) else number for number in pair)
    return {"mean": mean, "sd": deviation}


def measure_blind(
    benchmark: Benchmark, samples: Sequence[Sample], synonyms: Synonyms, runs: int = 40
) -> BlindScores:
    """Measure the three ways.

    Raises:
        DataError: If ``runs`` is not positive, or all questions are about one image.
    """
    if runs < 1:
        raise DataError(f"--runs must be at least 1, got {runs}")
    if len({sample.images for sample in samples}) < 2:
        raise DataError("learning from other images needs questions about at least two images")
    scorer = benchmark.scorers(synonyms)["official"]
    metrics = [m for m in benchmark.metrics if any(map(m.only, samples))]
    constants = constant_answers(samples, scorer)
    draws = Bootstrap(samples)
    right = _verdicts(samples, constants_for(samples, samples, scorer), scorer)
    crossed: list[dict[str, float]] = []
    neighbors: list[dict[str, float]] = []
    with progress_bar("answering blindly") as advance:
        for seed in range(runs):
            reference, rest = halves(samples, seed)
            crossed.append(_figures(metrics, rest, constants_for(reference, rest, scorer), scorer))
            if seed < _NEIGHBOR_RUNS:
                answers = neighbor_answers(reference, rest)
                neighbors.append(_figures(metrics, rest, answers, scorer))
            advance((seed + 1) / runs)
    return BlindScores(
        benchmark=benchmark.title,
        constants={" / ".join(filter(None, group)): a for group, a in constants.items()},
        fitted={f.name: draws.measure(f, right) for f in metrics},
        crossed=_spread(crossed),
        neighbors=_spread(neighbors),
        runs=(len(crossed), len(neighbors)),
    )


def _verdicts(samples: Sequence[Sample], answers: Mapping[str, str], scorer: Scorer) -> list[bool]:
    return [scorer(sample, answers[sample.id]).correct for sample in samples]


def _figures(
    metrics: Sequence[Metric], samples: Sequence[Sample], answers: Mapping[str, str], scorer: Scorer
) -> dict[str, float]:
    draws = Bootstrap(samples, draws=0)
    right = np.array(_verdicts(samples, answers, scorer))
    return {f.name: draws.measure(f, right).value for f in metrics}


def _spread(runs: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    return {name: _mean_and_deviation([run[name] for run in runs]) for name in runs[0]}


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Of the divisions in which the figure has questions; NaN without one."""
    known = [value for value in values if not isnan(value)]
    if not known:
        return nan, nan
    return fmean(known), stdev(known) if len(known) > 1 else 0.0
