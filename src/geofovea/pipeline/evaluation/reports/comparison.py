"""``geofovea compare``: compares runs of one benchmark, question by question.

Only questions that all runs answered are compared. A difference is taken over the same questions in
the same bootstrap draws of images, because a hard image is hard for every run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any

from geofovea.datasets.benchmarks.registry import load_benchmark
from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.metrics import Bootstrap, Estimate, Metric, interval_text
from geofovea.errors import DataError
from geofovea.pipeline.evaluation.reports.comparison_picture import comparison_svg
from geofovea.pipeline.evaluation.reports.report import RunOnDisk, read_run
from geofovea.pipeline.evaluation.reports.tables import Table
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tables import markdown_table

__all__ = ["ComparedRun", "Comparison", "compare_runs", "write_comparison"]

_SETTINGS = ("model", "reduction", "descent", "focus", "limits", "dtype", "quantization")


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One run among those that are compared.

    Attributes:
        name: Of its folder, with as much of the path as tells it from the others.
        settings: What differs between the runs, by name.
        accuracy: Official accuracy over the questions that all runs answered.
        gain: How much more that is than the first run's; None for that one.
        figures: ``(figure, gain over the first run)`` for each figure of the benchmark.
        tokens: Median of vision tokens that reached the decoder; None where it is not recorded.
        seconds: Median of a question's time; None likewise.
    """

    name: str
    settings: Mapping[str, Any]
    accuracy: Estimate
    gain: Estimate | None
    figures: Mapping[str, Estimate]
    tokens: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs beside each other.

    Attributes:
        benchmark: Its title.
        questions: How many questions all runs answered.
        images: How many images those are about.
        left_out: Questions that some run did not answer.
        runs: The first is what the others are compared with.
    """

    benchmark: str
    questions: int
    images: int
    left_out: int
    runs: tuple[ComparedRun, ...]

    def table(self) -> Table:
        """A row for each run."""
        rows = [
            [
                run.name,
                ", ".join(map(_setting, run.settings, run.settings.values())) or "the same",
                _percent(run.accuracy),
                "–" if run.gain is None else _percent(run.gain, "+"),
                "–" if run.tokens is None else f"{run.tokens:.0f}",
                "–" if run.seconds is None else f"{run.seconds:.2f}",
            ]
            for run in self.runs
        ]
        header = ("run", "settings", "official %", f"against {self.runs[0].name}", "tokens", "s")
        return header, rows

    def figures(self) -> Table:
        """Gains of the benchmark's own figures over the first run."""
        names = list(self.runs[0].figures)
        rows = [
            [run.name, *(_percent(run.figures[n], "+") for n in names)] for run in self.runs[1:]
        ]
        return ("run", *names), rows

    def head(self) -> str:
        """What a reader must know before the numbers."""
        left_out = (
            f"; {self.left_out} that some run did not answer are left out" if self.left_out else ""
        )
        return (
            f"{self.benchmark}: {self.questions} questions about {self.images} images that all "
            f"runs answered{left_out}. Percent [95 % interval, paired bootstrap over images]; an "
            "interval of a difference that holds no zero is a difference beyond chance."
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for ``json.dumps``."""
        return {
            "benchmark": self.benchmark,
            "questions": self.questions,
            "images": self.images,
            "left_out": self.left_out,
            "runs": [
                {
                    "name": run.name,
                    "settings": dict(run.settings),
                    "accuracy": run.accuracy.to_json(),
                    "gain": None if run.gain is None else run.gain.to_json(),
                    "figures": {name: gain.to_json() for name, gain in run.figures.items()},
                    "tokens": run.tokens,
                    "seconds": run.seconds,
                }
                for run in self.runs
            ],
        }


def compare_runs(folders: Sequence[Path], seed: int = 0) -> Comparison:
    """Compare runs with the first of them.

    Args:
        folders: Of runs of ``geofovea eval``, at least two.
        seed: Of the draws of the bootstrap.

    Raises:
        DataError: If there are fewer, one holds no finished run, they are of several benchmarks, or
            there is no question that all answered.
    """
    runs = _alike(folders)
    benchmark = load_benchmark(str(runs[0].manifest["benchmark"]))
    answered = [{item["question_id"]: item for item in run.items} for run in runs]
    every = dict.fromkeys(key for items in answered for key in items)
    shared = [key for key in every if all(key in items for items in answered)]
    if not shared:
        raise DataError("no question was answered by all of these runs: compare runs of one sample")
    items_by_run = [[items[key] for key in shared] for items in answered]
    samples = [_sample(item) for item in items_by_run[0]]
    return Comparison(
        benchmark.title,
        questions=len(shared),
        images=len({sample.images for sample in samples}),
        left_out=len(every) - len(shared),
        runs=_compared(
            _names(folders),
            _differing([run.manifest["configuration"] for run in runs]),
            items_by_run,
            benchmark.metrics,
            Bootstrap(samples, seed),
        ),
    )


def _alike(folders: Sequence[Path]) -> list[RunOnDisk]:
    """The runs in some folders, which are of one benchmark."""
    if len(folders) < 2:
        raise DataError("a comparison needs two runs or more: name their folders")
    runs = [read_run(folder) for folder in folders]
    titles = sorted({str(run.manifest["benchmark"]) for run in runs})
    if len(titles) > 1:
        raise DataError(f"the runs are of several benchmarks, {', '.join(titles)}: compare alike")
    return runs


def _compared(
    names: Sequence[str],
    settings: Sequence[dict[str, Any]],
    items_by_run: Sequence[Sequence[Mapping[str, Any]]],
    metrics: Sequence[Metric],
    bootstrap: Bootstrap,
) -> tuple[ComparedRun, ...]:
    """Each run beside the first; all items are in the order of the samples of ``bootstrap``."""
    accuracy = Metric("accuracy")
    verdicts = [[_is_right(item) for item in items] for items in items_by_run]
    baseline = verdicts[0]
    # a figure of a source that no question is of has no value
    metrics = [m for m in metrics if not isnan(bootstrap.measure(m, baseline).value)]
    return tuple(
        ComparedRun(
            names[index],
            settings[index],
            accuracy=bootstrap.measure(accuracy, verdicts[index]),
            gain=bootstrap.difference(accuracy, verdicts[index], baseline) if index else None,
            figures={m.name: bootstrap.difference(m, verdicts[index], baseline) for m in metrics},
            tokens=_median(items, lambda cost: cost["tokens_llm"]),
            seconds=_median(items, lambda cost: cost["seconds"]["total"]),
        )
        for index, items in enumerate(items_by_run)
    )


def write_comparison(comparison: Comparison, folder: Path) -> tuple[Path, ...]:
    """Write ``compare.md``, ``compare.json`` and ``compare.svg``; returns their paths.

    Raises:
        OutputError: If a file cannot be written.
    """
    make_folder(folder)
    figures = comparison.figures()
    parts = [comparison.head(), markdown_table(*comparison.table())]
    parts += ["Gains by figure:", markdown_table(*figures)] if len(figures[0]) > 2 else []
    texts = {
        "compare.md": "\n\n".join([*parts, "![differences](compare.svg)", ""]),
        "compare.json": json.dumps(comparison.to_json(), indent=1),
        "compare.svg": comparison_svg(
            f"{comparison.benchmark}: official accuracy against {comparison.runs[0].name}",
            [(run.name, run.gain) for run in comparison.runs if run.gain is not None],
        ),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return tuple(folder / name for name in texts)


def _percent(estimate: Estimate, sign: str = "") -> str:
    interval = interval_text(100 * estimate.low, 100 * estimate.high, f"{sign}.2f")
    return f"{100 * estimate.value:{sign}.2f} {interval}"


def _sample(item: Mapping[str, Any]) -> Sample:
    """A question, as far as figures need it."""
    key = str(item["question_id"])
    # an answers file does not say which image; then each question is resampled by itself
    image = str(item.get("image") or f"question {key}").replace(":", "_").lstrip("/\\")
    return Sample(
        key, (image,), str(item["question"]) or "?", tuple(item["truth"]), str(item["category"]),
        str(item.get("source") or ""),
    )  # fmt: skip


def _is_right(item: Mapping[str, Any]) -> float:
    return float(item["verdicts"]["official"]["correct"])


def _median(
    items: Sequence[Mapping[str, Any]], of: Callable[[Mapping[str, Any]], float]
) -> float | None:
    values = [of(item["cost"]) for item in items if item.get("cost")]
    return float(median(values)) if values else None


def _setting(name: str, value: Any) -> str:
    """One setting in words, such as ``limits tiles 48 tokens 768``."""
    if isinstance(value, Mapping):
        value = " ".join(f"{key} {limit}" for key, limit in value.items())
    return f"{name} {value}"


def _differing(configurations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each run the settings that are not the same in all."""
    names = [
        name
        for name in _SETTINGS
        if len({json.dumps(each.get(name), sort_keys=True) for each in configurations}) > 1
    ]
    # a file of answers knows its name alone
    return [{name: each[name] for name in names if name in each} for each in configurations]


def _names(folders: Sequence[Path]) -> list[str]:
    """The ends of paths, as long as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    # one run, named twice
    return [f"{'/'.join(each[-1:])} ({number})" for number, each in enumerate(parts, 1)]
