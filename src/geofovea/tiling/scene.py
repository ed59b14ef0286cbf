"""A scene: everything about a raster that can be known without reading a pixel."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags

from geofovea.errors import GeometryError, SceneError, SceneRefusedError
from geofovea.tiling.georeference import Georeference, GeorefKind
from geofovea.tiling.handles import (
    gdal_settings,
    open_bytes,
    open_dataset,
    open_handle,
    read_errors,
)
from geofovea.tiling.jpeg2000 import check_tiles
from geofovea.tiling.level_files import LevelFiles, level_files_of
from geofovea.tiling.limits import check_sequential
from geofovea.tiling.missing import DeclaredNodata, Missing, declare_missing
from geofovea.tiling.pyramid import Box, Pyramid
from geofovea.tiling.source import Source, SourcePolicy, resolve_source

if TYPE_CHECKING:
    import xarray

__all__ = ["MaskKind", "Scene", "open_scene"]

MaskKind = Literal["none", "nodata", "alpha", "internal", "declared"]

MAX_BLOCK_BYTES = 256 * 2**20
_MAX_OVERVIEWS = 32


@dataclass(frozen=True)
class Scene:
    """One raster as a value: it holds no open file, can be pickled, and never changes.

    Attributes:
        path: The name as the caller gave it.
        source: What is opened.
        width: Native width in pixels.
        height: Native height in pixels.
        count: Number of bands, alpha included.
        dtype: Pixel type of the first band as rasterio names it.
        nodata: The value by which the file marks missing pixels (NaN is possible), or None.
        colorinterp: What each band shows, in lower case: ``red``, ``gray``, ``alpha``...
        block_shape: ``(height, width)`` of a native block.
        overviews: Decimation factors as GDAL reports them.
        overview_sizes: Real ``(width, height)`` of each overview.
        overview_blocks: ``(height, width)`` of a block of each overview.
        mask_kind: What marks missing pixels; ``declared`` if nothing but the caller's word.
        georeference: How pixels relate to the ground.
        description: What the file says it shows (the TIFF tag ImageDescription), often nothing.
        missing: What the caller declared missing besides alpha and masks, instead of ``nodata``.
        compression: Codec of the blocks in lower case, empty where the file names none.
        interleave: ``pixel`` or ``band``, as GDAL reports it.
        notes: What was left out or not understood when it was opened, in sentences for people.

    Raises:
        GeometryError: If a size is not positive.
    """

    path: str
    source: Source
    width: int
    height: int
    count: int
    dtype: str
    # NaN differs from itself; two scenes are equal when their sources are
    nodata: float | None = field(compare=False)
    colorinterp: tuple[str, ...]
    block_shape: tuple[int, int]
    overviews: tuple[int, ...]
    overview_sizes: tuple[tuple[int, int], ...]
    overview_blocks: tuple[tuple[int, int], ...]
    mask_kind: MaskKind
    georeference: Georeference
    description: str = ""
    missing: Missing | None = None
    compression: str = ""
    interleave: str = "pixel"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.count, *self.block_shape) < 1:
            raise GeometryError(f"a scene needs at least one pixel and one band, got {self}")

    @property
    def driver(self) -> str:
        """Name of the GDAL driver that reads the scene."""
        return self.source.driver

    @property
    def size_bytes(self) -> int:
        """Size of the file in bytes, 0 where it is not a local file."""
        return self.source.size_bytes

    @property
    def mtime_ns(self) -> int:
        """Modification time of the file in nanoseconds, 0 where it is not a local file."""
        return self.source.mtime_ns

    @property
    def identity(self) -> str:
        """A key for caches that changes when the file does."""
        declared = "" if self.missing is None else f"|missing={self.missing.key}"
        return self.source.identity + declared

    @property
    def box(self) -> Box:
        """The whole scene."""
        return Box(0, 0, self.width, self.height)

    @property
    def georef(self) -> GeorefKind:
        """What places the scene on the ground."""
        return self.georeference.kind

    @property
    def transform(self) -> tuple[float, float, float, float, float, float] | None:
        """Affine ``(a, b, c, d, e, f)`` from scene pixels to the CRS, if that places the scene."""
        return self.georeference.transform

    @property
    def crs_wkt(self) -> str | None:
        """The CRS that georeferenced results are in, as WKT."""
        return self.georeference.crs_wkt

    @property
    def crs(self) -> CRS | None:
        """The CRS that georeferenced results are in."""
        return self.georeference.crs

    @property
    def crs_name(self) -> str | None:
        """Authority code such as ``EPSG:32633``, else the CRS's own name, else None."""
        return self.georeference.crs_name

    @property
    def gsd_m(self) -> float | None:
        """Metres per native pixel at the centre of the scene, None where unknown."""
        return self.georeference.gsd_m(*self.box.center)

    @property
    def has_random_access(self) -> bool:
        """Whether a small window can be read without decoding most of the rows around it."""
        is_sequential = self.driver in ("PNG", "JPEG")
        is_striped = self.block_shape[1] >= self.width and self.block_shape[0] < self.height
        return not is_sequential and not is_striped

    @cached_property
    def level_files(self) -> LevelFiles | None:
        """The level files that its coarse tiles are read from; None where they need none."""
        return level_files_of(self)

    def pyramid(self, tile_size: int, base_side: int = 0) -> Pyramid:
        """The pyramid over this scene.

        Args:
            tile_size: Side of a tile in level pixels.
            base_side: Longest side of the base level in level pixels; 0 means three tiles.

        Raises:
            GeometryError: If ``tile_size`` is not positive or ``base_side`` is below it.
        """
        return Pyramid(self.width, self.height, tile_size, base_side)


