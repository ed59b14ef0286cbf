"""Tables and picture of what reductions cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.pipeline.system.tables import markdown_table
from geofovea.regionfocus.strategies import DEFAULT_REDUCTION
from real_layers import LAYERS, DecoderTimes

TEXT = 40
_TITLES = {"projected": "After the projector", "decoder": "Inside the decoder"}
_NAMED = {
    DEFAULT_REDUCTION: "#1f2430",
    "top_score": "#2e86c1",
    "todre": "#b03a5b",
    "divprune": "#148f77",
    "catp": "#7d6bb0",
    "random": "#8a5a44",
    "vflowopt_decoder": "#b7791f",
    "fastv": "#2e86c1",
    "pyramiddrop": "#148f77",
    "transprune": "#7d6bb0",
    "sparsevlm": "#b03a5b",
}
_INK, _FAINT, _CLOUD = "#000000", "#5d6473", "#c9ced8"
# names at the ends of lines stand at least this factor apart
_LABEL_RATIO = 1.9


@dataclass(frozen=True, slots=True)
class Cost:
    """One method at one size: what it costs and what it saves, in seconds of processor time."""

    stage: str
    method: str
    n: int
    seconds: float | None
    peak_mb: float | None
    saved: float | None
    note: str


def report(costs: Sequence[Cost], times: DecoderTimes, sizes: Sequence[int], share: float) -> str:
    """A table for each stage in Markdown, the cheapest first, and the prefill beside it."""
    parts = [_prefill_table(times, sizes, share)]
    for stage in ("projected", "decoder"):
        of_stage = [c for c in costs if c.stage == stage and c.n in sizes]
        header = ["method", *(f"{n}: ms | MB | of saved".replace("|", "·") for n in sizes), "grows"]
        by_method: dict[str, dict[int, Cost]] = {}
        for cost in of_stage:
            by_method.setdefault(cost.method, {})[cost.n] = cost
        ordered = sorted(by_method.items(), key=lambda item: _seconds_at_most(item[1]))
        rows = [
            [f"`{name}`", *(_cell(there.get(n)) for n in sizes), _growth(there)]
            for name, there in ordered
        ]
        parts.append(f"{stage}\n\n{markdown_table(header, rows)}")
    inside = sorted((c for c in costs if c.stage == "encoder"), key=lambda c: c.seconds or 0.0)
    rows = [
        [f"`{c.method}`", _ms(c.seconds), _ms(c.saved), _share(c.seconds, c.saved)] for c in inside
    ]
    table = markdown_table(["method", "cost, ms a tile", "saved, ms a tile", "of saved"], rows)
    return "\n\n".join(["", *parts, f"encoder\n\n{table}", ""])


def _prefill_table(times: DecoderTimes, sizes: Sequence[int], share: float) -> str:
    rows = []
    for n in sizes:
        rest = int(share * n)
        whole, less = (times.measured[tokens + TEXT] for tokens in (n, rest))
        rows.append([f"{n}", f"{whole:.2f}", f"{less:.2f}", f"{LAYERS * (whole - less):.0f}"])
    header = ["tokens", "a layer over all, s", "over those kept, s", f"{LAYERS} layers save, s"]
    return f"prefill\n\n{markdown_table(header, rows)}"


def _seconds_at_most(there: dict[int, Cost]) -> tuple[float, float]:
    """Methods that did not run everywhere come last, the rest by their time at the largest size."""
    ran = [c for c in there.values() if c.seconds is not None]
    if not ran:
        return (math.inf, math.inf)
    last = max(ran, key=lambda c: c.n)
    assert last.seconds is not None
    return (float(len(there) - len(ran)), last.seconds)


def _cell(cost: Cost | None) -> str:
    if cost is None:
        return "–"
    if cost.seconds is None or cost.peak_mb is None:
        return cost.note.split(":")[0] if cost.note.startswith("refused") else cost.note
    return f"{_ms(cost.seconds)} · {cost.peak_mb:.0f} · {_share(cost.seconds, cost.saved)}"


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{1000 * seconds:.1f}" if seconds < 0.01 else f"{1000 * seconds:.0f}"


def _share(seconds: float | None, saved: float | None) -> str:
    if seconds is None or not saved or saved <= 0:
        return "–"
    return f"{seconds / saved:.2%}"


def _growth(there: dict[int, Cost]) -> str:
    """The power of n by which the time grows between the two largest sizes that ran."""
    ran = sorted((c.n, c.seconds) for c in there.values() if c.seconds)
    if len(ran) < 2:
        return "–"
    (n, before), (more, after) = ran[-2:]
    return f"n^{math.log(after / before) / math.log(more / n):.1f}"


def saved_prefill(times: DecoderTimes, sizes: Sequence[int], share: float) -> list[float]:
    """Seconds of prefill that a share of the tokens saves, at each size."""
    return [
        LAYERS * (times.measured[n + TEXT] - times.measured[int(share * n) + TEXT]) for n in sizes
    ]


def draw(costs: Sequence[Cost], saved: Sequence[float], sizes: Sequence[int], path: Path) -> None:
    """Time against tokens beside the prefill that is saved: some methods by name, others gray.

    Args:
        costs: Of every method.
        saved: Seconds of prefill that are saved at each size.
        sizes: In tokens.
        path: Of the PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.2), layout="constrained")
    panes = figure.subplots(1, 2, sharey=True)
    for pane, stage in zip(panes, _TITLES, strict=True):
        of_stage = [c for c in costs if c.stage == stage and c.n in sizes and c.seconds]
        lines: dict[str, list[tuple[int, float]]] = {}
        for cost in sorted(of_stage, key=lambda c: c.n):
            lines.setdefault(cost.method, []).append((cost.n, cost.seconds or 0.0))
        pane.loglog(sizes, saved, color=_INK, lw=2.5)
        pane.loglog(sizes, [s / 20 for s in saved], "--", color=_FAINT, lw=1)
        for method, points in lines.items():
            color = _NAMED.get(method, _CLOUD)
            width, order = (2, 3) if method in _NAMED else (1, 1)
            pane.loglog(*zip(*points, strict=True), "o-", color=color, lw=width, ms=3, zorder=order)
        ends = {name: lines[name][-1] for name in _NAMED if name in lines}
        labels = {f"{n} (default)" if n == DEFAULT_REDUCTION else n: e for n, e in ends.items()}
        colors = dict(zip(labels, (_NAMED[n] for n in ends), strict=True))
        labels |= {
            "prefill saved": (sizes[-1], saved[-1]),
            "5 % of it": (sizes[-1], saved[-1] / 20),
        }
        _label_ends(pane, labels, colors | {"prefill saved": _INK, "5 % of it": _FAINT})
        pane.set_xticks(list(sizes), [f"{n:,}" for n in sizes])
        pane.minorticks_off()
        pane.set_xlabel("vision tokens")
        pane.set_title(_TITLES[stage], loc="left", fontsize=12)
        others = len(lines.keys() - _NAMED.keys())
        pane.set_title(f"gray: {others} others", loc="right", fontsize=9, color=_FAINT)
        pane.grid(axis="y", color="#eceef2")
        pane.spines[["top", "right"]].set_visible(False)
    panes[0].set_ylabel("processor time, s")
    figure.savefig(path, dpi=150)


def _label_ends(pane: Any, ends: dict[str, tuple[float, float]], colors: dict[str, str]) -> None:
    """Name lines at their right ends, from below, with room between the names of one place."""
    below: dict[float, float] = {}
    for name, (x, y) in sorted(ends.items(), key=lambda item: item[1][1]):
        below[x] = max(y, below.get(x, 0.0) * _LABEL_RATIO)
        pane.annotate(
            name,
            (x, y),
            (8, below[x]),
            textcoords=("offset points", "data"),
            va="center",
            color=colors[name],
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            annotation_clip=False,
        )
