"""The page of an evaluation run: self-contained HTML that makes no requests.

``render_page`` escapes words of models, people and files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geofovea.pipeline.evaluation.reports.charts import chart_rows
from geofovea.pipeline.evaluation.reports.failures import (
    Failure,
    FailurePages,
    failure_of,
    item_facts,
)
from geofovea.pipeline.evaluation.reports.tables import Table, collapsed
from geofovea.pipeline.system.html_page import render_page

__all__ = ["ITEMS", "item_page", "item_page_name", "report_page"]

ITEMS = "report-items"
"""The folder of the pages about single questions, beside the report."""

_PANEL, _LARGE_PANEL = 420, 900
_MOST_WARNINGS = 12
_NUMBER = re.compile(r"[-+−]?\d[\d.,]*( ?%)?( \[[^\]]*\])?|–|")


def report_page(
    title: str,
    head: Sequence[str],
    sections: Sequence[tuple[str, Table]],
    failures: Sequence[Mapping[str, Any]],
    root: Path,
    manifest: Mapping[str, Any],
    *,
    scores: Mapping[str, Any] | None = None,
    about: Sequence[tuple[str, str]] = (),
    links: Sequence[FailurePages] = (),
    note: str = "",
) -> str:
    """The page.

    Args:
        title: Of the benchmark.
        head: What must be known before the numbers are read.
        sections: Tables with their titles.
        failures: Items whose answer is wrong, shown with a picture where their image is there.
        root: Folder of the images.
        manifest: What the run was made from.
        scores: Numbers for the chart, as ``Scores.to_json`` gives them.
        about: Names and values of what the run was: model, date, command, versions.
        links: For each failure the pages about it, where there are any.
        note: About those pages.
    """
    pages = [*links, *[FailurePages()] * (len(failures) - len(links))]
    return render_page(
        __name__,
        "report.html",
        title=title[:1].upper() + title[1:],
        head=head,
        about=about,
        chart=[] if scores is None else chart_rows(scores),
        sections=[_section(name, collapsed(table)) for name, table in sections],
        failures=[
            failure_of(item, root, _PANEL, each) for item, each in zip(failures, pages, strict=True)
        ],
        note=note,
        manifest=json.dumps(manifest, indent=1),
    )


def item_page(item: Mapping[str, Any], root: Path, pages: FailurePages | None = None) -> str:
    """The page about one question of a run, with a larger picture.

    Args:
        item: A row of ``items.jsonl``.
        root: Folder of the images.
        pages: Its page with deep zoom, seen from here.
    """
    failure: Failure = failure_of(item, root, _LARGE_PANEL, pages)
    return render_page(
        __name__,
        "item.html",
        title=failure.question,
        failure=failure,
        about=item_facts(item),
        warnings=[str(warning) for warning in (item.get("warnings") or ())[:_MOST_WARNINGS]],
    )


def item_page_name(item: Mapping[str, Any], kind: str = "") -> str:
    """A file name for a page about a question, whatever its id is.

    Args:
        item: A row of ``items.jsonl``.
        kind: Of page, where an item has several.
    """
    known = str(item["question_id"])
    plain = re.sub(r"[^A-Za-z0-9-]+", "_", known)[:60]
    return f"{plain}-{hashlib.sha256(known.encode(errors='replace')).hexdigest()[:8]}{kind}.html"


def _section(
    name: str, table: Table
) -> tuple[str, Sequence[str], list[tuple[bool, Sequence[str]]], list[bool]]:
    """A table with what its template asks: rows of this run, columns of numbers."""
    header, rows = table
    numbers = [
        any(row[column] for row in rows)
        and all(_NUMBER.fullmatch(row[column]) is not None for row in rows)
        for column in range(len(header))
    ]
    return name, header, [_row(row) for row in rows], numbers


def _row(cells: Sequence[str]) -> tuple[bool, Sequence[str]]:
    """Whether a row is about this run, and its cells."""
    return any(cell.startswith("→") for cell in cells), cells
