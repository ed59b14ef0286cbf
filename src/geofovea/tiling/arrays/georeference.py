"""Where an xarray object lies on the ground, by its coordinates and its CF grid mapping.

It is read as rioxarray and odc-geo write it: a scalar coordinate ``spatial_ref`` has attributes
that hold the CRS as ``crs_wkt`` and the affine as ``GeoTransform``. Control points and RPCs are
stored there as JSON. ``grid_coords`` writes the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from rasterio.crs import CRS

from geofovea.errors import GeometryError, SceneError
from geofovea.tiling.arrays.axes import (
    Axis,
    corner_offset,
    edge_of,
    in_unit_of,
    is_lonlat,
    unit_of,
)
from geofovea.tiling.arrays.grid_part import GridPart
from geofovea.tiling.geo.georeference import Affine6, ControlPoint, Georeference
from geofovea.tiling.geo.grid_mapping import crs_from_grid_mapping, names_crs, parse_crs
from geofovea.tiling.geo.ground import place_wkt

__all__ = ["read_georeference"]

# A transform that agrees with the coordinates this closely is the exact form of the same numbers.
_SAME_WITHIN = 0.01

_NO_PLACE = (1, 0, 0, 0, 1, 0)
_STAYS = (
    "the place comes from {what} alone, which isel() and sel() leave as they are: if this array "
    "was cut with them, its place is wrong; cut it with rio.isel_window, or open the file with the "
    "engine 'geofovea'"
)


def read_georeference(
    name: str,
    x: Axis | None,
    y: Axis | None,
    size: tuple[int, int],
    mapping: Mapping[str, Any] | None,
    attrs: Mapping[str, Any],
    numbers: tuple[Any, Any] | None = None,
) -> tuple[Georeference, tuple[str, ...]]:
    """Place an array on the ground.

    Coordinates take precedence over a transform, because selecting rows or columns does not change
    the transform. A transform still tells whether the coordinates are corners or centers.

    Args:
        name: Of the object, for messages.
        x: The axis of the columns, None without coordinates.
        y: The axis of the rows, None without coordinates.
        size: ``(width, height)`` in pixels.
        mapping: Attributes of the grid mapping, None without one.
        attrs: Attributes of the object, which may hold a CRS and a transform as well.
        numbers: Those of its columns and of its rows in the grid that transform, control points or
            RPCs place; None where it has none.

    Returns:
        The georeference, and notes on what was not understood.

    Raises:
        SceneError: If coordinates are irregular or in another unit than their CRS, or a CRS or
            transform cannot be understood.
    """
    crs, notes = _crs(name, x, y, mapping, attrs)
    mapping = mapping or {}
    crs_wkt = None if crs is None else place_wkt(crs) or None
    declared = _geotransform(name, mapping) or _affine(attrs)
    has_model = "gcps" in mapping or "rpcs" in mapping
    transform, part = declared, None
    if x is not None and y is not None:
        transform = _from_axes(in_unit_of(x, crs), in_unit_of(y, crs), size, declared)
        is_counted = transform is not None and _counts_pixels(transform)
        if is_counted and has_model:
            transform, part = None, GridPart()
        elif is_counted and crs_wkt is None:
            transform = None
    elif numbers is not None and (has_model or declared is not None):
        part = GridPart.of_numbers(name, *numbers)
        transform = None if declared is None else part.transform(declared)
    if has_model:
        placed = _by_model(name, mapping, crs_wkt, transform, part)
        if placed is not None:
            return placed[0], (*notes, *placed[1])
    if transform is None or transform == _NO_PLACE:
        return Georeference("none", crs_wkt), notes
    if part is None and (x is None or y is None):
        notes = (*notes, _STAYS.format(what="the numbers of an affine transform"))
    try:
        return Georeference("affine", crs_wkt, transform), notes
    except GeometryError:
        return Georeference("none", crs_wkt), notes


def _by_model(
    name: str,
    mapping: Mapping[str, Any],
    crs_wkt: str | None,
    transform: Affine6 | None,
    part: GridPart | None,
) -> tuple[Georeference, tuple[str, ...]] | None:
    """The place by control points or RPCs, with notes; None where the transform is the place."""
    points = _gcps(name, mapping["gcps"]) if "gcps" in mapping else None
    if part is None and transform is not None and transform != _NO_PLACE:
        part = _part_in_pixels(transform, points or ())
        if part is None:
            return None
    what = "RPCs" if points is None else "control points"
    notes = () if part else (_STAYS.format(what=what),)
    kept = part or GridPart()
    if points is None:
        return Georeference.by_rpcs(kept.rpcs(_rpcs(name, mapping["rpcs"]))), notes
    return Georeference.by_gcps(kept.gcps(points), crs_wkt), notes


def _part_in_pixels(transform: Affine6, points: tuple[ControlPoint, ...]) -> GridPart | None:
    """The part that a transform in pixels of control points names, as rio.isel_window leaves it."""
    a, b, c, d, e, f = transform
    counts = b == d == 0 and a >= 1 and e >= 1 and a.is_integer() and e.is_integer()
    if not counts or not points:
        return None
    # meters on the ground begin far beyond the pixels
    begins = 0 <= c <= max(p[0] for p in points) and 0 <= f <= max(p[1] for p in points)
    return GridPart(c, f, a, e) if begins else None


def _crs(
    name: str,
    x: Axis | None,
    y: Axis | None,
    mapping: Mapping[str, Any] | None,
    attrs: Mapping[str, Any],
) -> tuple[CRS | None, tuple[str, ...]]:
    """The CRS, and notes on a grid mapping that does not yield one."""
    unit_m = 1.0
    if x is not None and unit_of(x)[0] == "length":
        unit_m = unit_of(x)[1]
    crs = crs_from_grid_mapping(name, mapping or {}, unit_m)
    if crs is None:
        crs = _crs_of_attrs(name, attrs, unit_m)
    if crs is not None:
        return crs, ()
    if mapping is not None and names_crs(mapping):
        projection = str(mapping.get("grid_mapping_name"))[:60]
        return None, (
            f"the grid mapping {projection!r} is not known, so there is no lon/lat; set the CRS, "
            "for example with rio.write_crs('EPSG:...')",
        )
    # names such as lon and lat are no proof where a mapping was named and is lost
    absent_mapping = str(attrs.get("grid_mapping") or "") if mapping is None else ""
    if is_lonlat(x, y, strict=bool(absent_mapping)):
        # CF says what the numbers are and leaves the datum open, which means WGS 84 in practice
        return CRS.from_epsg(4326), ()
    if absent_mapping:
        return None, (
            f"the grid mapping {absent_mapping[:60]!r} is named and is not there, so there is no "
            "lon/lat; keep it as a coordinate, for example with "
            "open_dataset(..., decode_coords='all')",
        )
    return None, _notes_on_names(x, y)


def _crs_of_attrs(name: str, attrs: Mapping[str, Any], unit_m: float) -> CRS | None:
    """The CRS that attributes of the object itself name."""
    if attrs.get("crs"):
        return parse_crs(name, attrs["crs"])
    hints = {str(key): value for key, value in attrs.items() if key != "grid_mapping_name"}
    return crs_from_grid_mapping(name, hints, unit_m)


def _notes_on_names(x: Axis | None, y: Axis | None) -> tuple[str, ...]:
    """Advice for axes that are named longitude and latitude, if nothing confirms it."""
    if x is None or y is None:
        return ()
    if x.dim.lower()[:3] != "lon" or y.dim.lower()[:3] != "lat":
        return ()
    if any(axis.attrs.get("units") or axis.attrs.get("standard_name") for axis in (x, y)):
        return ()
    return (
        f"the axes {y.dim!r:.40} and {x.dim!r:.40} name no units and no CRS, so their numbers are "
        "not taken for degrees; set attrs['units'] to degrees_north and degrees_east, or the CRS "
        "with rio.write_crs('EPSG:4326')",
    )


def _geotransform(name: str, attrs: Mapping[str, Any]) -> Affine6 | None:
    if "GeoTransform" not in attrs:
        return None
    text = attrs["GeoTransform"]
    try:
        numbers = text.split() if isinstance(text, str) else list(text)
        c, a, b, f, d, e = (float(number) for number in numbers)
        if not np.isfinite((a, b, c, d, e, f)).all():
            raise ValueError("a number is not finite")
    except (TypeError, ValueError) as error:
        raise SceneError(
            f"{name} has the GeoTransform {text!r}; it must be six finite numbers in GDAL's "
            "order: x of the corner, width of a pixel, row rotation, y, column rotation, height of "
            "a pixel"
        ) from error
    return a, b, c, d, e, f


def _affine(attrs: Mapping[str, Any]) -> Affine6 | None:
    """The affine of the grid of pixels under the names of stackstac, rioxarray and STAC."""
    for key in ("transform", "proj:transform", "spatial:transform"):
        try:
            numbers = [float(number) for number in np.asarray(attrs.get(key, ())).ravel()]
        except (TypeError, ValueError):
            continue
        if len(numbers) in (6, 9) and np.isfinite(numbers).all():
            a, b, c, d, e, f = numbers[:6]
            return a, b, c, d, e, f
    return None


def _counts_pixels(transform: Affine6) -> bool:
    """Whether axes count pixels from 0, or their centers: that is not a place on any ground."""
    a, _, c, _, e, f = transform
    return (a, e) == (1.0, 1.0) and c in (-0.5, 0.0) and f in (-0.5, 0.0)


def _from_axes(x: Axis, y: Axis, size: tuple[int, int], declared: Affine6 | None) -> Affine6 | None:
    """The affine of two axes, which a declared transform completes; None without any size."""
    if declared is not None and (moved := _moved_by_count(declared, x, y)) is not None:
        return moved
    grid_x, grid_y = (None, None) if declared is None else _grids(declared)
    x_axis, y_axis = edge_of(x, grid_x), edge_of(y, grid_y)
    if grid_x is None or grid_y is None:
        # a single row has the pixels of the columns, up to the sign; a single pixel has no size
        side = abs(x_axis[1]) if x_axis else abs(y_axis[1]) if y_axis else None
        if side is None:
            return None
        step_x, step_y = side, -side
    else:
        step_x, step_y = grid_x[1], grid_y[1]
    x0, a = x_axis or (_edge_of_one(x, grid_x, step_x), step_x)
    y0, e = y_axis or (_edge_of_one(y, grid_y, step_y), step_y)
    of_labels = (a, 0.0, x0, 0.0, e, y0)
    if declared is not None and _is_same(of_labels, declared, size):
        return declared
    return of_labels


def _moved_by_count(declared: Affine6, x: Axis, y: Axis) -> Affine6 | None:
    """The transform from the first pixel on, if the axes count pixels of the grid it places."""
    col, row = _first_counted(x), _first_counted(y)
    a, b, _, d, e, _ = declared
    has_place = (abs(a), abs(e)) != (1.0, 1.0) and a * e - b * d != 0
    if col is None or row is None or not has_place:
        return None
    return GridPart(col, row).transform(declared)


def _grids(
    declared: Affine6,
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """``(edge, step)`` of the columns and of the rows of a transform that does not turn."""
    a, b, c, d, e, f = declared
    if b or d:
        return None, None
    return (c, a) if a else None, (f, e) if e else None


def _edge_of_one(axis: Axis, grid: tuple[float, float] | None, step: float) -> float:
    label = float(np.asarray(axis.labels)[0])
    return label + corner_offset(axis, grid, step) - step / 2


def _first_counted(axis: Axis) -> int | None:
    """The number of the first pixel on an axis that counts pixels (or their centers) from 0 up."""
    labels = np.asarray(axis.labels)
    if labels.ndim != 1 or labels.dtype.kind not in "uif" or len(labels) < 2:
        return None
    first = np.floor(labels[0])
    is_count = labels[0] >= 0 and (np.diff(labels.astype(np.float64)) == 1).all()
    return int(first) if is_count and labels[0] - first in (0.0, 0.5) else None


def _is_same(first: Affine6, second: Affine6, size: tuple[int, int]) -> bool:
    """Whether two affines put all corners of an image at one place, within part of a pixel."""
    corners = np.array([(0, 0, 1), (size[0], 0, 1), (0, size[1], 1)], np.float64)
    # one of them may have no inverse, so that no georeference could be made of it
    apart = corners @ (np.reshape(first, (2, 3)) - np.reshape(second, (2, 3))).T
    pixel = np.array([abs(first[0]), abs(first[4])])
    return bool((np.abs(apart) <= _SAME_WITHIN * pixel).all())


def _gcps(name: str, text: Any) -> tuple[ControlPoint, ...]:
    try:
        points = []
        for feature in json.loads(text)["features"]:
            x, y, *z = feature["geometry"]["coordinates"]
            place = feature["properties"]
            height = float(z[0]) if z and z[0] is not None else 0.0
            points.append((float(place["col"]), float(place["row"]), float(x), float(y), height))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise SceneError(
            f"{name} has control points that cannot be read; they must be a GeoJSON "
            "FeatureCollection of points with row and col, as rio.write_gcps() makes it"
        ) from error
    return tuple(points)


def _rpcs(name: str, text: Any) -> dict[str, Any]:
    try:
        items = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise SceneError(f"{name} has RPCs that cannot be read: {error}") from error
    if not isinstance(items, dict):
        raise SceneError(f"{name} has RPCs that are not a JSON object of GDAL's items")
    return items
