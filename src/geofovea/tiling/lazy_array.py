"""Levels of a file as lazy arrays: pixels and masks that are read where they are indexed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from geofovea.tiling.machine.forks import ForkSafeLock

if TYPE_CHECKING:
    # xarray imports the engine to list it; rasterio is needed to open something
    from geofovea.tiling.overviews.scene_levels import SceneLevels
    from geofovea.tiling.pixels.level_grid import GridAxis
    from geofovea.tiling.scene import Scene

__all__ = ["BandLevels", "Level", "LevelArray", "LevelMask"]

_CHUNK_SIDE = 1024
_CHUNK_BYTES = 64 * 2**20
# so many bands share their level files; more are seldom shown together
_BANDS_TOGETHER = 4


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the pyramid and the image that serves it.

    Attributes:
        number: The level.
        width: In its own pixels.
        height: In its own pixels.
        overview: Index of the overview that has exactly this size; -1 for the native image, None
            for a level that the file lacks.
        is_kept: A level file serves it; what the file lacks is averaged when it is read else.
        block_shape: ``(height, width)`` of the blocks that a read meets.
    """

    number: int
    width: int
    height: int
    overview: int | None
    is_kept: bool
    block_shape: tuple[int, int]

    def steps(self, scene: Scene) -> tuple[float, float]:
        """Native pixels per pixel along x and y.

        GDAL stretches an overview over the whole scene. A level that is averaged here has pixels of
        exactly ``2**number``, of which the last may reach beyond the scene.
        """
        if self.overview is not None:
            return scene.width / self.width, scene.height / self.height
        return float(1 << self.number), float(1 << self.number)

    def chunks(self, count: int, itemsize: int) -> dict[str, int]:
        """Chunks for dask: whole blocks, but not too many of them."""
        sides = [
            min(extent, block * max(1, _CHUNK_SIDE // block))
            for extent, block in zip((self.height, self.width), self.block_shape, strict=True)
        ]
        bands = min(count, max(1, _CHUNK_BYTES // (sides[0] * sides[1] * itemsize)))
        return {"band": bands, "y": sides[0], "x": sides[1]}


class BandLevels:
    """The level files of a scene, of few bands together: those that nobody reads are not built."""

    def __init__(self, scene: Scene) -> None:
        """Take a scene; builds nothing yet."""
        self._scene = scene
        self._lock = ForkSafeLock()
        self._groups: dict[tuple[int, ...], SceneLevels] = {}

    def __reduce__(self) -> tuple[type[BandLevels], tuple[object, ...]]:
        return BandLevels, (self._scene,)

    def read(self, level: int, bands: list[int], window: Any) -> tuple[Any, Any]:
        """Values and masks ``(bands, h, w)`` of some bands of one level.

        Args:
            level: Which.
            bands: Counted from 1.
            window: Of whole pixels of the level.
        """
        if self._scene.count <= _BANDS_TOGETHER:
            return self._part(level, (), bands, window)
        parts = [self._part(level, (band,), [band], window) for band in bands]
        values, masks = zip(*parts, strict=True)
        return np.concatenate(values), np.concatenate(masks)

    def _part(
        self, level: int, group: tuple[int, ...], bands: list[int], window: Any
    ) -> tuple[Any, Any]:
        return self._of(group).read(level, partial(self._read, group, bands, window))

    def _of(self, group: tuple[int, ...]) -> SceneLevels:
        from geofovea.tiling.overviews.scene_levels import SceneLevels

        with self._lock:
            if group not in self._groups:
                self._groups[group] = SceneLevels(self._scene.showing(group))
            return self._groups[group]

    def _read(
        self, group: tuple[int, ...], bands: list[int], window: Any, handle: Any
    ) -> tuple[Any, Any]:
        from geofovea.tiling.overviews.level_files import level_files_of

        files = level_files_of(self._scene.showing(group))
        file_bands = [cast("Any", files).bands.index(band) + 1 for band in bands]
        masks = handle.read_masks(file_bands, window=window) >= 128  # half of the pixels below
        return handle.read(file_bands, window=window), masks


class LevelArray(BackendArray):  # type: ignore[no-untyped-call, misc, unused-ignore]
    """Pixels ``(band, y, x)`` of one level, read where they are indexed."""

    def __init__(self, scene: Scene, level: Level, files: BandLevels | None) -> None:
        self._scene, self._level, self._files = scene, level, files
        self.shape: tuple[int, ...] = (scene.count, level.height, level.width)
        # rasterio reads the one type that numpy lacks as the next larger one
        name = "complex64" if scene.dtype == "complex_int16" else scene.dtype
        self.dtype = np.dtype(name)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: tuple[Any, ...]) -> Any:
        indexes = [np.atleast_1d(np.arange(n)[k]) for k, n in zip(key, self.shape, strict=True)]
        shape = tuple(map(len, indexes))
        result = np.empty(shape, self.dtype)
        if min(shape) > 0:
            rows, cols = (slice(int(w.min()), int(w.max()) + 1) for w in indexes[-2:])
            read = self._window(indexes[:-2], rows, cols)
            result = read[..., indexes[-2][:, None] - rows.start, indexes[-1] - cols.start]
        # whole numbers take their dimension away
        return result[tuple(0 if isinstance(k, (int, np.integer)) else slice(None) for k in key)]

    def _window(self, bands: list[Any], rows: slice, cols: slice) -> Any:
        return self._read([int(b) + 1 for b in bands[0]], rows, cols)[0]

    def _read(self, bands: list[int], rows: slice, cols: slice) -> tuple[Any, Any]:
        """Values and masks ``(bands, h, w)`` of a window; the masks may be None, for all known."""
        from rasterio.enums import Resampling
        from rasterio.windows import Window

        from geofovea.tiling.files.gdal_settings import gdal_settings
        from geofovea.tiling.files.handles import open_handle, read_errors
        from geofovea.tiling.pixels.validity import read_known

        scene, level = self._scene, self._level
        window = Window.from_slices(rows, cols)
        if self._files is not None:
            if level.is_kept:
                return self._files.read(level.number, bands, window)
            return self._average(bands, rows, cols)
        with gdal_settings(), read_errors(scene.source):
            handle = open_handle(scene.source, None if level.overview == -1 else level.overview)
            shape = (rows.stop - rows.start, cols.stop - cols.start)
            return read_known(handle, scene, tuple(bands), window, shape, Resampling.nearest)

    def _average(self, bands: list[int], rows: slice, cols: slice) -> tuple[Any, Any]:
        """The same of a level that is kept nowhere, from the image that its tiles are made from."""
        from geofovea.tiling.files.gdal_settings import gdal_settings
        from geofovea.tiling.files.handles import open_handle, read_errors
        from geofovea.tiling.pixels.halving import Known
        from geofovea.tiling.pixels.level_grid import read_on_grid
        from geofovea.tiling.pixels.validity import needs_half_known, read_band_masks
        from geofovea.tiling.plan import plan_level

        scene, files = self._scene, cast("BandLevels", self._files)
        part = (cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
        plan = plan_level(scene, self._level.number, part)
        nodata = scene.nodata_of(tuple(bands)) if scene.mask_kind == "nodata" else ()

        def read(window: Any) -> Known:
            if plan.level_file is not None:
                return Known(*files.read(plan.level_file, bands, window))
            with gdal_settings(), read_errors(scene.source):
                handle = open_handle(scene.source, plan.overview_level)
                values = handle.read(bands, window=window)
                return Known(values, read_band_masks(handle, scene, tuple(bands), window=window))

        rows_grid, cols_grid = cast("tuple[GridAxis, GridAxis]", plan.grid)
        needs_half = needs_half_known(scene)
        return read_on_grid(rows_grid, cols_grid, read, nodata, needs_half=needs_half)


class LevelMask(LevelArray):
    """What marks missing pixels of one level: 255 where pixels are known, else 0.

    ``(y, x)``, or ``(band, y, x)`` where a nodata value marks each band by itself.
    """

    def __init__(self, scene: Scene, level: Level, files: BandLevels | None) -> None:
        super().__init__(scene, level, files)
        self.is_by_band = scene.mask_kind == "nodata"
        self.shape = self.shape if self.is_by_band else self.shape[1:]
        self.dtype = np.dtype("uint8")

    def _window(self, bands: list[Any], rows: slice, cols: slice) -> Any:
        mask_bands = [int(b) + 1 for b in bands[0]] if self.is_by_band else [1]
        values, masks = self._read(mask_bands, rows, cols)
        valid = np.ones(values.shape, bool) if masks is None else masks
        mask = np.where(valid, 255, 0).astype(np.uint8)
        return mask if self.is_by_band else mask[0]
