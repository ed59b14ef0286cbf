"""``geofovea eval`` with a model: runs a benchmark, survives interruptions, and scores the answers.

The folder of a run holds the journal, the items, the scores and a manifest. Each answer is in the
journal before the next question is asked. The same command resumes a run that was stopped. A
finished run is read from the journal, without a call of the model.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from geofovea._plurals import counted
from geofovea.datasets.benchmarks.benchmark import Benchmark
from geofovea.datasets.benchmarks.local_files import Images, find_images
from geofovea.datasets.benchmarks.scores import ScoredAnswer, Scores, score
from geofovea.datasets.records.sample import Collection
from geofovea.datasets.scoring.wordnet import Synonyms
from geofovea.errors import DataError, GeoFoveaError
from geofovea.pipeline.evaluation.metrics import hit_rate
from geofovea.pipeline.evaluation.worker import FIRST_ALONE, EvalWork, configuration_of, make_items
from geofovea.pipeline.hosts.endpoint.shared_ledger import make_ledger_file, spent
from geofovea.pipeline.inference.decoder.decoded_answer import CUT
from geofovea.pipeline.runs.batch_summary import warnings_alike
from geofovea.pipeline.runs.item import ItemKey
from geofovea.pipeline.runs.journal import JOURNAL, Entry, Journal
from geofovea.pipeline.runs.runner import RunCounts, run_items
from geofovea.pipeline.runs.workers import Workers
from geofovea.pipeline.session.settings import AskSettings
from geofovea.pipeline.system.files import file_digest, make_folder, write_text
from geofovea.pipeline.system.interruption import interruptible, shielded
from geofovea.pipeline.system.progress import counting_bar
from geofovea.tiling.remote.names import without_secrets

__all__ = ["FinishedRun", "run_eval", "write_results", "write_run"]

_FIRST_ALONE = FIRST_ALONE.split("and", 1)[1]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What a run leaves behind.

    Attributes:
        scores: Its numbers; failed questions count as wrong.
        answers: Every answer.
        records: What else is known of an answer (cost, looks), by id.
        errors: Why a question failed, by id.
        counts: What this run did and what it found done.
    """

    scores: Scores
    answers: Sequence[ScoredAnswer]
    records: Mapping[str, Mapping[str, Any]]
    errors: Mapping[str, str]
    counts: RunCounts

    @property
    def hit_rate(self) -> float | None:
        """Share of annotated questions whose object was looked at in native pixels (`metrics`)."""
        return hit_rate(record.get("hit") for record in self.records.values())


def run_eval(
    benchmark: Benchmark,
    root: Path,
    collection: Collection,
    synonyms: Synonyms,
    folder: Path,
    settings: AskSettings,
    *,
    workers: Workers | None = None,
    verify: bool = False,
    wait: bool = False,
    retry_failed: bool = False,
    max_failures: int | None = None,
    replace_others: bool = False,
    early: Callable[[FinishedRun], None] | None = None,
) -> FinishedRun:
    """Ask every question whose image is there, and score.

    Args:
        benchmark: What is asked.
        root: Folder of its files.
        collection: Its samples.
        synonyms: Dictionary of the scorers.
        folder: Of the run.
        settings: How the model is asked.
        workers: Who answers; by default this process.
        verify: Read every block of an image once before it is asked about.
        wait: Wait for another run that holds the folder, instead of refusing.
        retry_failed: Ask again what failed before.
        max_failures: Stop after so many failures.
        replace_others: Go on although the folder holds answers of another configuration.
        early: Called with the results so far if the run ends early, also by a signal.

    Raises:
        DataError: If no image is there; missing ones are otherwise counted.
        RunError: If the folder is in use or holds another configuration.
        Interrupted: If a signal ends the run.
    """
    images = find_images(root, collection.samples)
    if not images.paths:
        raise DataError(
            f"{images.describe_missing()}. Below {root} there is none of them; for "
            f"{benchmark.title} {benchmark.instructions}"
        )
    make_folder(folder)
    configuration, described = configuration_of(benchmark, settings)
    items = make_items(benchmark, collection.samples, images, configuration)
    workers = workers or Workers()
    executor = workers.executor_of(
        EvalWork(settings.within(folder), workers.threads, settings.hash, verify)
    )
    counts = RunCounts(len(items), 0)

    def tell(now: RunCounts) -> None:
        nonlocal counts
        counts = now
        now.shown_by(advance)

    def finished(entries: Mapping[ItemKey, Entry], notes: Sequence[str]) -> FinishedRun:
        ended = {
            key: entries[item.key]
            for key, item in items.items()
            if item.key in entries and entries[item.key].state != "begun"
        }
        return _scored(benchmark, collection, images, synonyms, ended, counts, notes)

    with interruptible(), Journal(folder / JOURNAL, wait=wait) as journal:
        journal.adopt(configuration, described, beside_others=replace_others)
        if settings.endpoint is not None:
            make_ledger_file(folder)
        try:
            with counting_bar(f"asking {benchmark.title}", len(items)) as advance:
                counts = run_items(
                    list(items.values()),
                    journal,
                    executor,
                    retry_failed=retry_failed,
                    max_failures=max_failures,
                    batch_size=workers.batch_size,
                    report=tell,
                )
        except (GeoFoveaError, KeyboardInterrupt) as error:
            with shielded(), suppress(GeoFoveaError):
                if early is not None:
                    early(finished(journal.entries(configuration), journal.notes))
                    error.add_note(
                        f"{counts.planned - counts.remaining} of {counts.planned} questions "
                        f"have an end and are scored in {folder}; the same command continues"
                    )
            raise
        entries = journal.entries(configuration)
        return finished(entries, journal.notes)


