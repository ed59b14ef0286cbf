"""The tables of a bench of places: what was found, what was claimed about it, and what it cost."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby

from geofovea.datasets.scoring.metrics import interval_text
from geofovea.pipeline.evaluation.finds.rows import FindRow, Share
from geofovea.pipeline.system.tables import markdown_table

__all__ = ["finds_table"]

_FOUND = ("way", "recall", "precision", "things", "false")
_SPENT = ("way", "looked at", "tiles", "tokens", "expected", "of a sweep", "bound")
_DASH = "–"
_WIDTH = 80


def finds_table(rows: Sequence[FindRow], model: str) -> str:
    """Two tables a side, and two more for phrases with a color; none is wider than 80 columns.

    Args:
        rows: Those of ``find_rows``.
        model: Whose places they are.
    """
    intro = (
        f"Model {model}. *Recall* and *precision* are against the truth, with 95 % intervals "
        "(bootstrap over scenes); *false*: false alarms. *Expected*: the recall that searches "
        "tell; *of a sweep*: the share of the places of a sweep that they found; *bound*: how "
        "often that share is at least the lower end that they tell."
    )
    parts = [textwrap.fill(intro, _WIDTH)]
    for (side, has_color), group in groupby(rows, lambda row: (row.side, row.has_color)):
        some = list(group)
        phrases = "red truck" if has_color else "truck"
        parts.append(f"\n### {side} × {side} px ({some[0].scenes} scenes, such as {phrases})\n")
        parts.append(markdown_table(list(_FOUND), [_found(row) for row in some]))
        parts.append("\n" + markdown_table(list(_SPENT), [_spent(row) for row in some]))
    return "\n".join(parts)


def _found(row: FindRow) -> list[str]:
    things, places = row.recall, row.precision
    return [
        row.way,
        _share_text(things),
        _share_text(places),
        _DASH if things is None else f"{things.part} of {things.whole}",
        "0" if places is None else f"{places.whole - places.part}",
    ]


def _share_text(share: Share | None) -> str:
    return _DASH if share is None else f"{share.value:.2f} {interval_text(share.low, share.high)}"


def _spent(row: FindRow) -> list[str]:
    return [
        row.way,
        f"{row.looked:.0%}",
        f"{row.tiles:.0f}",
        f"{row.tokens:.0f}",
        _DASH if row.expected is None else f"{row.expected:.2f}",
        _DASH if row.of_sweep is None else f"{row.of_sweep:.2f}",
        f"{row.bounds_hold} of {row.bounds}" if row.bounds else _DASH,
    ]
