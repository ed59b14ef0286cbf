"""Columns of a manifest that hold geometries which are not read: they are refused, not passed over.

A geometry restricts a question, and needs the CRS that only GeoParquet says beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geofovea.errors import DataError

__all__ = ["check_geometries", "check_parquet_geometries"]

_NAMES = re.compile(r"(?:the_|wkb_|wkt_)?geom(?:etry)?(?:_wk[bt])?|wk[bt]|geojson", re.IGNORECASE)
_WKT = re.compile(
    r"\s*(?:SRID=\d+;)?\s*(?:MULTI)?(?:POLYGON|POINT|LINESTRING|SURFACE)\s*(?:Z|M|ZM)?\s*\(|"
    r"\s*(?:SRID=\d+;)?\s*GEOMETRYCOLLECTION\s*\(",
    re.IGNORECASE,
)
_WKB_IN_HEX = re.compile(r"(?:0[01])[0-9A-F]{40,}", re.IGNORECASE)
_GEOJSON = re.compile(r'\s*\{.{0,200}"coordinates"\s*:', re.DOTALL)


def check_geometries(file: Path, values: Mapping[str, Any]) -> None:
    """Refuse a row with a geometry, by what its cells hold or by how their column is called.

    Raises:
        DataError: Naming the column.
    """
    for name, value in values.items():
        if _holds_geometry(name, value):
            raise _not_read(file, name)


def check_parquet_geometries(file: Path, opened: Any) -> None:
    """Refuse a Parquet file without the key ``geo`` in which a column is made for geometries.

    Args:
        file: Its path, for the message.
        opened: A ``pyarrow.parquet.ParquetFile``.

    Raises:
        DataError: Naming the column.
    """
    schema = opened.schema_arrow
    logical = {
        column.path.split(".")[0]: str(column.logical_type).lower()
        for column in map(opened.schema.column, range(len(opened.schema)))
    }
    for field in schema:
        extension = getattr(field.type, "extension_name", "") or (field.metadata or {}).get(
            b"ARROW:extension:name", b""
        )
        kind = extension.decode() if isinstance(extension, bytes) else str(extension)
        is_made_for_it = kind.startswith("geoarrow.") or any(
            word in logical.get(field.name, "") for word in ("geometry", "geography")
        )
        if not (is_made_for_it or _NAMES.fullmatch(field.name.strip())):
            continue
        column = opened.read(columns=[field.name]).column(0)
        if column.null_count < len(column):
            raise _not_read(file, field.name)


def _holds_geometry(name: str, value: Any) -> bool:
    if isinstance(value, str):
        value = value.strip()
        if _WKT.match(value) or _WKB_IN_HEX.fullmatch(value) or _GEOJSON.match(value):
            return True
    if isinstance(value, dict) and {"type", "coordinates"} <= set(value):
        return True
    return bool(value) and bool(_NAMES.fullmatch(name.strip()))


def _not_read(file: Path, name: str) -> DataError:
    return DataError(
        f"{file}, column {name!r}: holds geometries, and those of this file are not read; a "
        "geometry restricts a question in GeoParquet only (GeoDataFrame.to_parquet writes it), or "
        "with --regions; remove the column to ask about whole scenes"
    )
