"""Figures of ``gpu_pipeline.py`` as a file and a picture, written again after every course.

A machine that is lent for minutes may be taken away: what was measured so far stays.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

__all__ = ["Clock", "draw", "write_figures"]

_COLORS = ("#7f7f7f", "#1f77b4", "#2ca02c", "#bcbd22", "#ff7f0e", "#d62728")


class Clock:
    """How much of the time that was allowed is left."""

    def __init__(self, minutes: float) -> None:
        """Begin now."""
        self._end = time.monotonic() + 60 * minutes
        self._start = time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._start

    def has(self, seconds: float) -> bool:
        """Whether so many are left."""
        return time.monotonic() + seconds <= self._end


def write_figures(folder: Path, figures: dict[str, Any], stages: tuple[str, ...]) -> None:
    """Write ``figures.json`` and, where matplotlib is there, ``pipeline.png``.

    Args:
        folder: Where to; it is made.
        figures: With ``courses``, each with its ``seconds`` by stage.
        stages: In the order in which they are drawn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, half = folder / "figures.json", folder / "figures.json.part"
    half.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    half.replace(path)
    try:
        draw(folder / "pipeline.png", figures, stages)
    except ImportError:
        print("no picture: matplotlib is not installed; the figures are in figures.json")


def draw(path: Path, figures: dict[str, Any], stages: tuple[str, ...]) -> None:
    """A bar for each course, its stages one after the other; times on a logarithmic axis below."""
    from matplotlib.figure import Figure

    courses = figures["courses"]
    names = list(courses)[::-1]
    figure = Figure(figsize=(9, 5), layout="constrained")
    above, below = figure.subplots(2, 1)
    left = [0.0] * len(names)
    for stage, color in zip(stages, _COLORS, strict=True):
        parts = [courses[name]["seconds"].get(stage, 0.0) for name in names]
        totals = [max(sum(courses[n]["seconds"].get(s, 0.0) for s in stages), 1e-12) for n in names]
        shares = [part / total for part, total in zip(parts, totals, strict=True)]
        above.barh(names, shares, left=left, color=color, label=stage)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    above.set_xlabel("share of the time")
    above.legend(ncols=len(stages), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    totals = [courses[name]["seconds"]["total"] for name in names]
    bars = below.barh(names, totals, color="#4c4c4c")
    below.bar_label(bars, [f" {total:.3g} s" for total in totals])
    below.set_xscale("log")
    below.margins(x=0.15)
    below.set_xlabel(f"seconds, {figures['shape']} on {figures['device']}, side {figures['side']}")
    figure.savefig(path, dpi=120)
