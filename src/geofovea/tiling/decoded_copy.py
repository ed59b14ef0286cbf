"""A native image that is decoded once and kept as a tiled file in memory."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import rasterio
from rasterio.io import MemoryFile

from geofovea.tiling.files.handles import open_dataset, open_handle, read_errors
from geofovea.tiling.files.source import Source
from geofovea.tiling.machine.forks import ForkSafeLock
from geofovea.tiling.machine.rasterio_warnings import without_georeference_warning
from geofovea.tiling.pixels.validity import read_valid
from geofovea.tiling.scene import Scene

__all__ = ["DecodedCopy"]

_BLOCK = 256


class DecodedCopy:
    """Some bands of a scene in memory, made when they are first read; threads may share it.

    It lives as long as whoever holds it.
    """

    def __init__(self, scene: Scene, bands: tuple[int, ...]) -> None:
        """Decode nothing yet.

        Args:
            scene: What to copy.
            bands: The bands, counted from 1; the copy numbers them anew.
        """
        self._scene, self._bands = scene, list(bands)
        self._lock = ForkSafeLock()
        self._source: Source | None = None
        self._handles = threading.local()

    def handle(self) -> Any:
        """An open dataset of the copy for the thread at hand.

        Raises:
            SceneReadError: If the scene is damaged.
        """
        handle = getattr(self._handles, "handle", None)
        if handle is None:
            with self._lock:
                self._source = self._source or self._decode()
            handle = self._handles.handle = open_dataset(self._source)
        return handle

    def _decode(self) -> Source:
        """Copy the bands, and what marks missing pixels."""
        scene = self._scene
        # a block of its own: damaged pixels must fail here, before they become the copy
        with read_errors(scene.source):
            native = open_handle(scene.source)
            array = native.read(self._bands)
            is_numbered = _tells_missing_by_number(scene)
            valid = None if is_numbered else read_valid(native, scene, tuple(self._bands))
        memory = MemoryFile()
        weakref.finalize(self, memory.close)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            without_georeference_warning(),
            memory.open(
                driver="GTiff",
                width=scene.width,
                height=scene.height,
                count=len(self._bands),
                dtype=array.dtype,
                nodata=scene.nodata if is_numbered else None,
                tiled=True,
                blockxsize=_BLOCK,
                blockysize=_BLOCK,
            ) as copy,
        ):
            copy.write(array)
            if valid is not None:
                copy.write_mask(valid)
        return Source(memory.name, "GTiff")


def _tells_missing_by_number(scene: Scene) -> bool:
    """Whether one nodata value marks all that is missing, in each band by itself."""
    is_by_number = scene.mask_kind in ("none", "nodata") and not scene.dtype.endswith("int64")
    return is_by_number and not (scene.alpha or scene.missing or scene.nodata_bands)
