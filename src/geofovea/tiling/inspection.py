"""Describes a scene before the first question, in numbers and in plain words."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geofovea.tiling.cache.folder import levels_folder
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_handle, read_errors
from geofovea.tiling.geo.place_notes import place_notes
from geofovea.tiling.overviews.cache import are_prepared
from geofovea.tiling.overviews.level_files import (
    AccessMode,
    LevelBuilder,
    access_mode,
    level_files_of,
)
from geofovea.tiling.pixels.bands import band_descriptions, choose_bands
from geofovea.tiling.pixels.hidden_nodata import mask_beside_nodata
from geofovea.tiling.pixels.radiometry_plan import describe_radiometry
from geofovea.tiling.plan import plan_tile
from geofovea.tiling.pyramid import Pyramid, Tile
from geofovea.tiling.scene import Scene

__all__ = ["Inspection", "LevelFilesInspection", "LevelInspection", "inspect_scene"]


@dataclass(frozen=True)
class LevelInspection:
    """One level of the pyramid.

    Attributes:
        level: Its number; 0 is native.
        width: In level pixels.
        height: In level pixels.
        rows: Tiles from top to bottom.
        cols: Tiles from left to right.
        source: ``native``, or which overview of the file or which level file serves it.
        blocks_per_tile: Blocks of that image that the first tile touches.
        is_cheap: Whether reading that tile decodes little.
    """

    level: int
    width: int
    height: int
    rows: int
    cols: int
    source: str
    blocks_per_tile: int
    is_cheap: bool


@dataclass(frozen=True)
class LevelFilesInspection:
    """What is built, once, before tiles of a scene can be read cheaply.

    Attributes:
        builder: ``streamed`` (GDAL, strip by strip), or ``pyvips`` for the copy of the native
            image and ``streamed`` for the rest.
        levels: Which levels are built; 0 is a tiled copy of the native image.
        most_bytes: What they need on disk without compression, hence about at most.
        folder: The cache that they are kept in.
        are_built: Whether they are there already.
    """

    builder: LevelBuilder
    levels: tuple[int, ...]
    most_bytes: int
    folder: str
    are_built: bool


@dataclass(frozen=True)
class Inspection:
    """A scene and its pyramid, described.

    Attributes:
        path: The name as given.
        driver: GDAL driver.
        size_bytes: Of the file.
        width: In native pixels.
        height: In native pixels.
        bands: Color interpretation of each band.
        descriptions: What the file calls each band; empty for a band without a name.
        dtype: Pixel type.
        crs: Authority code or name, or None.
        gsd_m: Meters per native pixel, or None.
        georef: ``affine``, ``gcps``, ``rpcs`` or ``none``.
        nodata: Value of missing pixels, or None.
        mask: ``none``, ``nodata``, ``alpha``, ``internal`` or ``declared``.
        block: ``(height, width)`` of a native block.
        levels: From native to the overview.
        way_in: ``direct``, ``decode_once`` (in memory) or ``level_files``.
        level_files: What is built on first use; None if nothing is.
        notes: What to know before asking, in plain words.
        shown: Which bands a question would see and how they are stretched, in plain words.
    """

    path: str
    driver: str
    size_bytes: int
    width: int
    height: int
    bands: tuple[str, ...]
    descriptions: tuple[str, ...]
    dtype: str
    crs: str | None
    gsd_m: float | None
    georef: str
    nodata: float | None
    mask: str
    block: tuple[int, int]
    levels: tuple[LevelInspection, ...]
    way_in: AccessMode
    level_files: LevelFilesInspection | None
    notes: tuple[str, ...]
    shown: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain lists, dicts, strings and numbers; a NaN, which JSON lacks, becomes ``"nan"``."""
        plain = asdict(self)
        if self.nodata is not None and not math.isfinite(self.nodata):
            plain["nodata"] = str(self.nodata)
        for key in ("bands", "descriptions", "block", "levels", "notes"):
            plain[key] = list(plain[key])
        if self.level_files is not None:
            plain["level_files"]["levels"] = list(self.level_files.levels)
        return plain


def inspect_scene(
    scene: Scene,
    pyramid: Pyramid,
    bands: tuple[int, ...] | None = None,
    *,
    composite: str | None = None,
    band_map: Mapping[str, int] | None = None,
) -> Inspection:
    """Describe a scene under a pyramid, and what a question would see; reads no pixels.

    Args:
        scene: The scene.
        pyramid: Its pyramid.
        bands: As in ``plan_radiometry``, and likewise the following.
        composite: A named composite.
        band_map: Which band plays which role in it.

    Raises:
        SceneError: If the scene has no such bands.
    """
    scene = scene.showing(choose_bands(scene, bands, composite, band_map).bands)
    radiometry_text, warnings = describe_radiometry(
        scene, bands, composite=composite, band_map=band_map
    )
    levels = tuple(_inspect_level(scene, pyramid, n) for n in range(pyramid.top_level + 1))
    level_files = _inspect_level_files(scene)
    return Inspection(
        path=scene.path,
        driver=scene.driver,
        size_bytes=scene.size_bytes,
        width=scene.width,
        height=scene.height,
        bands=scene.colorinterp,
        descriptions=band_descriptions(scene),
        dtype=scene.dtype,
        crs=scene.crs_name,
        gsd_m=scene.gsd_m,
        georef=scene.georef,
        nodata=scene.nodata,
        mask=scene.mask_kind,
        block=scene.block_shape,
        levels=levels,
        way_in=access_mode(scene),
        level_files=level_files,
        notes=(*_notes(scene, levels, level_files), *warnings),
        shown=radiometry_text,
    )


