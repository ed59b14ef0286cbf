"""Where a scene lies on the ground: by an affine, by control points, by RPCs, or not at all."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geofovea.errors import GeometryError
from geofovea.tiling.gdal_errors import GDAL_ERRORS
from geofovea.tiling.geo.ground import (
    WGS84,
    crs_from_lonlat,
    is_on_earth,
    lonlat_from_crs,
    place_wkt,
)
from geofovea.tiling.geo.ground_models import ControlPoints, RationalFunctions
from geofovea.tiling.pyramid import Box

__all__ = ["Affine6", "ControlPoint", "GeorefKind", "Georeference", "HasGeoreference"]

GeorefKind = Literal["affine", "gcps", "rpcs", "none"]
Points = NDArray[np.float64]
Affine6 = tuple[float, float, float, float, float, float]
ControlPoint = tuple[float, float, float, float, float]


_TRUE_TO_GROUND = 0.05
_WGS84_AXIS_M, _WGS84_ECCENTRICITY_2 = 6378137.0, 0.00669437999014


class HasGeoreference(Protocol):
    """What lies somewhere on the ground, as a scene does."""

    @property
    def path(self) -> str:
        """Its name."""

    @property
    def box(self) -> Box:
        """All of it, in its own pixels."""

    @property
    def georeference(self) -> Georeference:
        """How its pixels relate to the ground."""


@dataclass(frozen=True)
class Georeference:
    """The map from scene pixels to a coordinate reference system, as a plain value.

    Attributes:
        kind: Which of the other attributes places the scene.
        crs_wkt: The CRS that ``crs_from_scene`` answers in: the raster's for an affine, that of
            the control points for GCPs, WGS 84 for RPCs; None where the file does not say.
        transform: ``(a, b, c, d, e, f)`` with ``x_crs = a*x_scene + b*y_scene + c`` and
            ``y_crs = d*x_scene + e*y_scene + f``.
        gcps: Control points as ``(x_scene, y_scene, x_crs, y_crs, z)``.
        rpcs: The RPC metadata items as GDAL names them.
        note: Why a scene that names a place cannot be placed there; empty otherwise.

    Raises:
        GeometryError: If an affine has no inverse.
    """

    kind: GeorefKind = "none"
    crs_wkt: str | None = None
    transform: Affine6 | None = None
    gcps: tuple[ControlPoint, ...] = ()
    rpcs: tuple[tuple[str, str], ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.transform and not (math.isfinite(self._determinant) and self._determinant):
            raise GeometryError(f"an affine needs a finite inverse, got {self.transform}")

    @classmethod
    def from_dataset(cls, dataset: Any) -> Georeference:
        """Read it from an open rasterio dataset: an affine if there is one, else GCPs, else RPCs.

        A raster without an affine reports the identity, and one whose affine is degenerate cannot
        be placed: both count as having none, whatever CRS they name. Control points that no surface
        fits and RPCs that are not whole place nothing either; ``note`` says so.
        """
        crs_wkt, note = _wkt_of(dataset)
        a, b, c, d, e, f = tuple(float(value) for value in dataset.transform)[:6]
        determinant = a * e - b * d
        is_identity = (a, b, c, d, e, f) == (1, 0, 0, 0, 1, 0)
        is_finite = np.isfinite((a, b, c, d, e, f, determinant)).all()
        if not is_identity and determinant != 0 and is_finite:
            return cls("affine", crs_wkt, (a, b, c, d, e, f), note=note)
        gcps, gcps_crs = dataset.gcps
        if gcps:
            points = tuple((g.col, g.row, g.x, g.y, g.z or 0.0) for g in gcps)
            return cls.by_gcps(points, place_wkt(gcps_crs) if gcps_crs else None)
        try:
            rpcs = dataset.rpcs
        except (KeyError, ValueError, AttributeError) as error:
            return cls("none", crs_wkt, note=f"the RPCs are incomplete or no numbers: {error}")
        if rpcs is not None:
            return cls.by_rpcs(rpcs.to_gdal())
        if not is_identity:
            note = note or f"the affine {(a, b, c, d, e, f)} has no inverse"
        return cls("none", crs_wkt, note=note)

    @classmethod
    def by_gcps(cls, gcps: tuple[ControlPoint, ...], crs_wkt: str | None) -> Georeference:
        """Place a scene by control points; if no surface fits them, by nothing, with a note."""
        placed = cls("gcps", crs_wkt, gcps=gcps)
        trouble = placed._model.trouble if placed._model else ""
        return cls("none", crs_wkt, note=trouble) if trouble else placed

    @classmethod
    def by_rpcs(cls, items: Mapping[str, Any]) -> Georeference:
        """Place a scene by RPCs; if some are missing, by nothing, with a note."""
        rpcs = tuple(sorted((str(name), str(value)) for name, value in items.items()))
        placed = cls("rpcs", place_wkt(WGS84), rpcs=rpcs)
        trouble = placed._model.trouble if placed._model else ""
        return cls("none", note=trouble) if trouble else placed

    def coarser(self, step_x: float, step_y: float) -> Georeference:
        """That of a grid whose pixels are so many of these wide and high, from the same corner.

        RPCs are for native pixels and place no other grid.
        """
        transform = self.transform
        if transform is not None:
            a, b, c, d, e, f = transform
            transform = a * step_x, b * step_y, c, d * step_x, e * step_y, f
        gcps = tuple(
            (x / step_x, y / step_y, x_crs, y_crs, z) for x, y, x_crs, y_crs, z in self.gcps
        )
        kind: GeorefKind = "none" if self.kind == "rpcs" else self.kind
        return Georeference(kind, self.crs_wkt, transform, gcps)

    @cached_property
    def crs(self) -> CRS | None:
        """The rasterio CRS, or None where the file names none."""
        return CRS.from_wkt(self.crs_wkt) if self.crs_wkt else None

    @cached_property
    def crs_name(self) -> str | None:
        """Authority code such as ``EPSG:32633``, else the CRS's own name, else None."""
        if self.crs is None or self.crs_wkt is None:
            return None
        authority = self.crs.to_authority()
        if authority:
            return ":".join(authority)
        name = re.search(r'"([^"]*)"', self.crs_wkt)
        return name.group(1) if name and name.group(1) else "unnamed CRS"

    @cached_property
    def is_on_earth(self) -> bool:
        """Whether the CRS is known and its ellipsoid has the size of the Earth."""
        return is_on_earth(self.crs_wkt or "")

    @property
    def _determinant(self) -> float:
        a, b, _, d, e, _ = self.transform or (0.0,) * 6
        return a * e - b * d

    def crs_from_scene(self, points: Points) -> Points | None:
        """Move points ``(n, 2)`` as ``(x_scene, y_scene)`` into the CRS; None if not placed.

        GCPs are fitted by a polynomial, as ``gdalwarp`` does by default, and by a plane where that
        has no solution; where they lie on both sides of the antimeridian, longitudes go on beyond
        180 degrees. RPCs need a height and get the model's own mean height, which is nearer to the
        ground than the ellipsoid. Points without a place are NaN.
        """
        if self.transform is not None:
            a, b, c, d, e, f = self.transform
            x_scene, y_scene = points[:, 0], points[:, 1]
            with np.errstate(over="ignore", invalid="ignore"):
                x, y = a * x_scene + b * y_scene + c, d * x_scene + e * y_scene + f
                return np.column_stack((x, y))
        return None if self._model is None else self._model.crs_from_scene(points)

    def scene_from_crs(self, points: Points) -> Points | None:
        """Move points ``(n, 2)`` in the CRS to ``(x_scene, y_scene)``; None if not placed."""
        if self.transform is not None:
            a, b, c, d, e, f = self.transform
            x, y = points[:, 0] - c, points[:, 1] - f
            # an affine of impossible numbers leads to infinity
            with np.errstate(over="ignore", invalid="ignore"):
                return np.column_stack((e * x - b * y, a * y - d * x)) / self._determinant
        if self._model is None:
            return None
        if self._lon_of_gcps is not None:
            turns = np.round((self._lon_of_gcps - points[:, 0]) / 360)
            points = np.column_stack((points[:, 0] + 360 * turns, points[:, 1]))
        return self._model.scene_from_crs(points)

    def lonlat_from_scene(self, points: Points) -> Points | None:
        """Move points ``(n, 2)`` to WGS 84 longitude and latitude in degrees.

        Returns:
            ``(n, 2)``, NaN where a point is off the map; None without georeference or CRS, or on
            another planet.
        """
        points_crs = self.crs_from_scene(points) if self.is_on_earth else None
        if points_crs is None or self.crs is None:
            return None
        pixel = math.sqrt(abs(self._determinant)) if self.transform is not None else 0.0
        return lonlat_from_crs(self.crs, points_crs, pixel)

    def gsd_m(self, x_scene: float, y_scene: float) -> float | None:
        """Meters per pixel at a point: the square root of the area that one pixel covers.

        These are meters of the projection where it is true to the ground within 5 %, as UTM and
        national grids are, and meters on the ground elsewhere: a pixel of Web Mercator that
        claims a meter covers half of that at 60° north. In degrees on another planet, or without
        CRS, it is unknown.
        """
        corner = np.array([(x_scene, y_scene), (x_scene + 1, y_scene), (x_scene, y_scene + 1)])
        nominal = self._nominal_gsd_m(corner)
        true = None
        points = self.lonlat_from_scene(corner)
        if points is not None and np.isfinite(points).all():
            # in space, where neither a pole nor the antimeridian tears a pixel apart
            corner_m = _in_space(points)
            true = _side_of(corner_m[1:] - corner_m[0])
        if nominal is not None and (true is None or abs(nominal / true - 1) < _TRUE_TO_GROUND):
            return nominal
        return true

    def _nominal_gsd_m(self, corner: Points) -> float | None:
        """Meters of a projection per pixel; None in degrees."""
        if self.crs is None or not self.crs.is_projected:
            return None
        unit_m = float(self.crs.linear_units_factor[1])
        if self.transform is not None:
            return math.sqrt(abs(self._determinant)) * unit_m
        points = self.crs_from_scene(corner)
        return None if points is None else _side_of((points[1:] - points[0]) * unit_m)

    def lonlat_of_pole(self) -> Points:
        """Where the poles lie in the scene, ``(m, 2)`` pixels; only those that the CRS can show."""
        if not self.is_on_earth or self.crs is None:
            return np.empty((0, 2))
        poles = crs_from_lonlat(self.crs, np.array([(0.0, 90.0), (0.0, -90.0)]))
        on_scene = self.scene_from_crs(poles[np.isfinite(poles).all(1)])
        return np.empty((0, 2)) if on_scene is None else on_scene[np.isfinite(on_scene).all(1)]

    @cached_property
    def _lon_of_gcps(self) -> float | None:
        """The mean longitude of GCPs on both sides of the antimeridian, else None.

        They leave most of the globe free between them. Two longitudes alone may be those of its
        whole map, unless they would mirror it.
        """
        if self.kind != "gcps" or self.crs is None or not self.crs.is_geographic:
            return None
        lon = np.unique([gcp[2] for gcp in self.gcps])
        if len(lon) < 2 or lon[0] < -180 or lon[-1] > 180 or np.diff(lon).max() <= 180:
            return None
        if len(lon) == 2 and not ControlPoints(self.gcps).is_mirrored:
            return None
        return float(np.where(lon < 0, lon + 360, lon).mean())

    @cached_property
    def _model(self) -> ControlPoints | RationalFunctions | None:
        if self.kind == "gcps":
            return ControlPoints(self.gcps, 0.0 if self._lon_of_gcps is None else 360.0)
        return RationalFunctions(self.rpcs) if self.kind == "rpcs" else None


