"""Where an xarray object lies on the ground: its coordinates, and the grid mapping of CF.

Read and written as rioxarray and odc-geo do: a scalar coordinate ``spatial_ref`` whose attributes
hold the CRS as ``crs_wkt`` and the affine as ``GeoTransform``. Control points and RPCs stand there
as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import CRSError

from geofovea.errors import GeometryError, SceneError
from geofovea.tiling.georeference import Georeference
from geofovea.tiling.ground import crs_of, place_wkt

__all__ = ["axis_of", "grid_mapping_attrs", "read_georeference"]

# A coordinate may be this share of a pixel off its regular place: float32 degrees are.
_REGULAR_WITHIN = 0.05
# A transform that agrees with the coordinates this closely is the exact form of the same numbers.
_SAME_WITHIN = 0.01

Transform = tuple[float, float, float, float, float, float]


def axis_of(name: str, values: Any) -> tuple[float, float] | None:
    """``(edge, step)`` of regular pixel-centre coordinates: pixel i covers edge + step·[i, i+1].

    Args:
        name: Of the object and the axis, for the message.
        values: Of the coordinate, one per pixel.

    Returns:
        None for a single pixel, which has a place but no step.

    Raises:
        SceneError: If the coordinates are not numbers or their steps differ.
    """
    centers = np.asarray(values)
    if centers.ndim != 1 or centers.dtype.kind not in "uif":
        raise SceneError(
            f"{name} has {centers.ndim}-dimensional {centers.dtype} coordinates; allowed are "
            "numbers at pixel centres, one per row or column: drop them with drop_vars() to use "
            "pixels, or reproject to a regular grid"
        )
    if len(centers) < 2:
        return None
    steady = centers.astype(np.float64)
    step = float(steady[-1] - steady[0]) / (len(steady) - 1)
    off = np.abs(steady - (steady[0] + step * np.arange(len(steady))))
    if not np.isfinite(steady).all() or step == 0 or off.max() > _REGULAR_WITHIN * abs(step):
        steps = np.diff(steady)
        raise SceneError(
            f"{name} has irregular coordinates: steps from {steps.min():g} to {steps.max():g}; "
            "allowed are equal steps (rising or falling): interpolate to a regular grid, or drop "
            "the coordinates with drop_vars() to get answers in pixels"
        )
    return float(steady[0]) - step / 2, step


def read_georeference(
    name: str,
    x_centers: Any | None,
    y_centers: Any | None,
    size: tuple[int, int],
    attrs: Mapping[str, Any],
    crs_hint: str | None = None,
) -> Georeference:
    """Place an array on the ground.

    Coordinates go before ``GeoTransform``, which a selection of rows or columns does not change.

    Args:
        name: Of the object, for messages.
        x_centers: Pixel-centre coordinates of the columns, None without.
        y_centers: Pixel-centre coordinates of the rows, None without.
        size: ``(width, height)`` in pixels.
        attrs: Attributes of the grid mapping; empty without one.
        crs_hint: The CRS where the grid mapping names none, in any form that PROJ takes.

    Raises:
        SceneError: If coordinates are irregular, or a CRS or transform cannot be understood.
    """
    crs_wkt = _crs_wkt(name, attrs, crs_hint)
    given = _geotransform(name, attrs)
    transform = given
    if x_centers is not None and y_centers is not None:
        transform = _from_axes(name, x_centers, y_centers, size, given)
        is_counted = transform is not None and transform[0::4] == (1.0, 1.0)
        if crs_wkt is None and is_counted and transform is not None:
            # pixels counted from 0, or their centres: no place on any ground
            is_counted = transform[2] in (-0.5, 0.0) and transform[5] in (-0.5, 0.0)
            transform = None if is_counted else transform
    if transform is not None and transform != (1, 0, 0, 0, 1, 0):
        try:
            return Georeference("affine", crs_wkt, transform)
        except GeometryError:
            return Georeference("none", crs_wkt)
    if "gcps" in attrs:
        return Georeference.by_gcps(_gcps(name, attrs["gcps"]), crs_wkt)
    if "rpcs" in attrs:
        return Georeference.by_rpcs(_rpcs(name, attrs["rpcs"]))
    return Georeference("none", crs_wkt)


def grid_mapping_attrs(
    georeference: Georeference, transform: Transform | None = None
) -> dict[str, str]:
    """Attributes of ``spatial_ref`` that say where a grid lies.

    Args:
        georeference: Of the scene.
        transform: Affine of the grid as ``(a, b, c, d, e, f)``, None without one.
    """
    attrs: dict[str, str] = {}
    if georeference.crs_wkt:
        # two names for one thing: CF and rioxarray read the first, GDAL the second
        attrs |= {"crs_wkt": georeference.crs_wkt, "spatial_ref": georeference.crs_wkt}
    if transform is not None:
        a, b, c, d, e, f = transform
        attrs["GeoTransform"] = " ".join(repr(float(v)) for v in (c, a, b, f, d, e))
    if georeference.gcps:
        features = [
            {
                "type": "Feature",
                "properties": {"id": str(i), "info": "", "row": y_scene, "col": x_scene},
                "geometry": {"type": "Point", "coordinates": [x, y, z]},
            }
            for i, (x_scene, y_scene, x, y, z) in enumerate(georeference.gcps)
        ]
        attrs["gcps"] = json.dumps({"type": "FeatureCollection", "features": features})
    if georeference.rpcs:
        attrs["rpcs"] = json.dumps(dict(georeference.rpcs))
    return attrs


def _crs_wkt(name: str, attrs: Mapping[str, Any], hint: str | None) -> str | None:
    given = attrs.get("crs_wkt") or attrs.get("spatial_ref") or hint
    if not given:
        return None
    try:
        return place_wkt(crs_of(given)) or None
    # rasterio raises ValueError for EPSG codes that are no numbers
    except (CRSError, ValueError, TypeError) as error:
        raise SceneError(
            f"{name} names a CRS that PROJ does not know: {str(given)[:80]!r} ({error}); allowed "
            "are WKT and authority codes: set it anew, for example with rio.write_crs('EPSG:...')"
        ) from error


def _geotransform(name: str, attrs: Mapping[str, Any]) -> Transform | None:
    if "GeoTransform" not in attrs:
        return None
    given = attrs["GeoTransform"]
    try:
        numbers = given.split() if isinstance(given, str) else list(given)
        c, a, b, f, d, e = (float(number) for number in numbers)
    except (TypeError, ValueError) as error:
        raise SceneError(
            f"{name} has the GeoTransform {given!r}; allowed are six numbers in GDAL's order: x of "
            "the corner, width of a pixel, row rotation, y, column rotation, height of a pixel"
        ) from error
    return a, b, c, d, e, f


def _from_axes(
    name: str, x_centers: Any, y_centers: Any, size: tuple[int, int], given: Transform | None
) -> Transform | None:
    x_axis, y_axis = axis_of(f"{name}, x,", x_centers), axis_of(f"{name}, y,", y_centers)
    if given is None or given[1] or given[3]:
        # a single row has the pixels of the columns, up to the sign; a single pixel has no size
        side = abs(x_axis[1]) if x_axis else abs(y_axis[1]) if y_axis else None
        if side is None:
            return None
        step_x, step_y = side, -side
    else:
        step_x, step_y = given[0], given[4]
    x0, a = x_axis or (float(np.asarray(x_centers)[0]) - step_x / 2, step_x)
    y0, e = y_axis or (float(np.asarray(y_centers)[0]) - step_y / 2, step_y)
    found = (a, 0.0, x0, 0.0, e, y0)
    if given is not None and _is_same(found, given, size):
        return given
    return found


def _is_same(found: Transform, given: Transform, size: tuple[int, int]) -> bool:
    """Whether two affines put all corners of an image at one place, within part of a pixel."""
    corners: NDArray[np.float64] = np.array([(0, 0), (size[0], 0), (0, size[1])], np.float64)
    both = [Georeference("affine", None, t).crs_from_scene(corners) for t in (found, given)]
    if both[0] is None or both[1] is None:
        return False
    pixel = np.array([abs(found[0]), abs(found[4])])
    return bool((np.abs(both[0] - both[1]) <= _SAME_WITHIN * pixel).all())


def _gcps(name: str, given: Any) -> tuple[tuple[float, float, float, float, float], ...]:
    try:
        points = []
        for feature in json.loads(given)["features"]:
            x, y, *z = feature["geometry"]["coordinates"]
            place = feature["properties"]
            height = float(z[0]) if z and z[0] is not None else 0.0
            points.append((float(place["col"]), float(place["row"]), float(x), float(y), height))
    except (KeyError, TypeError, ValueError) as error:
        raise SceneError(
            f"{name} has control points that cannot be read; allowed is a GeoJSON "
            "FeatureCollection of points with row and col, as rio.write_gcps() makes it"
        ) from error
    return tuple(points)


def _rpcs(name: str, given: Any) -> dict[str, Any]:
    try:
        items = json.loads(given)
    except (TypeError, ValueError) as error:
        raise SceneError(f"{name} has RPCs that cannot be read: {error}") from error
    if not isinstance(items, dict):
        raise SceneError(f"{name} has RPCs that are no JSON object; allowed are GDAL's items")
    return items
