"""Manifests: tables that pair questions with the scenes they are about.

The column ``scene`` holds a path, relative to the manifest, or a URL. Optional columns are
``question``, ``id``, ``scene_before`` (an earlier scene of the same place to compare with) and
``geometry`` (a polygon that the question of its row is restricted to). Formats are CSV and TSV with
a header, JSON lines, Parquet, folders of parts of these, and GeoParquet.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

from geofovea.datasets.inputs.manifest_columns import COLUMNS, ManifestColumns
from geofovea.datasets.inputs.region_files import read_regions
from geofovea.datasets.inputs.row_places import GEOMETRY_COLUMNS, check_places, place_of
from geofovea.datasets.records.rows import cell_text
from geofovea.datasets.tables.delimited import delimited_rows
from geofovea.datasets.tables.json_lines import json_lines
from geofovea.datasets.tables.list_files import check_regular, open_lines
from geofovea.datasets.tables.parquet import ParquetTable
from geofovea.datasets.tables.table_parts import table_parts
from geofovea.datasets.tables.text_files import BadLineError
from geofovea.errors import DataError
from geofovea.tiling.files.source import split_page
from geofovea.tiling.machine.paths import is_file
from geofovea.tiling.machine.system_errors import reason_of
from geofovea.tiling.remote.names import is_remote_name, remote_name

__all__ = [
    "MANIFEST_SUFFIXES",
    "ManifestRow",
    "check_ids",
    "place_scene",
    "read_manifest",
]

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".geoparquet")
MOST_ROWS = 5_000_000
_BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """What is to be asked of one scene.

    Attributes:
        id: A name of its own among all rows; a URL in its place loses its secrets.
        scene: A path or a URL, which may carry secrets; ``name`` is what to show of it.
        question: What is asked; None where one question is asked of all scenes.
        region: A shapely polygon that it is restricted to; None for the whole scene.
        region_crs: CRS of the region as WKT; None if it is in scene pixels, or there is none.
        origin: Where the row stands, for messages.
        collection: The STAC collection that its id is of; empty where there is none.
        problem: Why the row fails before its scene is opened; empty where nothing is known.
        before: An earlier scene of the same place, named like ``scene``; empty for one date.
    """

    id: str
    scene: str = field(repr=False)
    question: str | None = None
    region: Any = None
    region_crs: str | None = None
    origin: str = ""
    collection: str = ""
    problem: str = ""
    before: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if is_remote_name(self.id):
            object.__setattr__(self, "id", remote_name(self.id))

    @property
    def name(self) -> str:
        """The scene as messages and results show it."""
        return remote_name(self.scene) if is_remote_name(self.scene) else self.scene


def read_manifest(
    path: str | os.PathLike[str], columns: ManifestColumns | None = None
) -> list[ManifestRow]:
    """All rows of a manifest, a file or a folder of parts; scenes start at the folder of either.

    Args:
        path: Of the manifest.
        columns: Which columns are meant, where their names do not say so.

    Raises:
        DataError: If it cannot be read, has no rows, lacks the column ``scene``, or a row is not
            what it has to be; the message names row and column.
        MissingExtraError: If it is Parquet and pyarrow or geopandas is not installed.
    """
    table = Path(path)
    rows: list[ManifestRow] = []
    for part in table_parts(table, MANIFEST_SUFFIXES):
        for row in _part_rows(table, part.path, part.columns, columns or ManifestColumns()):
            if len(rows) == MOST_ROWS:
                raise DataError(f"{table} has more than {MOST_ROWS:,} rows; split it")
            rows.append(row)
    if not rows:
        raise DataError(f"{table} has no rows: give each a scene")
    return rows


def _part_rows(
    table: Path, file: Path, more: Mapping[str, str | None], named: ManifestColumns
) -> Iterator[ManifestRow]:
    check_regular(file)
    readers = {".csv": _csv_rows, ".tsv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows}
    readers |= {".parquet": _parquet_rows, ".geoparquet": _parquet_rows}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise DataError(f"{file} is not a manifest: name one of {', '.join(MANIFEST_SUFFIXES)}")
    try:
        for origin, fields in reader(file, more, named):
            # what stands in the names of folders stands in no part
            yield _row(table, file, origin, named.renamed(file, {**more, **fields}))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {reason_of(error)}") from error
    except UnicodeError as error:
        raise DataError(f"{file} is not UTF-8 ({error}): save it as UTF-8") from error


def place_scene(name: str, folder: Path) -> str:
    """A scene as named in a file: relative paths start at the folder of that file."""
    if is_remote_name(name):
        return name
    page, file = split_page(name)
    return f"GTIFF_DIR:{page}:{folder / file}" if page else str(folder / name)


def check_ids(rows: Iterable[ManifestRow]) -> None:
    """Make sure that no two rows have one id.

    Raises:
        DataError: If two have; the message names both.
    """
    rows_by_id: dict[str, ManifestRow] = {}
    for row in rows:
        other = rows_by_id.setdefault(row.id, row)
        if other is not row:
            raise DataError(
                f"the id {row.id!r} occurs twice: in {other.origin or other.name} and in "
                f"{row.origin or row.name}; give each row its own"
                + ("" if row.collection else ", or leave the column out")
            )


def _row(table: Path, file: Path, origin: str, fields: Mapping[str, Any]) -> ManifestRow:
    texts = {column: _text(origin, column, fields.get(column)) for column in COLUMNS}
    if not texts["scene"]:
        raise DataError(f"{origin}, column 'scene': is empty; name a file")
    if texts["question"] == "":
        raise DataError(f"{origin}, column 'question': is empty; ask something")
    region, region_crs = place_of(origin, fields)
    return ManifestRow(
        id=texts["id"] or origin.replace(f"{file}, row ", f"{file.relative_to(table.parent)}:"),
        scene=place_scene(texts["scene"], table.parent),
        question=texts["question"],
        region=region,
        region_crs=region_crs,
        origin=origin,
        before=place_scene(before, table.parent) if (before := texts["scene_before"]) else "",
    )


def _text(origin: str, column: str, value: Any) -> str | None:
    """A cell without blanks around it; None for no value, which is NaN in a column of numbers."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if column == "id" and isinstance(value, int | float) and not isinstance(value, bool):
        value = cell_text(value)
    if value is None:
        return None
    if not isinstance(value, str):
        raise DataError(f"{origin}, column {column!r}: {value!r:.60} is not text")
    if "\0" in value:
        raise DataError(f"{origin}, column {column!r}: {value!r:.60} has a NUL in it")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        # JSON spells half of a pair of characters; neither a file nor a result can hold it
        raise DataError(
            f"{origin}, column {column!r}: {value!r:.60} is not UTF-8 text at character "
            f"{error.start + 1}; write it again"
        ) from error
    return value.strip()


