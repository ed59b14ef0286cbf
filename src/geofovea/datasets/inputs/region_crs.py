"""The CRS of a vector file: the one that it names, or the one that somebody stated."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from geofovea.datasets.inputs.vector_kinds import check_crs, is_topojson
from geofovea.errors import DataError
from geofovea.tiling.geo.region import PIXELS

__all__ = ["crs_of_file", "not_understood", "stated_crs"]

_LONLAT = "OGC:CRS84"
# of a GeoPackage, by its standard: coordinates of a plane of which nothing is known
_UNDEFINED_PLANE = ("Undefined Cartesian SRS", "Undefined SRS")
_MOST_BYTES = 100_000


def stated_crs(crs: str) -> str:
    """What somebody said of the coordinates; a number alone is an EPSG code.

    Raises:
        DataError: If it is not a CRS.
    """
    name = f"EPSG:{crs.strip()}" if crs.strip().isdigit() else crs.strip()
    if name.lower() != PIXELS:
        check_crs(name, f"crs={crs!r}", "give one such as EPSG:4326, or 'pixels'")
    return name


def crs_of_file(frame: Any, file: Path, layer: str | None) -> str | None:
    """The CRS that a file names, as WKT; None where it names none, or says that it is unknown.

    Args:
        frame: The GeoDataFrame that was read.
        file: Its file.
        layer: The layer that was read; None for the only one.

    Raises:
        DataError: If the file names one that is not understood.
    """
    if frame.crs is not None:
        return None if frame.crs.name in _UNDEFINED_PLANE else str(frame.crs.to_wkt())
    if file.suffix.lower() in (".json", ".geojson"):
        return _LONLAT if is_topojson(file) else None
    if file.suffix.lower() == ".gpkg" and (srs_id := _unread_srs_id(file, layer)) is not None:
        raise DataError(
            f"{file} names a CRS that is not understood: nothing defines its srs_id {srs_id} as "
            "one; state the CRS with crs="
        )
    if file.suffix.lower() == ".shp" and _prj_with_text(file) is not None:
        raise DataError(not_understood(file, "GDAL reads no CRS from it"))
    return None


def not_understood(file: Path, reason: str) -> str:
    """That a file names a CRS that is not understood, and what to do about it."""
    prj = _prj_with_text(file) if file.suffix.lower() == ".shp" else None
    if prj is not None:
        return (
            f"{file} names a CRS that is not understood ({prj.name}: {reason}); mend {prj.name}, "
            "or delete it and state the CRS with crs="
        )
    return (
        f"{file} names a CRS that is not understood ({reason}); write the file again with a known "
        "CRS, or without one and state it with crs="
    )


def _prj_with_text(file: Path) -> Path | None:
    """The file beside a shapefile that names its CRS; None where there is none, or an empty one."""
    for prj in (file.with_suffix(".prj"), file.with_suffix(".PRJ")):
        if prj.is_file():
            with prj.open("rb") as opened:
                return prj if opened.read(_MOST_BYTES).strip() else None
    return None


def _unread_srs_id(file: Path, layer: str | None) -> int | None:
    """The id by which a layer names a CRS; None where it says that the CRS is unknown."""
    address = f"{file.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            rows = database.execute(
                "SELECT g.table_name, g.srs_id, s.srs_name FROM gpkg_geometry_columns g "
                "LEFT JOIN gpkg_spatial_ref_sys s ON s.srs_id = g.srs_id"
            ).fetchall()
    except sqlite3.Error:
        return None
    for name, srs_id, srs_name in rows:
        if layer in (None, name):
            return None if srs_name in _UNDEFINED_PLANE else srs_id
    return None
