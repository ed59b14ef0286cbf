"""From pixels to the ground and back by control points or by RPCs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import GCPTransformer, RPCTransformer

from geofovea.tiling.gdal_errors import GDAL_ERRORS
from geofovea.tiling.machine.rasterio_warnings import without_transform_warning

__all__ = ["ControlPoints", "RationalFunctions"]

Points = NDArray[np.float64]

_FARTHEST = 1e11
# a plane through points that lie on a line, up to rounding, is none
_FLAT = 1e-9
_PARTS = ("LINE", "SAMP", "LAT", "LONG", "HEIGHT")
_SERIES = ("LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF")


@dataclass(frozen=True)
class ControlPoints:
    """Control points and the polynomial through them.

    It is the one that ``gdalwarp`` takes by default; where that has no solution, a plane.

    Attributes:
        points: As ``(x_scene, y_scene, x_crs, y_crs, z)``.
        beyond: Added to ground coordinates below 0, for longitudes across the antimeridian.
    """

    points: tuple[tuple[float, float, float, float, float], ...]
    beyond: float = 0.0

    @cached_property
    def trouble(self) -> str:
        """Why they place nothing, in words; empty where they do."""
        if not self.points:
            return "there are no control points"
        numbers = np.array(self.points, np.float64)[:, :4]
        if not (np.isfinite(numbers).all() and (np.abs(numbers) < _FARTHEST).all()):
            return f"the {len(self.points)} control points hold coordinates that are no places"
        if not self._is_solvable and self._plane is None:
            return (
                f"no surface fits the {len(self.points)} control points: it takes three that are "
                "not on a line"
            )
        return ""

    @property
    def is_mirrored(self) -> bool:
        """Whether they show the ground as if seen from below."""
        if self.trouble or self._plane is None:
            return False
        return bool(np.linalg.det(self._plane[:, :2]) > 0)

    def crs_from_scene(self, points_scene: Points) -> Points:
        """Move points ``(n, 2)``; NaN where there is no place."""
        return self._moved(points_scene, to_scene=False)

    def scene_from_crs(self, points_crs: Points) -> Points:
        """Move points ``(n, 2)``; NaN where there is no place."""
        return self._moved(points_crs, to_scene=True)

    def _moved(self, points: Points, *, to_scene: bool) -> Points:
        if self.trouble:
            return np.full(points.shape, np.nan)
        if self._is_solvable:
            with self._transformer() as transformer:
                return _by(transformer, points, np.zeros(len(points)), to_scene=to_scene)
        if self._plane is None:
            return np.full(points.shape, np.nan)
        linear, offset = self._plane[:, :2], self._plane[:, 2]
        if to_scene:
            return np.asarray(np.linalg.solve(linear, (points - offset).T).T, np.float64)
        return points @ linear.T + offset

    @cached_property
    def _is_solvable(self) -> bool:
        try:
            with self._transformer() as transformer:
                place = _by(transformer, self._scene[:1], np.zeros(1), to_scene=False)
                return bool(np.isfinite(place).all())
        except (ValueError, *GDAL_ERRORS):
            return False

    @property
    def _scene(self) -> Points:
        return np.array(self.points, np.float64)[:, :2]

    @property
    def _ground(self) -> Points:
        ground = np.array(self.points, np.float64)[:, 2:4]
        ground[:, 0] += self.beyond * (ground[:, 0] < 0)
        return ground

    @cached_property
    def _plane(self) -> Points | None:
        """The affine of least squares ``(2, 3)``; None where there is none with an inverse."""
        scene, ground = self._scene, self._ground
        if _is_flat(scene) or _is_flat(ground):
            return None
        center = scene.mean(0)
        design = np.column_stack((scene - center, np.ones(len(scene))))
        plane = np.linalg.lstsq(design, ground, rcond=None)[0].T
        plane[:, 2] -= plane[:, :2] @ center
        return plane if not _is_flat(scene @ plane[:, :2].T) else None

    def _transformer(self) -> GCPTransformer:
        return GCPTransformer(
            [
                GroundControlPoint(row=y, col=x, x=x_crs, y=y_crs, z=point[4])
                for point, (x, y), (x_crs, y_crs) in zip(
                    self.points, self._scene.tolist(), self._ground.tolist(), strict=True
                )
            ]
        )


@dataclass(frozen=True)
class RationalFunctions:
    """RPC metadata: rational functions of longitude, latitude and height.

    Attributes:
        items: As GDAL names them.
    """

    items: tuple[tuple[str, str], ...]

    @cached_property
    def trouble(self) -> str:
        """Why they place nothing, in words; empty where they do."""
        items: Mapping[str, str] = dict(self.items)
        for part in _PARTS:
            for name in (f"{part}_OFF", f"{part}_SCALE"):
                numbers = _numbers(items.get(name))
                if len(numbers) != 1 or (name.endswith("SCALE") and numbers[0] == 0):
                    return f"the RPCs are incomplete or no numbers: {name} is {items.get(name)!r}"
        for name in _SERIES:
            if len(_numbers(items.get(name))) != 20:
                return f"the RPCs are incomplete or no numbers: {name} needs 20 numbers"
        try:
            with self._transformer() as transformer:
                center = np.array([[float(items["SAMP_OFF"]), float(items["LINE_OFF"])]])
                place = _by(transformer, center, self._heights(1), to_scene=False)
        except (ValueError, KeyError, *GDAL_ERRORS) as error:
            return f"the RPCs cannot be used: {error}"
        return "" if np.isfinite(place).all() else "the RPCs lead to no place"

    def crs_from_scene(self, points_scene: Points) -> Points:
        """Move points ``(n, 2)`` to longitude and latitude; NaN where there is no place."""
        return self._moved(points_scene, to_scene=False)

    def scene_from_crs(self, points_crs: Points) -> Points:
        """Move longitudes and latitudes ``(n, 2)``; NaN where there is no place."""
        return self._moved(points_crs, to_scene=True)

    def _moved(self, points: Points, *, to_scene: bool) -> Points:
        if self.trouble:
            return np.full(points.shape, np.nan)
        with self._transformer() as transformer:
            return _by(transformer, points, self._heights(len(points)), to_scene=to_scene)

    def _transformer(self) -> RPCTransformer:
        return RPCTransformer(RPC.from_gdal(dict(self.items)))

    def _heights(self, count: int) -> Points:
        """The model's own mean height, which is nearer to the ground than the ellipsoid."""
        return np.full(count, float(dict(self.items)["HEIGHT_OFF"]))


