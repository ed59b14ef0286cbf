"""Where the model looked, as a map on the grid of the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from geofovea.errors import GeometryError
from geofovea.tiling.arrays.grid_coords import grid_coords
from geofovea.tiling.geo.georeference import Georeference

if TYPE_CHECKING:
    from geofovea.pipeline.answers.evidence import Look
    from geofovea.tiling.scene import Scene

__all__ = ["heat_map"]

MAX_PIXELS = 2**26
_DEFAULT_SIDE = 2048


def heat_map(
    scene: Scene,
    looks: Sequence[Look],
    level: int | None = None,
    labels: Mapping[str, str] | None = None,
) -> xr.DataArray:
    """The focus scores of some looks, the finest over the coarser ones.

    Scores of different levels cannot be compared, so each is divided by the highest of its level.
    The first look shows the whole scene without scoring it, and is left out if another follows.

    Args:
        scene: What was looked at.
        looks: Where, coarse to fine.
        level: Whose pixels the map has; by default the finest of at most 2048 a side.
        labels: Further attributes of the map, such as the question.

    Returns:
        float32 ``(y, x)`` in [0, 1], NaN where nothing was looked at; with pixel-center
        coordinates if the scene is not rotated, a CRS in ``spatial_ref``, and a coordinate
        ``look_level`` that says which look each pixel is from (-1 for none).

    Raises:
        GeometryError: If the level is negative or has more than 64 million pixels.
    """
    level = _default_level(scene) if level is None else level
    width, height = scene.level_size(max(0, level))
    if level < 0 or width * height > MAX_PIXELS:
        coarser = next(n for n in range(64) if np.prod(scene.level_size(n)) <= MAX_PIXELS)
        raise GeometryError(
            f"a heat map of level {level} would have {width} x {height} pixels; use a level from "
            f"{coarser} up, which has at most {MAX_PIXELS}"
        )
    heat = np.full((height, width), np.nan, np.float32)
    look_level = np.full((height, width), -1, np.int16)
    for look in looks[1:] or looks:
        layer = _painted(look, (height, width), 1 << level)
        is_seen = ~np.isnan(layer)
        heat[is_seen], look_level[is_seen] = layer[is_seen], look.level
    coords = _coords(scene, level, width, height)
    coords["look_level"] = (("y", "x"), look_level, {"long_name": "level that was looked at"})
    attrs = {
        "long_name": "attention relative to the strongest of its level",
        **(labels or {}),
        "level": level,
    }
    result = xr.DataArray(heat, coords, ("y", "x"), "focus", attrs)
    result.encoding["grid_mapping"] = "spatial_ref"
    return result


def _default_level(scene: Scene) -> int:
    return next(n for n in range(64) if max(scene.level_size(n)) <= _DEFAULT_SIDE)


def _painted(look: Look, shape: tuple[int, int], step: int) -> NDArray[np.float32]:
    """Relative scores of one look; where several tokens share a pixel, the strongest."""
    layer = np.full(shape, np.nan, np.float32)
    top = float(look.token_scores.max(initial=0)) or 1.0
    # weak ones first, so that the strongest stays
    order = np.argsort(look.token_scores, kind="stable")
    # a token has the pixels whose centers it covers, or the one that its own center lies in
    corners = look.token_boxes / step
    first, last = np.ceil(corners[:, :2] - 0.5), np.ceil(corners[:, 2:] - 0.5)
    center = np.floor((corners[:, :2] + corners[:, 2:]) / 2)
    first, last = np.where(first < last, (first, last), (center, center + 1))
    edges = np.concatenate([first, last], axis=1).astype(int)
    for x0, y0, x1, y1, score in zip(*edges[order].T, look.token_scores[order], strict=True):
        layer[y0:y1, x0:x1] = score / top
    return layer


def _coords(scene: Scene, level: int, width: int, height: int) -> dict[str, Any]:
    step, georeference = 1 << level, scene.georeference
    # RPCs hold for native pixels only
    place = Georeference() if georeference.kind == "rpcs" else georeference.coarser(step, step)
    return grid_coords(place, width, height)