def _wkt_of(dataset: Any) -> tuple[str | None, str]:
    """The CRS of a dataset and no note; or None, with a note where it names one in vain."""
    try:
        return (place_wkt(dataset.crs) if dataset.crs else None), ""
    except (ValueError, *GDAL_ERRORS) as error:
        return None, f"the coordinate reference system is not understood: {error}"


def _side_of(steps: Points) -> float | None:
    """The side of a square as large as a parallelogram of two steps, ``(2, 2)`` or ``(2, 3)``."""
    (first, across), (_, second) = steps @ steps.T
    area = math.sqrt(max(0.0, first * second - across**2))
    return math.sqrt(area) if area > 0 and math.isfinite(area) else None


def _in_space(points: Points) -> Points:
    """Longitudes and latitudes ``(n, 2)`` in meters from the center of WGS 84, ``(n, 3)``."""
    lon, lat = np.radians(points).T
    radius = _WGS84_AXIS_M / np.sqrt(1 - _WGS84_ECCENTRICITY_2 * np.sin(lat) ** 2)
    from_axis, height = radius * np.cos(lat), radius * (1 - _WGS84_ECCENTRICITY_2) * np.sin(lat)
    return np.column_stack((from_axis * np.cos(lon), from_axis * np.sin(lon), height))
