"""A scene: everything about a raster that can be known without reading a pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TypeVar

from rasterio.crs import CRS

from geofovea._arguments import shown
from geofovea.errors import GeometryError, SceneError
from geofovea.tiling.files.formats import drivers_where
from geofovea.tiling.files.layout import MaskKind
from geofovea.tiling.files.source import Source
from geofovea.tiling.geo.georeference import Georeference, GeorefKind
from geofovea.tiling.marks import Number
from geofovea.tiling.nodata import DeclaredMissing
from geofovea.tiling.pyramid import Box, Pyramid, level_size

__all__ = ["MaskKind", "Scene", "checked_scene", "once_per_scene"]

T = TypeVar("T")


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
        packings: ``(scale, offset)`` of each band, which lead from stored numbers to what they
            stand for; empty where all are ``(1, 0)``.
        is_min_white: Zero is white, as in many scans, so what is shown is the negative.
        warnings: What a reader of any result should know of the file.
        shown_bands: The bands that level files are built for; empty for all.

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
    missing: DeclaredMissing | None = None
    compression: str = ""
    interleave: str = "pixel"
    nodata_bands: tuple[Number | None, ...] = field(default=(), compare=False)
    packings: tuple[tuple[float, float], ...] = ()
    is_min_white: bool = False
    warnings: tuple[str, ...] = ()
    shown_bands: tuple[int, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.count, *self.block_shape) < 1:
            raise GeometryError(
                "a scene needs at least one pixel and one band, got "
                f"{self.width} x {self.height} pixels in {self.count} bands, "
                f"in blocks of {self.block_shape}"
            )

    def __repr__(self) -> str:
        bands = f"{self.count} band{'' if self.count == 1 else 's'}"
        return (
            f"Scene({self.path!r}, {self.width} x {self.height} px, {bands} {self.dtype}, "
            f"{self.driver}, {self.crs_name or 'no CRS'}, {len(self.overviews)} overviews)"
        )

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

    def level_size(self, level: int) -> tuple[int, int]:
        """``(width, height)`` of a level of its pyramid, in level pixels."""
        return level_size((self.width, self.height), level)

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
        """Meters per native pixel at the center of the scene, None where unknown."""
        return self.georeference.gsd_m(*self.box.center)

    @property
    def has_random_access(self) -> bool:
        """Whether a small window can be read without decoding most of the rows around it."""
        is_sequential = self.driver in drivers_where("is_sequential")
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

    def packings_of(self, bands: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
        """``(scale, offset)`` of some bands, counted from 1."""
        return tuple(self.packings[band - 1] if self.packings else (1.0, 0.0) for band in bands)

    def showing(self, bands: tuple[int, ...]) -> Scene:
        """The same scene with level files for some bands alone, counted from 1."""
        return self if self.shown_bands == bands else replace(self, shown_bands=bands)

    def pyramid(self, tile_size: int, base_side: int = 0) -> Pyramid:
        """The pyramid over this scene.

        Args:
            tile_size: Side of a tile in level pixels.
            base_side: Longest side of the base level in level pixels; 0 means three tiles.

        Raises:
            GeometryError: If ``tile_size`` is not positive or ``base_side`` is below it.
        """
        return Pyramid(self.width, self.height, tile_size, base_side)


def checked_scene(scene: Scene) -> Scene:
    """The scene itself.

    Raises:
        SceneError: If it is something else, such as a path that nobody opened.
    """
    given: object = scene
    if isinstance(given, Scene):
        return scene
    raise SceneError(
        f"a scene is what geofovea.open_scene returns, got {shown(given)}; open it first"
    )


def once_per_scene(compute: Callable[[Scene], T]) -> Callable[[Scene], T]:
    """Compute something of a scene once, as a cached property does, in a module that knows more.

    Args:
        compute: Takes a scene, and returns the same whenever it is called with it.
    """
    name = compute.__name__

    @wraps(compute)
    def cached(scene: Scene) -> T:
        values = vars(scene)
        if name not in values:
            values[name] = compute(scene)
        value: T = values[name]
        return value

    return cached
