"""The results of ``geofovea bench reductions``: rows, Markdown tables and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median

from geofovea.datasets.scoring.metrics import interval_text
from geofovea.datasets.synthetic.vocabulary import CATEGORIES
from geofovea.pipeline.evaluation.metrics import bootstrap_interval, hit_rate
from geofovea.pipeline.evaluation.reduction_picture import (
    ReductionRow,
    check_drawing,
    draw_reductions,
)
from geofovea.pipeline.evaluation.reduction_sweep import LOOKS, ReductionItem
from geofovea.pipeline.system.files import write_text
from geofovea.pipeline.system.tables import markdown_table

__all__ = ["ReductionRow", "check_drawing", "report", "rows_of", "write_report"]


def rows_of(items: Sequence[ReductionItem]) -> list[ReductionRow]:
    """A row for each way of looking, share and method; the most accurate of a share first."""
    cells: dict[tuple[str, str, float], list[ReductionItem]] = {}
    # the order of the journal depends on where it was stopped
    for item in sorted(items, key=lambda item: item.key):
        cells.setdefault((item.look, item.method, item.share), []).append(item)
    rows = [_row(cell) for cell in cells.values()]
    looks = list(LOOKS)
    return sorted(rows, key=lambda r: (looks.index(r.look), -r.share, -r.accuracy, r.method))


def _row(items: list[ReductionItem]) -> ReductionRow:
    first = items[0]
    by_category = {}
    for category in CATEGORIES:
        of_category = [item for item in items if item.category == category]
        if of_category:
            mean = fmean(item.correct for item in of_category)
            by_category[category] = (mean, *bootstrap_interval(of_category))
    return ReductionRow(
        first.look,
        first.method,
        first.share,
        len(items),
        sum(bool(item.refused) for item in items),
        fmean(item.correct for item in items),
        bootstrap_interval(items),
        by_category,
        hit_rate(item.hit for item in items),
        fmean(item.looked for item in items),
        fmean(item.entered for item in items),
        fmean(item.end for item in items),
        1000 * median(item.selection_seconds for item in items),
        1000 * median(item.decoder_seconds for item in items),
        max(item.peak_mb for item in items),
        first.place,
        fmean(item.cache_bytes for item in items),
        1000 * median(item.cpu_seconds for item in items),
    )


def report(rows: Sequence[ReductionRow], model: str) -> str:
    """The rows as Markdown: a table for each way of looking and share, and one by category."""
    parts = [
        f"Model {model}. Accuracy [95 % interval, bootstrap over scenes]; times are medians, "
        "memory is the most that selection and answer added."
    ]
    for look in LOOKS:
        for share in sorted({r.share for r in rows if r.look == look}, reverse=True):
            group = [r for r in rows if (r.look, r.share) == (look, share)]
            mean_tokens = fmean(r.looked for r in group)
            title = (
                f"{look}, {share:.0%} of {mean_tokens:.0f} tokens, {group[0].questions} questions"
            )
            parts.append(f"\n### {title}\n")
            parts.append(markdown_table(*_costs(group)))
            parts.append("")
            parts.append(markdown_table(*_categories(group)))
    return "\n".join(parts)


def _measured(value: float, low: float, high: float) -> str:
    return f"{value:.2f} {interval_text(low, high)}"


def _costs(rows: Sequence[ReductionRow]) -> tuple[list[str], list[list[str]]]:
    header = [
        "method",
        "place",
        "accuracy",
        "token hit rate",
        "tokens in",
        "at the end",
        "cache, kB",
    ]
    return [*header, "CPU, ms", "selection, ms", "decoder, ms", "peak, MB"], [
        [
            r.method + (f" (refused {r.refused})" if r.refused else ""),
            r.place,
            _measured(r.accuracy, *r.interval),
            "–" if r.hit_rate is None else f"{r.hit_rate:.2f}",
            f"{r.entered:.0f}",
            f"{r.end:.0f}",
            f"{r.cache_bytes / 1000:.0f}",
            f"{r.cpu_ms:.1f}",
            f"{r.selection_ms:.1f}",
            f"{r.decoder_ms:.1f}",
            f"{r.peak_mb:.0f}",
        ]
        for r in rows
    ]


def _categories(rows: Sequence[ReductionRow]) -> tuple[list[str], list[list[str]]]:
    names = [c for c in CATEGORIES if any(c in r.by_category for r in rows)]
    cells = [
        [_measured(*r.by_category[c]) if c in r.by_category else "–" for c in names] for r in rows
    ]
    return ["method", *names], [[r.method, *cell] for r, cell in zip(rows, cells, strict=True)]


def write_report(folder: Path, items: Sequence[ReductionItem], model: str) -> str:
    """Write ``reductions.md``, ``reductions.json`` and ``reductions.png``; return the Markdown.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        OutputError: If a file cannot be written.
    """
    rows = rows_of(items)
    table = report(rows, model)
    write_text(folder / "reductions.md", table)
    record = {"model": model, "rows": [asdict(row) for row in rows]}
    write_text(folder / "reductions.json", json.dumps(record, indent=1))
    draw_reductions(rows, folder / "reductions.png")
    return table
