"""Manifests: tables that say which question is asked of which scene.

Columns: ``scene`` (a path, relative to the manifest, or a URL), and if wanted ``question``, ``id``.
CSV (UTF-8, with a header), JSON lines, Parquet, and GeoParquet, whose geometry restricts the
question of its row to a polygon.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.errors import DataError, MissingExtraError
from geofovea.tiling.source import split_page

__all__ = ["MANIFEST_SUFFIXES", "ManifestRow", "check_ids", "place_scene", "read_manifest"]

MANIFEST_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet", ".geoparquet")
_COLUMNS = ("id", "scene", "question")


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """What is to be asked of one scene.

    Attributes:
        id: A name of its own among all rows.
        scene: A path or a URL.
        question: What is asked; None where one question is asked of all scenes.
        region: A shapely polygon that it is restricted to; None for the whole scene.
        region_crs: CRS of the region as WKT; None if it is in scene pixels, or there is none.
        origin: Where the row stands, for messages.
    """

    id: str
    scene: str
    question: str | None = None
    region: Any = None
    region_crs: str | None = None
    origin: str = ""


def read_manifest(path: str | os.PathLike[str]) -> list[ManifestRow]:
    """All rows of a manifest.

    Raises:
        DataError: If it cannot be read, has no rows, lacks the column ``scene``, or a row is not
            what it has to be; the message names row and column.
        MissingExtraError: If it is Parquet and pyarrow or geopandas is not installed.
    """
    file = Path(path)
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows}
    readers |= {".parquet": _parquet_rows, ".geoparquet": _parquet_rows}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise DataError(f"{file} is no manifest: name one of {', '.join(MANIFEST_SUFFIXES)}")
    try:
        rows = [_row(file, origin, fields) for origin, fields in reader(file)]
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 ({error}): save it as UTF-8") from error
    if not rows:
        raise DataError(f"{file} has no rows: give each a scene")
    return rows


def place_scene(name: str, folder: Path) -> str:
    """A scene as named in a file: relative paths start at the folder of that file."""
    if "://" in name or name.startswith("/vsi"):
        return name
    page, file = split_page(name)
    return f"GTIFF_DIR:{page}:{folder / file}" if page else str(folder / name)


def check_ids(rows: Iterable[ManifestRow]) -> None:
    """Make sure that no two rows have one id.

    Raises:
        DataError: If two have; the message names both.
    """
    seen: dict[str, ManifestRow] = {}
    for row in rows:
        other = seen.setdefault(row.id, row)
        if other is not row:
            raise DataError(
                f"the id {row.id!r} stands twice: in {other.origin or other.scene} and in "
                f"{row.origin or row.scene}; give each row its own, or leave the column out"
            )


def _row(file: Path, origin: str, fields: Mapping[str, Any]) -> ManifestRow:
    texts: dict[str, str | None] = {}
    for column in _COLUMNS:
        value = fields.get(column)
        if isinstance(value, int) and not isinstance(value, bool) and column == "id":
            value = str(value)
        if value is not None and not isinstance(value, str):
            raise DataError(f"{origin}, column {column!r}: {value!r:.60} is no text")
        if value is not None and "\0" in value:
            raise DataError(f"{origin}, column {column!r}: {value!r:.60} has a NUL in it")
        texts[column] = value.strip() if value is not None else None
    if not texts["scene"]:
        raise DataError(f"{origin}, column 'scene': is empty; name a file")
    if texts["question"] == "":
        raise DataError(f"{origin}, column 'question': is empty; ask something")
    return ManifestRow(
        id=texts["id"] or origin.replace(f"{file}, row ", f"{file.name}:"),
        scene=place_scene(texts["scene"], file.parent),
        question=texts["question"],
        region=fields.get("region"),
        region_crs=fields.get("region_crs"),
        origin=origin,
    )


def _check_columns(file: Path, columns: list[str]) -> None:
    for name in sorted({c for c in columns if c in _COLUMNS and columns.count(c) > 1}):
        raise DataError(f"{file}: the column {name!r} stands twice in its header")
    if "scene" not in columns:
        raise DataError(
            f"{file}: has no column 'scene', only {', '.join(map(repr, columns[:8])) or 'none'}; "
            f"known are {', '.join(_COLUMNS)}"
        )


def _csv_rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    # utf-8-sig: spreadsheets put a mark in front that is no part of the first column's name
    with file.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.reader(lines, strict=True)
        number = 0
        try:
            header = [name.strip() for name in next(table, [])]
            _check_columns(file, header)
            for number, cells in enumerate(table, 1):
                origin = f"{file}, row {number}"
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    at = header[len(cells)] if len(cells) < len(header) else header[-1]
                    raise DataError(
                        f"{origin}, column {at!r}: the header has {len(header)} columns and this "
                        f"row {len(cells)}; put quotes around texts with commas"
                    )
                named = dict(zip(header, cells, strict=True))
                # an empty cell of an optional column is no value
                yield origin, {c: v for c, v in named.items() if v.strip() or c == "scene"}
        except csv.Error as error:
            raise DataError(f"{file}, row {number + 1}: is no CSV: {error}") from error


def _json_rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            origin = f"{file}, row {number}"
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{origin}: is no JSON: {error}") from error
            if not isinstance(fields, dict):
                raise DataError(f"{origin}: {line.strip()[:60]!r} is no JSON object")
            if "scene" not in fields:
                raise DataError(f"{origin}, column 'scene': is not there; name a file")
            # geometry comes in GeoParquet only, with its CRS
            yield origin, {name: fields.get(name) for name in _COLUMNS}


def _parquet_rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "geo", "reading a Parquet manifest") from error
    try:
        schema = parquet.read_schema(file)
        _check_columns(file, schema.names)
        present = [name for name in _COLUMNS if name in schema.names]
        table = parquet.read_table(file, columns=present).to_pylist()
        has_geometry = b"geo" in (schema.metadata or {})
    except ArrowException as error:
        raise DataError(f"{file} is no Parquet file, or a damaged one: {error}") from error
    regions: list[dict[str, Any]] = [{} for _ in table]
    if has_geometry:
        from geofovea.datasets.region_files import read_regions

        named = read_regions(file)
        regions = [{"region": r.geometry, "region_crs": r.crs} for r in named]
    for number, (fields, region) in enumerate(zip(table, regions, strict=True), 1):
        yield f"{file}, row {number}", fields | region
