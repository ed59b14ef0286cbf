"""Everything that is particular to one benchmark, as a value.

Every benchmark is one file that owns its records, its prompt and its scorers and ends in a
``Benchmark``; what runs models and writes reports knows no benchmark by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.datasets.records.sample import Collection, Sample
from geofovea.datasets.scoring.metrics import Metric
from geofovea.datasets.scoring.verdict import Scorer

__all__ = ["Benchmark", "PublishedScore"]


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """A number that somebody published.

    Attributes:
        system: What was measured.
        figure: Name of the metric that it compares to.
        value: In percent.
        source: Where it is stated.
        caveat: What makes it differ from ours; empty if nothing is known.
    """

    system: str
    figure: str
    value: float
    source: str
    caveat: str = ""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Everything that is particular to one benchmark.

    Attributes:
        name: The name on the command line.
        title: The name that people use.
        annotations: Names of the annotation file below the root, the first that is there is read.
        read: Reads one annotation file; the second argument is the root, for benchmarks that
            keep their images inside the annotation.
        prompt: What the published protocol asks a model.
        scorers: Makes the scorers of all ``MODES`` from a dictionary of synonyms.
        metrics: The numbers that are reported, the headline first.
        instructions: What to download and where to put it.
        license: Of the data.
        version: Of prompt and scorers; part of every report.
        published: Scores of others.
        prediction_fields: Names under which answers files of this benchmark keep the answer,
            tried before the usual ones.
    """

    name: str
    title: str
    annotations: tuple[str, ...]
    read: Callable[[Path, Path], Collection]
    prompt: Callable[[Sample], str]
    scorers: Callable[[Any], Mapping[str, Scorer]]
    metrics: tuple[Metric, ...]
    instructions: str
    license: str
    version: str = "1"
    published: tuple[PublishedScore, ...] = ()
    prediction_fields: tuple[str, ...] = ()
