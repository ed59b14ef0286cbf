"""Rasters for xarray: ``engine="geofovea"`` gives the lazy pyramid of a file.

Nothing is open between reads: each read asks for the handle of its own thread, so arrays can be
shared between threads and sent to other processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from geofovea.errors import GeometryError

if TYPE_CHECKING:
    # xarray imports this module to list its engines; rasterio is needed to open something
    from geofovea.tiling.plan import ReadPlan
    from geofovea.tiling.scene import Scene
    from geofovea.tiling.scene_levels import SceneLevels

__all__ = ["VARIABLE", "GeoFoveaBackend"]

VARIABLE = "band_data"
"""Name of the variable that holds the pixels, the one that rioxarray's engine uses."""

_CHUNK_SIDE = 1024
_CHUNK_BYTES = 64 * 2**20
_SMALLEST_LEVEL = 64

Transform = tuple[float, float, float, float, float, float]


class GeoFoveaBackend(BackendEntrypoint):
    """Opens GeoTIFF/COG, PNG, JPEG and JPEG 2000 files as lazy pyramids.

    ``xr.open_datatree(path, engine="geofovea")`` has groups ``0`` (native) to the overview, each
    half the size of the one before; ``xr.open_dataset(path, engine="geofovea", level=k)`` has one
    of them. Pixels keep their type. A level that the file holds as an overview is read from it. The
    others are averaged: those of a large file are read from its level files, which the first read
    of one builds; those of a small file from the next finer one, when they are read.
    """

    description = "lazy pyramids of rasters (GeoTIFF/COG, PNG, JPEG, JPEG 2000)"
    open_dataset_parameters = (
        "filename_or_obj",
        "drop_variables",
        "level",
        "allow_vrt",
        "allow_remote",
    )
    supports_groups = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:  # noqa: ARG002
        """Never: an engine is chosen by name, so that installing this one changes nothing."""
        return False

    def open_dataset(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        level: int = 0,
        allow_vrt: bool = False,
        allow_remote: bool = False,
    ) -> xr.Dataset:
        """One level of a raster.

        Args:
            filename_or_obj: The file.
            drop_variables: Names of variables to leave out.
            level: Which one; 0 is native.
            allow_vrt: See ``open_scene``.
            allow_remote: See ``open_scene``.

        Returns:
            ``band_data`` with dimensions ``(band, y, x)``; pixel-centre coordinates where the
            raster is not rotated, ``spatial_ref`` where it has a place.

        Raises:
            GeometryError: If there is no such level.
            SceneError: If the file is not opened.
        """
        scene = _open(filename_or_obj, allow_vrt, allow_remote)
        for one in _levels(scene):
            if one.number == level:
                return _dataset(scene, one).drop_vars(_listed(drop_variables), errors="ignore")
        numbers = ", ".join(str(one.number) for one in _levels(scene))
        raise GeometryError(f"there is no level {level} of {scene.path!r}; it has {numbers}")

    def open_groups_as_dict(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        allow_vrt: bool = False,
        allow_remote: bool = False,
    ) -> dict[str, xr.Dataset]:
        """All levels by group; the root holds the attributes of the pyramid.

        Raises:
            SceneError: If the file is not opened.
        """
        scene = _open(filename_or_obj, allow_vrt, allow_remote)
        levels, unwanted = _levels(scene), _listed(drop_variables)
        groups = {"/": xr.Dataset(attrs={"multiscales": _multiscales(levels)})}
        for level in levels:
            dataset = _dataset(scene, level).drop_vars(unwanted, errors="ignore")
            groups[f"/{level.number}"] = dataset
        return groups

    def open_datatree(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        allow_vrt: bool = False,
        allow_remote: bool = False,
    ) -> xr.DataTree:
        """The pyramid of a raster; see ``open_groups_as_dict``."""
        groups = self.open_groups_as_dict(
            filename_or_obj,
            drop_variables=drop_variables,
            allow_vrt=allow_vrt,
            allow_remote=allow_remote,
        )
        return xr.DataTree.from_dict(groups)


def _open(path: str | os.PathLike[str], allow_vrt: bool, allow_remote: bool) -> Scene:
    from geofovea.tiling.scene import open_scene

    return open_scene(path, allow_vrt=allow_vrt, allow_remote=allow_remote)