def _inspect_level_files(scene: Scene) -> LevelFilesInspection | None:
    files = level_files_of(scene)
    if files is None:
        return None
    return LevelFilesInspection(
        builder=files.builder,
        levels=tuple(image.level for image in files.images),
        most_bytes=files.most_bytes,
        folder=str(levels_folder().parent),
        are_built=are_prepared(scene),
    )


def _inspect_level(scene: Scene, pyramid: Pyramid, level: int) -> LevelInspection:
    width, height = pyramid.level_size(level)
    rows, cols = pyramid.grid_shape(level)
    plan = plan_tile(scene, pyramid, Tile(level, 0, 0))
    overview = plan.overview_level
    source = "native" if overview is None else f"overview 1/{scene.overviews[overview]}"
    if plan.level_file is not None:
        source = f"level file 1/{1 << plan.level_file}"
    return LevelInspection(level, width, height, rows, cols, source, plan.blocks, plan.is_cheap)


def _notes(
    scene: Scene, levels: tuple[LevelInspection, ...], level_files: LevelFilesInspection | None
) -> list[str]:
    return [
        *_build_notes(level_files),
        *_layout_notes(scene, levels),
        *place_notes(scene),
        *_missing_notes(scene),
    ]


def _build_notes(level_files: LevelFilesInspection | None) -> Iterator[str]:
    """What the first question will build."""
    if level_files is not None and not level_files.are_built:
        products = "levels" if level_files.levels[0] else "a tiled copy and its levels"
        by = "pyvips and rasterio" if level_files.builder == "pyvips" else "rasterio"
        yield (
            f"the first question builds {products} with {by}, at most about "
            f"{level_files.most_bytes / 1e6:.0f} MB in {level_files.folder}, by reading the whole "
            "file once; a COG needs none of it: gdal_translate -of COG"
        )


def _layout_notes(scene: Scene, levels: tuple[LevelInspection, ...]) -> Iterator[str]:
    """Where a tile decodes much more than it shows, and what to do about it."""
    costly = [level.level for level in levels if not level.is_cheap]
    factors = " ".join(str(1 << level.level) for level in levels[1:])
    if not scene.overviews and costly:
        yield (
            "no overviews: every coarse tile reads much of the file; "
            + (
                f"build overviews with gdaladdo -r average {shlex.quote(scene.path)} {factors}"
                if scene.source.stamp is not None
                else "serve it as a COG: gdal_translate -of COG"
            )
        )
    elif costly:
        yield (
            f"tiles of level {', '.join(map(str, costly))} decode many pixels each; add overviews "
            "for the missing factors with gdaladdo, or rewrite as COG: gdal_translate -of COG"
        )
    if _are_picked(scene):
        yield (
            "the overviews hold every n-th pixel (RESAMPLING=NEAREST), so small things may be "
            "missing on coarse levels; build them again with gdaladdo -r average"
        )
    native_is_sequential = not scene.has_random_access and access_mode(scene) == "direct"
    if native_is_sequential and scene.width * scene.height > 2**24:
        yield (
            "rows are stored one after another, so a small tile decodes much more than it shows; "
            "rewrite as COG: gdal_translate -of COG"
        )


def _are_picked(scene: Scene) -> bool:
    """Whether the finest overview holds single pixels, where an average would show more."""
    if scene.driver != "GTiff" or not scene.overviews or "palette" in scene.colorinterp:
        return False
    with gdal_settings(), read_errors(scene.source):
        tags = open_handle(scene.source, 0, for_pixels=False).tags(1)
    return str(tags.get("RESAMPLING", "")).startswith("NEAR")


def _missing_notes(scene: Scene) -> Iterator[str]:
    """What marks missing pixels: nothing, or more than one thing, or what is not read."""
    if scene.mask_kind == "none":
        marks = "nothing but NaN marks" if "int" not in scene.dtype else "nothing marks"
        yield (
            f"{marks} missing pixels: a black border counts as picture (declare it with "
            f"{scene.source.nodata_name}=)"
        )
    if scene.alpha and scene.mask_kind in ("nodata", "internal"):
        other = "a nodata value" if scene.mask_kind == "nodata" else "a mask"
        yield f"an alpha band and {other} both mark missing pixels"
    if both := mask_beside_nodata(scene):
        yield both
    if scene.source.size_bytes and Path(scene.source.path + ".aux.xml").exists():
        yield "the .aux.xml beside the file is not read, because it can name other files"
