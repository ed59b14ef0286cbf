"""Axes of xarray objects: what their labels are, in which unit, and at which point of a pixel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geofovea.errors import SceneError

__all__ = ["Axis", "corner_offset", "edge_of", "in_unit_of", "is_lonlat", "unit_of"]

# A coordinate may be this share of a pixel off its regular place: float32 degrees are.
_REGULAR_WITHIN = 0.05
_MOST_DEGREES = 720
# in any unit: sums and products of such numbers are finite
_FARTHEST = 1e100

_METERS = {
    "m": 1.0, "metre": 1.0, "meter": 1.0, "km": 1e3, "kilometre": 1e3, "kilometer": 1e3,
    "hm": 100.0, "dm": 0.1, "cm": 0.01, "centimetre": 0.01, "centimeter": 0.01, "mm": 1e-3,
    "millimetre": 1e-3, "millimeter": 1e-3, "mi": 1609.344, "mile": 1609.344,
    "nmi": 1852.0, "nauticalmile": 1852.0, "yd": 0.9144, "yard": 0.9144,
    "ft": 0.3048, "foot": 0.3048, "feet": 0.3048, "internationalfoot": 0.3048,
    "usft": 1200 / 3937, "ftus": 1200 / 3937, "ussurveyfoot": 1200 / 3937,
    "ussurveyfeet": 1200 / 3937, "surveyfoot": 1200 / 3937, "footussurvey": 1200 / 3937,
}  # fmt: skip
_DEGREE = np.pi / 180
_RADIANS = {
    "degree": _DEGREE, "deg": _DEGREE, "°": _DEGREE, "degreenorth": _DEGREE,
    "degreen": _DEGREE, "degreeeast": _DEGREE, "degreee": _DEGREE, "arcdegree": _DEGREE,
    "rad": 1.0, "radian": 1.0, "mrad": 1e-3, "milliradian": 1e-3, "urad": 1e-6, "µrad": 1e-6,
    "μrad": 1e-6, "microradian": 1e-6, "grad": np.pi / 200, "gon": np.pi / 200,
    "arcminute": _DEGREE / 60, "arcmin": _DEGREE / 60, "minute": _DEGREE / 60,
    "arcsecond": _DEGREE / 3600, "arcsec": _DEGREE / 3600,
}  # fmt: skip
# units of standard names where an axis has none of its own
_IMPLIED = dict.fromkeys(("longitude", "latitude", "grid_longitude", "grid_latitude"), _DEGREE)
_IMPLIED |= dict.fromkeys(
    ("projection_x_angular_coordinate", "projection_y_angular_coordinate"), 1.0
)
# what people write where numbers have no unit of their own
_NONE = ("", "1", "none", "unitless", "dimensionless", "pixel", "px", "crs", "unknown")
_FACTOR = re.compile(r"^\s*(10\s*(?:\^|\*\*)\s*[+-]?\d+|[0-9.]+(?:[eE][+-]?\d+)?)[\s*.]*(?=\S)")
_LON = re.compile(r"degrees?_?(e|east)", re.IGNORECASE)
_LAT = re.compile(r"degrees?_?(n|north)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Axis:
    """The coordinate of the rows or of the columns.

    Attributes:
        name: Of the object and the axis, for messages.
        dim: Name of its dimension.
        labels: A number for each pixel.
        attrs: Attributes of the coordinate, as CF has them.
        bounds: Where each pixel begins and ends, ``(n, 2)``; None if unknown.
    """

    name: str
    dim: str
    labels: Any
    attrs: Mapping[str, Any] = field(default_factory=dict)
    bounds: Any = None

    def times(self, factor: float) -> Axis:
        """The same axis with numbers of another unit."""
        if factor == 1.0:
            return self
        bounds = None if self.bounds is None else np.asarray(self.bounds, np.float64) * factor
        labels = np.asarray(self.labels).astype(np.float64) * factor
        return Axis(self.name, self.dim, labels, self.attrs, bounds)


def unit_of(axis: Axis) -> tuple[Literal["length", "angle", "none", "unknown"], float]:
    """What the numbers of an axis measure, and the meters or radians in one of its units."""
    units = str(axis.attrs.get("units") or "").strip()
    if not units and (implied := _IMPLIED.get(str(axis.attrs.get("standard_name") or ""))):
        return "angle", implied
    number, text = 1.0, units
    if factor := _FACTOR.match(units):
        number = _number(factor.group(1))
        text = units[factor.end() :]
    plain = re.sub(r"[\s_().-]", "", text).lower().replace("degrees", "degree")
    for name in (plain, plain.removesuffix("s")):
        if name in _METERS:
            return "length", number * _METERS[name]
        if name in _RADIANS:
            return "angle", number * float(_RADIANS[name])
        if name in _NONE and text == units:
            return "none", 1.0
    return "unknown", 1.0


def _number(text: str) -> float:
    power = re.fullmatch(r"10\s*(?:\^|\*\*)\s*([+-]?\d+)", text)
    return 10.0 ** int(power.group(1)) if power else float(text)


def in_unit_of(axis: Axis, crs: CRS | None) -> Axis:
    """An axis with its numbers in the unit of a CRS; scan angles of a geostationary one as lengths.

    Raises:
        SceneError: If unit and CRS cannot both be right.
    """
    kind, size = unit_of(axis)
    if crs is None or not (crs.is_projected or crs.is_geographic):
        return axis
    if kind == "none":
        _check_no_scan_angles(axis, crs)
        return axis
    if kind == "unknown":
        raise SceneError(
            f"{axis.name} has the units {axis.attrs['units']!r:.40}, which are not known; "
            "attrs['units'] of the coordinate must be a unit of length or of angle such as m, km, "
            "ft, degrees or radians: set it again, or remove it where the numbers are in the unit "
            "of the CRS"
        )
    of_crs = float(crs.units_factor[1])
    if (kind == "length") == crs.is_projected:
        return axis.times(1.0 if np.isclose(size, of_crs, rtol=1e-9) else size / of_crs)
    height = _height_of_geostationary(crs)
    if kind == "angle" and height:
        return axis.times(size * height / of_crs)
    crs_kind = "meters or feet" if crs.is_projected else "degrees"
    raise SceneError(
        f"{axis.name} has the units {axis.attrs.get('units')!r}, and its CRS "
        f"{_name_of(crs)} is in {crs_kind}; set the CRS that the numbers are in, for example with "
        "rio.write_crs('EPSG:...'), or drop the coordinates with drop_vars() to get answers in "
        "pixels"
    )


def _check_no_scan_angles(axis: Axis, crs: CRS) -> None:
    """Refuse an axis without units whose numbers may be the scan angles of a satellite."""
    labels = np.abs(np.asarray(axis.labels, np.float64))
    if len(labels) > 1 and labels.max() < 1 and _height_of_geostationary(crs):
        raise SceneError(
            f"{axis.name} names no units, and numbers below 1 look like the scan angles of its "
            "geostationary CRS: set attrs['units'] to 'rad' if they are"
        )


def _height_of_geostationary(crs: CRS) -> float:
    """Meters from the ellipsoid to the satellite, whose scan angles are lengths at that height."""
    parameters = crs.to_dict() if crs.is_projected else {}
    return float(parameters.get("h", 0.0)) if parameters.get("proj") == "geos" else 0.0


def _name_of(crs: CRS) -> str:
    authority = crs.to_authority()
    return ":".join(authority) if authority else "of its grid mapping"


def is_lonlat(x: Axis | None, y: Axis | None, *, strict: bool = False) -> bool:
    """Whether two axes declare that they are longitude and latitude on the Earth.

    Degrees alone prove it only together with the names ``lon`` and ``lat``, because rotated grids
    are in degrees, too.

    Args:
        x: Of the columns.
        y: Of the rows.
        strict: Whether such names prove nothing.
    """
    if x is None or y is None:
        return False
    signs = []
    for axis, name, unit in ((x, "longitude", _LON), (y, "latitude", _LAT)):
        units = str(axis.attrs.get("units") or "").strip()
        if standard := str(axis.attrs.get("standard_name") or ""):
            signs.append(standard == name)
            continue
        is_named = axis.dim.lower() in (name, name[:3]) and units.lower().startswith("degree")
        signs.append(bool(unit.fullmatch(units)) or (is_named and not strict))
    return all(signs)


def _axis_of(name: str, values: Any) -> tuple[float, float] | None:
    """``(edge, step)`` of regular pixel-center coordinates: pixel i covers edge + step·[i, i+1].

    Args:
        name: Of the object and the axis, for the message.
        values: Of the coordinate, one per pixel.

    Returns:
        None for a single pixel, which has a place but no step.

    Raises:
        SceneError: If the coordinates are not finite numbers or their steps differ.
    """
    centers = np.asarray(values)
    if centers.ndim != 1 or centers.dtype.kind not in "uif":
        raise SceneError(
            f"{name} has {centers.ndim}-dimensional {centers.dtype} coordinates; they "
            "must be numbers at pixel centers, one for each row or column: drop them with "
            "drop_vars() to use pixels, or reproject to a regular grid"
        )
    if len(centers) < 2:
        return None
    steady = centers.astype(np.float64)
    is_usable = np.abs(steady) < _FARTHEST  # False for what is not a finite number
    if not is_usable.all():
        place = int(is_usable.argmin())
        raise SceneError(
            f"{name} has the coordinate {steady[place]:g} at pixel {place}, which is not a place; "
            "coordinates must be finite numbers at pixel centers: interpolate to a regular grid, "
            "or drop the coordinates with drop_vars() to get answers in pixels"
        )
    step = float(steady[-1] - steady[0]) / (len(steady) - 1)
    off = np.abs(steady - (steady[0] + step * np.arange(len(steady))))
    if step == 0 or off.max() > _REGULAR_WITHIN * abs(step):
        steps = np.diff(steady)
        raise SceneError(
            f"{name} has irregular coordinates: steps from {steps.min():g} to {steps.max():g}; "
            f"all steps must be equal, rising or falling: {_advice_on_steps(steady)}, or drop "
            "the coordinates with drop_vars() to get answers in pixels"
        )
    return float(steady[0]) - step / 2, step


def _advice_on_steps(steady: NDArray[np.float64]) -> str:
    """What makes labels regular that are not; longitudes may jump at the antimeridian alone."""
    steps = np.diff(np.unwrap(steady, period=360))
    is_turned = np.abs(steady).max() <= _MOST_DEGREES and steps.any()
    if is_turned and np.ptp(steps) <= _REGULAR_WITHIN * np.abs(steps).max():
        return (
            "these jump by 360 and may be longitudes that go on beyond 180 degrees, so count them "
            "on, for example with assign_coords() and numpy.unwrap(longitudes, period=360)"
        )
    return "interpolate to a regular grid"


def edge_of(axis: Axis, grid: tuple[float, float] | None) -> tuple[float, float] | None:
    """``(edge, step)`` of an axis, by its bounds or labels: pixel i covers edge + step·[i, i+1].

    Args:
        axis: In the unit of the CRS.
        grid: ``(origin, step)`` of a grid of pixels that the labels are on, where one is known.
            It tells labels of corners from those of centers.

    Returns:
        None for a single pixel without bounds.

    Raises:
        SceneError: If labels are not numbers or their steps differ.
    """
    by_label = _axis_of(axis.name, axis.labels)
    if by_label is None:
        return None
    bounds = None if axis.bounds is None else np.asarray(axis.bounds)
    if bounds is not None and bounds.shape == (len(axis.labels), 2) and bounds.dtype.kind in "uif":
        return _by_bounds(axis, bounds.astype(np.float64), rising=by_label[1] > 0)
    return by_label[0] + corner_offset(axis, grid, by_label[1]), by_label[1]


def corner_offset(axis: Axis, grid: tuple[float, float] | None, step: float) -> float:
    """From the labels to the centers of their pixels: 0, or half a pixel for labels of corners.

    Args:
        axis: In the unit of the CRS.
        grid: ``(origin, step)`` of the grid of pixels, or None.
        step: From one label to the next.
    """
    if grid is None or not np.isclose(abs(step), abs(grid[1]), rtol=1e-3):
        return 0.0
    place = (float(np.asarray(axis.labels)[0]) - grid[0]) / grid[1]
    is_corner = abs(place - round(place)) < _REGULAR_WITHIN
    return grid[1] / 2 if is_corner else 0.0


def _by_bounds(axis: Axis, bounds: NDArray[np.float64], *, rising: bool) -> tuple[float, float]:
    _axis_of(f"{axis.name} (its bounds)", bounds.mean(axis=1))
    first, last = (np.min, np.max) if rising else (np.max, np.min)
    edge = float(first(bounds[0]))
    return edge, (float(last(bounds[-1])) - edge) / len(bounds)
