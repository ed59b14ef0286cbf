"""Polygons of vector files: GeoPackage, GeoJSON, Shapefile, FlatGeobuf, GeoParquet."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.datasets.inputs.region_crs import crs_of_file, not_understood, stated_crs
from geofovea.datasets.inputs.vector_kinds import check_vector_file
from geofovea.datasets.tables.list_files import check_regular
from geofovea.errors import DataError, GeometryError, MissingExtraError
from geofovea.tiling.geo.georeference import HasGeoreference
from geofovea.tiling.geo.region import Region, region_caution, region_from_crs
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["NamedRegion", "read_regions"]


@dataclass(frozen=True, slots=True)
class NamedRegion:
    """One row of a vector file.

    Attributes:
        name: Its name in the chosen column, or else the number of its row, from 1.
        geometry: A shapely geometry, or None where the row has none.
        crs: CRS of the file as WKT, or the one that the caller declared; None if unknown.
        origin: Where it stands, for messages.
    """

    name: str
    geometry: Any
    crs: str | None
    origin: str

    @property
    def extent(self) -> str:
        """What is known of its coordinates, for messages: their CRS and their bounds."""
        quoted = re.search(r'"([^"]+)"', self.crs or "")
        name = quoted[1] if quoted else self.crs or "none, so pixels"
        x0, y0, x1, y1 = self.geometry.bounds
        return f"the CRS is {name}, x {x0:g} to {x1:g}, y {y0:g} to {y1:g}"

    def on(self, scene: HasGeoreference) -> Region:
        """The part of a scene that it covers; see ``region_from_crs``.

        Raises:
            GeometryError: As that does, with the row in the message.
        """
        if self.geometry is None:
            raise GeometryError(f"{self.origin}: has no geometry; remove the row")
        try:
            return region_from_crs(scene, self.geometry, self.crs)
        except GeometryError as error:
            raise type(error)(f"{self.origin}: {error}") from error

    def cautions(self, scene: HasGeoreference, region: Region) -> tuple[str, ...]:
        """What to know of how it was placed; see ``region_caution``."""
        return tuple(f"{self.origin}: {each}" for each in region_caution(scene, region, self.crs))


def read_regions(
    path: str | os.PathLike[str],
    *,
    layer: str | None = None,
    name_column: str | None = None,
    crs: str | None = None,
) -> list[NamedRegion]:
    """All rows of a vector file; whether they are polygons is checked when they meet a scene.

    Args:
        path: The file.
        layer: Which layer, where there are several.
        name_column: The column that names its rows.
        crs: What its coordinates are, whatever the file says: ``"pixels"`` of a scene, or a CRS
            such as ``"EPSG:4326"``.

    Raises:
        DataError: If the file, the layer or the column cannot be read, or there is no row.
        MissingExtraError: If geopandas is not installed.
    """
    try:
        import geopandas
    except ImportError as error:
        raise MissingExtraError("geopandas", "geo", "reading polygons") from error
    file = Path(path)
    _check_file(file)
    frame = _frame(file, layer)
    if not isinstance(frame, geopandas.GeoDataFrame) or frame.empty:
        raise DataError(f"{file} holds no polygons: give a vector file with at least one")
    if name_column is not None and name_column not in frame.columns:
        columns = ", ".join(repr(c) for c in frame.columns if c != frame.geometry.name)
        raise DataError(f"{file} has no column {name_column!r}, only {columns or 'none'}")
    read = _layer(file, layer) if file.suffix.lower() == ".gpkg" else None
    crs_of_rows = stated_crs(crs) if crs else crs_of_file(frame, file, read)
    numbers = range(1, len(frame) + 1)
    names = _names(frame[name_column]) if name_column else map(str, numbers)
    return [
        NamedRegion(name, geometry, crs_of_rows, f"{file}, row {number}")
        for number, name, geometry in zip(numbers, names, frame.geometry, strict=True)
    ]


def _check_file(file: Path) -> None:
    if not file.exists():
        raise DataError(f"there is no vector file {file}; check the path")
    check_regular(file)
    try:
        check_vector_file(file)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {reason_of(error)}") from error


def _names(column: Any) -> Iterator[str]:
    """A name for each row: its number, from 1, where the column is empty."""
    for number, (name, is_empty) in enumerate(zip(column, column.isna(), strict=True), 1):
        yield str(number) if is_empty else str(name)


def _layer(file: Path, layer: str | None) -> str | None:
    """The layer that is read: the one that was named, else the only one that may hold polygons.

    Raises:
        DataError: If there is no such layer, or not one alone.
    """
    import geopandas

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layers = geopandas.list_layers(file)
    names = [str(name) for name in layers["name"]]
    listed = ", ".join(map(repr, names[:20])) or "none"
    choose = "choose one with layer="
    if layer is not None:
        if layer not in names:
            raise DataError(f"{file} has no layer {layer!r}, only {listed}; {choose}")
        return layer
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


def _has_index(file: Path) -> bool:
    return any(file.with_suffix(suffix).exists() for suffix in (".shx", ".SHX"))


def _frame(file: Path, layer: str | None) -> Any:
    import geopandas

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if file.suffix.lower() in (".parquet", ".geoparquet"):
                return geopandas.read_parquet(file)
            return geopandas.read_file(file, layer=_layer(file, layer))
    except DataError:
        raise
    except Exception as error:  # each driver and version of pyogrio and pyarrow has its own
        if file.suffix.lower() == ".shp" and not _has_index(file):
            raise DataError(
                f"{file} cannot be read without its index {file.stem}.shx: copy it, and the .dbf "
                "and .prj, to the same folder"
            ) from error
        if type(error).__name__ == "CRSError":  # of pyogrio or pyproj
            raise DataError(not_understood(file, str(error))) from error
        row = _broken_row(file, layer)
        where = "" if row is None else f", row {row}"
        raise DataError(f"{file}{where} cannot be read as a vector file: {error}") from error


def _broken_row(file: Path, layer: str | None) -> int | None:
    """The first row whose geometry cannot be used, counted from 1; None if no row is to blame."""
    import pyogrio  # type: ignore[import-untyped]
    import shapely

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            geometries = pyogrio.raw.read(file, layer=_layer(file, layer), columns=[])[2]
    except Exception:  # as above: then the file itself is broken
        return None
    for number, geometry in enumerate(geometries, 1):
        try:
            shapely.from_wkb(geometry)
        except shapely.errors.GEOSException:
            return number
    return None