def _check_columns(file: Path, columns: list[str], named: ManifestColumns) -> None:
    if not columns:
        raise DataError(
            f"{file} is empty: it needs a header with the column 'scene', and a row for each "
            "question"
        )
    names = named.names(file, columns)
    for name in sorted({c for c in columns if c in named.known and columns.count(c) > 1}):
        raise DataError(f"{file}: the column {name!r} occurs twice in its header")
    check_places(file, columns)
    if "scene" not in columns and "scene" not in names.values():
        raise DataError(
            f"{file}: has no column 'scene', only {', '.join(map(repr, columns[:8])) or 'none'}; "
            f"known are {', '.join((*COLUMNS, 'geometry', 'crs'))}; say which one it is with "
            "scene_column="
        )


def _csv_rows(
    file: Path, more: Mapping[str, str | None], named: ManifestColumns
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each row of a CSV with its place in the file, cells by the name of their column."""
    header: list[str] = []
    try:
        for row in delimited_rows(file, named.known, lambda cells: _is_row(file, cells, named)):
            if row.number == 0:
                header = named.in_known_case(row.cells)
                _check_columns(file, [*header, *more], named)
                continue
            origin = f"{file}, row {row.number}"
            if not any(cell.strip() for cell in row.cells):
                continue
            if len(row.cells) != len(header):
                at = header[len(row.cells)] if len(row.cells) < len(header) else header[-1]
                raise DataError(
                    f"{origin}, column {at!r}: the header has {len(header)} columns and this "
                    f"row {len(row.cells)}; put quotes around texts with commas"
                )
            # an empty cell of an optional column is no value, but a place that is empty is told
            always = (*_scene_names(named), *GEOMETRY_COLUMNS)
            by_column = row.by_column(header)
            yield origin, {c: v for c, v in by_column.items() if v.strip() or c.lower() in always}
    except BadLineError as error:
        raise DataError(
            f"{file}, row {error.number}: is not CSV: in line {error.line} {error}"
        ) from error
    if not header:
        _check_columns(file, [*header, *more], named)


def _scene_names(named: ManifestColumns) -> tuple[str, ...]:
    """What the column of scenes may be called, the likeliest name first."""
    return (named.scene,) if named.scene else ("scene", "image")


def _is_row(file: Path, cells: Mapping[str, str], named: ManifestColumns) -> bool:
    """Whether some cells name a scene that is there, or one far away."""
    scene = next((cells[name].strip() for name in _scene_names(named) if name in cells), "")
    # a cell that swallowed lines is not a name that a file can have: no, and not an error
    return bool(scene) and ("://" in scene or is_file(file.parent / scene))


def _json_rows(
    file: Path, more: Mapping[str, str | None], named: ManifestColumns
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with closing(open_lines(file)) as lines:
        try:
            for number, fields in json_lines(lines):
                origin = f"{file}, row {number}"
                if not isinstance(fields, dict):
                    raise DataError(f"{origin}: {fields!r:.60} is not a JSON object")
                fields = dict(
                    zip(named.in_known_case(map(str, fields)), fields.values(), strict=True)
                )
                names = _scene_names(named)
                if not any(name in fields or name in more for name in names):
                    raise DataError(f"{origin}, column {names[0]!r}: is not there; name a file")
                check_places(file, list(map(str, fields)))
                yield origin, fields
        except BadLineError as error:
            raise DataError(f"{file}, row {error.number}: is not JSON: {error}") from error


def _parquet_rows(
    file: Path, more: Mapping[str, str | None], named: ManifestColumns
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    table = ParquetTable(file)
    known = dict(zip(table.columns, named.in_known_case(table.columns), strict=True))
    _check_columns(file, [*known.values(), *more], named)
    if table.row_count > MOST_ROWS:
        raise DataError(f"{file} has more than {MOST_ROWS:,} rows; split it")
    # beside a geometry of its own a file may keep the boxes of its rows
    columns = [name for name in table.columns if not table.is_geo or known[name] in named.known]
    regions: Iterable[dict[str, Any]] = repeat({}, table.row_count)
    if table.is_geo:
        regions = ({"region": r.geometry, "region_crs": r.crs} for r in read_regions(file))
    rows = zip(table.rows(columns, _BATCH_ROWS), regions, strict=True)
    for number, (fields, region) in enumerate(rows, 1):
        yield f"{file}, row {number}", {known[c]: v for c, v in fields.items()} | region
