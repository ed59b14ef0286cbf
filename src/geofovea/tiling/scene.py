"""A scene: everything about a raster that can be known without reading a pixel."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from rasterio.crs import CRS

from geofovea.errors import GeometryError, SceneError, SceneRefusedError
from geofovea.tiling.files.handles import (
    gdal_settings,
    open_bytes,
    open_dataset,
    open_handle,
    read_errors,
)
from geofovea.tiling.files.jpeg2000 import check_tiles
from geofovea.tiling.files.layout import (
    MaskKind,
    bytes_pixel,
    checked_block,
    color_names,
    gap_warnings,
    mask_kind,
    nodata_by_band,
    nodata_warnings,
    placed,
    structure,
)
from geofovea.tiling.files.limits import (
    check_directories,
    check_held_whole,
    check_sequential,
)
from geofovea.tiling.files.pages import choose_page
from geofovea.tiling.files.source import Source, SourcePolicy, resolve_source
from geofovea.tiling.files.stamp import side_names
from geofovea.tiling.geo.georeference import Georeference, GeorefKind
from geofovea.tiling.marks import Number
from geofovea.tiling.nodata import DeclaredNodata, Missing, declare_missing
from geofovea.tiling.overviews.consistency import usable_overviews
from geofovea.tiling.overviews.level_files import LevelFiles, level_files_of
from geofovea.tiling.pyramid import Box, Pyramid

if TYPE_CHECKING:
    import xarray

__all__ = ["MaskKind", "Scene", "open_scene"]

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
        nodata_bands: The nodata value of each band; empty where all have ``nodata``.
        is_min_white: Zero is white, as in many scans, so what is shown is the negative.
        warnings: What a reader of any result should know of the file.
        shown: The bands that level files are built for; empty for all.

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
    nodata_bands: tuple[Number | None, ...] = field(default=(), compare=False)
    is_min_white: bool = False
    warnings: tuple[str, ...] = ()
    shown: tuple[int, ...] = field(default=(), compare=False)

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

    @property
    def alpha(self) -> int:
        """Index of the alpha band, counted from 1; 0 where there is none beside other bands."""
        has_alpha = self.count > 1 and "alpha" in self.colorinterp
        return self.colorinterp.index("alpha") + 1 if has_alpha else 0

    def nodata_of(self, bands: tuple[int, ...]) -> tuple[Number | None, ...]:
        """The nodata value of some bands, counted from 1."""
        if not self.nodata_bands:
            return (self.nodata,) * len(bands)
        return tuple(self.nodata_bands[band - 1] for band in bands)

    @cached_property
    def opaque_alpha(self) -> float:
        """Which number of the alpha band means opaque; reads a bounded sample of it.

        Raises:
            SceneReadError: If that fails.
        """
        from geofovea.tiling.pixels.alpha import opaque_alpha

        return opaque_alpha(self)

    @cached_property
    def is_masked_by_gdal(self) -> bool:
        """Whether GDAL leaves out all that is missing when it averages stored numbers.

        It does not where a float may be NaN, where alpha is one mark among others or counts to an
        unusual number, where nodata has more digits than a double, and where the caller declared
        it. Missing pixels are then found among stored numbers, before anything is averaged.

        Raises:
            SceneReadError: If the alpha band cannot be read.
        """
        if self.source.has_exact_masks:
            return True  # its handles do the same by themselves
        if self.missing is not None or self.dtype.startswith("float"):
            return False
        if self.alpha:
            usual = {"uint8": 255.0, "uint16": 65535.0}.get(self.dtype)
            return self.mask_kind == "alpha" and self.opaque_alpha == usual
        return not (self.mask_kind == "nodata" and self.dtype in ("int64", "uint64"))

    def showing(self, bands: tuple[int, ...]) -> Scene:
        """The same scene with level files for some bands alone, counted from 1."""
        return self if self.shown == bands else replace(self, shown=bands)

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
        path: A GeoTIFF/COG, PNG, JPEG or JPEG 2000 file, a page of a TIFF by GDAL's name for it
            (``GTIFF_DIR:2:scene.tif``), or an xarray object (see ``open_array``).
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
        from geofovea.tiling.arrays.scene import open_array

        if nodata is not None:
            raise SceneError(
                f"nodata={nodata!r} is for files; set attrs['_FillValue'] of the array instead"
            )
        return open_array(path)
    source = resolve_source(path, SourcePolicy(allow_vrt, allow_remote, tuple(allowed_hosts)))
    with gdal_settings(), read_errors(source):
        _check_structure(source)
    source, page_warnings = choose_page(source)
    with gdal_settings(), read_errors(source), open_dataset(source) as dataset:
        if dataset.count == 0:
            raise SceneRefusedError(f"{source.path!r} holds no raster band; give one image")
        # GDAL takes the name of a file with overviews from the metadata inside a TIFF.
        if "OVERVIEW_FILE" in dataset.tags(ns="OVERVIEWS") and not allow_vrt:
            raise SceneRefusedError(
                f"{source.path!r} names another file as its overviews; pass allow_vrt=True if you "
                "trust it, or copy it with gdal_translate -co COPY_SRC_OVERVIEWS=NO"
            )
        size = (dataset.width, dataset.height)
        check_sequential(source.path, source.driver, *size, bytes_pixel(dataset))
        if source.driver == "JP2OpenJPEG":
            with open_bytes(source) as file:
                check_tiles(source.path, file, source.size_bytes)
        block_shape = checked_block(dataset, source)
        overviews, sizes, blocks = [], [], []
        for index, factor in enumerate(dataset.overviews(1)[:_MAX_OVERVIEWS]):
            overview = open_handle(source, index)
            overviews.append(int(factor))
            sizes.append((overview.width, overview.height))
            blocks.append(checked_block(overview, source))
        colors, warnings = color_names(dataset)
        scene = Scene(
            path=os.fspath(path) if source.remote is None else source.path,
            source=source,
            width=dataset.width,
            height=dataset.height,
            count=dataset.count,
            dtype=dataset.dtypes[0],
            nodata=next((float(value) for value in dataset.nodatavals if value is not None), None),
            colorinterp=colors,
            block_shape=block_shape,
            overviews=tuple(overviews),
            overview_sizes=tuple(sizes),
            overview_blocks=tuple(blocks),
            mask_kind=mask_kind(dataset, is_declared=nodata is not None),
            georeference=placed(dataset, source),
            description=dataset.tags().get("TIFFTAG_IMAGEDESCRIPTION", ""),
            compression=structure(dataset, "COMPRESSION").lower(),
            # a file of one band names no interleave that matters
            interleave=structure(dataset, "INTERLEAVE").lower() or "pixel",
            nodata_bands=nodata_by_band(dataset),
            is_min_white=structure(dataset, "MINISWHITE") == "YES",
            warnings=(
                *(*page_warnings, *warnings),
                *(*nodata_warnings(dataset), *gap_warnings(dataset, source)),
            ),
        )
        usable, overview_warnings = usable_overviews(source, dataset, sizes)
        missing = None if nodata is None else declare_missing(source, dataset, nodata, usable)
        return replace(
            scene,
            overviews=scene.overviews[:usable],
            overview_sizes=scene.overview_sizes[:usable],
            overview_blocks=scene.overview_blocks[:usable],
            missing=missing,
            warnings=(*overview_warnings, *scene.warnings),
        )


def _check_structure(source: Source) -> None:
    """Look at what a file claims before GDAL, or libvips, makes room for it."""
    if source.driver not in ("GTiff", "PNG", "JPEG"):
        return
    with open_bytes(source) as file:
        check_held_whole(source.path, source.driver, file)
        if source.driver == "GTiff":
            check_directories(source.path, file, is_remote=source.remote is not None)
    if source.remote is None:
        for side in filter(os.path.isfile, side_names(source.path)):
            with open(side, "rb") as file:  # noqa: PTH123  (a path as text)
                check_directories(side, file)
