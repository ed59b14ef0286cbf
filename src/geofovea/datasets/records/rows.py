"""Rows of annotation and answers files, with the place of each for messages.

JSON Lines, one JSON list, TSV, CSV and Parquet give the same rows, and so does a folder of such
files; what is wrong with a row is said with its file, its number and its column.
"""

from __future__ import annotations

import ast
import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from geofovea.datasets.records.sample import Sample
from geofovea.datasets.tables.delimited import delimited_rows
from geofovea.datasets.tables.json_lines import json_lines
from geofovea.datasets.tables.list_files import check_regular, open_lines
from geofovea.datasets.tables.parquet import ParquetTable
from geofovea.datasets.tables.table_parts import shards_of, table_parts
from geofovea.datasets.tables.text_files import BadLineError, json_of
from geofovea.errors import DataError, GeometryError
from geofovea.tiling.machine.system_errors import reason_of
from geofovea.tiling.pyramid import Box

__all__ = ["Row", "cell_text", "clipped_box", "read_rows", "read_shards"]

_LISTS = ("logs", "samples", "data", "annotations", "questions", "results", "rows")
"""Under which an object of JSON keeps its list of rows, if it has one such list only."""
_LONGEST_LIST = 20_000
_SPREADSHEETS = (".xlsx", ".xls", ".ods")


@dataclass(frozen=True, slots=True)
class Row:
    """One row and where it stands.

    Attributes:
        place: Such as ``answers.jsonl, line 3``.
        values: By column.
    """

    place: str
    values: dict[str, Any]

    def wrong(self, column: str, expected: str) -> DataError:
        """The error for a cell that is not what it should be."""
        if column not in self.values:
            return DataError(
                f"{self.place}: the column {column!r} is missing; there are {list(self.values)}"
            )
        value_text = repr(self.values[column])
        short = value_text if len(value_text) <= 80 else value_text[:77] + "..."
        return DataError(f"{self.place}, column {column!r}: expected {expected}, got {short}")

    def sample(self, **fields: Any) -> Sample:
        """A sample made of this row.

        Raises:
            DataError: If it is impossible; the message begins with the row's place.
        """
        try:
            return Sample(**fields)
        except DataError as error:
            raise DataError(f"{self.place}: {error}") from error

    def text(self, column: str) -> str:
        """A cell that holds a word or a number, as text.

        Raises:
            DataError: If it is missing, empty or something else.
        """
        value = self.values.get(column)
        text = None if isinstance(value, bool) else cell_text(value)
        if text is None or not text.strip():
            raise self.wrong(column, "text")
        return text

    def texts(self, column: str) -> tuple[str, ...]:
        """A cell that holds a list of texts; a list written as JSON, or as Python, is read.

        Raises:
            DataError: If it is anything else.
        """
        value = self.values.get(column)
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                value = _written_list(value)
            except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
                raise self.wrong(column, "a list of texts") from error
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value) or not value:
            raise self.wrong(column, "a list of texts")
        return tuple(value)

    def box(self, column: str) -> Box | None:
        """A cell with ``[x0, y0, x1, y1]`` in pixels; None where it is missing or empty.

        Raises:
            DataError: If it is anything else, or the box is impossible.
        """
        value = self.values.get(column)
        if value is None or (isinstance(value, str | list) and not value):
            return None
        try:
            corners = [float(v) for v in (json.loads(value) if isinstance(value, str) else value)]
            if len(corners) != 4:
                raise self.wrong(column, "[x0, y0, x1, y1]")
            return Box(*corners)
        except GeometryError as error:
            raise DataError(f"{self.place}, column {column!r}: {error}") from error
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise self.wrong(column, "[x0, y0, x1, y1]") from error


def clipped_box(box: Box | None, size: tuple[int, int] | None) -> Box | None:
    """The part of a box inside its image; None where nothing of it is. Unknown sizes clip nothing.

    Raises:
        GeometryError: If the image has no area.
    """
    return box.intersection(Box(0, 0, *size)) if box and size else box