def _by(transformer: Any, points: Points, heights: Points, *, to_scene: bool) -> Points:
    """Move points by a transformer; the halves of what fails are tried by themselves."""
    result = np.full(points.shape, np.nan)
    which = np.flatnonzero((np.abs(points) < _FARTHEST).all(1))
    stack = [which] if len(which) else []
    while stack:
        some = stack.pop()
        try:
            with without_transform_warning():
                result[some] = _once(transformer, points[some], heights[some], to_scene=to_scene)
        except GDAL_ERRORS:
            if len(some) > 1:
                stack += np.array_split(some, 2)
    result[~(np.abs(result) < _FARTHEST).all(1)] = np.nan
    return result


def _once(transformer: Any, points: Points, heights: Points, *, to_scene: bool) -> Points:
    if not to_scene:
        # rasterio names rows first
        return np.column_stack(transformer.xy(points[:, 1], points[:, 0], zs=heights, offset="ul"))
    rows, cols = transformer.rowcol(points[:, 0], points[:, 1], zs=heights, op=float)
    return np.column_stack((cols, rows))


def _numbers(text: str | None) -> Sequence[float]:
    """The numbers of a text; none where one of its words is not finite or no number."""
    try:
        numbers = [float(word) for word in (text or "").split()]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _is_flat(points: Points) -> bool:
    """Whether points lie on a line, or are too few for anything else."""
    if len(points) < 3:
        return True
    spread = points - points.mean(0)
    singular = np.linalg.svd(spread, compute_uv=False)
    return bool(not np.isfinite(singular).all() or singular[1] <= _FLAT * max(singular[0], 1e-300))