def _scored(
    benchmark: Benchmark,
    collection: Collection,
    images: Images,
    synonyms: Synonyms,
    ended: Mapping[str, Entry],
    counts: RunCounts,
    notes: Sequence[str],
) -> FinishedRun:
    """The scores of all questions that came to an end."""
    records = {key: json.loads(e.record) for key, e in ended.items() if e.record is not None}
    errors = {key: e.error or "" for key, e in ended.items() if e.state == "failed"}
    texts = {key: str(record["answer"]) for key, record in records.items()}
    left = counted(counts.remaining, "question was", "questions were")
    unfinished = [f"the run was stopped before {left} finished"] if counts.remaining else []
    scores, answers = score(
        benchmark,
        collection.samples,
        texts | dict.fromkeys(errors, ""),
        synonyms,
        (
            *collection.notes,
            *_notes(collection, images, records, errors),
            *_cut(records),
            *_said_of_most(records),
            *unfinished,
            *notes,
        ),
    )
    return FinishedRun(scores, answers, records, errors, counts)


def _notes(
    collection: Collection,
    images: Images,
    records: Mapping[str, Mapping[str, Any]],
    errors: Mapping[str, str],
) -> list[str]:
    notes = []
    if images.missing:
        missing = sum(images.of(sample) is None for sample in collection.samples)
        left_out = counted(missing, "question is", "questions are")
        notes.append(f"{images.describe_missing()}; {left_out} left out")
    doubts = (record.get("warnings") or () for record in records.values())
    if several := sum(any(_FIRST_ALONE in doubt for doubt in each) for each in doubts):
        asked = counted(
            several, "question about several images was", "questions about several images were"
        )
        notes.append(f"{asked} asked about the first image only")
    if errors:
        first = next(iter(errors.items()))
        failed = counted(len(errors), "question failed and counts", "questions failed and count")
        notes.append(f"{failed} as wrong, such as {first[0]}: {first[1]}")
    return notes


def _cut(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How many answers the limit on their length ended."""
    doubts = (record.get("warnings") or () for record in records.values())
    count = sum(any(CUT in doubt for doubt in warnings) for warnings in doubts)
    answers = counted(count, "answer was", "answers were")
    return [f"{answers} cut at the limit; allow more with answer_tokens="] if count else []


def _said_of_most(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Warnings of more than half of the answers, which a reader of the score should know, too."""
    whole = len(records)
    return [
        f"{count} of {counted(whole, 'answer')}: {text}"
        for text, count in warnings_alike(list(records.values()))
        if 2 * count > whole and CUT not in text and _FIRST_ALONE not in text
    ]


def write_run(
    run: FinishedRun,
    folder: Path,
    benchmark: Benchmark,
    settings: AskSettings,
    root: Path,
    annotations: Path,
    worded: Callable[[str], str] = str,
) -> None:
    """Write ``items.jsonl``, ``scores.json`` and ``manifest.json`` into the folder of a run.

    Args:
        run: What was measured.
        folder: Of the run.
        benchmark: What was asked.
        settings: How the model was asked.
        root: Folder of the benchmark.
        annotations: Its file of questions.
        worded: Rewrites warnings and errors in the words of whoever runs it.
    """
    rows: list[dict[str, Any]] = [
        answer.to_json()
        | {"image": answer.sample.images[0], "prompt": benchmark.prompt(answer.sample)}
        | {"boxes": [list(box.as_tuple()) for box in answer.sample.boxes]}
        | dict(run.records.get(answer.sample.id, {}))
        | {"error": run.errors.get(answer.sample.id)}
        for answer in run.answers
    ]
    for row in rows:
        row["error"] = row["error"] and worded(row["error"])
        if row.get("warnings"):
            row["warnings"] = list(map(worded, row["warnings"]))
    scores = run.scores.to_json() | {"hit rate": run.hit_rate}
    scores["notes"] = list(map(worded, scores["notes"]))
    use = spent(folder)
    counts = {
        "planned": run.counts.planned,
        "kept from before": run.counts.earlier,
        "answered": run.counts.answered,
        "failed": run.counts.failed,
    } | ({} if use is None else {"endpoint": use.to_json()})
    _, configuration = configuration_of(benchmark, settings)
    write_results(folder, benchmark, rows, scores, configuration, root, annotations, counts)


def write_results(
    folder: Path,
    benchmark: Benchmark,
    rows: Sequence[Mapping[str, Any]],
    scores: Mapping[str, Any],
    configuration: Mapping[str, Any],
    root: Path,
    annotations: Path,
    counts: Mapping[str, Any],
) -> None:
    """Write the items, the scores and the manifest of a run or of an answers file.

    Raises:
        OutputError: If a file cannot be written.
    """
    make_folder(folder)
    manifest = {
        "command": [without_secrets(word) for word in sys.argv],
        "date": datetime.now(UTC).isoformat("T", "seconds"),
        "benchmark": benchmark.name,
        "root": str(root.resolve()),
        "annotations": {"path": str(annotations), "sha256": file_digest(annotations)},
        "configuration": dict(configuration),
        "synonyms": scores["synonyms"],
        "seeds": {"bootstrap": 0},
        "versions": _versions(),
        "machine": {"python": platform.python_version(), "platform": platform.platform()},
        "counts": dict(counts),
    }
    write_text(folder / "items.jsonl", "\n".join(json.dumps(row) for row in rows))
    write_text(folder / "scores.json", json.dumps(scores, indent=1))
    write_text(folder / "manifest.json", json.dumps(manifest, indent=1))


def _versions() -> dict[str, str]:
    versions = {}
    for name in ("geofovea", "torch", "transformers", "numpy", "rasterio", "pillow"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions
