"""Where a scene lies on the ground: by an affine, by control points, by RPCs, or not at all."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.rpc import RPC
from rasterio.transform import GCPTransformer, RPCTransformer
from rasterio.warp import transform as warp_transform

from geofovea.errors import GeometryError

__all__ = ["GeorefKind", "Georeference"]

GeorefKind = Literal["affine", "gcps", "rpcs", "none"]
Points = NDArray[np.float64]

_WGS84 = "EPSG:4326"
_ELLIPSOID = re.compile(r'(?:SPHEROID|ELLIPSOID)\["[^"]*",\s*([0-9.eE+]+)')
_EARTH_AXIS_M = (6.35e6, 6.40e6)
_TRUE_TO_GROUND = 0.05
_WGS84_AXIS_M, _WGS84_ECCENTRICITY_2 = 6378137.0, 0.00669437999014


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

    Raises:
        GeometryError: If an affine has no inverse.
    """

    kind: GeorefKind = "none"
    crs_wkt: str | None = None
    transform: tuple[float, float, float, float, float, float] | None = None
    gcps: tuple[tuple[float, float, float, float, float], ...] = ()
    rpcs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.transform and not (math.isfinite(self._determinant) and self._determinant):
            raise GeometryError(f"an affine needs a finite inverse, got {self.transform}")

    @classmethod
    def from_dataset(cls, dataset: Any) -> Georeference:
        """Read it from an open rasterio dataset; an affine goes before GCPs, GCPs before RPCs.

        A raster without an affine reports the identity, and one whose affine is degenerate cannot
        be placed: both count as having none, whatever CRS they name.
        """
        crs_wkt = dataset.crs.to_wkt() if dataset.crs else None
        a, b, c, d, e, f = tuple(float(value) for value in dataset.transform)[:6]
        determinant = a * e - b * d
        is_identity = (a, b, c, d, e, f) == (1, 0, 0, 0, 1, 0)
        if not is_identity and math.isfinite(determinant) and determinant != 0:
            return cls("affine", crs_wkt, (a, b, c, d, e, f))
        gcps, gcps_crs = dataset.gcps
        if gcps:
            points = tuple((g.col, g.row, g.x, g.y, g.z or 0.0) for g in gcps)
            return cls("gcps", gcps_crs.to_wkt() if gcps_crs else None, gcps=points)
        if dataset.rpcs is not None:
            items = tuple(sorted(dataset.rpcs.to_gdal().items()))
            return cls("rpcs", CRS.from_epsg(4326).to_wkt(), rpcs=items)
        return cls("none", crs_wkt)

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
        axis = _ELLIPSOID.search(self.crs_wkt or "")
        return axis is not None and _EARTH_AXIS_M[0] < float(axis.group(1)) < _EARTH_AXIS_M[1]

    @property
    def _determinant(self) -> float:
        a, b, _, d, e, _ = self.transform or (0.0,) * 6
        return a * e - b * d

    def crs_from_scene(self, points: Points) -> Points | None:
        """Move points ``(n, 2)`` as ``(x_scene, y_scene)`` into the CRS; None if not placed.

        GCPs are fitted by a polynomial, as ``gdalwarp`` does by default; where they lie on both
        sides of the antimeridian, longitudes go on beyond 180 degrees. RPCs need a height and get
        the model's own mean height, which is nearer to the ground than the ellipsoid.
        """
        if self.transform is not None:
            a, b, c, d, e, f = self.transform
            x_scene, y_scene = points[:, 0], points[:, 1]
            return np.column_stack((a * x_scene + b * y_scene + c, d * x_scene + e * y_scene + f))
        if self.kind == "none":
            return None
        with self._transformer() as transformer:
            return np.column_stack(
                transformer.xy(points[:, 1], points[:, 0], zs=self._heights(points), offset="ul")
            )

    def scene_from_crs(self, points: Points) -> Points | None:
        """Move points ``(n, 2)`` in the CRS to ``(x_scene, y_scene)``; None if not placed."""
        if self.transform is not None:
            a, b, c, d, e, f = self.transform
            x, y = points[:, 0] - c, points[:, 1] - f
            return np.column_stack((e * x - b * y, a * y - d * x)) / self._determinant
        if self.kind == "none":
            return None
        if self._lon_of_gcps is not None:
            turns = np.round((self._lon_of_gcps - points[:, 0]) / 360)
            points = np.column_stack((points[:, 0] + 360 * turns, points[:, 1]))
        with self._transformer() as transformer:
            rows, cols = transformer.rowcol(
                points[:, 0], points[:, 1], zs=self._heights(points), op=float
            )
        return np.column_stack((cols, rows))

    def lonlat_from_scene(self, points: Points) -> Points | None:
        """Move points ``(n, 2)`` to WGS 84 longitude and latitude in degrees.

        Returns:
            None without georeference or CRS, on another planet, or where a point is off the map.
        """
        if not self.is_on_earth:
            return None
        points_crs = self.crs_from_scene(points)
        if points_crs is None:
            return None
        try:
            lon, lat = warp_transform(self.crs, _WGS84, points_crs[:, 0], points_crs[:, 1])
        except (CRSError, RasterioError, CPLE_BaseError):
            return None
        lonlat = np.column_stack((lon, lat))
        return lonlat if np.isfinite(lonlat).all() else None

    def gsd_m(self, x_scene: float, y_scene: float) -> float | None:
        """Metres per pixel at a point: the square root of the area that one pixel covers.

        These are metres of the projection where it is true to the ground within 5 %, as UTM and
        national grids are, and metres on the ground elsewhere: a pixel of Web Mercator that
        claims a metre covers half of that at 60° north. In degrees on another planet, or without
        CRS, it is unknown.
        """
        corner = np.array([(x_scene, y_scene), (x_scene + 1, y_scene), (x_scene, y_scene + 1)])
        nominal = self._nominal_gsd_m(corner)
        true = None
        points = self.lonlat_from_scene(corner)
        if points is not None:
            # no step of one pixel goes around the globe
            steps = points[1:] - points[0]
            steps[:, 0] -= 360 * np.round(steps[:, 0] / 360)
            true = _side_of(steps * _metres_per_degree(float(points[0, 1])))
        if nominal is not None and (true is None or abs(nominal / true - 1) < _TRUE_TO_GROUND):
            return nominal
        return true

    def _nominal_gsd_m(self, corner: Points) -> float | None:
        """Metres of a projection per pixel; None in degrees."""
        if self.crs is None or not self.crs.is_projected:
            return None
        unit_m = float(self.crs.linear_units_factor[1])
        if self.transform is not None:
            return math.sqrt(abs(self._determinant)) * unit_m
        points = self.crs_from_scene(corner)
        return None if points is None else _side_of((points[1:] - points[0]) * unit_m)

    def lonlat_of_pole(self) -> Points:
        """Where the poles lie in the scene, ``(m, 2)`` pixels; only those that the CRS can show."""
        poles = []
        for lat in (90.0, -90.0) if self.is_on_earth and self.crs is not None else ():
            try:
                x, y = warp_transform(_WGS84, self.crs, [0.0], [lat])
            except (CRSError, RasterioError, CPLE_BaseError):
                continue
            pole = self.scene_from_crs(np.column_stack((x, y)))
            if pole is not None and np.isfinite(pole).all():
                poles.append(pole)
        return np.concatenate(poles) if poles else np.empty((0, 2))

    @cached_property
    def _lon_of_gcps(self) -> float | None:
        """The mean longitude of GCPs on both sides of the antimeridian, else None.

        They leave most of the globe free between them. Two longitudes alone may be those of its
        whole map.
        """
        if self.kind != "gcps" or self.crs is None or not self.crs.is_geographic:
            return None
        lon = np.unique([gcp[2] for gcp in self.gcps])
        if len(lon) < 3 or lon[0] < -180 or lon[-1] > 180 or np.diff(lon).max() <= 180:
            return None
        return float(np.where(lon < 0, lon + 360, lon).mean())

    def _transformer(self) -> Any:
        if self.kind == "gcps":
            beyond = 0.0 if self._lon_of_gcps is None else 360.0
            return GCPTransformer(
                [
                    GroundControlPoint(row=y, col=x, x=xc + beyond * (xc < 0), y=yc, z=z)
                    for x, y, xc, yc, z in self.gcps
                ]
            )
        return RPCTransformer(RPC.from_gdal(dict(self.rpcs)))

    def _heights(self, points: Points) -> list[float]:
        height = float(dict(self.rpcs).get("HEIGHT_OFF", 0.0))
        return [height] * len(points)


def _side_of(steps: Points) -> float | None:
    """The side of a square with the area of a parallelogram given by two steps ``(2, 2)``."""
    area = abs(steps[0, 0] * steps[1, 1] - steps[0, 1] * steps[1, 0])
    return math.sqrt(area) if area > 0 and math.isfinite(area) else None


def _metres_per_degree(lat: float) -> Points:
    """Metres on the WGS 84 ellipsoid along one degree of longitude and of latitude."""
    curvature = 1 - _WGS84_ECCENTRICITY_2 * math.sin(math.radians(lat)) ** 2
    east = _WGS84_AXIS_M / math.sqrt(curvature) * math.cos(math.radians(lat))
    north = _WGS84_AXIS_M * (1 - _WGS84_ECCENTRICITY_2) / curvature**1.5
    return np.radians([east, north])
