"""Accuracies with their intervals, as the rows of a chart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ChartRow", "chart_rows"]

_MOST_GROUPS = 40


@dataclass(frozen=True, slots=True)
class ChartRow:
    """One accuracy, in percent; or the heading of those that follow.

    Attributes:
        label: What it is the accuracy of.
        value: In [0, 100].
        low: Lower end of the interval; None where that is not known.
        high: Upper end.
        blind: The best constant answer; None where there is none to compare with.
        text: The numbers in words.
        is_heading: Whether this is a heading, and has a label alone.
    """

    label: str
    value: float = 0.0
    low: float | None = None
    high: float | None = None
    blind: float | None = None
    text: str = ""
    is_heading: bool = False


def chart_rows(scores: Mapping[str, Any]) -> list[ChartRow]:
    """The official figures, then the accuracy of each group, by the official rule.

    Args:
        scores: As ``Scores.to_json`` gives them.
    """
    figures, blind = scores["figures"]["official"], scores["blind"]
    rows = [_row(name, estimate, blind.get(name)) for name, estimate in figures.items()]
    for kind, groups in scores["groups"].items():
        # one group is the whole, which is there already
        if 1 < len(groups) <= _MOST_GROUPS:
            rows.append(ChartRow(f"By {kind}", is_heading=True))
            rows += _groups(groups)
    return rows


def _groups(groups: Mapping[str, Any]) -> Iterator[ChartRow]:
    for name, by_mode in groups.items():
        official = by_mode["official"]
        yield _row(f"{name} ({official['count']})", official, None)


def _row(label: str, estimate: Mapping[str, Any], blind: Mapping[str, Any] | None) -> ChartRow:
    value, low, high = (_percent(estimate.get(part)) for part in ("value", "low", "high"))
    # a bootstrap that drew one number alone knows no interval
    is_known = low is not None and high is not None and low < high
    text = f"{value:.1f}" + (f" [{low:.1f}, {high:.1f}]" if is_known else " [n/a]")
    return ChartRow(
        label=label,
        value=value or 0.0,
        low=low if is_known else None,
        high=high if is_known else None,
        blind=None if blind is None else _percent(blind["value"]),
        text=text,
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else round(min(100.0, max(0.0, 100 * share)), 2)
