"""Rasters for xarray: ``engine="geofovea"`` gives the lazy pyramid of a file.

Nothing is open between reads: each read asks for the handle of its own thread, so arrays can be
shared between threads and sent to other processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint
from xarray.core import indexing

from geofovea.errors import GeometryError, SceneError
from geofovea.tiling.lazy_array import BandLevels, Level, LevelArray, LevelMask

if TYPE_CHECKING:
    # xarray imports this module to list its engines; rasterio is needed to open something
    from geofovea.tiling.nodata import DeclaredNodata
    from geofovea.tiling.scene import Scene

__all__ = ["VARIABLE", "GeoFoveaBackend"]

VARIABLE = "band_data"
"""Name of the variable that holds the pixels, the one that rioxarray's engine uses."""

_SMALLEST_LEVEL = 64


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
        "allowed_hosts",
        "nodata",
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
        allowed_hosts: Iterable[str] = (),
        nodata: DeclaredNodata | None = None,
        **unknown: Any,
    ) -> xr.Dataset:
        """One level of a raster.

        Args:
            filename_or_obj: The file.
            drop_variables: Names of variables to leave out.
            level: Which one; 0 is native.
            allow_vrt: See ``open_scene``.
            allow_remote: See ``open_scene``.
            allowed_hosts: See ``open_scene``.
            nodata: See ``open_scene``; a coordinate ``mask`` says where pixels are missing.
            unknown: None are allowed.

        Returns:
            ``band_data`` with dimensions ``(band, y, x)``; pixel-center coordinates where the
            raster is not rotated, ``spatial_ref`` where it has a place.

        Raises:
            GeometryError: If there is no such level.
            SceneError: If the file is not opened, or there is no such option.
        """
        _check_options(unknown, "level")
        scene = _open(filename_or_obj, allow_vrt, allow_remote, allowed_hosts, nodata)
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
        allowed_hosts: Iterable[str] = (),
        nodata: DeclaredNodata | None = None,
        **unknown: Any,
    ) -> dict[str, xr.Dataset]:
        """All levels by group; the root holds the attributes of the pyramid.

        Raises:
            SceneError: If the file is not opened, or there is no such option.
        """
        _check_options(unknown)
        scene = _open(filename_or_obj, allow_vrt, allow_remote, allowed_hosts, nodata)
        levels, drop_names = _levels(scene), _listed(drop_variables)
        groups = {"/": xr.Dataset(attrs={"multiscales": _multiscales(levels)})}
        for level in levels:
            dataset = _dataset(scene, level).drop_vars(drop_names, errors="ignore")
            groups[f"/{level.number}"] = dataset
        return groups

    def open_datatree(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        allow_vrt: bool = False,
        allow_remote: bool = False,
        allowed_hosts: Iterable[str] = (),
        nodata: DeclaredNodata | None = None,
        **unknown: Any,
    ) -> xr.DataTree:
        """The pyramid of a raster; see ``open_groups_as_dict``."""
        groups = self.open_groups_as_dict(
            filename_or_obj,
            drop_variables=drop_variables,
            allow_vrt=allow_vrt,
            allow_remote=allow_remote,
            allowed_hosts=allowed_hosts,
            nodata=nodata,
            **unknown,
        )
        return xr.DataTree.from_dict(groups)


def _check_options(unknown: Mapping[str, Any], *more: str) -> None:
    """Refuse what people pass to other engines, in words."""
    if unknown:
        names = [*more, "drop_variables", "allow_vrt", "allow_remote", "allowed_hosts", "nodata"]
        options = ", ".join(map(repr, sorted(unknown)))
        raise SceneError(
            f"the engine 'geofovea' has no option {options}; its options are "
            f"{', '.join(names)} and those of xarray itself, such as chunks: leave the others out"
        )


def _open(
    path: str | os.PathLike[str],
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: Iterable[str],
    nodata: DeclaredNodata | None,
) -> Scene:
    from geofovea.tiling.opening import open_scene

    hosts = (allowed_hosts,) if isinstance(allowed_hosts, str) else tuple(allowed_hosts)
    scene = open_scene(
        path, allow_vrt=allow_vrt, allow_remote=allow_remote, allowed_hosts=hosts, nodata=nodata
    )
    _check_one_type(scene)
    return scene


def _check_one_type(scene: Scene) -> None:
    """Refuse a virtual raster of several pixel types, because an array has one.

    Raises:
        SceneError: If its bands differ.
    """
    if scene.driver != "VRT":
        return
    from geofovea.tiling.files.gdal_settings import gdal_settings
    from geofovea.tiling.files.handles import open_handle, read_errors

    with gdal_settings(), read_errors(scene.source):
        types = sorted(set(open_handle(scene.source, for_pixels=False).dtypes))
    if len(types) > 1:
        raise SceneError(
            f"{scene.path!r} has bands of {' and '.join(types)}, and an array has one type; give "
            "all one type with gdal_translate -ot Float32"
        )


