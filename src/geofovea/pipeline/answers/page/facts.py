"""Facts about a scene that a page shows before the first question, and where its pixels lie."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofovea.tiling.geo.place_notes import place_notes
from geofovea.tiling.pixels.radiometry import Radiometry
from geofovea.tiling.scene import Scene

__all__ = ["lonlat_grid", "shown_facts"]

_NODES = (17, 33, 65)
_LONLAT_DIGITS = 8
_MOST_ERROR_PIXELS = 0.25

Grid = NDArray[np.float64]


def shown_facts(scene: Scene, radiometry: Radiometry) -> dict[str, Any]:
    """Facts of a scene that need no model.

    Args:
        scene: Which scene.
        radiometry: How its pixels become colors.
    """
    return {
        "width": scene.width,
        "height": scene.height,
        "bands": list(scene.colorinterp),
        "dtype": scene.dtype,
        "driver": scene.driver,
        "crs": scene.crs_name,
        "georef": scene.georef,
        "gsd_m": scene.gsd_m,
        "affine": None if scene.transform is None else list(scene.transform),
        "shown": radiometry.reason,
        "shown_bands": list(radiometry.bands),
        # those of the scene are among them
        "warnings": [*radiometry.warnings, *place_notes(scene)],
        "lonlat": lonlat_grid(scene),
    }


def lonlat_grid(scene: Scene) -> dict[str, Any] | None:
    """Longitude and latitude at evenly spaced places, so that a page needs no projections.

    Node ``(i, j)`` of ``n × n`` lies at ``x = j · width / (n - 1)``, ``y = i · height / (n - 1)``;
    between nodes a page interpolates bilinearly. Longitudes go on beyond 180 degrees rather than
    jump. The grid is the coarsest of 17, 33 and 65 nodes whose error is at most a quarter of a
    native pixel at the centers of its cells.

    Returns:
        ``n``, rows ``lon`` and ``lat`` of degrees (None where a place is off the map), and
        ``error_px``, the largest error at the centers in native pixels; None without georeference.
    """
    best: dict[str, Any] | None = None
    for count in _NODES:
        nodes = _lonlat(scene, np.linspace(0, 1, count))
        if nodes is None or not np.isfinite(nodes).any():
            return None
        centers = _lonlat(scene, (np.arange(count - 1) + 0.5) / (count - 1))
        error = np.inf if centers is None else _error_pixels(scene, nodes, centers)
        best = {
            "n": count,
            "lon": _plain(nodes[..., 0]),
            "lat": _plain(nodes[..., 1]),
            "error_px": round(float(error), 3) if np.isfinite(error) else None,
        }
        if error <= _MOST_ERROR_PIXELS:
            break
    return best


def _lonlat(scene: Scene, along: NDArray[np.float64]) -> Grid | None:
    """Places ``(n, n, 2)`` at shares of the scene's height and width, without jumps."""
    x, y = np.meshgrid(along * scene.width, along * scene.height)
    points = scene.georeference.lonlat_from_scene(np.column_stack((x.ravel(), y.ravel())))
    if points is None:
        return None
    grid = points.reshape(*x.shape, 2).copy()
    lon = grid[..., 0]
    if np.isfinite(lon).all():
        lon = np.unwrap(np.unwrap(lon, period=360, axis=1), period=360, axis=0)
    elif np.isfinite(lon).any():
        # beside places that are off the map nothing can be followed from node to node
        lon = lon - 360 * np.round((lon - np.nanmedian(lon)) / 360)
    grid[..., 0] = lon
    return grid


def _error_pixels(scene: Scene, nodes: Grid, centers: Grid) -> float:
    """The largest distance of the interpolated from the true centers, in native pixels."""
    cells = len(nodes) - 1
    corners = nodes[:-1, :-1], nodes[:-1, 1:], nodes[1:, :-1], nodes[1:, 1:]
    top_left, top_right, bottom_left, bottom_right = corners
    away = sum(corners) / 4 - centers
    away[..., 0] -= 360 * np.round(away[..., 0] / 360)
    # degrees per native pixel along both axes, from the edges of the cell
    along_x = (top_right + bottom_right - top_left - bottom_left) / 2 * cells / scene.width
    along_y = (bottom_left + bottom_right - top_left - top_right) / 2 * cells / scene.height
    area = along_x[..., 0] * along_y[..., 1] - along_x[..., 1] * along_y[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        x = (away[..., 0] * along_y[..., 1] - away[..., 1] * along_y[..., 0]) / area
        y = (away[..., 1] * along_x[..., 0] - away[..., 0] * along_x[..., 1]) / area
        errors = np.hypot(x, y)
    known = errors[np.isfinite(errors)]
    return float(known.max()) if known.size else float("inf")


def _plain(values: Grid) -> list[list[float | None]]:
    rounded = np.round(values, _LONLAT_DIGITS)
    return [[v if np.isfinite(v) else None for v in row] for row in rounded.tolist()]
