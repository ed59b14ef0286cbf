"""Scores as tables: the same rows for the terminal, for Markdown and for the page.

All take scores as ``Scores.to_json`` gives them, so that a run on disk is shown like a fresh one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from geofovea._plurals import counted
from geofovea.datasets.benchmarks.benchmark import Benchmark
from geofovea.datasets.scoring.metrics import interval_text
from geofovea.datasets.scoring.verdict import MODES

__all__ = ["Table", "collapsed", "figure_rows", "group_rows", "head_lines", "rule_rows"]

Table = tuple[tuple[str, ...], list[list[str]]]
"""Header and rows."""


def _percent(estimate: Mapping[str, Any], sign: str = "") -> str:
    low, high = (None if estimate[end] is None else 100 * estimate[end] for end in ("low", "high"))
    return f"{100 * estimate['value']:{sign}.2f} {interval_text(low, high, f'{sign}.2f')}"


def figure_rows(scores: Mapping[str, Any]) -> Table:
    """Every figure in every mode, beside the best constants."""
    rows = [
        [
            name,
            *(_percent(scores["figures"][mode][name]) for mode in MODES),
            _percent(scores["blind"][name]),
            _percent(scores["gain"][name], "+"),
        ]
        for name in scores["blind"]
    ]
    return ("figure", *MODES, "best constant", "gain over it"), rows


def group_rows(scores: Mapping[str, Any]) -> Table:
    """Plain accuracy of every group in every mode."""
    rows = [
        [
            kind,
            name,
            str(estimates["official"]["count"]),
            *(_percent(estimates[mode]) for mode in MODES),
        ]
        for kind, groups in scores["groups"].items()
        for name, estimates in groups.items()
    ]
    return ("by", "group", "questions", *MODES), rows


def rule_rows(scores: Mapping[str, Any]) -> Table:
    """How often each rule decided; for choices also how often each letter was taken."""
    rows = [[mode, rule, str(n)] for mode in MODES for rule, n in scores["rules"][mode].items()]
    rows += [["official", f"took {letters}", str(n)] for letters, n in scores["letters"].items()]
    return ("mode", "rule", "answers"), rows


def head_lines(benchmark: Benchmark, scores: Mapping[str, Any]) -> Iterator[str]:
    """What must be known before the numbers are read."""
    yield (
        f"{benchmark.title}: {scores['answered']} of {scores['asked']} questions answered; percent "
        f"[95 % interval, bootstrap over images]; synonyms: {scores['synonyms']}; scorers version "
        f"{scores['version']}"
    )
    if any(low is None for low in _lows(scores)):
        yield "n/a: every draw of images gave the same number, so no interval is known"
    if scores["answered"] < scores["asked"]:
        yield "note: these are not the figures of the whole benchmark"
    if empty := scores["rules"]["official"].get("wrong: no answer", 0):
        yield (
            f"note: {empty} of {scores['answered']} answers are empty or failed, which counts as "
            "wrong; some models say nothing to a prompt that they do not know"
        )
    if scores["unknown"]:
        answers = counted(scores["unknown"], "answer has an id", "answers have ids")
        yield f"note: {answers} that the benchmark does not have"
    for note in scores["notes"]:
        yield f"note: {note}"


def _lows(found: Mapping[str, Any]) -> Iterator[float | None]:
    """The lower ends of all intervals in it."""
    if "low" in found:
        yield found["low"]
    for value in found.values():
        if isinstance(value, Mapping):
            yield from _lows(value)


def collapsed(table: Table) -> Table:
    """The table with neighboring modes whose numbers are the same in every row made one column."""
    header, rows = table
    groups: list[list[int]] = []
    for column in range(len(header)):
        before = groups[-1][-1] if groups else None
        is_mode = before is not None and {header[before], header[column]} <= set(MODES)
        if (
            is_mode
            and before is not None
            and rows
            and all(_is_repeated(row, before, column) for row in rows)
        ):
            groups[-1].append(column)
        else:
            groups.append([column])
    titles = tuple(", ".join(header[column] for column in group) for group in groups)
    return titles, [[row[group[0]] for group in groups] for row in rows]


def _is_repeated(row: Sequence[str], before: int, column: int) -> bool:
    """Whether a cell repeats a number; words may be the same by chance."""
    return row[column] == row[before] and any(c.isdigit() for c in row[column])