def open_scene(
    path: str | os.PathLike[str] | xarray.DataArray | xarray.Dataset | xarray.DataTree,
    *,
    allow_vrt: bool = False,
    allow_remote: bool = False,
    allowed_hosts: tuple[str, ...] = (),
    nodata: DeclaredNodata | None = None,
) -> Scene:
    """Look at a raster without reading pixels.

    Args:
        path: A GeoTIFF/COG, PNG, JPEG or JPEG 2000 file, or an xarray object (see ``open_array``).
        allow_vrt: Also open GDAL virtual rasters, which can read any file on this machine.
        allow_remote: Also open ``http``, ``https`` and ``s3`` URLs, on ``allowed_hosts`` alone.
        allowed_hosts: ``example.org``, ``example.org:8443``, ``*.example.org``, ``s3://bucket``;
            none by default.
        nodata: The value that marks missing pixels, where the file does not say it or says it
            wrongly; it replaces the file's. ``"auto"`` takes the constant colour, if there is one,
            that is connected to the border; it is a guess, comes with a warning, and does read
            pixels: a coarse overview, or the whole file once if it has none.

    Returns:
        The scene.

    Raises:
        SceneNotFoundError: If there is no such file.
        SceneRefusedError: If the name, the host, the format or the size of a block is not allowed.
        SceneReadError: If GDAL cannot open the file, or its server does not serve it well.
        SceneError: If ``nodata`` is neither a number nor ``"auto"``, or an xarray object is not an
            image.
    """
    if not isinstance(path, (str, os.PathLike)):
        # here, because xarray takes longer to import than a file to open
        from geofovea.tiling.array_scene import open_array

        if nodata is not None:
            raise SceneError(
                f"nodata={nodata!r} is for files; set attrs['_FillValue'] of the array instead"
            )
        return open_array(path)
    source = resolve_source(path, SourcePolicy(allow_vrt, allow_remote, tuple(allowed_hosts)))
    with gdal_settings(), read_errors(source), open_dataset(source) as dataset:
        if dataset.count == 0:
            raise SceneRefusedError(f"{source.path!r} holds no raster band; give one image")
        # GDAL takes the name of a file with overviews from the metadata inside a TIFF.
        if "OVERVIEW_FILE" in dataset.tags(ns="OVERVIEWS") and not allow_vrt:
            raise SceneRefusedError(
                f"{source.path!r} names another file as its overviews; pass allow_vrt=True, or "
                "--allow-vrt on the command line, if you trust it; or copy it with gdal_translate "
                "-co COPY_SRC_OVERVIEWS=NO"
            )
        check_sequential(source.path, source.driver, dataset.width, dataset.height)
        if source.driver == "JP2OpenJPEG":
            with open_bytes(source) as file:
                check_tiles(source.path, file, source.size_bytes)
        block_shape = _checked_block(dataset, source)
        overviews, sizes, blocks = [], [], []
        for index, factor in enumerate(dataset.overviews(1)[:_MAX_OVERVIEWS]):
            overview = open_handle(source, index)
            overviews.append(int(factor))
            sizes.append((overview.width, overview.height))
            blocks.append(_checked_block(overview, source))
        missing = None if nodata is None else declare_missing(source, dataset, nodata)
        return Scene(
            path=os.fspath(path) if source.remote is None else source.path,
            source=source,
            width=dataset.width,
            height=dataset.height,
            count=dataset.count,
            dtype=dataset.dtypes[0],
            nodata=next((float(value) for value in dataset.nodatavals if value is not None), None),
            colorinterp=tuple(_color_name(c) for c in dataset.colorinterp),
            block_shape=block_shape,
            overviews=tuple(overviews),
            overview_sizes=tuple(sizes),
            overview_blocks=tuple(blocks),
            mask_kind=_mask_kind(dataset, missing),
            georeference=Georeference.from_dataset(dataset),
            description=dataset.tags().get("TIFFTAG_IMAGEDESCRIPTION", ""),
            missing=missing,
            compression=_structure(dataset, "COMPRESSION").lower(),
            # a file of one band names no interleave that matters
            interleave=_structure(dataset, "INTERLEAVE").lower() or "pixel",
        )


def _checked_block(dataset: Any, source: Source) -> tuple[int, int]:
    """The block shape of the first band, if a block fits into memory comfortably.

    A TIFF of 400 bytes can claim a block of a gigabyte, which GDAL allocates for one pixel.
    """
    height_block, width_block = (int(side) for side in dataset.block_shapes[0])
    # complex_int16 is the one type that numpy does not know
    bytes_pixel = sum(4 if t == "complex_int16" else np.dtype(t).itemsize for t in dataset.dtypes)
    if height_block * width_block * bytes_pixel > MAX_BLOCK_BYTES:
        raise SceneRefusedError(
            f"{source.path!r} has blocks of {width_block} x {height_block} pixels with "
            f"{bytes_pixel} bytes each, more than the {MAX_BLOCK_BYTES >> 20} MiB allowed; rewrite "
            "it with smaller tiles: gdal_translate -co TILED=YES"
        )
    return height_block, width_block


def _structure(dataset: Any, key: str) -> str:
    return str(dataset.tags(ns="IMAGE_STRUCTURE").get(key, ""))


def _color_name(color: int) -> str:
    return str(ColorInterp(color).name) if color in set(ColorInterp) else "undefined"


def _mask_kind(dataset: Any, missing: Missing | None) -> MaskKind:
    flags = {flag for of_band in dataset.mask_flag_enums for flag in of_band}
    if MaskFlags.alpha in flags:
        return "alpha"
    if MaskFlags.per_dataset in flags:
        return "internal"
    if missing is not None:
        return "declared"
    return "nodata" if MaskFlags.nodata in flags else "none"
