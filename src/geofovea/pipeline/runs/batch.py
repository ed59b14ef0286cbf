"""A batch: many questions about many scenes, journalled, into one folder of results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from geofovea.errors import GeoFoveaError, OutputError
from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.hosts.endpoint.shared_ledger import make_ledger_file, spent
from geofovea.pipeline.runs.batch_plan import BatchPlan
from geofovea.pipeline.runs.batch_results import (
    ANSWERS,
    check_geoparquet,
    result_rows,
    write_csv,
    write_geoparquet,
    write_jsonl,
)
from geofovea.pipeline.runs.batch_summary import BatchSummary, summarize
from geofovea.pipeline.runs.executors.base import Executor
from geofovea.pipeline.runs.journal import JOURNAL, Journal
from geofovea.pipeline.runs.journal_salvage import has_content
from geofovea.pipeline.runs.runner import run_items
from geofovea.pipeline.session.settings import AskSettings
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.system.interruption import interruptible, shielded
from geofovea.pipeline.system.progress import counting_bar

__all__ = ["BatchFolder", "run_batch"]

_CSV, _GEOPARQUET = "answers.csv", "answers.parquet"


@dataclass(frozen=True, slots=True)
class BatchFolder:
    """Where the results of a batch go.

    Attributes:
        path: The folder; it is made if it is not there.
        geoparquet: Whether GeoParquet is written beside JSON lines and CSV.
        replace: Write over results of another configuration.
        wait: Wait for another run in this folder to end, instead of refusing.
        worded: Rewrites errors and warnings in the words of whoever runs the batch; the journal
            keeps those of the package.
    """

    path: Path
    geoparquet: bool = True
    replace: bool = False
    wait: bool = False
    worded: Callable[[str], str] = str

    def journal(self) -> Journal:
        """The journal of this folder, to be opened.

        Raises:
            OutputError: If the folder cannot be made, or holds results that are of no batch.
            MissingExtraError: If what GeoParquet needs is not installed.
        """
        if self.geoparquet:
            check_geoparquet()
        make_folder(self.path)
        path = self.path / JOURNAL
        strangers = [p for p in self.outputs if p.exists()]
        if strangers and not has_content(path) and not self.replace:
            what = "is empty" if path.exists() else "is not"
            raise OutputError(
                f"{strangers[0]} is there already and its journal {what}: name another folder, or "
                "pass --overwrite to write over it"
            )
        return Journal(path, wait=self.wait)

    @property
    def outputs(self) -> list[Path]:
        """The files of results."""
        names = [ANSWERS, _CSV, *([_GEOPARQUET] if self.geoparquet else [])]
        return [self.path / name for name in names]

    def results(self, plan: BatchPlan, journal: Journal, settings: str) -> list[dict[str, Any]]:
        """The rows that have an end by a journal, under the hash of their settings."""
        rows = result_rows(plan.rows, journal.entries(settings))
        for row in rows:
            row["error"] = row["error"] and self.worded(row["error"])
            row["warnings"] = row["warnings"] and list(map(self.worded, row["warnings"]))
        return rows


def run_batch(
    plan: BatchPlan,
    settings: AskSettings,
    folder: BatchFolder,
    executor: Executor,
    *,
    retry_failed: bool = False,
    max_failures: int | None = None,
    batch_size: int = 1,
) -> BatchSummary:
    """Ask what was planned and has no end yet, then write all results.

    Where the run ends early, by a signal too, what there is by then is written.

    Args:
        plan: Whose items name the hash of the settings.
        settings: For the journal, which refuses those of another configuration.
        folder: Where results go.
        executor: Who asks.
        retry_failed: Ask again what failed before.
        max_failures: Stop when so many items have failed in this run.
        batch_size: How many questions about a scene may be answered together.

    Raises:
        RunError: If another run works in the folder, it holds another configuration, or no item
            can be worked on.
        OutputError: If results cannot be written. What was answered is in the journal.
        Interrupted: If a signal ends the run.
    """
    started = time.perf_counter()
    with interruptible(), folder.journal() as journal:
        journal.adopt(settings.hash, settings.described(), beside_others=folder.replace)
        if settings.endpoint is not None:
            make_ledger_file(folder.path)
        keys = {item.key for item in plan.items}
        try:
            with counting_bar("asking", len(keys)) as advance:
                counts = run_items(
                    plan.items,
                    journal,
                    executor,
                    retry_failed=retry_failed,
                    max_failures=max_failures,
                    batch_size=batch_size,
                    report=lambda now: now.shown_by(advance),
                )
        except (GeoFoveaError, KeyboardInterrupt) as error:
            # a run that cannot go on shows what it has, unless that is what it cannot do
            with shielded(), suppress(GeoFoveaError):
                _write_so_far(error, folder.results(plan, journal, settings.hash), plan, folder)
            raise
        with shielded():
            results = folder.results(plan, journal, settings.hash)
            files, write_notes = _write(results, folder)
        mended = tuple(journal.notes)
    return summarize(
        results,
        counts,
        rows=len(plan.rows),
        scenes=len({row.scene for row in plan.rows}),
        seconds=time.perf_counter() - started,
        notes=(*plan.notes, *write_notes),
        configuration=settings.hash,
        files=files,
        stopped=f"{counts.failed} items failed" if counts.stopped else "",
        endpoint=spent(folder.path),
        mended=mended,
    )


def _write_so_far(
    error: BaseException, results: Sequence[Mapping[str, Any]], plan: BatchPlan, folder: BatchFolder
) -> None:
    """Write the rows that have an end where an error ends a run, and note that on the error."""
    if results:
        _write(results, folder)
        error.add_note(
            f"{len(results)} of {len(plan.rows)} rows have an end and are in "
            f"{folder.outputs[0]}; the same command continues"
        )
    elif isinstance(error, KeyboardInterrupt):
        error.add_note("no row has an end yet; the same command begins again")


def _write(
    results: Sequence[Mapping[str, Any]], folder: BatchFolder
) -> tuple[list[str], tuple[str, ...]]:
    """Write the results; returns the files, and notes of tables that failed.

    The answers are there without tables.
    """
    first, *tables = folder.outputs
    write_jsonl(results, first)
    writers, after = {_CSV: write_csv, _GEOPARQUET: write_geoparquet}, Afterwork()

    def write(table: Path) -> list[str]:
        writers[table.name](results, table)
        return [str(table)]

    files = [str(first)]
    for table in tables:
        files += after.attempt(f"the file {table}", partial(write, table), [])
    return files, after.warnings
