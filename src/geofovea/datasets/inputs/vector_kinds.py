"""What a file of polygons really is, before GDAL opens it.

GDAL opens a file by its content, whatever it is called, and some contents make it read other files
or ask the network: virtual layers, network links, pipelines, CRSs by a link. Only kinds that hold
their polygons themselves are opened.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from geofovea.errors import DataError
from geofovea.tiling.geo.ground import crs_of

__all__ = ["VECTOR_SUFFIXES", "check_crs", "check_vector_file", "is_topojson"]

VECTOR_SUFFIXES = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet", ".geoparquet")

_MARKS = {
    ".gpkg": b"SQLite format 3\0",
    ".shp": b"\x00\x00\x27\x0a",
    ".fgb": b"fgb",
    ".parquet": b"PAR1",
    ".geoparquet": b"PAR1",
}
_JSON = (".geojson", ".json")
# names of members that may lead away, and escapes that they may be hidden behind
_SUSPECT = re.compile(rb"(?i)crs|coordrefsys|gdal_|\\u00[4-7]")
_NAMED_CRS = ("name", "epsg")
_CRS_URN = re.compile(r"(?i)urn:(?:ogc|x-ogc):def:crs:(\w+):[\w.]*:(\w+)")
_LINKING = ("href", "url")
_OWN_MODULES = re.compile(r"(?is)\busing\s+[\"'`\[]?(rtree|fts[345]|sqlite_stat)")
_CALLS_OGR = re.compile(r"(?i)\b(ogr_\w+|load_extension|gdal_\w+|readfile|writefile)[\"'`\]]?\s*\(")


def check_vector_file(file: Path) -> None:
    """Make sure that a file is of a kind that is opened, and holds all that it shows.

    Raises:
        DataError: If it is of another kind, or would make GDAL read other files or the network.
    """
    suffix = file.suffix.lower()
    if suffix not in VECTOR_SUFFIXES:
        raise DataError(f"{file} is not opened: give one of {', '.join(VECTOR_SUFFIXES)}")
    with file.open("rb") as opened:
        head = opened.read(1024)
    if suffix in _JSON:
        if not head.lstrip(b"\xef\xbb\xbf \t\r\n\x1e").startswith(b"{"):
            raise DataError(f"{file} is not opened: it is called {suffix} and holds no JSON object")
        _check_json(file)
    elif not head.startswith(_MARKS[suffix]):
        raise DataError(f"{file} is not opened: it is called {suffix} and is something else")
    elif suffix == ".gpkg":
        _check_sqlite(file)


def is_topojson(file: Path) -> bool:
    """Whether a file is TopoJSON, whose coordinates are always WGS 84."""
    with file.open("rb") as opened:
        return re.search(rb'"type"\s*:\s*"Topology"', opened.read(2**16)) is not None


def _check_json(file: Path) -> None:
    data = file.read_bytes()
    if not _SUSPECT.search(data):
        return
    decoder = json.JSONDecoder(object_pairs_hook=_checked_members(file))
    text = data.decode("utf-8-sig", errors="replace").replace("\x1e", " ").strip()
    try:
        # one object, or one on each line
        while text:
            _, end = decoder.raw_decode(text)
            text = text[end:].lstrip()
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} cannot be read as JSON: {error}") from error


def _checked_members(file: Path) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def check(members: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, value in members:
            key = name.lower()
            if key == "type" and str(value).lower().startswith("gdal_"):
                raise DataError(f"{file} is not opened: it is a pipeline of GDAL and no polygons")
            if key in ("crs", "coordrefsys"):
                _check_crs(file, value)
        return dict(members)

    return check


def _check_crs(file: Path, crs: Any) -> None:
    """Refuse a CRS that is somewhere else; one that is named stays."""
    if not isinstance(crs, dict):
        return
    members = {str(name).lower(): value for name, value in crs.items()}
    kind = str(members.get("type", "")).lower()
    inner = members.get("properties")
    links = {str(name).lower() for name in (inner if isinstance(inner, dict) else {})}
    if kind not in _NAMED_CRS or links & set(_LINKING):
        raise DataError(
            f"{file} is not opened: its 'crs' is of the type {kind!r}, which may lead to another "
            "file or to the network; remove it (coordinates are then longitude and latitude) or "
            "name it: {'type': 'name', 'properties': {'name': 'urn:ogc:def:crs:EPSG::32633'}}"
        )
    if kind == "name" and isinstance(inner, dict) and "name" in inner:
        _check_crs_name(file, str(inner["name"]))


def _check_crs_name(file: Path, name: str) -> None:
    """Refuse a name that GDAL does not know: it takes the numbers for degrees, and says nothing."""
    urn = _CRS_URN.fullmatch(name.strip())
    check_crs(
        ":".join(urn.groups()) if urn else name.strip(),
        f"{file} is not opened: its 'crs' {name!r:.60}",
        "write one such as 'urn:ogc:def:crs:EPSG::32633', or remove it and state the CRS with crs=",
    )


def check_crs(name: str, subject: str, cure: str) -> None:
    """Refuse a name that is not a CRS.

    Args:
        name: As PROJ reads it.
        subject: What it is the name of, for the message.
        cure: What to do about it.

    Raises:
        DataError: If nobody knows it.
    """
    try:
        crs_of(name)
    except ValueError as error:
        raise DataError(f"{subject} is not a known CRS ({error}); {cure}") from error


def _check_sqlite(file: Path) -> None:
    """Refuse tables and views that are computed from elsewhere when they are read."""
    address = f"{file.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            rows = database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
            entries = [(str(name), str(sql)) for name, sql in rows]
    except sqlite3.Error as error:
        raise DataError(f"{file} cannot be read as a GeoPackage: {error}") from error
    for name, sql in entries:
        is_virtual = re.match(r"(?is)\s*create\s+virtual\s+table", sql) is not None
        if (is_virtual and not _OWN_MODULES.search(sql)) or _CALLS_OGR.search(sql):
            raise DataError(
                f"{file} is not opened: its table {name!r} is computed from elsewhere; copy its "
                "polygons into a table"
            )
