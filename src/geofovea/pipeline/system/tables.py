"""Tables that line up, for people; for spreadsheets as CSV; for machines the rows go as JSON."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from geofovea.pipeline.system.terminal import visible

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["PIPED", "WIDEST", "csv_table", "markdown_table", "print_table"]

WIDEST = 160
"""Columns of what is printed on a terminal that has more."""
PIPED = 80
"""Columns of a table where neither a terminal nor ``$COLUMNS`` says how many there are."""

# of names, which are folded first
_NAME_WIDTH = 14
_BETWEEN = 3
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?")


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers_from: int = 1,
    most_columns: int = WIDEST,
    is_dense: bool = False,
) -> None:
    """Print a table on standard output; columns from ``numbers_from`` on are set flush right.

    Nothing is cut: cells that are too wide are folded, first between words. A table in a pipe has
    at most ``PIPED`` columns, unless its numbers alone need more, or ``$COLUMNS`` says otherwise. A
    dense table has less room between its columns.
    """
    # here, so that the doctor can tell that it is missing
    from rich import box
    from rich.table import Table
    from rich.text import Text

    widths = [max(map(_word_width, column)) for column in zip(header, *rows, strict=True)]
    # a long name may be folded anywhere, and a number never
    least = sum(
        width if index >= numbers_from else min(width, _NAME_WIDTH)
        for index, width in enumerate(widths)
    )
    least += _BETWEEN * len(widths)
    whole = sum(
        max(_width(visible(cell)) for cell in column) for column in zip(header, *rows, strict=True)
    )
    whole += _BETWEEN * len(widths)
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=not is_dense, collapse_padding=is_dense
    )
    for index, name in enumerate(header):
        justify: Literal["left", "right"] = "right" if index >= numbers_from else "left"
        # a path may be longer than the table is wide: its end is what tells files apart
        least_width = widths[index] if index >= numbers_from else None
        table.add_column(Text(name), justify=justify, overflow="fold", min_width=least_width)
    for row in rows:
        # as text, for rich reads colors out of brackets
        table.add_row(*(Text(visible(cell)) for cell in row))
    _console_for(least, whole, most_columns).print(table)


def _console_for(least: int, whole: int, most_columns: int) -> Console:
    """Standard output, as wide as a table may be there.

    Args:
        least: Columns that the table needs with all its cells folded.
        whole: Columns that it needs with none of them folded.
        most_columns: Columns that it takes at most, unless it needs more.
    """
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        chosen = os.environ.get("COLUMNS", "")
        wanted = min(int(chosen) if chosen.isdecimal() and int(chosen) else PIPED, most_columns)
        if least > wanted:
            # it does not fit in any case, and whole cells are easier to read
            wanted = min(whole, most_columns)
        return Console(width=max(least, wanted))
    if console.width > most_columns:
        return Console(width=max(least, most_columns))
    return console


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as GitHub-flavoured Markdown, columns padded to line up in plain text."""
    widths = [max(_width(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def padded(cell: str, width: int) -> str:
        return cell + " " * (width - _width(cell))

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(padded, cells, widths)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def csv_table(header: Sequence[str], rows: Iterable[Sequence[str | float | None]]) -> str:
    """The same as CSV with commas; None is an empty cell.

    A text that a spreadsheet would run as a formula gets an apostrophe in front, for texts come
    from models and files. A text that is a number stays one.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_inert(cell) for cell in row] for row in rows)
    return text.getvalue()


def _width(text: str) -> int:
    """How many columns a text takes: letters of East Asia and emoji take two."""
    try:
        from rich.cells import cell_len
    except ImportError:
        # tables tell the doctor's patient, too, that it is missing
        return len(text)
    return cell_len(text)


def _word_width(text: str) -> int:
    return max(map(_width, visible(text).split()), default=0)


def _inert(cell: str | float | None) -> str | float | None:
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    return cell if _NUMBER.fullmatch(cell) else f"'{cell}"
