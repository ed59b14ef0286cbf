"""Reads the pixels of tiles as RGB, with a mask of missing and padded ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window

from geofovea.errors import GeometryError
from geofovea.tiling.cache.blocks import BlockCache, read_in_blocks
from geofovea.tiling.decoded_copy import DecodedCopy
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_handle, read_errors
from geofovea.tiling.files.limits import check_read
from geofovea.tiling.marks import Number
from geofovea.tiling.overviews.cache import Progress
from geofovea.tiling.overviews.level_files import LevelLimits, access_mode, level_files_of
from geofovea.tiling.overviews.scene_levels import SceneLevels
from geofovea.tiling.pixels.halving import Known
from geofovea.tiling.pixels.level_grid import read_on_grid
from geofovea.tiling.pixels.radiometry import FILL, Radiometry
from geofovea.tiling.pixels.validity import (
    block_mean,
    join_masks,
    needs_half_known,
    read_band_masks,
    read_known,
    read_valid,
    supersampling,
)
from geofovea.tiling.plan import ReadPlan, plan_box, plan_tile
from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.scene import Scene

__all__ = ["TilePixels", "TileReader"]

RGB = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TilePixels:
    """The picture of one tile, padded to a square.

    Attributes:
        tile: Its address.
        rgb: ``(T, T, 3)`` of eight bits; gray 128 where nothing is known.
        valid: ``(T, T)``; False on padding and on missing pixels, which must never be scored.
        valid_size: ``(width, height)`` of the part that lies on the scene.
        extra: ``(T, T, n)``, bands beside red, green and blue; None where none was asked for.

    Raises:
        GeometryError: If the shapes do not belong together.
    """

    tile: Tile
    rgb: RGB
    valid: Mask
    valid_size: tuple[int, int]
    extra: RGB | None = None

    def __post_init__(self) -> None:
        side = len(self.valid)
        if self.valid.shape != (side, side) or self.rgb.shape != (side, side, 3):
            raise GeometryError(
                f"a tile needs square pixels, got {self.rgb.shape} and {self.valid.shape}"
            )

    @property
    def all_bands(self) -> RGB:
        """``(T, T, 3 + n)``: red, green, blue, and what was asked for beside them."""
        return self.rgb if self.extra is None else np.concatenate([self.rgb, self.extra], 2)

    @property
    def valid_fraction(self) -> float:
        """The share of the whole square that shows known pixels of the scene, in [0, 1]."""
        return float(self.valid.mean())


class TileReader:
    """Reads tiles of one scene; one reader may serve many threads.

    A small PNG, JPEG or striped file would decode most of its rows again for every tile. Its
    native image is decoded once instead, and kept as a tiled file in memory for as long as the
    reader lives (16 Mpx at most); plans are carried out on it as on the file. A large scene
    without overviews has level files, which are built when the first plan names one.
    """

    def __init__(
        self,
        scene: Scene,
        pyramid: Pyramid,
        radiometry: Radiometry,
        *,
        limits: LevelLimits | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Join what the reads need.

        Args:
            scene: What to read.
            pyramid: Its levels and tiles.
            radiometry: How its pixels become RGB.
            limits: What building its level files may cost.
            progress: Shows how far that is.

        Raises:
            GeometryError: If the pyramid is not that of the scene, or a band does not exist.
        """
        if (pyramid.width, pyramid.height) != (scene.width, scene.height):
            raise GeometryError(
                f"the pyramid is for {pyramid.width} x {pyramid.height} pixels, the scene has "
                f"{scene.width} x {scene.height}; make it with scene.pyramid()"
            )
        if max(radiometry.bands) > scene.count:
            raise GeometryError(
                f"bands {radiometry.bands} are not in the scene, which has {scene.count}"
            )
        # level files are built for the bands that are shown, whatever else the file holds
        self.scene = scene = scene.showing(radiometry.bands)
        self.pyramid = pyramid
        self.radiometry = radiometry
        self._levels = SceneLevels(scene, limits, progress)
        self._blocks = BlockCache()
        self._copy = DecodedCopy(scene, radiometry.bands)

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened on the way that a reader of any answer should know."""
        return self._levels.notes

    def read(self, tile: Tile) -> TilePixels:
        """Read one tile.

        Raises:
            GeometryError: If the tile is not on the pyramid's grid.
            SceneReadError: If the file is damaged.
            LevelBuildError: If level files are needed and would cost more than allowed.
            OutputError: If they cannot be written.
        """
        plan = plan_tile(self.scene, self.pyramid, tile)
        (rows, cols), side = plan.out_shape, self.pyramid.tile_size
        pixels, valid = self._execute(plan)
        if (rows, cols) != (side, side):
            part, valid_part = pixels, valid
            pixels, valid = _canvas(side, side, part.shape[2])
            pixels[:rows, :cols], valid[:rows, :cols] = part, valid_part
        if not self.radiometry.extra_bands:
            return TilePixels(tile, pixels, valid, (cols, rows))
        return TilePixels(tile, pixels[..., :3], valid, (cols, rows), pixels[..., 3:])

    def prepare(self, tile: Tile) -> None:
        """Build the level files of the scene now, if a tile needs them.

        Raises:
            GeometryError: If the tile is not on the pyramid's grid.
            LevelBuildError: If they would cost more than allowed.
            OutputError: If they cannot be written.
            SceneReadError: If the file is damaged.
        """
        if plan_tile(self.scene, self.pyramid, tile).level_file is not None:
            self._levels.prepared()

    def read_box(self, box: Box, out_shape: tuple[int, int]) -> tuple[RGB, Mask]:
        """Read any box in scene pixels as a picture of ``(rows, cols)`` pixels.

        Returns:
            RGB ``(rows, cols, 3)`` and validity ``(rows, cols)``; what lies outside the scene is
            gray and not valid.

        Raises:
            GeometryError: If the box shares no area with the scene or the picture is empty.
            SceneReadError: If the file is damaged.
        """
        inside = box.intersection(self.scene.box)
        if inside is None or min(out_shape) < 1:
            raise GeometryError(
                f"a picture of {out_shape} pixels of {box} is empty; the scene is {self.scene.box}"
            )
        rgb, valid = _canvas(*out_shape)
        rows = _pixel_range(box.y0, box.height, inside.y0, inside.y1, out_shape[0])
        cols = _pixel_range(box.x0, box.width, inside.x0, inside.x1, out_shape[1])
        shape = (rows.stop - rows.start, cols.stop - cols.start)
        pixels, valid[rows, cols] = self._execute(plan_box(self.scene, inside, shape))
        rgb[rows, cols] = pixels[..., :3]
        return rgb, valid

    def _execute(self, plan: ReadPlan) -> tuple[RGB, Mask]:
        if plan.level_file is None:
            return self._execute_on_scene(plan)
        return self._levels.read(plan.level_file, lambda handle: self._read_level(plan, handle))

    def _read_level(self, plan: ReadPlan, handle: Any) -> tuple[RGB, Mask]:
        files = level_files_of(self.scene)
        if files is None:
            raise GeometryError(f"{self.scene.path!r} has no level files to read from")
        # a palette has become three bands
        bands = self.radiometry.bands
        file_bands = (
            handle.indexes if files.is_palette else [files.bands.index(b) + 1 for b in bands]
        )
        if plan.grid is not None:
            nodata = () if files.is_palette else self._nodata
            values, masks = self._on_grid(
                plan, lambda w: Known(*_read_plain(handle, file_bands, w)), nodata
            )
        else:
            options = {"out_shape": (len(file_bands), *plan.out_shape)}
            options |= {"resampling": Resampling[plan.resampling]}
            values, masks = _read_plain(handle, file_bands, Window(*plan.window), **options)
        if files.is_expanded:
            valid = np.asarray(masks.any(axis=0))
        else:
            values, valid = self.radiometry.expand(values, join_masks(self.scene, bands, masks))
        return self.radiometry.finish(values, valid), valid

    def _execute_on_scene(self, plan: ReadPlan) -> tuple[RGB, Mask]:
        bands, source = self.radiometry.bands, self.scene.source
        check_read(self.scene.path, plan.decoded_pixels)
        with gdal_settings(), read_errors(source):
            if plan.overview_level is None and self._decodes_once:
                return self._read(plan, self._copy.handle(), tuple(range(1, len(bands) + 1)))
            return self._read(plan, open_handle(source, plan.overview_level), bands)

    @property
    def _is_dear(self) -> bool:
        """Whether decoded blocks are worth keeping; nothing but pixels is kept of them."""
        return self.scene.driver == "JP2OpenJPEG" and self.scene.mask_kind == "none"

    def _read_stored(
        self, plan: ReadPlan, handle: Any, bands: tuple[int, ...], window: Window
    ) -> NDArray[Any]:
        """Stored numbers of a window of whole pixels, ``(bands, h, w)``."""
        if not self._is_dear:
            return np.asarray(handle.read(list(bands), window=window))

        def read(handle: Any, bands: tuple[int, ...], window: Window) -> Any:
            # a block of its own: damaged pixels must fail here, before they are kept
            with read_errors(self.scene.source):
                return handle.read(list(bands), window=window)

        x, y, width, height = (int(value) for value in window.flatten())
        part = (x, y, width, height)
        return read_in_blocks(self._blocks, plan.overview_level, handle, bands, part, read)

    def _read(self, plan: ReadPlan, handle: Any, bands: tuple[int, ...]) -> tuple[RGB, Mask]:
        """Carry out a plan on an image of stored numbers."""
        if plan.grid is not None:
            return self._read_grid(plan, handle, bands)
        scene = self.scene
        resampling, window = Resampling[plan.resampling], Window(*plan.window)
        if resampling is Resampling.nearest and self._is_dear:
            array = self._read_stored(plan, handle, bands, window)
            values, valid = self.radiometry.expand(array, np.ones(array.shape[1:], bool))
            return self.radiometry.finish(values, valid), valid
        if resampling is not Resampling.nearest and self.radiometry.needs_expansion:
            return self._read_expanded(plan, handle, bands)
        values, masks = read_known(handle, scene, bands, window, plan.out_shape, resampling)
        valid = np.ones(plan.out_shape, bool) if masks is None else join_masks(scene, bands, masks)
        values, valid = self.radiometry.expand(values, valid)
        return self.radiometry.finish(values, valid), valid

    def _read_grid(self, plan: ReadPlan, handle: Any, bands: tuple[int, ...]) -> tuple[RGB, Mask]:
        """Average stored numbers, or what they show, over the pixels of a level."""
        must_expand = self.radiometry.needs_expansion

        def read(window: Window) -> Known:
            array = self._read_stored(plan, handle, bands, window)
            masks = read_band_masks(handle, self.scene, bands, window=window)
            if not must_expand:
                return Known(array, masks)
            known = np.ones(array.shape, bool) if masks is None else masks
            values, valid = self.radiometry.expand(array, join_masks(self.scene, bands, known))
            return Known(values, valid[None])

        nodata = () if must_expand else self._nodata
        values, masks = self._on_grid(plan, read, nodata)
        if must_expand:
            return self.radiometry.finish(values, masks[0]), masks[0]
        values, valid = self.radiometry.expand(values, join_masks(self.scene, bands, masks))
        return self.radiometry.finish(values, valid), valid

    @property
    def _nodata(self) -> tuple[Number | None, ...]:
        """What missing pixels of the shown bands hold, where a number marks them."""
        is_by_number = self.scene.mask_kind == "nodata"
        return self.scene.nodata_of(self.radiometry.bands) if is_by_number else ()

    def _on_grid(
        self,
        plan: ReadPlan,
        read: Callable[[Window], Known],
        nodata: tuple[Number | None, ...],
    ) -> tuple[NDArray[Any], Mask]:
        """Values ``(bands, h, w)`` of a plan on the grid of a level, and which are known."""
        assert plan.grid is not None  # noqa: S101  (asked by the callers)
        needs_half = needs_half_known(self.scene)
        values, masks = read_on_grid(*plan.grid, read, nodata, needs_half=needs_half)
        return values, np.ones(values.shape, bool) if masks is None else masks

    def _read_expanded(
        self, plan: ReadPlan, handle: Any, bands: tuple[int, ...]
    ) -> tuple[RGB, Mask]:
        """Pick stored pixels on a finer grid, expand them, and average what they show.

        Indexes, phases and what the caller declared missing must not be averaged as stored.
        """
        side = supersampling(plan.decimation, len(bands) * math.prod(plan.out_shape))
        shape = (plan.out_shape[0] * side, plan.out_shape[1] * side)
        options = {"window": Window(*plan.window), "resampling": Resampling.nearest}
        array = handle.read(list(bands), out_shape=(len(bands), *shape), **options)
        marked = read_valid(handle, self.scene, bands, out_shape=shape, **options)
        valid = np.ones(shape, bool) if marked is None else marked
        values, valid = self.radiometry.expand(array, valid)
        if side > 1:
            values, valid = block_mean(values, valid, side)
        return self.radiometry.finish(values, valid), valid

    @property
    def _decodes_once(self) -> bool:
        return access_mode(self.scene) == "decode_once"


def _read_plain(
    handle: Any, file_bands: Sequence[int], window: Window, **options: Any
) -> tuple[NDArray[Any], Mask]:
    """Values of a level file, and which are known, each ``(bands, h, w)``."""
    values = handle.read(list(file_bands), window=window, **options)
    return values, handle.read_masks(list(file_bands), window=window, **options) >= 128


def _canvas(rows: int, cols: int, bands: int = 3) -> tuple[RGB, Mask]:
    return np.full((rows, cols, bands), FILL, np.uint8), np.zeros((rows, cols), bool)


def _pixel_range(origin: float, length: float, start: float, stop: float, size: int) -> slice:
    """The output pixels, at least one, that the part of a side inside the scene falls on."""
    first = min(size - 1, round((start - origin) / length * size))
    return slice(first, max(first + 1, round((stop - origin) / length * size)))
