"""The place that a row of a table names: a polygon in its column ``geometry``, or none.

A place in any other column is refused and never ignored, because the row would be asked about the
whole scene.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geofovea.errors import DataError
from geofovea.tiling.geo.region import PIXELS

__all__ = ["GEOMETRY_COLUMNS", "check_places", "place_of"]

GEOMETRY_COLUMNS = ("geometry", "geom", "the_geom", "wkt", "geojson")
_CRS = ("crs", "srid", "epsg")
# columns of these names that hold numbers are boxes or corners
_BOXES = ("bbox", "bounds", "box", "extent")
# columns of which four together are a box
_CORNERS = (
    *(("minx", "miny", "maxx", "maxy"), ("min_x", "min_y", "max_x", "max_y")),
    *(("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max")),
    *(("west", "south", "east", "north"), ("left", "bottom", "right", "top")),
    *(("min_lon", "min_lat", "max_lon", "max_lat"), ("lon_min", "lat_min", "lon_max", "lat_max")),
    *(("minlon", "minlat", "maxlon", "maxlat"), ("lonmin", "latmin", "lonmax", "latmax")),
    *(("x0", "y0", "x1", "y1"), ("x1", "y1", "x2", "y2"), ("ulx", "uly", "lrx", "lry")),
    ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax"),
)
_WKT = re.compile(
    r"\s*(?:SRID\s*=\s*(\d+)\s*;)?\s*((?:MULTI)?(?:POINT|LINESTRING|POLYGON)|GEOMETRYCOLLECTION)"
    r"\s*(?:Z|M|ZM)?\s*(?:\(|EMPTY)",
    re.IGNORECASE,
)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_BOX_TEXT = re.compile(rf"[\s(\[]*{_NUMBER}(?:[\s,;]+{_NUMBER}){{3}}[\s)\]]*", re.IGNORECASE)
_WKB_IN_HEX = re.compile(r"0[01][0-9A-F]{40,}", re.IGNORECASE)
_GEOJSON = re.compile(r'\s*\{.{0,200}"(?:coordinates|geometries)"\s*:', re.DOTALL)
# the order of bytes, and the kind of geometry in that order
_WKB = re.compile(rb"\x00\x00\x00\x00[\x01-\x07]|\x01[\x01-\x07]\x00\x00[\x00\x20\x80\xa0]")
_GEOJSON_TYPES = (
    *("Polygon", "MultiPolygon", "Point", "MultiPoint", "LineString", "MultiLineString"),
    *("GeometryCollection", "Feature"),
)
_LONLAT = "OGC:CRS84"


def check_places(file: Path, columns: Sequence[str]) -> None:
    """Make sure that at most one column has the name of a geometry.

    Raises:
        DataError: If there are several.
    """
    several = sorted({c for c in columns if c.strip().lower() in GEOMETRY_COLUMNS})
    if len(several) > 1:
        raise DataError(
            f"{file}: has several columns of geometry, {', '.join(map(repr, several))}; keep one"
        )


def place_of(origin: str, fields: Mapping[str, Any]) -> tuple[Any, str | None]:
    """The polygon of a row and its CRS.

    WKT (with a column ``crs``, or ``SRID=...;`` in front), GeoJSON (longitude and latitude, if no
    ``crs`` says otherwise), WKB. The ``crs`` may be ``pixels``.

    Args:
        origin: Where the row stands, for messages.
        fields: Its columns. ``region`` and ``region_crs`` of GeoParquet are taken as they are.

    Returns:
        A shapely geometry and its CRS, ``PIXELS`` where it is said to be in scene pixels;
        ``(None, None)`` where the table names no places.

    Raises:
        DataError: If a place is empty or not understood, has no CRS, or stands in another column.
    """
    if "region_crs" in fields:
        return _checked(origin, "geometry", fields.get("region")), fields["region_crs"]
    by_name = {str(name).strip().lower(): str(name) for name in fields}
    column = next((by_name[name] for name in GEOMETRY_COLUMNS if name in by_name), None)
    for name, value in fields.items():
        if str(name) != column and _is_place(str(name), value):
            raise DataError(
                f"{origin}, column {name!r}: holds a place, which is read from a column 'geometry' "
                "alone; rename it, with a column 'crs' such as EPSG:4326 beside it, or remove it"
            )
    if column is None:
        _check_corners(origin, fields, by_name)
        return None, None
    geometry, crs = _read(origin, column, fields[column])
    crs_cell = next((fields[by_name[name]] for name in _CRS if name in by_name), None)
    if crs_cell not in (None, ""):
        crs = str(crs_cell).strip()
        crs = f"EPSG:{crs}" if crs.isdigit() else crs
    if crs is None:
        raise DataError(
            f"{origin}, column {column!r}: has no CRS; put one into a column 'crs', such as "
            "EPSG:4326, or 'pixels' for pixels of the scene"
        )
    return _checked(origin, column, geometry), PIXELS if crs.lower() == PIXELS else crs


def _check_corners(origin: str, fields: Mapping[str, Any], by_name: Mapping[str, str]) -> None:
    """Refuse a box that stands in four columns, of which nothing is read."""
    for names in _CORNERS:
        # a column without a name, such as the index of pandas, is none of them
        cells = [fields[by_name[name]] if name in by_name else None for name in names]
        # an empty cell of a column of numbers is NaN, which differs from itself
        if all(cell == cell and cell not in (None, "") for cell in cells):
            raise DataError(
                f"{origin}, columns {', '.join(repr(by_name[name]) for name in names)}: hold a "
                "box, and a place is read from a column 'geometry' alone; write it there as WKT, "
                "with a column 'crs' such as EPSG:4326 beside it, or remove them"
            )


def _is_place(name: str, value: Any) -> bool:
    is_box = name.strip().lower() in _BOXES
    if isinstance(value, str):
        if is_box and _BOX_TEXT.fullmatch(value):
            return True
        return any(kind.match(value) for kind in (_WKT, _WKB_IN_HEX, _GEOJSON))
    if isinstance(value, bytes):
        return _WKB.match(value) is not None
    if isinstance(value, Mapping):
        if is_box and any(set(names) <= set(value) for names in _CORNERS):
            return True
        return value.get("type") in _GEOJSON_TYPES and bool(
            {"coordinates", "geometry"} & set(value)
        )
    is_numbers = isinstance(value, (list, tuple)) and len(value) in (4, 6)
    is_numbers = is_numbers and all(isinstance(v, (int, float)) for v in value)
    return is_numbers and is_box


def _read(origin: str, column: str, value: Any) -> tuple[Any, str | None]:
    import shapely
    from shapely.errors import ShapelyError

    if value is None or (isinstance(value, str) and not value.strip()):
        return None, _LONLAT
    try:
        if isinstance(value, bytes) or (isinstance(value, str) and _WKB_IN_HEX.match(value)):
            return shapely.from_wkb(value), None
        if isinstance(value, str) and value.lstrip().startswith("{"):
            return shapely.from_geojson(value), _LONLAT
        if isinstance(value, Mapping):
            inner = value.get("geometry") if value.get("type") == "Feature" else value
            return shapely.geometry.shape(inner), _LONLAT
        if isinstance(value, str):
            match = _WKT.match(value)
            srid = match[1] if match else None
            wkt = value.split(";", 1)[1] if srid else value
            return shapely.from_wkt(wkt), f"EPSG:{srid}" if srid else None
    except (ShapelyError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise DataError(
            f"{origin}, column {column!r}: {value!r:.60} is not a geometry ({error}); write WKT or "
            "GeoJSON"
        ) from error
    raise DataError(f"{origin}, column {column!r}: {value!r:.60} is not a geometry; write WKT")


def _checked(origin: str, column: str, geometry: Any) -> Any:
    if geometry is None or geometry.is_empty:
        raise DataError(
            f"{origin}, column {column!r}: is empty, and would mean the whole scene; give a "
            "polygon, or put the row into a table without geometry"
        )
    return geometry