def _listed(names: str | Iterable[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


@dataclass(frozen=True, slots=True)
class _Level:
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

    def transform(self, scene: Scene) -> Transform | None:
        """Affine of the level's pixels.

        GDAL stretches an overview over the whole scene, and so are level files. A level that is
        averaged here has pixels of exactly ``2**number``, of which the last may reach beyond it.
        """
        if scene.transform is None:
            return None
        a, b, c, d, e, f = scene.transform
        step_x = step_y = float(1 << self.number)
        if self.overview is not None or self.is_kept:
            step_x, step_y = scene.width / self.width, scene.height / self.height
        return a * step_x, b * step_y, c, d * step_x, e * step_y, f

    def chunks(self, count: int, itemsize: int) -> dict[str, int]:
        """Chunks for dask: whole blocks, but not too many of them."""
        sides = [
            min(extent, block * max(1, _CHUNK_SIDE // block))
            for extent, block in zip((self.height, self.width), self.block_shape, strict=True)
        ]
        bands = min(count, max(1, _CHUNK_BYTES // (sides[0] * sides[1] * itemsize)))
        return {"band": bands, "y": sides[0], "x": sides[1]}


def _levels(scene: Scene) -> list[_Level]:
    """Native first. Numbers that must not be averaged have the overviews of the file alone."""
    overviews = {size: k for k, size in reversed(list(enumerate(scene.overview_sizes)))}
    is_averaged = "palette" not in scene.colorinterp and not scene.dtype.startswith("complex")
    files = scene.level_files
    kept = {image.level: image for image in files.images} if files is not None else {}
    levels = [_Level(0, scene.width, scene.height, -1, False, scene.block_shape)]
    while max(levels[-1].width, levels[-1].height) > _SMALLEST_LEVEL and len(levels) < 32:
        number = len(levels)
        size = -(-scene.width >> number), -(-scene.height >> number)
        overview, image = overviews.get(size), kept.get(number)
        block = levels[-1].block_shape
        if overview is not None:
            block = scene.overview_blocks[overview]
        elif image is not None:
            block = image.block_shape
        is_kept = overview is None and image is not None
        levels.append(_Level(number, *size, overview, is_kept, block))
    return [one for one in levels if is_averaged or one.overview is not None]


def _multiscales(levels: list[_Level]) -> dict[str, Any]:
    """The attribute of the zarr convention for multiscales, version 1."""
    layout: list[dict[str, Any]] = [{"asset": str(levels[0].number)}]
    for finer, level in pairwise(levels):
        # to the step of the pyramid: the sizes are rounded up, so their ratio is not exact
        scale = float(1 << (level.number - finer.number))
        layout.append(
            {
                "asset": str(level.number),
                "derived_from": str(finer.number),
                "transform": {"scale": [scale, scale]},
            }
        )
    return {"layout": layout, "resampling_method": "average"}


def _dataset(scene: Scene, level: _Level) -> xr.Dataset:
    from geofovea.tiling.array_georeference import grid_mapping_attrs
    from geofovea.tiling.array_scene import MASK_COORD
    from geofovea.tiling.scene_levels import SceneLevels

    transform = level.transform(scene)
    files = SceneLevels(scene) if level.overview is None else None
    pixels = _LevelArray(scene, level, files)
    chunks = level.chunks(scene.count, pixels.dtype.itemsize)
    attrs: dict[str, Any] = {}
    if scene.nodata is not None:
        # in the attributes, not in the encoding: nothing was decoded
        attrs["_FillValue"] = _as_stored(scene.nodata, pixels.dtype)
    if scene.description:
        attrs["description"] = scene.description
    if palette := _palette(scene):
        attrs["colormap"] = palette
    lazy = indexing.LazilyIndexedArray(pixels)
    variable = xr.Variable(("band", "y", "x"), lazy, attrs, {"preferred_chunks": chunks})
    variable.encoding["grid_mapping"] = "spatial_ref"
    coords: dict[str, Any] = {
        "band": np.arange(1, scene.count + 1),
        "colorinterp": ("band", list(scene.colorinterp)),
        "spatial_ref": ((), 0, grid_mapping_attrs(_at_level(scene, level), transform)),
    }
    if transform is not None and transform[1] == transform[3] == 0:
        a, _, c, _, e, f = transform
        coords["x"] = ("x", c + a * (np.arange(level.width) + 0.5), _axis_attrs(scene, "x"))
        coords["y"] = ("y", f + e * (np.arange(level.height) + 0.5), _axis_attrs(scene, "y"))
    if scene.mask_kind == "internal":
        mask = indexing.LazilyIndexedArray(_LevelMask(scene, level, files))
        plane_chunks = {"y": chunks["y"], "x": chunks["x"]}
        coords[MASK_COORD] = xr.Variable(("y", "x"), mask, {}, {"preferred_chunks": plane_chunks})
    return xr.Dataset({VARIABLE: variable}, coords)


def _at_level(scene: Scene, level: _Level) -> Any:
    """The georeference, with control points in pixels of the level; RPCs are for native pixels."""
    from geofovea.tiling.georeference import Georeference

    georeference = scene.georeference
    if level.number == 0:
        return georeference
    step_x, step_y = scene.width / level.width, scene.height / level.height
    gcps = tuple((x / step_x, y / step_y, *ground) for x, y, *ground in georeference.gcps)
    kind = "none" if georeference.kind == "rpcs" else georeference.kind
    return Georeference(kind, georeference.crs_wkt, georeference.transform, gcps)  # type: ignore[arg-type]


def _axis_attrs(scene: Scene, axis: str) -> dict[str, str]:
    attrs = {"axis": axis.upper()}
    crs = scene.crs
    if crs is not None and crs.is_geographic:
        name = {"x": "longitude", "y": "latitude"}[axis]
        units = {"x": "degrees_east", "y": "degrees_north"}[axis]
        return attrs | {"standard_name": name, "units": units}
    if crs is not None and crs.is_projected:
        units = {"metre": "m"}.get(crs.linear_units.lower(), crs.linear_units)
        return attrs | {"standard_name": f"projection_{axis}_coordinate", "units": units}
    return attrs


def _palette(scene: Scene) -> list[int]:
    """RGBA of each index, one after the other: attributes of files are flat."""
    if scene.colorinterp[0] != "palette":
        return []
    from geofovea.tiling.handles import gdal_settings, open_handle, read_errors

    with gdal_settings(), read_errors(scene.source):
        entries = open_handle(scene.source).colormap(1)
    rgba = (entries.get(i, (0, 0, 0, 0)) for i in range(max(entries) + 1))
    return [int(value) for entry in rgba for value in entry]


def _as_stored(nodata: float, dtype: np.dtype[Any]) -> Any:
    """The value in the type of the pixels, or as it was given where they cannot have it."""
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        is_possible = float(nodata).is_integer() and limits.min <= nodata <= limits.max
        return dtype.type(int(nodata)) if is_possible else nodata
    return dtype.type(nodata) if dtype.kind == "f" else nodata


class _LevelArray(BackendArray):  # type: ignore[no-untyped-call, misc, unused-ignore]
    """Pixels ``(band, y, x)`` of one level, read where they are indexed."""

    def __init__(self, scene: Scene, level: _Level, files: SceneLevels | None) -> None:
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
            options["out_shape"] = (len(bands), *out_shape)
            options["resampling"] = Resampling[plan.resampling]

        def read(handle: Any) -> Any:
            return getattr(handle, method)(bands, **options)

        if self._files is not None and kept is not None:
            return self._files.read(kept, read)
        with gdal_settings(), read_errors(scene.source):
            return read(open_handle(scene.source, None if image == -1 else image))


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


class _LevelMask(_LevelArray):
    """The file's own mask of one level: ``(y, x)``, 255 where pixels are known, else 0."""

    def __init__(self, scene: Scene, level: _Level, files: SceneLevels | None) -> None:
        super().__init__(scene, level, files)
        self.shape, self.dtype = self.shape[1:], np.dtype("uint8")

    def _window(self, bands: list[Any], rows: slice, cols: slice) -> Any:  # noqa: ARG002
        mask = self._read("read_masks", [1], rows, cols)[0] >= 128  # half of the pixels below
        return np.where(mask, 255, 0).astype(np.uint8)
