"""Moves points between coordinate reference systems; a point without a place becomes NaN.

GDAL refuses all points of a call if the target CRS cannot show one of them. It places some points
that lie off the map on the other side of the globe. Here each point has its own result.
"""

from __future__ import annotations

import functools
import math
import re
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as warp_transform

from geofovea.tiling.gdal_errors import GDAL_ERRORS

__all__ = [
    "WGS84",
    "crs_from_lonlat",
    "crs_of",
    "is_on_earth",
    "lonlat_from_crs",
    "moved",
    "place_wkt",
    "turn_of",
]

Points = NDArray[np.float64]

WGS84 = CRS.from_epsg(4326)
_ELLIPSOID = re.compile(
    r'(?:SPHEROID|ELLIPSOID)\["[^"]*",\s*([0-9.eE+]+),[^,\]]*'
    r'(?:,\s*(?:LENGTH)?UNIT\["[^"]*",\s*([0-9.eE+-]+))?'
)
_CODE_OF_OLD = re.compile(r'AUTHORITY\["([A-Z]+)",\s*"(\w+)"\]\]$')
_TOWGS84 = re.compile(r",TOWGS84\[[^\]]*\]")
_BRACKETS = re.compile(r'"[^"]*"|[\[\]]')
_EARTH_AXIS_M = (6.35e6, 6.40e6)
# a grid may count its longitudes on for some turns; beyond that an affine is wrong
_MOST_TURNS = 2
# the Earth is 4e7 m around, in the smallest unit of any grid a few 1e10
_FARTHEST = 1e11
# a projection leads there and back to less than this; off the map it misses by a turn
_BACK_WITHIN_M = 10.0
# calls of GDAL for the points of one call here; a row of cells that leaves the map takes some ten
_MOST_TRIES = 4096


def crs_of(definition: Any) -> CRS:
    """A CRS from anything that rasterio accepts; a retired code keeps its meaning.

    Raises:
        ValueError: If it is not understood (``CRSError`` is one).
    """
    with rasterio.Env(OSR_USE_NON_DEPRECATED="NO"):
        return CRS.from_user_input(definition)


def place_wkt(crs: CRS) -> str:
    """A CRS as text that loses none of it: WKT 2, where the CRS can be said in it.

    Old WKT lacks some methods of projection and takes others for them. Where such a text names the
    code that it was made from, the code is what was meant.
    """
    try:
        old = crs.to_wkt()
        code = _CODE_OF_OLD.search(old)
        if code:
            by_code = crs_of(":".join(code.groups()))
            crs = by_code if by_code != crs and by_code.to_wkt() == old else crs
        wkt = str(crs.to_wkt(version="WKT2_2019"))
        if CRS.from_wkt(wkt) == crs:
            return wkt
    except (ValueError, *GDAL_ERRORS):
        pass
    return str(crs.to_wkt())


def is_on_earth(crs_wkt: str) -> bool:
    """Whether an ellipsoid of the size of the Earth is under a CRS."""
    axis = _ELLIPSOID.search(crs_wkt)
    if axis is None:
        return False
    meters = float(axis.group(1)) * float(axis.group(2) or 1)
    return _EARTH_AXIS_M[0] < meters < _EARTH_AXIS_M[1]


def turn_of(crs: CRS) -> float | None:
    """One turn around the globe in the unit of a CRS of longitude and latitude; None of others."""
    if not crs.is_geographic:
        return None
    return 2 * math.pi / float(crs.units_factor[1])


