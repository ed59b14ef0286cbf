"""Tables that line up, for people; for spreadsheets as CSV; for machines the rows go as JSON."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from geofovea.pipeline.system.terminal import visible

__all__ = ["WIDEST", "csv_table", "markdown_table", "print_table"]

WIDEST = 160
"""Columns of what is printed where no terminal says how many there are."""

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

    Where the output is not a terminal nothing is cut: the width is that of the contents, up to
    ``most_columns`` characters; wider cells are folded. A dense table has less room between its
    columns.
    """
    # here, so that the doctor can tell that it is missing
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal or console.width > most_columns:
        console = Console(width=most_columns)
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=not is_dense, collapse_padding=is_dense
    )
    for index, name in enumerate(header):
        justify: Literal["left", "right"] = "right" if index >= numbers_from else "left"
        # a path may be longer than the table is wide: its end is what tells files apart
        table.add_column(Text(name), justify=justify, overflow="fold")
    for row in rows:
        # as text, for rich reads colors out of brackets
        table.add_row(*(Text(visible(cell)) for cell in row))
    console.print(table)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as GitHub-flavoured Markdown, columns padded to line up in plain text."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"

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


def _inert(cell: str | float | None) -> str | float | None:
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    return cell if _NUMBER.fullmatch(cell) else f"'{cell}"
