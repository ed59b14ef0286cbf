"""Writes the table of all methods on the page of reductions from what their bench measured.

    geofovea bench reductions --output runs/reductions --sides 4096,16384 --scenes 3
    python tools/reduction_table.py runs/reductions
    python tools/draw_figures.py

A row is a method. Its best mean accuracy over its shares comes first. Cells of a share hold the
accuracy and the bytes of keys and values that an answer is read from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

from geofovea.datasets.scoring.metrics import interval_text
from geofovea.pipeline.evaluation.reduction_sweep import ALL_TOKENS, LOOKS
from geofovea.pipeline.system.tables import markdown_table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reductions.md"
SHARES = {"5 %": 0.05, "10 %": 0.1, "25 %": 0.25, "50 %": 0.5, "all": 1.0}
BEGIN, END = "<!-- methods: made by tools/reduction_table.py -->", "<!-- end of methods -->"
MIDDLE = 0.1
"""The share that the columns behind those of the shares are about."""

HEADER = (
    "method",
    "place",
    *SHARES,
    "interval",
    "hit",
    "in",
    "end",
    "CPU, ms",
    "choice, ms",
    "decoder, ms",
    "base",
)
Row = dict[str, Any]


def table_of(rows: Iterable[Row]) -> str:
    """The table as Markdown.

    Args:
        rows: Of ``reductions.json``.
    """
    every = list(rows)
    base, search = ([row for row in every if row["look"] == look] for look in LOOKS)
    by_method: dict[str, dict[float, Row]] = {}
    for row in search:
        by_method.setdefault(row["method"], {})[row["share"]] = row
    of_base = {(row["method"], row["share"]): row for row in base}

    def rank(method: str) -> tuple[bool, float, str]:
        mean = fmean(row["accuracy"] for row in by_method[method].values())
        return method != ALL_TOKENS, -mean, method

    lines = [_line(by_method[name], of_base) for name in sorted(by_method, key=rank)]
    return markdown_table(HEADER, lines)


def _line(shares: dict[float, Row], base: dict[tuple[str, float], Row]) -> list[str]:
    """The cells of a method; ``shares`` holds its row at each of its shares."""
    middle = shares.get(MIDDLE) or next(iter(shares.values()))
    name = middle["method"]
    return [
        name if name == ALL_TOKENS else f"`{name}`",
        middle["place"],
        *(_cell(shares.get(share)) for share in SHARES.values()),
        interval_text(*middle["interval"]),
        "–" if middle["hit_rate"] is None else f"{middle['hit_rate']:.2f}",
        f"{middle['entered']:.0f}",
        f"{middle['end']:.0f}",
        *(f"{middle[key]:.1f}" for key in ("cpu_ms", "selection_ms", "decoder_ms")),
        f"{base[name, middle['share']]['accuracy']:.2f}",
    ]


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    refused = f" ({row['refused']} refused)" if row["refused"] else ""
    return f"{row['accuracy']:.2f} · {row['cache_bytes'] / 1000:.0f}{refused}"


def main() -> None:
    """Put the table in place of the one on the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the bench")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    record = json.loads((options.folder / "reductions.json").read_text(encoding="utf-8"))
    before, rest = options.page.read_text(encoding="utf-8").split(BEGIN)
    _, behind = rest.split(END)
    text = f"{before}{BEGIN}\n\n{table_of(record['rows'])}\n\n{END}{behind}"
    options.page.write_text(text, encoding="utf-8")
    print(f"wrote the table of {options.page}")


if __name__ == "__main__":
    main()
