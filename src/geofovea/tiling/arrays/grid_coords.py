"""The coordinates that tell where an array lies on the ground, as ``georeference`` reads them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from geofovea.tiling.arrays.grid_part import COL, ROW
from geofovea.tiling.geo.georeference import Georeference

__all__ = ["grid_coords"]


def grid_coords(georeference: Georeference, width: int, height: int) -> dict[str, Any]:
    """``spatial_ref``, and what tells a part of the array from the whole.

    That are ``x`` and ``y`` of the centers of pixels where the grid is not turned. Elsewhere it is
    the number of each column and row, as ``col`` and ``row`` along ``x`` and ``y``.

    Args:
        georeference: Of the grid.
        width: In pixels.
        height: In pixels.
    """
    transform = georeference.transform
    coords: dict[str, Any] = {"spatial_ref": ((), 0, _grid_mapping(georeference))}
    cols, rows = np.arange(width), np.arange(height)
    if transform is not None and transform[1] == transform[3] == 0:
        a, _, c, _, e, f = transform
        return coords | {"x": ("x", c + a * (cols + 0.5)), "y": ("y", f + e * (rows + 0.5))}
    if transform is not None or georeference.kind in ("gcps", "rpcs"):
        return coords | {COL: ("x", cols), ROW: ("y", rows)}
    return coords


def _grid_mapping(georeference: Georeference) -> dict[str, str]:
    """Attributes of ``spatial_ref`` that say where a grid lies."""
    attrs: dict[str, str] = {}
    if georeference.crs_wkt:
        # two names for one thing: CF and rioxarray read the first, GDAL the second
        attrs |= {"crs_wkt": georeference.crs_wkt, "spatial_ref": georeference.crs_wkt}
    if georeference.transform is not None:
        a, b, c, d, e, f = georeference.transform
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
