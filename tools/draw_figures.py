"""Draws the pictures of the documentation from the tables on its pages: they cannot differ.

    python tools/draw_figures.py            draws those whose table has changed
    python tools/draw_figures.py --all      draws all

A picture carries the digest of the rows that it was drawn from, which a test compares.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
KEY = "geofovea-rows"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_PANEL = 240

Row = list[str]


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture and where its numbers stand.

    Attributes:
        picture: Name of the PNG in ``docs``.
        page: Name of the page in ``docs``.
        headers: First words of the header of each of its tables, after a heading where several
            tables have the same.
        draw: Takes the rows of each table, and the path to draw to.
    """

    picture: str
    page: str
    headers: tuple[str, ...]
    draw: Callable[[list[list[Row]], Path], None]

    @property
    def path(self) -> Path:
        """Of the PNG."""
        return DOCS / self.picture

    def tables(self) -> list[list[Row]]:
        """The cells of each table, without its header."""
        text = (DOCS / self.page).read_text(encoding="utf-8")
        tables = []
        for name in self.headers:
            heading, _, header = name.rpartition("\n")
            tables.append(table_of(text[text.index(heading) :], header))
        return tables

    def digest(self) -> str:
        """Of all rows."""
        return hashlib.sha256(json.dumps(self.tables()).encode()).hexdigest()

    def drawn_from(self) -> str:
        """The digest that the picture carries."""
        if not self.path.exists():
            return ""
        with Image.open(self.path) as image:
            return str(image.info.get(KEY, ""))

    def redraw(self) -> None:
        """Draw it, and note what from."""
        self.draw(self.tables(), self.path)
        note = PngInfo()
        note.add_text(KEY, self.digest())
        with Image.open(self.path) as image:
            image.load()
        # a chart has few colors
        image.convert("RGB").quantize(128).save(self.path, pnginfo=note, optimize=True)


def table_of(text: str, header: str) -> list[Row]:
    """The rows of the table whose header begins with these cells, without spaces around cells.

    Raises:
        ValueError: If the page has no such table.
    """
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if " ".join(line.split()).startswith(header):
            rows = []
            for row in lines[number + 2 :]:
                if not row.startswith("|"):
                    break
                rows.append([cell.strip().strip("`*\\") for cell in row.strip("|").split("|")])
            return rows
    raise ValueError(f"no table begins with {header!r}")


def _first(cell: str) -> float:
    match = _NUMBER.search(cell)
    return math.nan if match is None else float(match[0])


def draw_accuracy(tables: list[list[Row]], path: Path) -> None:
    """Accuracy of each method at its shares against the bytes that answers are read from."""
    from reduction_table import SHARES

    from geofovea.pipeline.evaluation.reduction_picture import ReductionRow, draw_reductions
    from geofovea.pipeline.evaluation.reduction_sweep import LOOKS

    *_, look = LOOKS
    unused: dict[str, Any] = {"questions": 0, "refused": 0, "by_category": {}, "hit_rate": None}
    unused |= dict.fromkeys(("looked", "entered", "end", "selection_ms", "decoder_ms"), 0.0)
    rows = []
    for method, place, *cells in tables[0]:
        for share, cell in zip(SHARES.values(), cells, strict=False):
            if cell:
                accuracy, kilobytes = map(float, _NUMBER.findall(cell)[:2])
                rows.append(
                    ReductionRow(
                        look=look, method=method, place=place, share=share, accuracy=accuracy,
                        interval=(accuracy, accuracy), cache_bytes=1000 * kilobytes, peak_mb=0.0,
                        **unused,
                    )
                )  # fmt: skip
    draw_reductions(rows, path)


def draw_cost(tables: list[list[Row]], path: Path) -> None:
    """Processor time of each method against tokens, beside the prefill saved."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from cost_report import Cost, draw

    prefill, *stages = tables
    sizes = [int(row[0]) for row in prefill]
    saved = [_first(row[3]) for row in prefill]
    costs = [
        Cost(stage, row[0].rstrip("*").rstrip("`"), n, _first(cell) / 1000, None, None, "")
        for stage, rows in zip(("projected", "decoder"), stages, strict=True)
        for row in rows
        for n, cell in zip(sizes, row[1:4], strict=True)
        if " · " in cell
    ]
    draw(costs, saved, sizes, path)


def draw_confidence(tables: list[list[Row]], path: Path) -> None:
    """Accuracy by confidence, each point with its interval."""
    from geofovea.pipeline.evaluation.calibration import Bin, Calibration, draw_reliability

    bins = []
    for bounds, count, right, confidence in tables[0]:
        low, high = (float(number) for number in _NUMBER.findall(bounds))
        bins.append(Bin(low, high, int(count), float(confidence), int(right) / int(count)))
    answers = sum(b.count for b in bins)
    calibration = Calibration(
        answers=answers,
        scenes=12,
        accuracy=sum(b.count * b.accuracy for b in bins) / answers,
        confidence=sum(b.count * b.confidence for b in bins) / answers,
        # of the run, which has the single confidences and the scenes that are resampled
        ece=0.029,
        ece_interval=(0.022, 0.055),
        brier=0.047,
        # the picture does not tell it
        temperature=1.0,
        bins=tuple(bins),
    )
    draw_reliability(calibration, f"Demo model, {answers} answers about synthetic scenes", path)


def draw_windows(tables: list[list[Row]], path: Path) -> None:
    """Windows of worlds of version 2, side by side: seed, side, level and corner are the row."""
    import numpy as np

    from geofovea.datasets.synthetic.rendering import render_window
    from geofovea.datasets.synthetic.versions import world_of

    panels = []
    for row in tables[0]:
        seed, side, level, left, top = map(int, row)
        world = world_of(2, seed, side, side)
        panels.append(render_window(world, level, left, top, _PANEL, _PANEL))
    gap = np.full((_PANEL, 4, 3), 255, np.uint8)
    parts = [part for panel in panels for part in (panel, gap)][:-1]
    Image.fromarray(np.concatenate(parts, 1)).save(path)


FIGURES = (
    Figure(
        "synthetic_world.png",
        "how-to/synthetic-scenes.md",
        ("| seed | side | level",),
        draw_windows,
    ),
    Figure("reductions.png", "reductions.md", ("| method | place | 5 %",), draw_accuracy),
    Figure(
        "reduction_cost.png",
        "reductions.md",
        (
            "| tokens | a layer, all tokens",
            "### After the projector\n| method | 1008: ms",
            "### Inside the decoder\n| method | 1008: ms",
        ),
        draw_cost,
    ),
    Figure(
        "calibration.png", "concepts/confidence.md", ("| confidence | answers",), draw_confidence
    ),
)


def main() -> None:
    """Draw what is not up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="also those that are up to date")
    options = parser.parse_args()
    for figure in FIGURES:
        if options.all or figure.drawn_from() != figure.digest():
            figure.redraw()
            print(f"drew {figure.path}")


if __name__ == "__main__":
    main()
