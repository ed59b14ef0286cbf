"""Rows of annotation and answers files, with the place of each for messages.

JSON Lines, one JSON list, TSV, CSV and Parquet give the same rows; what is wrong with a row is said
with its file, its number and its column.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.datasets.list_files import check_regular
from geofovea.datasets.sample import Sample
from geofovea.errors import DataError, GeometryError, MissingExtraError
from geofovea.tiling.pyramid import Box

__all__ = ["Row", "clipped_box", "read_rows"]

_FIELD_LIMIT = 2**30
"""Longest cell of a TSV file: images of HR-Bench stand in cells."""


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
        found = repr(self.values[column])
        short = found if len(found) <= 80 else found[:77] + "..."
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
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
            return str(int(value)) if float(value).is_integer() else str(value)
        raise self.wrong(column, "text")

    def texts(self, column: str) -> tuple[str, ...]:
        """A cell that holds a list of texts; a list written as JSON is read.

        Raises:
            DataError: If it is anything else.
        """
        value = self.values.get(column)
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except ValueError as error:
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
        except (TypeError, ValueError) as error:
            raise self.wrong(column, "[x0, y0, x1, y1]") from error
        except GeometryError as error:
            raise DataError(f"{self.place}, column {column!r}: {error}") from error


def clipped_box(box: Box | None, size: tuple[int, int] | None) -> Box | None:
    """The part of a box inside its image; None where nothing of it is. Unknown sizes clip nothing.

    Raises:
        GeometryError: If the image has no area.
    """
    return box.intersection(Box(0, 0, *size)) if box and size else box


def read_rows(path: str | os.PathLike[str]) -> Iterator[Row]:
    """Rows of a file, lazily where the format allows; the extension decides the format.

    A ``.json`` file holds one list, or JSON Lines as some files of that name do.

    Raises:
        DataError: If the file cannot be read or a row is no object.
        MissingExtraError: If it is Parquet and pyarrow is not installed.
    """
    file = Path(path)
    readers = {
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".json": _json_list,
        ".tsv": _delimited,
        ".csv": _delimited,
        ".parquet": _parquet,
    }
    if file.suffix.lower() not in readers:
        raise DataError(f"{file} has an unknown extension; allowed are {', '.join(readers)}")
    check_regular(file)
    try:
        yield from readers[file.suffix.lower()](file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read: {error}") from error


def _json_lines(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                place = f"{file}, line {number}"
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{place}: not JSON ({error})") from error
                yield _row(place, value)


def _json_list(file: Path) -> Iterator[Row]:
    text = file.read_text(encoding="utf-8")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("{"):
            yield from _json_lines(file)
            return
        raise DataError(f"{file}: not JSON ({error})") from error
    if not isinstance(values, list):
        raise DataError(f"{file} should hold one list of objects, got {type(values).__name__}")
    for number, value in enumerate(values):
        yield _row(f"{file}, item {number}", value)


def _row(place: str, value: Any) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{place}: expected an object, got {type(value).__name__}")
    return Row(place, value)


def _delimited(file: Path) -> Iterator[Row]:
    csv.field_size_limit(min(_FIELD_LIMIT, sys.maxsize))
    tabs = file.suffix.lower() == ".tsv"
    with file.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.reader(lines, delimiter="\t" if tabs else ",")
        header: Sequence[str] = next(table, [])
        if not header or len(set(header)) < len(header):
            raise DataError(f"{file}: the first line should name the columns, each once: {header}")
        for cells in table:
            place = f"{file}, line {table.line_num}"
            if cells and len(cells) != len(header):
                raise DataError(f"{place}: {len(cells)} cells under {len(header)} columns")
            if cells:
                yield Row(place, dict(zip(header, cells, strict=True)))


def _parquet(file: Path) -> Iterator[Row]:
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "geo", "reading Parquet") from error
    try:
        table = pa.parquet.ParquetFile(file)
        batches = table.iter_batches(batch_size=16)
        number = 0
        for batch in batches:
            for values in batch.to_pylist():
                yield Row(f"{file}, row {number}", values)
                number += 1
    except pa.ArrowException as error:
        raise DataError(f"{file} cannot be read as Parquet: {error}") from error