def _listed(names: str | Iterable[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


def _levels(scene: Scene) -> list[Level]:
    """Native first. Numbers that must not be averaged have the overviews of the file alone."""
    overviews = {size: k for k, size in reversed(list(enumerate(scene.overview_sizes)))}
    from geofovea.tiling.overviews.level_files import level_files_of

    is_averaged = "palette" not in scene.colorinterp and not scene.dtype.startswith("complex")
    files = level_files_of(scene)
    level_images = {image.level: image for image in files.images} if files is not None else {}
    levels = [Level(0, scene.width, scene.height, -1, False, scene.block_shape)]
    while max(levels[-1].width, levels[-1].height) > _SMALLEST_LEVEL and len(levels) < 32:
        number = len(levels)
        size = scene.level_size(number)
        overview, image = overviews.get(size), level_images.get(number)
        block = levels[-1].block_shape
        if overview is not None:
            block = scene.overview_blocks[overview]
        elif image is not None:
            block = image.block_shape
        is_kept = overview is None and image is not None
        levels.append(Level(number, *size, overview, is_kept, block))
    return [one for one in levels if is_averaged or one.overview is not None]


def _multiscales(levels: list[Level]) -> dict[str, Any]:
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


def _dataset(scene: Scene, level: Level) -> xr.Dataset:
    files = BandLevels(scene) if level.overview is None else None
    pixels = LevelArray(scene, level, files)
    chunks = level.chunks(scene.count, pixels.dtype.itemsize)
    lazy = indexing.LazilyIndexedArray(pixels)
    attrs = _attrs(scene, pixels.dtype)
    variable = xr.Variable(("band", "y", "x"), lazy, attrs, {"preferred_chunks": chunks})
    variable.encoding["grid_mapping"] = "spatial_ref"
    coords = _coords(scene, level)
    if _needs_mask(scene, pixels.dtype):
        from geofovea.tiling.arrays.scene import MASK_COORD

        plane = LevelMask(scene, level, files)
        dims = ("band", "y", "x") if plane.is_by_band else ("y", "x")
        mask = indexing.LazilyIndexedArray(plane)
        plane_chunks = {dim: chunks[dim] for dim in dims}
        coords[MASK_COORD] = xr.Variable(dims, mask, {}, {"preferred_chunks": plane_chunks})
    return xr.Dataset({VARIABLE: variable}, coords)


def _attrs(scene: Scene, dtype: np.dtype[Any]) -> dict[str, Any]:
    """What the file says of its numbers, by the names that rioxarray and CF give it."""
    attrs: dict[str, Any] = {}
    # in the attributes, not in the encoding: nothing was decoded
    if scene.missing is not None:
        declared = set(scene.missing.values)
        if len(declared) == 1 and not scene.missing.outline:
            attrs["_FillValue"] = _as_stored(declared.pop(), dtype)
    elif scene.nodata_bands:
        attrs["nodatavals"] = [np.nan if v is None else v for v in scene.nodata_bands]
    elif scene.nodata is not None and scene.mask_kind != "internal":
        attrs["_FillValue"] = _as_stored(scene.nodata, dtype)
    if scene.packings:
        attrs |= _packing_attrs(scene)
    if scene.is_min_white:
        attrs["photometric"] = "miniswhite"
    if scene.description:
        attrs["description"] = scene.description
    if palette := _palette(scene):
        attrs["colormap"] = palette
    return attrs


def _packing_attrs(scene: Scene) -> dict[str, Any]:
    """Scale and offset, in the attributes of CF where all bands share them, else in rioxarray's."""
    if len(set(scene.packings)) == 1:
        return dict(zip(("scale_factor", "add_offset"), scene.packings[0], strict=True))
    scales, offsets = zip(*scene.packings, strict=True)
    return {"scales": list(scales), "offsets": list(offsets)}


def _coords(scene: Scene, level: Level) -> dict[str, Any]:
    """Bands, the georeference, and centers of columns and rows where the level is not turned."""
    from geofovea.tiling.arrays.grid_coords import grid_coords

    coords: dict[str, Any] = {
        "band": np.arange(1, scene.count + 1),
        "colorinterp": ("band", list(scene.colorinterp)),
    }
    coords |= grid_coords(_at_level(scene, level), level.width, level.height)
    for axis in {"x", "y"} & coords.keys():
        coords[axis] = (*coords[axis], _axis_attrs(scene, axis))
    return coords


def _needs_mask(scene: Scene, dtype: np.dtype[Any]) -> bool:
    """Whether pixels are missing that neither a value nor a band of alpha tells."""
    from geofovea.tiling.pixels.alpha import is_masked_by_gdal

    is_marked = not is_masked_by_gdal(scene) and dtype.kind in "ui"
    return scene.mask_kind == "internal" or is_marked or scene.missing is not None


def _at_level(scene: Scene, level: Level) -> Any:
    """The georeference of the pixels of a level."""
    georeference = scene.georeference
    return georeference.coarser(*level.steps(scene)) if level.number else georeference


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
    from geofovea.tiling.files.gdal_settings import gdal_settings
    from geofovea.tiling.files.handles import open_handle, read_errors
    from geofovea.tiling.files.layout import palette_of

    with gdal_settings(), read_errors(scene.source):
        palette = palette_of(open_handle(scene.source), 1)
    return [int(value) for rgba in palette for value in rgba]


def _as_stored(nodata: float, dtype: np.dtype[Any]) -> Any:
    """The value in the type of the pixels, or as it was given where they cannot have it."""
    from geofovea.tiling.marks import as_stored

    stored = as_stored(nodata, dtype)
    return nodata if stored is None else stored
