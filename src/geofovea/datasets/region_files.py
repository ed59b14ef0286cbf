"""Polygons of vector files: GeoPackage, GeoJSON, Shapefile, FlatGeobuf, GeoParquet."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.datasets.list_files import check_regular
from geofovea.errors import DataError, MissingExtraError

__all__ = ["NamedRegion", "read_regions"]

_SUFFIXES = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet", ".geoparquet")


@dataclass(frozen=True, slots=True)
class NamedRegion:
    """One row of a vector file.

    Attributes:
        name: What it is called; the number of its row, from 1, unless a column was named.
        geometry: A shapely geometry, or None where the row has none.
        crs: CRS of the file as WKT; None if it says none, then it is in scene pixels.
        origin: Where it stands, for messages.
    """

    name: str
    geometry: Any
    crs: str | None
    origin: str


def read_regions(
    path: str | os.PathLike[str], *, layer: str | None = None, name_column: str | None = None
) -> list[NamedRegion]:
    """All rows of a vector file; whether they are polygons is seen when they meet a scene.

    Args:
        path: The file.
        layer: Which layer, where there are several.
        name_column: The column that names its rows.

    Raises:
        DataError: If the file, the layer or the column cannot be read, or there is no row.
        MissingExtraError: If geopandas is not installed.
    """
    try:
        import geopandas
    except ImportError as error:
        raise MissingExtraError("geopandas", "geo", "reading polygons") from error
    file = Path(path)
    if not file.exists():
        raise DataError(f"there is no vector file {file}; check the path")
    check_regular(file)
    if file.suffix.lower() not in _SUFFIXES or _is_virtual(file):
        raise DataError(f"{file} is not opened: give one of {', '.join(_SUFFIXES)}")
    try:
        if file.suffix.lower() in (".parquet", ".geoparquet"):
            frame = geopandas.read_parquet(file)
        else:
            frame = geopandas.read_file(file, layer=_layer(file, layer))
    except DataError:
        raise
    except Exception as error:  # each driver and version of pyogrio and pyarrow has its own
        raise DataError(f"{file} cannot be read as a vector file: {error}") from error
    if not isinstance(frame, geopandas.GeoDataFrame) or frame.empty:
        raise DataError(f"{file} holds no polygons: give a vector file with at least one")
    if name_column is not None and name_column not in frame.columns:
        columns = ", ".join(repr(c) for c in frame.columns if c != frame.geometry.name)
        raise DataError(f"{file} has no column {name_column!r}, only {columns or 'none'}")
    crs = None if frame.crs is None else frame.crs.to_wkt()
    names = frame[name_column] if name_column else range(1, len(frame) + 1)
    return [
        NamedRegion(str(name), geometry, crs, f"{file}, row {number}")
        for number, (name, geometry) in enumerate(zip(names, frame.geometry, strict=True), 1)
    ]


def _layer(file: Path, wanted: str | None) -> str | None:
    """The layer that is read: the one that was named, else the only one that may hold polygons.

    Raises:
        DataError: If there is no such layer, or not one alone.
    """
    import geopandas

    layers = geopandas.list_layers(file)
    names = [str(name) for name in layers["name"]]
    listed = ", ".join(map(repr, names[:20])) or "none"
    choose = "choose one with layer=, or --region-layer on the command line"
    if wanted is not None:
        if wanted not in names:
            raise DataError(f"{file} has no layer {wanted!r}, only {listed}; {choose}")
        return wanted
    if len(names) < 2:
        return None
    kinds = layers["geometry_type"]
    polygons = [n for n, kind in zip(names, kinds, strict=True) if _may_hold_polygons(kind)]
    if len(polygons) != 1:
        raise DataError(f"{file} has the layers {listed}; {choose}")
    return polygons[0]


def _may_hold_polygons(kind: object) -> bool:
    return isinstance(kind, str) and any(
        word in kind for word in ("Polygon", "Unknown", "Collection", "Surface")
    )


def _is_virtual(file: Path) -> bool:
    """Whether GDAL would read other files, or the network, because this one tells it to."""
    with file.open("rb") as opened:
        return opened.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
