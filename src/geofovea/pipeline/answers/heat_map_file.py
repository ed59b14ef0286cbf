"""The heat map of an answer as a GeoTIFF, where the scene lies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.io import MemoryFile

from geofovea.errors import OutputError
from geofovea.pipeline.system.files import write_file
from geofovea.tiling.gdal_errors import GDAL_ERRORS
from geofovea.tiling.machine.rasterio_warnings import without_georeference_warning

if TYPE_CHECKING:
    import xarray

    from geofovea.tiling.scene import Scene

__all__ = ["write_heat_map"]

_BLOCK = 256


def write_heat_map(path: str | os.PathLike[str], heat: xarray.DataArray, scene: Scene) -> None:
    """Write a heat map as a GeoTIFF of one float32 band, NaN where nothing was looked at.

    It has the CRS and the place of the scene, by an affine or by control points. RPCs hold for
    native pixels alone, so the map of a scene that has them has no place.

    Args:
        path: Of the file.
        heat: As ``heat_map`` makes it, float32 ``(y, x)``.
        scene: What was looked at.

    Raises:
        OutputError: If the file cannot be written.
    """
    height, width = heat.shape
    place = _place(scene, 1 << int(heat.attrs["level"]))

    # by way of memory: GDAL writes much of a file when it closes it, and is silent on a full disk
    with MemoryFile() as memory:
        try:
            with (
                without_georeference_warning(),
                memory.open(
                    driver="GTiff",
                    width=width,
                    height=height,
                    count=1,
                    dtype="float32",
                    nodata=np.nan,
                    compress="deflate",
                    tiled=True,
                    blockxsize=_BLOCK,
                    blockysize=_BLOCK,
                    **place,
                ) as target,
            ):
                target.write(heat.values, 1)
                target.set_band_description(1, heat.attrs["long_name"])
        except GDAL_ERRORS as error:
            raise OutputError(f"{path} could not be written: {error}") from error
        write_file(path, lambda aside: aside.write_bytes(memory.getbuffer()))


def _place(scene: Scene, step: int) -> dict[str, Any]:
    """Where a raster lies of which a pixel is ``step`` scene pixels wide, in rasterio's words."""
    place = scene.georeference.coarser(step, step)
    if place.transform is not None:
        return {"crs": scene.crs, "transform": Affine(*place.transform)}
    if place.kind != "gcps":
        return {}
    points = [
        GroundControlPoint(row=y, col=x, x=x_crs, y=y_crs, z=z)
        for x, y, x_crs, y_crs, z in place.gcps
    ]
    return {"crs": scene.crs, "gcps": points}
