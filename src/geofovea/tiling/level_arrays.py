"""Pixels and masks of one level of a file, read by xarray where they are indexed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

if TYPE_CHECKING:
    # xarray imports its engines to list them; rasterio is needed to open something
    from geofovea.tiling.plan import ReadPlan
    from geofovea.tiling.scene import Scene
    from geofovea.tiling.scene_levels import SceneLevels
    from geofovea.tiling.xarray_backend import Level

__all__ = ["LevelArray", "LevelMask"]


class LevelArray(BackendArray):  # type: ignore[no-untyped-call, misc, unused-ignore]
    """Pixels ``(band, y, x)`` of one level, read where they are indexed."""

    def __init__(self, scene: Scene, level: Level, files: SceneLevels | None) -> None:
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
        wanted = [np.atleast_1d(np.arange(n)[k]) for k, n in zip(key, self.shape, strict=True)]
        shape = tuple(map(len, wanted))
        result = np.empty(shape, self.dtype)
        if min(shape) > 0:
            rows, cols = (slice(int(w.min()), int(w.max()) + 1) for w in wanted[-2:])
            read = self._window(wanted[:-2], rows, cols)
            result = read[..., wanted[-2][:, None] - rows.start, wanted[-1] - cols.start]
        # whole numbers take their dimension away
        return result[tuple(0 if isinstance(k, (int, np.integer)) else slice(None) for k in key)]

    def _window(self, bands: list[Any], rows: slice, cols: slice) -> Any:
        return self._read("read", [int(b) + 1 for b in bands[0]], rows, cols)

    def _read(self, method: str, bands: list[int], rows: slice, cols: slice) -> Any:
        """Read a window of the level with a method of rasterio's dataset."""

        def read(handle: Any, **options: Any) -> Any:
            return getattr(handle, method)(bands, **options)

        return self._read_with(read, len(bands), rows, cols)

    def _read_with(self, read: Callable[..., Any], count: int, rows: slice, cols: slice) -> Any:
        """Read a window of the level with a function of a handle and the options of a read."""
        from rasterio.enums import Resampling
        from rasterio.windows import Window

        from geofovea.tiling.handles import gdal_settings, open_handle, read_errors
        from geofovea.tiling.plan import plan_tile

        scene, level = self._scene, self._level
        out_shape = (rows.stop - rows.start, cols.stop - cols.start)
        if self._files is None or level.is_kept:
            image, kept = level.overview, cast("int | None", level.number)
            options: dict[str, Any] = {"window": Window.from_slices(rows, cols)}
        else:
            # A pyramid whose top is this level plans it as one tile, so that windows of it are
            # taken from the same image, in the same way, as tiles of the file are.
            pyramid = scene.pyramid(max(level.width, level.height))
            plan = plan_tile(scene, pyramid, pyramid.overview)
            image, kept = plan.overview_level, plan.level_file
            options = {"window": _part_of(plan, scene, level.number, rows, cols)}
            options["out_shape"] = (count, *out_shape)
            options["resampling"] = Resampling[plan.resampling]

        if self._files is not None and kept is not None:
            return self._files.read(kept, lambda handle: read(handle, **options))
        with gdal_settings(), read_errors(scene.source):
            return read(open_handle(scene.source, None if image == -1 else image), **options)


def _part_of(plan: ReadPlan, scene: Scene, level: int, rows: slice, cols: slice) -> Any:
    """The window of some rows and columns of a level, in pixels of the image that it is read from.

    Args:
        plan: Of the whole level.
        scene: The scene.
        level: The level.
        rows: Of the level.
        cols: Of the level.
    """
    from rasterio.windows import Window

    _, _, width_image, height_image = plan.window
    ratio_x, ratio_y = width_image / scene.width, height_image / scene.height
    x0, x1 = cols.start << level, min(cols.stop << level, scene.width)
    y0, y1 = rows.start << level, min(rows.stop << level, scene.height)
    return Window(x0 * ratio_x, y0 * ratio_y, (x1 - x0) * ratio_x, (y1 - y0) * ratio_y)


class LevelMask(LevelArray):
    """The file's own mask of one level: ``(y, x)``, 255 where pixels are known, else 0."""

    def __init__(self, scene: Scene, level: Level, files: SceneLevels | None) -> None:
        super().__init__(scene, level, files)
        self.shape, self.dtype = self.shape[1:], np.dtype("uint8")

    def _window(self, bands: list[Any], rows: slice, cols: slice) -> Any:  # noqa: ARG002
        from geofovea.tiling.validity import read_valid

        scene = self._scene
        if scene.missing is None:
            mask = self._read("read_masks", [1], rows, cols)[0] >= 128  # half of the pixels below
        else:
            # what the caller declared missing, no file says
            every = tuple(range(1, scene.count + 1))
            mask = self._read_with(
                lambda handle, **options: read_valid(handle, scene, every, **options),
                len(every),
                rows,
                cols,
            )
        return np.where(mask, 255, 0).astype(np.uint8)