def cell_text(value: Any) -> str | None:
    """A cell as text; None for no value, and for what is no one text, such as a list.

    A number is its shortest text: tables with a gap in a column of whole numbers hold 3 as 3.0.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float | Decimal):
        if value != value:
            return None
        if math.isfinite(value) and value == int(value):
            return str(int(value))
        return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)
    return None


def read_rows(
    path: str | os.PathLike[str],
    known: Collection[str] = (),
    begins_row: Callable[[Mapping[str, str]], bool] | None = None,
) -> Iterator[Row]:
    """Rows of a file or of a folder of parts, lazily where the format allows.

    The extension decides the format. A ``.json`` file holds one list, or an object with one, or
    JSON Lines as some files of that name do.

    Args:
        path: The file, or the folder.
        known: See ``delimited_rows``.
        begins_row: Likewise.

    Raises:
        DataError: If the file cannot be read or a row is no object.
        MissingExtraError: If it is Parquet and pyarrow is not installed.
    """
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".json": _json_list,
        ".tsv": lambda file: _delimited(file, known, begins_row),
        ".csv": lambda file: _delimited(file, known, begins_row),
        ".parquet": _parquet,
    }
    for part in table_parts(Path(path), readers):
        file = part.path
        suffix = file.suffix.lower()
        if suffix in _SPREADSHEETS:
            raise DataError(
                f"{file} is a spreadsheet: save it as .csv or .tsv (VLMEvalKit writes .tsv where "
                "PRED_FORMAT=tsv is set)"
            )
        if suffix not in readers:
            raise DataError(f"{file} has an unknown extension; supported: {', '.join(readers)}")
        check_regular(file)
        try:
            for row in readers[suffix](file):
                values = {**part.columns, **row.values}
                yield replace(row, values=values) if part.columns else row
        except UnicodeError as error:
            raise DataError(f"{file} is not UTF-8 ({error}): save it as UTF-8") from error
        except OSError as error:
            raise DataError(f"{file} cannot be read: {reason_of(error)}") from error
        except BadLineError as error:
            raise DataError(f"{file}, line {error.line}: {error}") from error


def read_shards(path: Path) -> Iterator[Row]:
    """Rows of a file and of all its siblings, if it is one of ``name-00000-of-00003`` files."""
    for shard in shards_of(path):
        yield from read_rows(shard)


def _json_lines(file: Path) -> Iterator[Row]:
    with closing(open_lines(file)) as lines:
        try:
            for number, value in json_lines(lines):
                yield _row(f"{file}, line {number}", value)
        except BadLineError as error:
            raise DataError(f"{file}, line {error.line}: not JSON ({error})") from error


def _json_list(file: Path) -> Iterator[Row]:
    try:
        values = json_of(file)
    except (ValueError, RecursionError) as error:
        with closing(open_lines(file)) as lines:
            is_object = next((line for line in lines if line.strip()), "").lstrip().startswith("{")
        if is_object:
            yield from _json_lines(file)
            return
        raise DataError(f"{file}: not JSON ({error})") from error
    lists = [] if not isinstance(values, dict) else [n for n in _LISTS if _is_list(values.get(n))]
    if len(lists) == 1:
        values = values[lists[0]]
    if isinstance(values, dict):
        # JSON Lines of one line
        values = [values]
    if not isinstance(values, list):
        raise DataError(f"{file} should hold one list of objects, got {type(values).__name__}")
    for number, value in enumerate(values):
        yield _row(f"{file}, item {number}", value)


def _written_list(text: str) -> Any:
    """A list out of one cell: JSON, or the form in which Python and pandas write lists to CSV.

    Raises:
        ValueError, SyntaxError, MemoryError, RecursionError: If it is neither.
    """
    try:
        return json.loads(text)
    except ValueError:
        if len(text) > _LONGEST_LIST:
            raise
        return ast.literal_eval(text.strip())


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _row(place: str, value: Any) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{place}: expected an object, got {type(value).__name__}")
    return Row(place, value)


def _delimited(
    file: Path, known: Collection[str], begins_row: Callable[[Mapping[str, str]], bool] | None
) -> Iterator[Row]:
    header: list[str] = []
    for row in delimited_rows(file, known, begins_row):
        if row.number == 0:
            header = _checked(file, row.cells)
            continue
        place = f"{file}, line {row.line}"
        if not row.cells:
            continue
        if len(row.cells) != len(header):
            raise DataError(f"{place}: {len(row.cells)} cells under {len(header)} columns")
        yield Row(place, row.by_column(header))
    _checked(file, header)


def _checked(file: Path, header: list[str]) -> list[str]:
    if not header or len(set(header)) < len(header):
        raise DataError(f"{file}: the first line should name the columns, each once: {header}")
    return header


def _parquet(file: Path) -> Iterator[Row]:
    for number, values in enumerate(ParquetTable(file).rows()):
        yield Row(f"{file}, row {number}", values)