def moved(source: CRS, target: CRS, points: Points) -> Points:
    """Move points ``(n, 2)`` as (x, y) from one CRS to another; NaN where there is no place."""
    result = np.full(points.shape, np.nan)
    usable = np.isfinite(points).all(1) & (np.abs(points) < _FARTHEST).all(1)
    turn = turn_of(source)
    within_turn = points
    if turn is not None:
        usable &= np.abs(points[:, 0]) <= _MOST_TURNS * turn * (1 + 1e-9)
        usable &= np.abs(points[:, 1]) <= turn / 4 * (1 + 1e-9)
        # PROJ takes longitudes of more than ten radians for mistakes
        within_turn = np.column_stack(
            (points[:, 0] - turn * np.round(points[:, 0] / turn), points[:, 1])
        )
    which = np.flatnonzero(usable)
    result[which] = points[which] if source == target else _each(source, target, within_turn[which])
    result[~(np.abs(result) < _FARTHEST).all(1)] = np.nan
    return result


def _each(source: CRS, target: CRS, points: Points) -> Points:
    """As `moved`; the halves of what fails are tried by themselves, and not without end."""
    result = np.full(points.shape, np.nan)
    stack = [np.arange(len(points))] if len(points) else []
    for _ in range(_MOST_TRIES):
        if not stack:
            break
        some = stack.pop(0)
        try:
            x, y = warp_transform(source, target, points[some, 0], points[some, 1])
            result[some] = np.column_stack((x, y))
        except (CRSError, *GDAL_ERRORS):
            if len(some) > 1:
                stack += np.array_split(some, 2)
    return result


def lonlat_from_crs(crs: CRS, points: Points, pixel: float = 0.0) -> Points:
    """Move points ``(n, 2)`` to WGS 84 longitude and latitude; NaN where there is no place.

    Latitudes beyond a pole, which grids with a row of centers on it have, are the pole.

    Args:
        crs: Of the points; on the Earth.
        points: As (x, y), easting or longitude first.
        pixel: The size of a pixel in the CRS; 0 where it is not known.
    """
    turn = turn_of(crs)
    if turn is not None:
        pole = turn / 4
        return moved(crs, WGS84, np.column_stack((points[:, 0], points[:, 1].clip(-pole, pole))))
    if not crs.is_projected:
        # geocentric, vertical and local systems have no place for two numbers
        return np.full(points.shape, np.nan)
    on_map = np.flatnonzero(_is_on_map(crs, points, pixel))
    lonlat = np.full(points.shape, np.nan)
    lonlat[on_map] = moved(crs, WGS84, points[on_map])
    return lonlat


def _is_on_map(crs: CRS, points: Points, pixel: float) -> NDArray[np.bool_]:
    """Which points of a projected CRS come back to where they were from the globe.

    The inverse of some projections goes around the globe for a point beside the map. This is asked
    of the projection alone: a way through two datums need not lead back exactly.
    """
    base = _base_of(crs)
    on_globe = moved(crs, base, points)
    on_globe_index = np.flatnonzero(np.isfinite(on_globe).all(1))
    back = moved(base, crs, on_globe[on_globe_index])
    off = np.hypot(*(back - points[on_globe_index]).T)
    allowed = max(pixel, _BACK_WITHIN_M / float(crs.linear_units_factor[1]))
    result = np.zeros(len(points), bool)
    result[on_globe_index] = off <= allowed
    return result


@functools.lru_cache(maxsize=64)
def _base_of(crs: CRS) -> CRS:
    """The longitudes and latitudes that a CRS projects, on its own ellipsoid."""
    try:
        wkt = _TOWGS84.sub("", crs.to_wkt())
        start = wkt.index("GEOGCS[")
        depth = 0
        for end in _BRACKETS.finditer(wkt, start):
            depth += {"[": 1, "]": -1}.get(end.group(), 0)
            if depth == 0 and end.group() == "]":
                return CRS.from_wkt(wkt[start : end.end()])
    except (ValueError, *GDAL_ERRORS):
        pass
    return WGS84


def crs_from_lonlat(crs: CRS, points: Points) -> Points:
    """Move WGS 84 longitudes and latitudes ``(n, 2)`` into a CRS; NaN where there is no place."""
    if not (crs.is_geographic or crs.is_projected):
        return np.full(points.shape, np.nan)
    return moved(WGS84, crs, points)
