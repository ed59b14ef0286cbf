"""The table of a bench of counts: errors, intervals and cost, a row a way."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from geofovea.pipeline.evaluation.counts.item import CountItem
from geofovea.pipeline.system.tables import markdown_table

__all__ = ["counts_table"]

_HEADER = (
    *("way", "mean error", "of the truth", "bias", "exact", "intervals that hold the truth"),
    *("width", "tiles", "tokens", "CPU s"),
)


def counts_table(items: Sequence[CountItem], model: str, ways: Sequence[str]) -> str:
    """All sides, each with a row for each way.

    Args:
        items: What was counted.
        model: Whose counts they are.
        ways: The rows, in their order.
    """
    parts = [
        f"Model {model}. *Mean error*: absolute, in things; *of the truth*: all of it over all "
        "that is there; *bias*: mean of the estimate less the truth; *exact*: share of the "
        "estimates that round to the truth. Intervals are those of 95 %."
    ]
    for side in sorted({item.side for item in items}):
        of_side = [item for item in items if item.side == side]
        scenes = len({item.scene for item in of_side})
        one_way = [item for item in of_side if item.way == ways[0]]
        things = sum(item.truth for item in one_way)
        title = f"scenes: {scenes}, counts: {len(one_way)}, things: {things}"
        parts.append(f"\n### {side} × {side} px ({title})\n")
        rows = [_row(way, [i for i in of_side if i.way == way]) for way in ways]
        parts.append(markdown_table(list(_HEADER), rows))
    return "\n".join(parts)


def _row(way: str, items: Sequence[CountItem]) -> list[str]:
    errors = [item.error for item in items]
    off = sum(map(abs, errors))
    truth = sum(item.truth for item in items)
    return [
        way,
        f"{off / len(items):.2f}",
        f"{off / truth:.0%}" if truth else "–",
        f"{fmean(errors):+.2f}",
        f"{fmean(round(item.value) == item.truth for item in items):.2f}",
        *_intervals(items),
        f"{fmean(item.tiles for item in items):.0f}",
        f"{fmean(item.tokens for item in items):.0f}",
        f"{fmean(item.seconds for item in items):.2f}",
    ]


def _intervals(items: Sequence[CountItem]) -> tuple[str, str]:
    holds = [item.holds for item in items if item.holds is not None]
    widths = [i.high - i.low for i in items if i.high is not None and i.low is not None]
    if not holds:
        return "–", "–"
    return f"{sum(holds)} of {len(holds)}", f"{fmean(widths):.2f}"
