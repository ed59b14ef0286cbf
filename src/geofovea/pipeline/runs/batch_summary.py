"""What came of a batch, for people and for machines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geofovea.pipeline.hosts.usage import EndpointUse
from geofovea.pipeline.runs.runner import RunCounts

__all__ = ["BatchSummary", "summarize", "warnings_alike"]

# what is quoted, and words that are paths or end in a suffix
_NAME = re.compile(r"'[^']*'|\"[^\"]*\"|\S*/\S*|\S+\.[a-z]\w{1,5}\b")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """What came of a batch.

    Attributes:
        rows: Rows of the plan.
        scenes: Scenes of the plan.
        answered: Rows that have an answer.
        failed: Rows that failed.
        left: Rows that were not come to.
        answered_now: Items that this run answered; rows that ask the same share one.
        kept: Items that were ended before this run.
        deaths: Workers that died and were replaced.
        seconds: Wall time of this run.
        tiles_encoded: Of all answers.
        tokens_llm: Of all answers.
        errors: Kinds of errors, the most frequent first: ``kind``, ``rows``, and the first one's
            ``id`` and ``error``.
        warnings: Warnings, the most frequent first: ``warning`` and ``rows``. Those that differ in
            numbers alone are one, by the text that comes first; see `warnings_alike`.
        notes: What was left out of the plan.
        configuration: Hash of the settings.
        files: What was written.
        stopped: Why the run ended early, empty if it did not.
        overdue: Workers that were ended because their item took too long.
        endpoint: What all runs in this folder spent at an endpoint; None without one.
        mended: What was damaged in the journal, and what was done about it.
    """

    rows: int
    scenes: int
    answered: int
    failed: int
    left: int
    answered_now: int
    kept: int
    deaths: int
    seconds: float
    tiles_encoded: int
    tokens_llm: int
    errors: tuple[Mapping[str, Any], ...]
    warnings: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]
    configuration: str
    files: tuple[str, ...]
    stopped: str = ""
    overdue: int = 0
    endpoint: EndpointUse | None = None
    mended: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Where the results are."""
        return str(Path(self.files[0]).parent) if self.files else ""

    @property
    def per_minute(self) -> float:
        """Items that this run answered in a minute."""
        return 60 * self.answered_now / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for ``json.dumps``."""
        return asdict(self) | {"per_minute": round(self.per_minute, 2)}


def summarize(
    results: Sequence[Mapping[str, Any]],
    counts: RunCounts,
    *,
    rows: int,
    scenes: int,
    seconds: float,
    notes: Sequence[str],
    configuration: str,
    files: Sequence[str],
    stopped: str = "",
    endpoint: EndpointUse | None = None,
    mended: Sequence[str] = (),
) -> BatchSummary:
    """Count what the rows of a batch came to."""
    failed = [r for r in results if r["status"] == "failed"]
    answered = [r for r in results if r["status"] == "answered"]
    return BatchSummary(
        rows=rows,
        scenes=scenes,
        answered=len(answered),
        failed=len(failed),
        left=rows - len(results),
        answered_now=counts.answered,
        kept=counts.earlier,
        deaths=counts.deaths,
        seconds=round(seconds, 2),
        tiles_encoded=sum(r["cost"]["tiles_encoded"] for r in answered),
        tokens_llm=sum(r["cost"]["tokens_llm"] for r in answered),
        errors=tuple(errors_alike(failed)),
        warnings=tuple({"warning": text, "rows": n} for text, n in warnings_alike(answered)),
        notes=tuple(notes),
        configuration=configuration,
        files=tuple(files),
        stopped=stopped,
        overdue=counts.overdue,
        endpoint=endpoint,
        mended=tuple(mended),
    )


def errors_alike(failed: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The errors of failed rows with how many rows have each, the most frequent first.

    Errors that differ in names and numbers alone are one. Those of one class are not: an empty file
    and a virtual raster are refused for other reasons.
    """
    kinds = [_NUMBER.sub("#", _NAME.sub("#", str(row.get("error")))) for row in failed]
    first = dict(zip(reversed(kinds), reversed(failed), strict=True))
    for kind, count in Counter(kinds).most_common():
        error = str(first[kind].get("error"))
        yield {
            "kind": error.split(":")[0],
            "rows": count,
            "id": first[kind]["id"],
            "error": error,
        }


def warnings_alike(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """The warnings of rows with how many rows have each, the most frequent first.

    Warnings that differ in numbers alone are one, and the first of them stands for all: else what
    is said of every row with its own number would push out what is said of a few.
    """
    first: dict[str, str] = {}
    rows: Counter[str] = Counter()
    for result in results:
        texts = result.get("warnings") or ()
        kinds = {_NUMBER.sub("#", text): text for text in reversed(texts)}
        for kind, text in kinds.items():
            first.setdefault(kind, text)
        rows.update(list(kinds))
    return [(first[kind], count) for kind, count in rows.most_common()]
