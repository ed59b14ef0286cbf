"""Tables as text: cells between commas, semicolons, tabs or bars, with a header.

Spreadsheets separate by semicolons where the comma is in the numbers, and some say so in a line
``sep=;`` of its own. An unclosed quotation mark would make one cell of all lines behind it: it is
an error with its line.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from geofovea.datasets.tables.list_files import open_lines
from geofovea.datasets.tables.text_files import BadLineError

__all__ = ["DelimitedRow", "delimited_rows"]

_FIELD_LIMIT = 2**30
"""Longest cell: images of HR-Bench stand in cells."""

_SEPARATORS = (",", "\t", ";", "|")
_SAYS_SEPARATOR = re.compile(r'"?sep=(.)"?[,;\s]*', re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")


@dataclass(frozen=True, slots=True)
class DelimitedRow:
    """One row.

    Attributes:
        line: Number of its first line, from 1.
        number: Of the row, from 1; 0 is the header.
        cells: As texts. A number with a decimal comma has a point where cells are not separated by
            commas.
    """

    line: int
    number: int
    cells: list[str]

    def by_column(self, header: list[str]) -> dict[str, str]:
        """Cells by column; they are as many."""
        return dict(zip(header, self.cells, strict=True))


def delimited_rows(
    file: Path,
    known: Collection[str] = (),
    begins_row: Callable[[Mapping[str, str]], bool] | None = None,
) -> Iterator[DelimitedRow]:
    """The header, then all rows, lazily; rows may have more or fewer cells than the header.

    Args:
        file: The table. Cells are between commas, or tabs in a ``.tsv``, unless its first line
            shows otherwise.
        known: Names of columns that are looked for: they tell what separates the cells.
        begins_row: Whether some cells by column are a row of their own. Lines inside a quoted cell
            that are such rows were swallowed by it.

    Raises:
        BadLineError: If a quotation mark is not closed, or closed in the middle of a cell.
        OSError: If the file cannot be read.
        UnicodeError: If it is not text.
    """
    csv.field_size_limit(min(_FIELD_LIMIT, sys.maxsize))
    with closing(open_lines(file)) as source:
        lines = _Lines(source)
        separator = _separator(lines, known, "\t" if file.suffix.lower() == ".tsv" else ",")
        table = csv.reader(lines, delimiter=separator, strict=True)
        header: list[str] = []
        number = 0
        while True:
            lines.forget()
            try:
                cells = next(table, None)
            except csv.Error as error:
                raise BadLineError(
                    lines.first,
                    number,
                    f"a quotation mark is not closed, or stands inside a cell ({error}): close it, "
                    "or write it twice",
                ) from error
            if cells is None:
                return
            if number == 0 and not cells:
                continue
            if number == 0:
                header = cells = [cell.strip() for cell in cells]
            elif begins_row is not None:
                _check_swallowed(lines, number, header, separator, begins_row)
            if separator != ",":
                cells = [_with_point(cell) for cell in cells]
            yield DelimitedRow(lines.first, number, cells)
            number += 1


class _Lines:
    """Lines of a file that remember those of the row being read."""

    def __init__(self, opened: Iterator[str]) -> None:
        self._source = opened
        self._pending: list[str] = []
        self.read = 0
        self.first = 1
        self.of_row: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._pending.pop() if self._pending else next(self._source)
        self.read += 1
        self.of_row.append(line)
        return line

    def forget(self) -> None:
        """Begin a row."""
        self.first = self.read + 1
        self.of_row = []

    def give_back(self, line: str) -> None:
        """Let a line be read again."""
        self._pending.append(line)
        self.read -= 1


def _separator(lines: _Lines, columns: Collection[str], usual: str) -> str:
    """What stands between the cells, from the first line; the line of a spreadsheet is left out."""
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        return usual
    declared = _SAYS_SEPARATOR.fullmatch(first.rstrip("\r\n"))
    if declared:
        return declared[1]
    lines.give_back(first)
    lowered = {name.lower() for name in columns}
    fits = {}
    for separator in dict.fromkeys((usual, *_SEPARATORS)):
        names = [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
        fits[separator] = (sum(name.lower() in lowered for name in names), len(names) > 1)
    # of equals the first, which is the usual one
    return max(fits, key=lambda separator: fits[separator])


def _check_swallowed(
    lines: _Lines,
    number: int,
    header: list[str],
    separator: str,
    begins_row: Callable[[Mapping[str, str]], bool],
) -> None:
    for offset, line in enumerate(lines.of_row[1:], 1):
        cells = next(csv.reader([line.rstrip("\r\n")], delimiter=separator), [])
        if len(cells) == len(header) and begins_row(dict(zip(header, cells, strict=True))):
            raise BadLineError(
                lines.first,
                number,
                f"a quotation mark is not closed and swallows line {lines.first + offset}: close "
                "it, or write it twice",
            )


def _with_point(cell: str) -> str:
    """A number with a decimal point; three digits behind a comma are thousands."""
    number = _DECIMAL_COMMA.fullmatch(cell.strip())
    return f"{number[1]}.{number[2]}" if number and not _THOUSANDS.fullmatch(cell.strip()) else cell
