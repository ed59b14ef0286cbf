"""Opens a raster: turns what its file says into a scene, without reading pixels."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from geofovea.errors import SceneError, SceneRefusedError
from geofovea.tiling.files.formats import drivers_where
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_bytes, open_dataset, open_handle, read_errors
from geofovea.tiling.files.jpeg2000 import check_tiles
from geofovea.tiling.files.layout import (
    bytes_pixel,
    check_mask_file,
    checked_block,
    color_names,
    gap_warnings,
    mask_file_warnings,
    mask_kind,
    nodata_by_band,
    nodata_tag_warnings,
    nodata_text,
    nodata_warnings,
    packings,
    placed,
    structure,
)
from geofovea.tiling.files.limits import (
    check_directories,
    check_held_whole,
    check_sequential,
)
from geofovea.tiling.files.orientation import orientation_of, orientation_warnings
from geofovea.tiling.files.pages import choose_page
from geofovea.tiling.files.pam_files import pam_file_warnings
from geofovea.tiling.files.rasterio_datasets import (
    check_same_image,
    file_of_dataset,
    is_rasterio_dataset,
)
from geofovea.tiling.files.source import Source, SourcePolicy, resolve_source
from geofovea.tiling.files.stamp import side_names
from geofovea.tiling.files.virtual_sources import watched_sources
from geofovea.tiling.nodata import DeclaredNodata
from geofovea.tiling.overviews.consistency import usable_overviews
from geofovea.tiling.pixels.border import declare_missing
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    import xarray
    from numpy.typing import NDArray
    from PIL.Image import Image

    from geofovea.tiling.files.rasterio_datasets import RasterioDataset

__all__ = ["Picture", "open_scene"]

Picture: TypeAlias = (
    "str | os.PathLike[str] | RasterioDataset | NDArray[Any] | Image "
    "| xarray.DataArray | xarray.Dataset | xarray.DataTree"
)
"""What can be opened as a scene."""

_MAX_OVERVIEWS = 32


def open_scene(
    path: Picture,
    *,
    allow_vrt: bool = False,
    allow_remote: bool = False,
    allowed_hosts: tuple[str, ...] = (),
    nodata: DeclaredNodata | None = None,
) -> Scene:
    """Open a raster as a scene, without reading pixels.

    Args:
        path: A GeoTIFF/COG, PNG, JPEG or JPEG 2000 file, a page of a TIFF by GDAL's name for it
            (``GTIFF_DIR:2:scene.tif``); a dataset that rasterio has opened for reading, which
            stands for its file; an xarray object; a numpy array of the shape ``(rows, columns)``,
            ``(rows, columns, bands)`` or ``(bands, rows, columns)``, in which the axis of the bands
            is the one that has at most 16 entries; or a PIL image.
        allow_vrt: Also open GDAL virtual rasters, which can read any file on this machine.
        allow_remote: Also open ``http``, ``https`` and ``s3`` URLs, on ``allowed_hosts`` alone.
        allowed_hosts: ``example.org``, ``example.org:8443``, ``*.example.org``, ``s3://bucket``;
            none by default.
        nodata: The value that marks missing pixels, where the file does not say it or says it
            wrongly; it replaces the file's. ``"auto"`` takes the constant color, if there is one,
            that is connected to the border; it is a guess, comes with a warning, and does read
            pixels: a coarse overview, or the whole file once if it has none.

    Returns:
        The scene.

    Raises:
        SceneNotFoundError: If there is no such file.
        SceneRefusedError: If the name, the host, the format or the size of a block is not allowed.
        SceneReadError: If GDAL cannot open the file, or its server fails or serves no
            byte ranges.
        SceneError: If ``nodata`` is neither a number nor ``"auto"``, or an array is not an image.

    Examples:
        >>> scene = geofovea.open_scene(np.zeros((2000, 3000, 3), np.uint8))
        >>> scene.width, scene.height, scene.count
        (3000, 2000, 3)
    """
    if is_rasterio_dataset(path):
        scene = open_scene(
            file_of_dataset(path),
            allow_vrt=allow_vrt,
            allow_remote=allow_remote,
            allowed_hosts=allowed_hosts,
            nodata=nodata,
        )
        check_same_image(path, (scene.width, scene.height))
        return scene
    if not isinstance(path, (str, os.PathLike)):
        return _open_array(path, nodata)
    policy = SourcePolicy(allow_vrt, allow_remote, allowed_hosts)
    source = resolve_source(path, policy)
    source, tags = _look_before_gdal(source)
    with gdal_settings(), read_errors(source), open_dataset(source) as dataset:
        sources = watched_sources(dataset)
        _check_dataset(dataset, source, policy)
        name = os.fspath(path) if source.remote is None else source.path
        scene = _scene(dataset, source, name, tags, is_declared=nodata is not None)
        usable, overview_warnings = usable_overviews(source, dataset, list(scene.overview_sizes))
        missing = None if nodata is None else declare_missing(source, dataset, nodata, usable)
        return replace(
            scene,
            source=replace(source, shown=sources),
            overviews=scene.overviews[:usable],
            overview_sizes=scene.overview_sizes[:usable],
            overview_blocks=scene.overview_blocks[:usable],
            missing=missing,
            warnings=(*overview_warnings, *scene.warnings),
        )


def _open_array(picture: Any, nodata: DeclaredNodata | None) -> Scene:
    # here, because xarray takes longer to import than a file to open
    from geofovea.tiling.arrays.scene import open_array

    if nodata is not None:
        raise SceneError(
            f"nodata={nodata!r} is for files; set attrs['_FillValue'] of the DataArray, or give a "
            "numpy array that is masked"
        )
    return open_array(picture)


def _check_dataset(dataset: Any, source: Source, policy: SourcePolicy) -> None:
    """Refuse what names files of others, or would take too much memory to be read by tiles."""
    if dataset.count == 0:
        raise SceneRefusedError(f"{source.path!r} holds no raster band; give one image")
    check_mask_file(dataset, source)
    # GDAL takes the name of a file with overviews from the metadata inside a TIFF.
    if "OVERVIEW_FILE" in dataset.tags(ns="OVERVIEWS") and not policy.allow_vrt:
        raise SceneRefusedError(
            f"{source.path!r} names another file as its overviews; pass allow_vrt=True to "
            "geofovea.open_scene if you trust it, or copy it with gdal_translate -co "
            "COPY_SRC_OVERVIEWS=NO"
        )
    size = (dataset.width, dataset.height)
    check_sequential(source.path, source.driver, *size, bytes_pixel(dataset))
    if source.driver == "JP2OpenJPEG":
        with open_bytes(source) as file:
            check_tiles(source.path, file, source.size_bytes)


class _Tags(NamedTuple):
    """What a file says about itself that GDAL does not tell, and warnings about its pages."""

    page_warnings: tuple[str, ...] = ()
    nodata: str = ""
    orientation: int = 1


def _look_before_gdal(source: Source) -> tuple[Source, _Tags]:
    """Look at what a file claims before GDAL, or libvips, makes room for it.

    All that is read as bytes is read from one opening: each costs a far file a connection.

    Returns:
        The source, which may now name a page, and what the file says.
    """
    if source.driver not in drivers_where("claims_blocks"):
        return source, _Tags()
    with gdal_settings(), read_errors(source), open_bytes(source) as file:
        check_held_whole(source.path, source.driver, file)
        if source.driver == "GTiff":
            check_directories(source.path, file, is_remote=source.remote is not None)
        _check_sides(source)
        source, warnings = choose_page(source, file)
        return source, _Tags(warnings, nodata_text(source, file), orientation_of(source, file))


def _check_sides(source: Source) -> None:
    if source.remote is not None:
        return
    for side in filter(os.path.isfile, side_names(source.path)):
        with open(side, "rb") as file:  # noqa: PTH123  (a path as text)
            check_directories(side, file)


def _scene(dataset: Any, source: Source, name: str, tags: _Tags, *, is_declared: bool) -> Scene:
    """The scene with all overviews that the file has, whether or not they can be used."""
    block_shape = checked_block(dataset, source)
    overviews = [
        _overview(source, index, factor)
        for index, factor in enumerate(dataset.overviews(1)[:_MAX_OVERVIEWS])
    ]
    colors, color_notes = color_names(dataset)
    packed, packing_warnings = packings(dataset)
    georeference, mask = placed(dataset, source), mask_kind(dataset, is_declared=is_declared)
    return Scene(
        path=name,
        source=source,
        width=dataset.width,
        height=dataset.height,
        count=dataset.count,
        dtype=dataset.dtypes[0],
        nodata=next((float(value) for value in dataset.nodatavals if value is not None), None),
        colorinterp=colors,
        block_shape=block_shape,
        overviews=tuple(each.factor for each in overviews),
        overview_sizes=tuple(each.size for each in overviews),
        overview_blocks=tuple(each.block_shape for each in overviews),
        mask_kind=mask,
        georeference=georeference,
        description=dataset.tags().get("TIFFTAG_IMAGEDESCRIPTION", ""),
        compression=structure(dataset, "COMPRESSION").lower(),
        # a file of one band names no interleave that matters
        interleave=structure(dataset, "INTERLEAVE").lower() or "pixel",
        nodata_bands=nodata_by_band(dataset),
        packings=packed,
        is_min_white=structure(dataset, "MINISWHITE") == "YES",
        warnings=(
            *(*tags.page_warnings, *color_notes, *packing_warnings),
            *_mark_warnings(dataset, source, tags, is_declared=is_declared),
            *orientation_warnings(dataset, source, tags.orientation),
            *pam_file_warnings(
                source,
                has_nodata=mask != "none",
                has_place=georeference.kind != "none",
                has_crs=georeference.crs_wkt is not None,
            ),
        ),
    )


def _mark_warnings(
    dataset: Any, source: Source, tags: _Tags, *, is_declared: bool
) -> tuple[str, ...]:
    """What to know of the marks of missing pixels in a file."""
    return (
        *nodata_warnings(dataset),
        *gap_warnings(dataset, source),
        *mask_file_warnings(dataset, source),
        *(() if is_declared else nodata_tag_warnings(dataset, tags.nodata)),
    )


class _Overview(NamedTuple):
    """One overview: how many times smaller, ``(width, height)``, ``(rows, columns)`` of a block."""

    factor: int
    size: tuple[int, int]
    block_shape: tuple[int, int]


def _overview(source: Source, index: int, factor: int) -> _Overview:
    image = open_handle(source, index)
    return _Overview(int(factor), (image.width, image.height), checked_block(image, source))
