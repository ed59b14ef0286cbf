"""Tables and picture of what reductions cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geofovea.pipeline.system.tables import markdown_table
from real_layers import LAYERS, DecoderTimes

TEXT = 40


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


def draw(
    costs: Sequence[Cost], times: DecoderTimes, sizes: Sequence[int], share: float, path: Path
) -> None:
    """Time against tokens, one line a method, beside the prefill that is saved."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6.5), layout="constrained")
    panes = figure.subplots(1, 2, sharey=True)
    saved = [
        LAYERS * (times.measured[n + TEXT] - times.measured[int(share * n) + TEXT]) for n in sizes
    ]
    for pane, stage in zip(panes, ("projected", "decoder"), strict=True):
        of_stage = [c for c in costs if c.stage == stage and c.n in sizes and c.seconds]
        last = {c.method: c.seconds for c in sorted(of_stage, key=lambda c: c.n)}
        methods = sorted(last, key=lambda name: -(last[name] or 0.0))
        colors = colormaps["turbo"].resampled(len(methods) + 1)
        pane.loglog(sizes, saved, color="black", lw=2.5, label="prefill saved")
        pane.loglog(sizes, [s / 20 for s in saved], "--", color="black", lw=1, label="5 % of it")
        for number, method in enumerate(methods):
            line = sorted((c.n, c.seconds or 0.0) for c in of_stage if c.method == method)
            style = ("-", "--", ":")[number % 3]
            pane.loglog(
                *zip(*line, strict=True),
                style,
                marker=".",
                color=colors(number),
                lw=1.2,
                label=method,
            )
        pane.set_xticks(list(sizes), [f"{n:,}" for n in sizes])
        pane.minorticks_off()
        pane.set_xlabel("tokens")
        pane.set_title({"projected": "on projected tokens", "decoder": "inside the decoder"}[stage])
        pane.grid(alpha=0.3)
        pane.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    panes[0].set_ylabel("processor time, s")
    figure.savefig(path, dpi=100)
