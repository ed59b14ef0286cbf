"""Coordinate reference systems from CF grid mappings, made by the PROJ that comes with rasterio.

A grid mapping is a variable whose attributes name a projection and its parameters. If they hold
WKT, it is used. Otherwise the parameters are translated one by one into those of PROJ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geofovea.errors import SceneError
from geofovea.tiling.geo.ground import crs_of

__all__ = ["crs_from_grid_mapping", "names_crs", "parse_crs"]

# attributes that hold a whole CRS, the one of CF first
_WHOLE = (
    *("crs_wkt", "spatial_ref", "esri_pe_string", "proj4", "proj4_params", "proj4text"),
    *("proj4_string", "proj:wkt2", "proj:code"),
)
_CODES = ("epsg_code", "epsg", "EPSG", "proj:epsg")

# datums that are often named without the numbers of their ellipsoid
_DATUMS = {
    "wgs84": "WGS84",
    "worldgeodeticsystem1984": "WGS84",
    "worldgeodeticsystem1984ensemble": "WGS84",
    "dwgs1984": "WGS84",
    "nad83": "NAD83",
    "northamericandatum1983": "NAD83",
    "nad27": "NAD27",
    "northamericandatum1927": "NAD27",
}
_ELLIPSOIDS = {
    "wgs84": "WGS84",
    "grs80": "GRS80",
    "grs1980": "GRS80",
    "etrs89": "GRS80",
    "europeanterrestrialreferencesystem1989": "GRS80",
    "europeanterrestrialreferencesystem1989ensemble": "GRS80",
    "international1924": "intl",
    "bessel1841": "bessel",
    "clarke1866": "clrk66",
    "clarke1880": "clrk80",
    "airy1830": "airy",
    "krassowsky1940": "krass",
    "wgs72": "WGS72",
    "sphere": "sphere",
}
_UNNAMED = ("", "unknown", "undefined", "unnamed")


class _Parameters:
    """Numbers of a grid mapping under their names in CF."""

    def __init__(self, attrs: Mapping[str, Any]) -> None:
        self._attrs = attrs

    def list(self, name: str) -> list[float]:
        values = self._attrs.get(name)
        if values is None:
            return []
        if isinstance(values, str):
            values = values.replace(",", " ").split()
        numbers = [float(value) for value in np.asarray(values).ravel()]
        if not np.isfinite(numbers).all():
            raise ValueError(f"{name} is not finite")
        return numbers

    def number(self, *names: str, default: float | None = None) -> float:
        """The first of several names that is there."""
        for name in names:
            if numbers := self.list(name):
                return numbers[0]
        if default is None:
            raise KeyError(names[0])
        return default

    def text(self, name: str) -> str:
        return str(self._attrs.get(name) or "")


def names_crs(attrs: Mapping[str, Any]) -> bool:
    """Whether the attributes of a grid mapping say anything about a CRS."""
    return any(attrs.get(key) for key in (*_WHOLE, *_CODES, "grid_mapping_name"))


def crs_from_grid_mapping(name: str, attrs: Mapping[str, Any], unit_m: float = 1.0) -> CRS | None:
    """The CRS that a grid mapping describes.

    Args:
        name: Of the object, for messages.
        attrs: Attributes of the grid mapping.
        unit_m: Meters in the unit of the projection coordinates. CF gives false eastings in it.

    Returns:
        None where the attributes name none, or a projection that is not known here.

    Raises:
        SceneError: If WKT, a code or a parameter cannot be understood.
    """
    for key in (*_WHOLE, *_CODES):
        if attrs.get(key):
            code = attrs[key]
            is_code = key in _CODES and str(code).strip().isdigit()
            return parse_crs(name, f"EPSG:{code}" if is_code else code)
    projection = str(attrs.get("grid_mapping_name") or "")
    if projection not in _PROJ:
        return None
    values = _Parameters(attrs)
    try:
        parts = [*_PROJ[projection](values), *_body(values)]
        if projection not in ("latitude_longitude", "rotated_latitude_longitude"):
            parts += [*_offsets(values, unit_m), "+units=m"]
        return CRS.from_user_input(" ".join((*parts, "+no_defs +type=crs")))
    except (KeyError, TypeError, ValueError, CRSError) as error:
        lacks = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise SceneError(
            f"{name} has a grid mapping {projection!r} that cannot be understood: it {lacks}; "
            "complete its attributes, or set the CRS again, for example with "
            "rio.write_crs('EPSG:...')"
        ) from error


def parse_crs(name: str, definition: Any) -> CRS:
    """A CRS in any form that PROJ takes.

    Raises:
        SceneError: If PROJ does not know it.
    """
    try:
        return crs_of(definition)
    # rasterio raises ValueError for EPSG codes that are not numbers
    except (CRSError, ValueError, TypeError) as error:
        raise SceneError(
            f"{name} names a CRS that PROJ does not know: {str(definition)[:80]!r} ({error}); "
            "it must be WKT or an authority code: set it again, for example with "
            "rio.write_crs('EPSG:...')"
        ) from error


def _body(values: _Parameters) -> list[str]:
    """The ellipsoid and the prime meridian."""
    meridian = values.number("longitude_of_prime_meridian", default=0.0)
    return [*_ellipsoid(values), *([f"+pm={meridian!r}"] if meridian else [])]


def _ellipsoid(values: _Parameters) -> list[str]:
    """The ellipsoid, or the datum with its own: by numbers, else by names, else WGS 84."""
    names = [
        "".join(c for c in values.text(key).lower() if c.isalnum())
        for key in ("horizontal_datum_name", "geographic_crs_name", "reference_ellipsoid_name")
    ]
    datum = next((_DATUMS[one] for one in names if one in _DATUMS), None)
    radius = values.number("earth_radius", default=0.0)
    major = values.number("semi_major_axis", default=0.0)
    if radius:
        return [f"+R={radius!r}"]
    if major:
        inverse = values.number("inverse_flattening", default=0.0)
        minor = values.number("semi_minor_axis", default=major)
        # the datum is more than its ellipsoid; a name without this ellipsoid is a mistake
        if datum and _is_of(datum, major):
            return [f"+datum={datum}"]
        return [f"+a={major!r}", f"+rf={inverse!r}" if inverse else f"+b={minor!r}"]
    if datum:
        return [f"+datum={datum}"]
    for one in names:
        if one in _ELLIPSOIDS:
            return [f"+ellps={_ELLIPSOIDS[one]}"]
    unknown = [one for one in names if one not in _UNNAMED]
    if unknown:
        raise ValueError(f"names the datum {unknown[0]!r} without semi_major_axis")
    return ["+datum=WGS84"]


def _is_of(datum: str, major: float) -> bool:
    return abs(major - (6378206.4 if datum == "NAD27" else 6378137.0)) < 0.5


def _offsets(values: _Parameters, unit_m: float) -> list[str]:
    parts = []
    for key, name in (("x_0", "false_easting"), ("y_0", "false_northing")):
        offset = values.number(name, default=0.0)
        # no place on the Earth is as far as that: some write meters whatever the unit is
        is_meters = abs(offset * unit_m) > _FARTHEST_M
        parts.append(f"+{key}={offset if is_meters else offset * unit_m!r}")
    return parts


_FARTHEST_M = 1e8


def _center(values: _Parameters) -> list[str]:
    lat_0 = values.number("latitude_of_projection_origin", default=0.0)
    return [f"+lat_0={lat_0!r}", f"+lon_0={_central_lon(values)!r}"]


def _central_lon(values: _Parameters) -> float:
    return values.number(
        "longitude_of_projection_origin", "longitude_of_central_meridian", default=0.0
    )


def _azimuthal(proj: str) -> Callable[[_Parameters], list[str]]:
    return lambda values: [f"+proj={proj}", *_center(values)]


def _conic(proj: str) -> Callable[[_Parameters], list[str]]:
    def parts(values: _Parameters) -> list[str]:
        parallels = values.list("standard_parallel")
        if not 1 <= len(parallels) <= 2:
            raise KeyError("standard_parallel")
        lat_1, lat_2 = parallels[0], parallels[-1]
        # a cone that touches at one parallel has its origin there, unless something else is said
        origin = lat_1 if len(parallels) == 1 else 0.0
        lat_0 = values.number("latitude_of_projection_origin", default=origin)
        lon_0 = values.number(
            "longitude_of_central_meridian", "longitude_of_projection_origin", default=0.0
        )
        cone = [f"+lat_1={lat_1!r}", f"+lat_2={lat_2!r}", f"+lat_0={lat_0!r}"]
        return [f"+proj={proj}", *cone, f"+lon_0={lon_0!r}"]

    return parts


def _cylinder(proj: str) -> Callable[[_Parameters], list[str]]:
    def parts(values: _Parameters) -> list[str]:
        scale = values.list("scale_factor_at_projection_origin")
        parallel = values.number("standard_parallel", default=0.0)
        true = f"+k_0={scale[0]!r}" if scale else f"+lat_ts={parallel!r}"
        return [f"+proj={proj}", true, f"+lon_0={_central_lon(values)!r}"]

    return parts


def _geostationary(values: _Parameters) -> list[str]:
    sweep = values.text("sweep_angle_axis").lower()
    if not sweep:
        sweep = {"x": "y", "y": "x"}[values.text("fixed_angle_axis").lower()]
    if sweep not in ("x", "y"):
        raise ValueError(f"has sweep_angle_axis {sweep!r}, not x or y")
    height = values.number("perspective_point_height")
    return ["+proj=geos", f"+h={height!r}", f"+lon_0={_central_lon(values)!r}", f"+sweep={sweep}"]


def _oblique_mercator(values: _Parameters) -> list[str]:
    lat_0 = values.number("latitude_of_projection_origin")
    lon_0 = values.number("longitude_of_projection_origin")
    azimuth = values.number("azimuth_of_central_line")
    scale = values.number("scale_factor_at_projection_origin", default=1.0)
    line = [f"+lat_0={lat_0!r}", f"+lonc={lon_0!r}", f"+alpha={azimuth!r}", "+gamma=0"]
    return ["+proj=omerc", *line, f"+k_0={scale!r}"]


def _polar_stereographic(values: _Parameters) -> list[str]:
    parallel = values.list("standard_parallel")
    pole = values.number("latitude_of_projection_origin", default=parallel[0] if parallel else None)
    lon_0 = values.number("straight_vertical_longitude_from_pole", "longitude_of_projection_origin")
    scale = values.number("scale_factor_at_projection_origin", default=1.0)
    true = f"+lat_ts={parallel[0]!r}" if parallel else f"+k_0={scale!r}"
    return ["+proj=stere", f"+lat_0={-90 if pole < 0 else 90}", true, f"+lon_0={lon_0!r}"]


def _rotated_pole(values: _Parameters) -> list[str]:
    lat = values.number("grid_north_pole_latitude")
    lon = values.number("grid_north_pole_longitude")
    turn = values.number("north_pole_grid_longitude", default=0.0)
    pole = [f"+o_lat_p={lat!r}", f"+o_lon_p={turn!r}", f"+lon_0={lon + 180!r}"]
    return ["+proj=ob_tran", "+o_proj=longlat", *pole]


def _stereographic(values: _Parameters) -> list[str]:
    scale = values.number("scale_factor_at_projection_origin", default=1.0)
    return ["+proj=stere", *_center(values), f"+k_0={scale!r}"]


def _transverse_mercator(values: _Parameters) -> list[str]:
    scale = values.number(
        "scale_factor_at_central_meridian", "scale_factor_at_projection_origin", default=1.0
    )
    lat_0 = values.number("latitude_of_projection_origin", default=0.0)
    lon_0 = values.number(
        "longitude_of_central_meridian", "longitude_of_projection_origin", default=0.0
    )
    return ["+proj=tmerc", f"+lat_0={lat_0!r}", f"+lon_0={lon_0!r}", f"+k_0={scale!r}"]


def _vertical_perspective(values: _Parameters) -> list[str]:
    height = values.number("perspective_point_height")
    return ["+proj=nsper", f"+h={height!r}", *_center(values)]


_PROJ: dict[str, Callable[[_Parameters], list[str]]] = {
    "albers_conical_equal_area": _conic("aea"),
    "azimuthal_equidistant": _azimuthal("aeqd"),
    "geostationary": _geostationary,
    "lambert_azimuthal_equal_area": _azimuthal("laea"),
    "lambert_conformal_conic": _conic("lcc"),
    "lambert_cylindrical_equal_area": _cylinder("cea"),
    "latitude_longitude": lambda _: ["+proj=longlat"],
    "mercator": _cylinder("merc"),
    "oblique_mercator": _oblique_mercator,
    "orthographic": _azimuthal("ortho"),
    "polar_stereographic": _polar_stereographic,
    "rotated_latitude_longitude": _rotated_pole,
    "sinusoidal": lambda values: ["+proj=sinu", f"+lon_0={_central_lon(values)!r}"],
    "stereographic": _stereographic,
    "transverse_mercator": _transverse_mercator,
    "vertical_perspective": _vertical_perspective,
}
